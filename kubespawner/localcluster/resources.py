"""The resources that the embedded API server serves, as one table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource type.

    Attributes:
        group: API group, "" for the core group.
        version: e.g. ``v1``.
        kind: e.g. ``Pod``.
        plural: as in URLs, e.g. ``pods``.
        definition: name of the schema definition.
        namespaced: False for cluster-scoped resources.
        short_names: what kubectl accepts instead of the plural.
        fields: paths that field selectors may name, beside metadata.name and metadata.namespace.
        subresources: served below an object, e.g. ``status``.
        returns_deleted: DELETE answers with the object instead of a ``Status``.
        all_category: listed by ``kubectl get all``.
        custom: defined by a CustomResourceDefinition.
    """

    group: str
    version: str
    kind: str
    plural: str
    definition: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    returns_deleted: bool = False
    all_category: bool = False
    custom: bool = False
    verbs: tuple[str, ...] = field(
        default=(
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch",
        )
    )

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """``pods`` or ``ingresses.networking.k8s.io``: the resource in messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    def __repr__(self) -> str:
        return f"<{self.qualified}>"


def _core(kind: str, plural: str, **options: Any) -> Resource:
    return Resource("", "v1", kind, plural, f"io.k8s.api.core.v1.{kind}", **options)


NAMESPACES = _core(
    "Namespace",
    "namespaces",
    namespaced=False,
    short_names=("ns",),
    fields=("status.phase",),
    subresources=("status", "finalize"),
    returns_deleted=True,
)
PODS = _core(
    "Pod",
    "pods",
    short_names=("po",),
    fields=(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    subresources=("status", "log", "binding"),
    returns_deleted=True,
    all_category=True,
)
CLAIMS = _core(
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    short_names=("pvc",),
    subresources=("status",),
    returns_deleted=True,
)
VOLUMES = _core(
    "PersistentVolume",
    "persistentvolumes",
    namespaced=False,
    short_names=("pv",),
    subresources=("status",),
    returns_deleted=True,
)
SECRETS = _core("Secret", "secrets", fields=("type",))
CONFIG_MAPS = _core("ConfigMap", "configmaps", short_names=("cm",))
SERVICES = _core(
    "Service",
    "services",
    short_names=("svc",),
    fields=("spec.clusterIP", "spec.type"),
    subresources=("status",),
    returns_deleted=True,
    all_category=True,
)
ENDPOINTS = _core("Endpoints", "endpoints", short_names=("ep",))
SERVICE_ACCOUNTS = _core(
    "ServiceAccount", "serviceaccounts", short_names=("sa",), returns_deleted=True
)
EVENTS = _core(
    "Event",
    "events",
    short_names=("ev",),
    fields=(
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
)
NODES = _core(
    "Node",
    "nodes",
    namespaced=False,
    short_names=("no",),
    fields=("spec.unschedulable",),
    subresources=("status",),
)
RESOURCE_QUOTAS = _core(
    "ResourceQuota",
    "resourcequotas",
    short_names=("quota",),
    subresources=("status",),
    returns_deleted=True,
)
ENDPOINT_SLICES = Resource(
    "discovery.k8s.io",
    "v1",
    "EndpointSlice",
    "endpointslices",
    "io.k8s.api.discovery.v1.EndpointSlice",
)
INGRESSES = Resource(
    "networking.k8s.io",
    "v1",
    "Ingress",
    "ingresses",
    "io.k8s.api.networking.v1.Ingress",
    short_names=("ing",),
    subresources=("status",),
)
NETWORK_POLICIES = Resource(
    "networking.k8s.io",
    "v1",
    "NetworkPolicy",
    "networkpolicies",
    "io.k8s.api.networking.v1.NetworkPolicy",
    short_names=("netpol",),
)
STORAGE_CLASSES = Resource(
    "storage.k8s.io",
    "v1",
    "StorageClass",
    "storageclasses",
    "io.k8s.api.storage.v1.StorageClass",
    namespaced=False,
    short_names=("sc",),
    returns_deleted=True,
)
PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io",
    "v1",
    "PriorityClass",
    "priorityclasses",
    "io.k8s.api.scheduling.v1.PriorityClass",
    namespaced=False,
    short_names=("pc",),
)
DEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    namespaced=False,
    short_names=("crd", "crds"),
    subresources=("status",),
    returns_deleted=True,
)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    namespaced=False,
    verbs=("create",),
)

RESOURCES: tuple[Resource, ...] = (
    NAMESPACES,
    PODS,
    CLAIMS,
    VOLUMES,
    SECRETS,
    CONFIG_MAPS,
    SERVICES,
    ENDPOINTS,
    SERVICE_ACCOUNTS,
    EVENTS,
    NODES,
    RESOURCE_QUOTAS,
    ENDPOINT_SLICES,
    INGRESSES,
    NETWORK_POLICIES,
    STORAGE_CLASSES,
    PRIORITY_CLASSES,
    DEFINITIONS,
    ACCESS_REVIEWS,
)


class Kinds:
    """The resources that one server has: those of the table, and custom ones."""

    def __init__(self) -> None:
        self._by_path = {(each.group, each.version, each.plural): each for each in RESOURCES}
        self._by_kind = {(each.api_version, each.kind): each for each in RESOURCES}

    def __iter__(self) -> Iterator[Resource]:
        return iter(tuple(self._by_path.values()))

    def at(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource that a URL names."""
        return self._by_path.get((group, version, plural))

    def of(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource whose objects carry these fields."""
        return self._by_kind.get((api_version, kind))

    def add(self, resource: Resource) -> None:
        """Have ``resource`` from now on."""
        self._by_path[resource.group, resource.version, resource.plural] = resource
        self._by_kind[resource.api_version, resource.kind] = resource

    def remove(self, resource: Resource) -> None:
        """Have ``resource`` no more."""
        del self._by_path[resource.group, resource.version, resource.plural]
        del self._by_kind[resource.api_version, resource.kind]
