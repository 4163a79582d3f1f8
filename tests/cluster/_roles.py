"""A hub that has exactly the permissions that a test gives it, and an administrator beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from kubernetes_asyncio.client import (
    ApiException,
    AuthenticationV1TokenRequest,
    AuthorizationV1Api,
    CoreV1Api,
    RbacAuthorizationV1Api,
)

from kubespawner.permissions import FEATURES, Need, needs, roles

from .conftest import until

ACCOUNT = "hub"


class Missed(Exception):
    """The hub did not do what it does with its whole Role."""


def expect(condition: Any, what: str) -> None:
    if not condition:
        raise Missed(what)


def same_rule(one: Need, other: Need) -> bool:
    """Whether the two entries are allowed by one and the same rule of a Role."""
    return (one.group, one.resource, one.verb, FEATURES[one.feature].routes) == (
        other.group,
        other.resource,
        other.verb,
        FEATURES[other.feature].routes,
    )


class Admin:
    """Who may do everything: makes the roles, and what the hub finds in the cluster."""

    def __init__(self, api: CoreV1Api):
        self.core = api
        self.rbac = RbacAuthorizationV1Api(api.api_client)
        self.authorization = AuthorizationV1Api(api.api_client)

    async def apply(self, manifest: Mapping[str, Any]) -> None:
        """Create a role or a binding."""
        kind, namespace = manifest["kind"], manifest["metadata"].get("namespace")
        if kind == "Role":
            await self.rbac.create_namespaced_role(namespace, manifest)
        elif kind == "RoleBinding":
            await self.rbac.create_namespaced_role_binding(namespace, manifest)
        elif kind == "ClusterRole":
            await self.rbac.create_cluster_role(manifest)
        else:
            await self.rbac.create_cluster_role_binding(manifest)

    async def remove_cluster_roles(self, name: str) -> None:
        await self.rbac.delete_cluster_role_binding(name)
        await self.rbac.delete_cluster_role(name)

    async def allowed(self, user: str, namespace: str | None, need: Need) -> bool:
        """Ask the API server's authoriser, which learns of new roles a moment later."""
        resource, _, subresource = need.resource.partition("/")
        attributes = {
            "group": need.group,
            "resource": resource,
            "subresource": subresource,
            "verb": need.verb,
            "namespace": namespace,
        }
        review = {"spec": {"user": user, "resourceAttributes": attributes}}
        answer = await self.authorization.create_subject_access_review(review)
        return bool(answer.status.allowed)

    async def namespace(self, name: str) -> None:
        """Create a namespace unless it is there."""
        try:
            await self.core.create_namespace({"metadata": {"name": name}})
        except ApiException as e:
            if e.status != 409:
                raise


@contextlib.asynccontextmanager
async def restricted(
    admin: Admin,
    namespace: str,
    settings: Mapping[str, bool],
    without: Callable[[Need], bool],
    kubeconfig: Any,
) -> AsyncIterator[None]:
    """Give the service account ``hub`` the roles of a configuration, and write its kubeconfig."""
    await admin.core.create_namespaced_service_account(namespace, {"metadata": {"name": ACCOUNT}})
    manifests = roles(
        settings, namespace=namespace, name="hub", service_account=ACCOUNT, without=without
    )
    try:
        for manifest in manifests:
            await admin.apply(manifest)
        await _in_force(admin, namespace, settings, without)
        request = {"spec": {"audiences": [], "expirationSeconds": 3600}}
        answer = await admin.core.create_namespaced_service_account_token(
            ACCOUNT, namespace, request
        )
        _write_kubeconfig(kubeconfig, admin.core.api_client.configuration, _token(answer))
        yield
    finally:
        if any(manifest["kind"] == "ClusterRole" for manifest in manifests):
            await admin.remove_cluster_roles(f"{namespace}-hub")


def _token(answer: AuthenticationV1TokenRequest) -> str:
    return answer.status.token


async def _in_force(
    admin: Admin,
    namespace: str,
    settings: Mapping[str, bool],
    without: Callable[[Need], bool],
) -> None:
    user = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    wanted = {need: not without(need) for need in needs(settings)}

    async def agreed() -> bool:
        found = await asyncio.gather(
            *(admin.allowed(user, None if need.cluster else namespace, need) for need in wanted)
        )
        return found == list(wanted.values())

    await until(agreed)


def _write_kubeconfig(path: Any, configuration: Any, token: str) -> None:
    cluster = {"server": configuration.host, "certificate-authority": configuration.ssl_ca_cert}
    if not configuration.verify_ssl:
        cluster = {"server": configuration.host, "insecure-skip-tls-verify": True}
    context = {"cluster": "c", "user": "u"}
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "hub",
                "clusters": [{"name": "c", "cluster": cluster}],
                "contexts": [{"name": "hub", "context": context}],
                "users": [{"name": "u", "user": {"token": token}}],
            }
        )
    )
