"""What the hub has to be allowed to do in the cluster, per setting.

:data:`NEEDS` is the only list of it: the Roles in ``deploy/``, the table in the documentation and
``python -m kubespawner.cli role`` come from it, and ``tests/cluster/test_role.py`` takes every
single entry away on a real API server and demands that this is noticed, in words.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Setting -> whether it is on; one that is missing is off.
Settings = Mapping[str, bool]

_RBAC = "rbac.authorization.k8s.io"
_NETWORKING = "networking.k8s.io"
_DISCOVERY = "discovery.k8s.io"
_GATEWAY = "gateway.networking.k8s.io"

#: The verbs in the order in which people write them.
_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")


@dataclass(frozen=True)
class Feature:
    """Something that a configuration has or has not.

    Attributes:
        label: the settings that turn it on, in Markdown.
        routes: whether it is the proxy's, in the hub's own namespace, and not the spawner's.
    """

    label: str
    is_on: Callable[[Settings], bool]
    routes: bool = False


def _on(*names: str) -> Callable[[Settings], bool]:
    return lambda settings: all(settings.get(name) for name in names)


FEATURES: Mapping[str, Feature] = {
    "servers": Feature("every configuration", lambda settings: True),
    "events": Feature("`KubeSpawner.events_enabled`", _on("events_enabled")),
    "claims": Feature("`KubeSpawner.storage_pvc_ensure`", _on("storage_pvc_ensure")),
    "claim expansion": Feature(
        "`KubeSpawner.storage_pvc_ensure` and `storage_expand`",
        _on("storage_pvc_ensure", "storage_expand"),
    ),
    "claim deletion": Feature(
        "`KubeSpawner.storage_pvc_ensure` and `delete_pvc`", _on("storage_pvc_ensure", "delete_pvc")
    ),
    "leftovers": Feature("`KubeSpawner.leftovers_interval`", _on("leftovers_interval")),
    **{
        f"deletion of left {kind}": Feature(
            f"`KubeSpawner.leftovers_interval` and `leftovers_delete` with `{kind}`",
            _on("leftovers_interval", f"leftovers_delete_{kind}"),
        )
        for kind in ("claims", "secrets", "services")
    },
    "services": Feature(
        "`KubeSpawner.services_enabled` or `JupyterHub.internal_ssl`",
        lambda settings: bool(settings.get("services_enabled") or settings.get("internal_ssl")),
    ),
    "secrets": Feature("`JupyterHub.internal_ssl`", _on("internal_ssl")),
    "owners": Feature(
        "`KubeSpawner.services_enabled` or `JupyterHub.internal_ssl`, where the cluster has the "
        "admission plugin OwnerReferencesPermissionEnforcement, as OpenShift",
        lambda settings: bool(
            settings.get("owner_references_enforced")
            and (settings.get("services_enabled") or settings.get("internal_ssl"))
        ),
    ),
    "metadata block": Feature("`KubeSpawner.block_cloud_metadata`", _on("block_cloud_metadata")),
    "namespaces": Feature("`KubeSpawner.enable_user_namespaces`", _on("enable_user_namespaces")),
    "routes": Feature(
        "`KubeIngressProxy` or `KubeGatewayProxy`",
        lambda settings: bool(settings.get("ingress_proxy") or settings.get("gateway_proxy")),
        routes=True,
    ),
    "ingresses": Feature("`KubeIngressProxy`", _on("ingress_proxy"), routes=True),
    "HTTP routes": Feature("`KubeGatewayProxy`", _on("gateway_proxy"), routes=True),
    "grants": Feature(
        "`KubeGatewayProxy` with `KubeSpawner.enable_user_namespaces`",
        _on("gateway_proxy", "enable_user_namespaces"),
    ),
    "route class": Feature(
        "`KubeIngressProxy.ingress_class_name`",
        _on("ingress_proxy", "ingress_class_name"),
        routes=True,
    ),
}

#: Every setting that a permission depends on; the last one is the cluster's.
SETTINGS = (
    "events_enabled",
    "storage_pvc_ensure",
    "storage_expand",
    "delete_pvc",
    "leftovers_interval",
    "leftovers_delete_claims",
    "leftovers_delete_secrets",
    "leftovers_delete_services",
    "services_enabled",
    "internal_ssl",
    "block_cloud_metadata",
    "enable_user_namespaces",
    "ingress_proxy",
    "gateway_proxy",
    "ingress_class_name",
    "owner_references_enforced",
)


@dataclass(frozen=True)
class Need:
    """One verb on one resource, and what for.

    Attributes:
        feature: key of :data:`FEATURES`.
        resource: plural, with a subresource after a slash.
        why: what the hub does with it.
        without: what happens if it lacks, where that is by design no failure; else empty.
        group: API group; empty for the core group.
        cluster: whether the resource has no namespace.
    """

    feature: str
    resource: str
    verb: str
    why: str
    without: str = ""
    group: str = ""
    cluster: bool = False

    @property
    def required(self) -> bool:
        """Whether a step fails without it."""
        return not self.without

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {self.resource}{group}"


def _route_objects(feature: str, resource: str, group: str = "") -> tuple[Need, ...]:
    return tuple(
        Need(feature, resource, verb, why, group=group)
        for verb, why in (
            ("list", "know the routes"),
            ("watch", "know what changes in them"),
            ("get", "look at an object whose name is taken, or while the watch is interrupted"),
            ("create", "make a route"),
            ("patch", "change a route in place"),
            ("delete", "remove a route"),
        )
    )


NEEDS: tuple[Need, ...] = (
    Need("servers", "pods", "list", "know which servers run"),
    Need("servers", "pods", "watch", "learn when a server is ready, ends or is gone"),
    Need(
        "servers", "pods", "get", "look at a pod whose name is taken, or that the watch can't tell"
    ),
    Need("servers", "pods", "create", "start a server"),
    Need("servers", "pods", "delete", "stop a server, clean up after a start that failed"),
    Need(
        "servers",
        "pods/log",
        "get",
        "show the last lines that a server wrote before it failed to start",
        without="the message says that it failed, not what it wrote",
    ),
    Need(
        "events",
        "events",
        "list",
        "find where to begin with the events of a start",
        without="progress is told without the cluster's events",
    ),
    Need(
        "events",
        "events",
        "watch",
        "show on the progress page what the cluster does",
        without="progress is told without the cluster's events",
    ),
    Need(
        "claims",
        "persistentvolumeclaims",
        "get",
        "see whether a claim exists, whose it is, and whether an earlier version made it",
        without="claims are created unseen: whose an existing one is can't be checked",
    ),
    Need("claims", "persistentvolumeclaims", "create", "make a user's claim"),
    Need("claims", "persistentvolumeclaims", "list", "wait for the end of a claim in deletion"),
    Need("claims", "persistentvolumeclaims", "watch", "wait for the end of a claim in deletion"),
    Need(
        "claim expansion",
        "persistentvolumeclaims",
        "patch",
        "let a claim grow to a raised `storage_capacity`",
        without="claims keep the size that they were made with",
    ),
    Need(
        "claim deletion",
        "persistentvolumeclaims",
        "get",
        "make sure that a claim is the deleted user's",
        without="claims of deleted users are kept",
    ),
    Need(
        "claim deletion", "persistentvolumeclaims", "delete", "delete the claim of a deleted user"
    ),
    *(
        Need(
            "leftovers",
            resource,
            "list",
            "find what no server knows",
            without="leftovers of this kind are not looked for, which the log says once",
        )
        for resource in ("persistentvolumeclaims", "secrets", "services")
    ),
    *(
        Need(
            f"deletion of left {kind}",
            resource,
            "delete",
            "delete what no server knows",
            without="leftovers of this kind are told, and stay",
        )
        for kind, resource in (
            ("claims", "persistentvolumeclaims"),
            ("secrets", "secrets"),
            ("services", "services"),
        )
    ),
    Need("services", "services", "create", "give a server a DNS name"),
    Need("services", "services", "get", "see whose a Service is whose name is taken"),
    Need("services", "services", "update", "let an earlier server's Service lead to the new pod"),
    Need("secrets", "secrets", "create", "hand a server its certificates"),
    Need("secrets", "secrets", "get", "see whose a secret is whose name is taken"),
    Need("secrets", "secrets", "update", "replace an earlier server's certificates"),
    Need("secrets", "secrets", "delete", "make anew a secret that can't be changed"),
    Need("owners", "pods/finalizers", "update", "let secret and Service go with their pod"),
    Need(
        "metadata block",
        "networkpolicies",
        "create",
        "keep servers away from the cloud's metadata service",
        group=_NETWORKING,
    ),
    Need("namespaces", "namespaces", "create", "make a user's namespace", cluster=True),
    Need(
        "namespaces",
        "namespaces",
        "get",
        "see whether a namespace that exists is being deleted",
        without="a namespace in deletion is noticed when the pod is refused",
        cluster=True,
    ),
    Need("namespaces", "namespaces", "list", "wait for the end of one in deletion", cluster=True),
    Need("namespaces", "namespaces", "watch", "wait for the end of one in deletion", cluster=True),
    *_route_objects("routes", "services"),
    *_route_objects("routes", "endpointslices", _DISCOVERY),
    Need("routes", "endpoints", "get", "look for what an earlier version left"),
    Need("routes", "endpoints", "delete", "remove what an earlier version left"),
    *_route_objects("ingresses", "ingresses", _NETWORKING),
    *_route_objects("HTTP routes", "httproutes", _GATEWAY),
    Need(
        "grants",
        "referencegrants",
        "create",
        "let routes lead to the Services of other namespaces",
        group=_GATEWAY,
    ),
    Need(
        "grants",
        "referencegrants",
        "delete",
        "take that back with the last such route",
        without="grants stay",
        group=_GATEWAY,
    ),
    Need(
        "route class",
        "ingressclasses",
        "get",
        "warn of an IngressClass that does not exist",
        without="nothing warns of one that does not exist",
        group=_NETWORKING,
        cluster=True,
    ),
)


def needs(settings: Settings) -> tuple[Need, ...]:
    """Return what a configuration needs.

    Raises:
        ValueError: a setting is none of :data:`SETTINGS`.
    """
    unknown = set(settings) - set(SETTINGS)
    if unknown:
        raise ValueError(f"no permission depends on {', '.join(sorted(unknown))}")
    return tuple(need for need in NEEDS if FEATURES[need.feature].is_on(settings))


def rules(wanted: Iterable[Need]) -> list[dict[str, Any]]:
    """Return the RBAC rules that allow ``wanted`` and nothing more, one per resource."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for need in wanted:
        verbs.setdefault((need.group, need.resource), set()).add(need.verb)
    return [
        {
            "apiGroups": [group],
            "resources": [resource],
            "verbs": sorted(found, key=_VERBS.index),
        }
        for (group, resource), found in verbs.items()
    ]


