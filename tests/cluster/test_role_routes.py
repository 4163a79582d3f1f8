"""The proxies' Role, whole and with each single permission taken away.

As ``test_role.py`` does for the spawner: what is taken away must be missed, in words.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes_asyncio.client import (
    ApiClient,
    ApiException,
    ApiextensionsV1Api,
    CustomObjectsApi,
    DiscoveryV1Api,
    NetworkingV1Api,
    VersionApi,
)
from traitlets.config import Config

from kubespawner.errors import ConfigurationError
from kubespawner.permissions import FEATURES, Need, needs
from kubespawner.proxy import KubeGatewayProxy, KubeIngressProxy
from tests.support.gateway import CUSTOM_RESOURCES, GROUP

from ._roles import Admin, Missed, expect, restricted, same_rule
from .conftest import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

USER = {"user": "alice", "server_name": ""}
ROUTE = "/user/alice/"
POD = "http://10.1.2.3:8888"
#: Settings that a permission depends on -> class and settings of the proxy.
PROXIES = {
    "ingress": (
        {"ingress_proxy": True, "ingress_class_name": True},
        KubeIngressProxy,
        {"ingress_class_name": "absent"},
    ),
    "gateway": (
        {"gateway_proxy": True, "enable_user_namespaces": True},
        KubeGatewayProxy,
        {"gateway_parent_refs": [{"name": "web"}], "route_status_timeout": 0},
    ),
}


@dataclass(frozen=True)
class Routes:
    """A proxy, and an administrator who makes what it finds."""

    admin: Admin
    make: Callable[[], Any]
    namespace: str
    other_namespace: str
    caplog: pytest.LogCaptureFixture

    def name_of(self, routespec: str) -> str:
        return KubeIngressProxy._name_of(routespec).lower()

    async def create(self, resource: str, manifest: dict[str, Any]) -> None:
        """Create an object of a kind that routes are made of."""
        client = self.admin.core.api_client
        if resource == "services":
            await self.admin.core.create_namespaced_service(self.namespace, manifest)
        elif resource == "endpoints":
            await self.admin.core.create_namespaced_endpoints(self.namespace, manifest)
        elif resource == "ingresses":
            await NetworkingV1Api(client).create_namespaced_ingress(self.namespace, manifest)
        elif resource == "endpointslices":
            await DiscoveryV1Api(client).create_namespaced_endpoint_slice(
                self.namespace, {**manifest, "apiVersion": "discovery.k8s.io/v1"}
            )
        else:
            whole = {**manifest, "apiVersion": f"{GROUP}/v1", "kind": "HTTPRoute"}
            await CustomObjectsApi(client).create_namespaced_custom_object(
                GROUP, "v1", self.namespace, "httproutes", whole
            )


FOREIGN: dict[str, dict[str, Any]] = {
    "services": {"spec": {"ports": [{"port": 80}]}},
    "endpointslices": {"addressType": "IPv4", "endpoints": [], "ports": []},
    "ingresses": {
        "spec": {"defaultBackend": {"service": {"name": "other", "port": {"number": 80}}}}
    },
    "httproutes": {"spec": {"parentRefs": [{"name": "web"}]}},
}


async def add_change_and_delete(routes: Routes) -> None:
    proxy = routes.make()
    await proxy.add_route(ROUTE, POD, USER)
    expect(set(await proxy.get_all_routes()) == {ROUTE}, "the route is known")
    await proxy.add_route(ROUTE, "http://10.1.2.4:9999", {**USER, "more": 1})
    await proxy.delete_route(ROUTE)
    expect(await proxy.get_all_routes() == {}, "the route is gone")


async def remove_what_an_earlier_version_left(routes: Routes) -> None:
    labels = {"component": "singleuser-server", "hub.jupyter.org/proxy-route": "true"}
    name = routes.name_of(ROUTE)
    await routes.create("endpoints", {"metadata": {"name": name, "labels": labels}})
    await routes.make().add_route(ROUTE, POD, USER)
    found = await routes.admin.core.list_namespaced_endpoints(routes.namespace)
    ours = [item for item in found.items if (item.metadata.labels or {}).items() >= labels.items()]
    expect(not ours, "the earlier Endpoints are gone")


def leave_alone(resource: str) -> Callable[[Routes], Awaitable[None]]:
    """Return a stage in which a name of the route is somebody else's object."""

    async def stage(routes: Routes) -> None:
        manifest = {**FOREIGN[resource], "metadata": {"name": routes.name_of(ROUTE)}}
        await routes.create(resource, manifest)
        try:
            await routes.make().add_route(ROUTE, POD, USER)
        except ConfigurationError as e:
            if e.reason == "RouteOfAnotherOwner":
                return
            raise
        raise Missed("somebody else's object is left alone")

    return stage


async def lead_to_another_namespace(routes: Routes) -> None:
    proxy = routes.make()
    target = f"http://lab.{routes.other_namespace}.svc.cluster.local:8888"
    await proxy.add_route(ROUTE, target, USER)
    await proxy.delete_route(ROUTE)
    grants = await CustomObjectsApi(routes.admin.core.api_client).list_namespaced_custom_object(
        GROUP, "v1beta1", routes.other_namespace, "referencegrants"
    )
    expect(grants["items"] == [], "the grant is taken back")