def roles(
    settings: Settings,
    *,
    namespace: str,
    servers_in: Iterable[str] = (),
    name: str = "hub",
    service_account: str = "hub",
    without: Callable[[Need], bool] = lambda need: False,
) -> list[dict[str, Any]]:
    """Return the minimal roles of a configuration and their bindings, as API JSON.

    With ``enable_user_namespaces`` servers may come to be in any namespace, so what the spawner
    needs is a ClusterRole; what the proxy needs is a Role in the hub's namespace in any case.

    Args:
        namespace: the hub's.
        servers_in: namespaces of the servers, each of which gets a Role; none: the hub's.
        name: of a Role and its binding; cluster-scoped ones are named ``namespace-name``.
        service_account: whom the roles are bound to, in ``namespace``.
        without: tells what to leave out.
    """
    everywhere = bool(settings.get("enable_user_namespaces"))
    servers_in = list(servers_in) or [namespace]
    places: dict[str, list[Need]] = {place: [] for place in (namespace, *servers_in)}
    cluster: list[Need] = []
    for need in needs(settings):
        routes = FEATURES[need.feature].routes
        if without(need):
            continue
        if need.cluster or (everywhere and not routes):
            cluster.append(need)
            continue
        for place in dict.fromkeys([namespace] if routes else servers_in):
            places[place].append(need)
    subject = {"kind": "ServiceAccount", "name": service_account, "namespace": namespace}
    found = []
    for place, wanted in places.items():
        if wanted:
            found += _bound("Role", {"name": name, "namespace": place}, wanted, subject)
    if cluster:
        found += _bound("ClusterRole", {"name": f"{namespace}-{name}"}, cluster, subject)
    return found


def _bound(
    kind: str, metadata: dict[str, str], wanted: list[Need], subject: dict[str, str]
) -> list[dict[str, Any]]:
    version = f"{_RBAC}/v1"
    reference = {"apiGroup": _RBAC, "kind": kind, "name": metadata["name"]}
    return [
        {"apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules(wanted)},
        {
            "apiVersion": version,
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": reference,
            "subjects": [subject],
        },
    ]


def table() -> str:
    """Return :data:`NEEDS` as a Markdown table."""
    lines = [
        "| needed for | API group | resource | verb | what for | without it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for need in NEEDS:
        without = need.without or "the step fails"
        resource = f"{need.resource} (cluster-wide)" if need.cluster else need.resource
        group = need.group or "core"
        lines.append(
            f"| {FEATURES[need.feature].label} | {group} | {resource} | {need.verb} "
            f"| {need.why} | {without} |"
        )
    return "\n".join(lines) + "\n"