async def warn_of_an_absent_class(routes: Routes) -> None:
    await routes.make().get_all_routes()
    expect("there is no such IngressClass" in routes.caplog.text, "a warning")


def stages(need: Need) -> tuple[Callable[[Routes], Awaitable[None]], ...]:
    """Return what shows that ``need`` is needed."""
    if need.feature == "grants":
        return (lead_to_another_namespace,)
    if need.feature == "route class":
        return (warn_of_an_absent_class,)
    if need.resource == "endpoints":
        return (remove_what_an_earlier_version_left,)
    if need.verb == "get":
        return (leave_alone(need.resource),)
    return (add_change_and_delete,)


# ---- with the whole Role, and less -----------------------------------------------------


@pytest.fixture
async def older_slices(api, monkeypatch):
    """Let Kubernetes 1.20, which knows EndpointSlices as v1beta1 only, serve as a newer one.

    What a Role allows does not depend on the version.
    """
    version = await VersionApi(api.api_client).get_code()
    if int(re.match(r"\d+", version.minor)[0]) >= 21:
        return
    ask = ApiClient.call_api

    def call_api(self, path, *args, body=None, **kwargs):
        if "/discovery.k8s.io/" in path:
            path = path.replace("/v1/", "/v1beta1/", 1)
            if isinstance(body, dict) and "apiVersion" in body:
                body = {**body, "apiVersion": "discovery.k8s.io/v1beta1"}
        return ask(self, path, *args, body=body, **kwargs)

    monkeypatch.setattr(ApiClient, "call_api", call_api)


async def _define_gateway_api(api: Any) -> None:
    """Let the cluster know HTTPRoutes and ReferenceGrants; they stay, for others may use them."""
    for definition in CUSTOM_RESOURCES:
        try:
            await ApiextensionsV1Api(api.api_client).create_custom_resource_definition(definition)
        except ApiException as e:
            if e.status != 409:
                raise

    async def served() -> bool:
        custom = CustomObjectsApi(api.api_client)
        try:
            await custom.list_cluster_custom_object(GROUP, "v1", "httproutes")
            await custom.list_cluster_custom_object(GROUP, "v1beta1", "referencegrants")
        except ApiException as e:
            if e.status != 404:
                raise
            return False
        return True

    await until(served)


@pytest.fixture
async def with_role(namespace, api, older_slices, caplog, tmp_path, monkeypatch):
    """Return a function: go through ``stages`` with the roles of a proxy."""
    admin = Admin(api)
    other = f"{namespace}-other"
    await admin.namespace(other)

    async def through(
        proxy: str,
        stages: tuple[Callable[[Routes], Awaitable[None]], ...],
        without: Callable[[Need], bool] = lambda need: False,
    ) -> None:
        settings, cls, own = PROXIES[proxy]
        if cls is KubeGatewayProxy:
            await _define_gateway_api(api)
        kubeconfig = tmp_path / "kubeconfig"
        made: list[Any] = []

        def make() -> Any:
            config = Config({cls.__name__: Config({"namespace": namespace, **own})})
            made.append(cls(config=config))
            return made[-1]

        async with restricted(admin, namespace, settings, without, kubeconfig):
            with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
                patch.setenv("KUBECONFIG", str(kubeconfig))
                try:
                    for stage in stages:
                        await stage(Routes(admin, make, namespace, other, caplog))
                finally:
                    for each in made:
                        await each.stop()

    yield through
    await api.delete_namespace(other)


def route_needs(proxy: str) -> list[Need]:
    return [
        need
        for need in needs(PROXIES[proxy][0])
        if FEATURES[need.feature].routes or need.feature == "grants"
    ]


EVERY_SINGLE_ONE = [
    pytest.param(proxy, need, id=f"{proxy}-{need}".replace(" ", "-"))
    for proxy in PROXIES
    for need in route_needs(proxy)
]


@pytest.mark.parametrize("proxy, need", EVERY_SINGLE_ONE)
async def test_each_single_permission_is_missed_in_words(with_role, caplog, proxy, need):
    with pytest.raises((ConfigurationError, Missed)) as caught:
        await with_role(proxy, stages(need), lambda other: same_rule(need, other))
    told = str(caught.value) if need.required else caplog.text
    resource = f"{need.resource}.{need.group}" if need.group else need.resource
    assert f"lacks the verb {need.verb!r} on {resource} " in told
    assert f"resources: ['{need.resource}'], verbs: ['{need.verb}']" in told


@pytest.mark.parametrize(
    "proxy, stage",
    [
        pytest.param(proxy, stage, id=f"{proxy}-{number}")
        for proxy in PROXIES
        for number, stage in enumerate(
            [
                add_change_and_delete,
                remove_what_an_earlier_version_left,
                *map(leave_alone, ("services", "endpointslices")),
                *(
                    (leave_alone("ingresses"), warn_of_an_absent_class)
                    if proxy == "ingress"
                    else (leave_alone("httproutes"), lead_to_another_namespace)
                ),
            ]
        )
    ],
)
async def test_the_whole_role_is_enough(with_role, proxy, stage):
    await with_role(proxy, (stage,))
