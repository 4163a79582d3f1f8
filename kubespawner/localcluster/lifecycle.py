"""How objects come, change and go: metadata, finalizers, grace periods.

See https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination and
https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from kubespawner.localcluster.defaults import fill_in, generated_name
from kubespawner.localcluster.resources import NAMESPACES, NODES, PODS, Resource
from kubespawner.localcluster.statuses import conflict, not_found
from kubespawner.localcluster.store import Record, Store

# Metadata that only the server writes.
SYSTEM_FIELDS = (
    "uid",
    "creationTimestamp",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)


def timestamp(moment: datetime | None = None) -> str:
    """Return a time (now by default) as the API writes it, e.g. ``2026-11-25T10:00:00Z``."""
    moment = moment or datetime.now(timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def prepare(resource: Resource, obj: dict[str, Any]) -> dict[str, Any]:
    """Turn what a client sent into a new object: server metadata, name, no status, defaults."""
    meta = {k: v for k, v in obj.get("metadata", {}).items() if k not in SYSTEM_FIELDS}
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = generated_name(meta["generateName"])
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = timestamp()
    if resource is PODS or resource.custom:
        meta["generation"] = 1
    rest = {k: v for k, v in obj.items() if k not in {"apiVersion", "kind", "metadata"}}
    # A kubelet creates its node with a status.
    if resource.has_status and resource is not NODES:
        rest.pop("status", None)
    prepared = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": meta,
        **rest,
    }
    fill_in(resource, prepared)
    return prepared


def create(store: Store, resource: Resource, obj: dict[str, Any]) -> Record:
    """Store a new object on behalf of the cluster itself. Raises ApiError 409."""
    return store.add(resource, prepare(resource, obj))


def update(store: Store, resource: Resource, obj: dict[str, Any]) -> Record:
    """Write a changed object; one in deletion that nothing holds any more is removed instead."""
    meta = obj["metadata"]
    if meta.get("deletionTimestamp") and _free(resource, obj):
        return store.remove(resource, meta.get("namespace", ""), meta["name"])
    if resource.custom:
        _count_generation(resource, store.get(resource, *place_of(obj)), obj)
    return store.update(resource, obj)


def place_of(obj: Mapping[str, Any]) -> tuple[str, str]:
    """Return namespace and name of an object."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _count_generation(resource: Resource, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    """Give the object a new generation if more than its metadata or its status changed.

    https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource
    """
    apart = {"metadata", "status"} if resource.has_status else {"metadata"}
    if old and {k: v for k, v in old.items() if k not in apart} != {
        k: v for k, v in new.items() if k not in apart
    }:
        new["metadata"]["generation"] = old["metadata"]["generation"] + 1


def _free(resource: Resource, obj: dict[str, Any]) -> bool:
    if obj["metadata"].get("finalizers") or obj["metadata"].get("deletionGracePeriodSeconds"):
        return False
    return resource is not NAMESPACES or not obj["spec"].get("finalizers")


def delete(
    store: Store,
    resource: Resource,
    namespace: str,
    name: str,
    options: Mapping[str, Any] | None = None,
) -> Record:
    """Delete an object as ``DeleteOptions`` ask; return its state, removed or in deletion.

    Raises:
        ApiError: 404; 409 if a precondition fails.
    """
    options = options or {}
    record = store.record(resource, namespace, name)
    if record is None:
        raise not_found(resource, name)
    check_preconditions(resource, record.obj, options.get("preconditions") or {})
    obj = record.copy()
    meta = obj["metadata"]
    if resource is NAMESPACES and meta.get("deletionTimestamp"):
        return record
    grace = _grace(resource, obj, options.get("gracePeriodSeconds"))
    if meta.get("deletionTimestamp"):
        # A deletion under way can only be hurried.
        grace = min(grace, meta.get("deletionGracePeriodSeconds", 0))
    _propagation_finalizer(meta, options)
    held = bool(meta.get("finalizers")) or resource is NAMESPACES
    if grace == 0 and not held:
        return store.remove(resource, namespace, name)
    if meta.get("deletionGracePeriodSeconds") != grace or not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = timestamp(datetime.now(timezone.utc) + timedelta(seconds=grace))
        meta["deletionGracePeriodSeconds"] = grace
        if "generation" in meta:
            meta["generation"] += 1
    if resource is NAMESPACES:
        del meta["deletionGracePeriodSeconds"]
        obj["status"]["phase"] = "Terminating"
    return store.update(resource, obj)


def _grace(resource: Resource, obj: dict[str, Any], asked: int | None) -> int:
    """Return the seconds that a deletion leaves; only scheduled, unfinished pods have any."""
    if resource is not PODS:
        return 0
    spec = obj["spec"]
    if not spec.get("nodeName") or obj["status"].get("phase") in {"Succeeded", "Failed"}:
        return 0
    grace = spec.get("terminationGracePeriodSeconds", 30) if asked is None else asked
    return grace if grace >= 0 else 1


def _propagation_finalizer(meta: dict[str, Any], options: Mapping[str, Any]) -> None:
    policy = options.get("propagationPolicy")
    if options.get("orphanDependents"):
        policy = "Orphan"
    finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy or "")
    if finalizer and not meta.get("deletionTimestamp"):
        finalizers = meta.setdefault("finalizers", [])
        if finalizer not in finalizers:
            finalizers.append(finalizer)


def check_preconditions(
    resource: Resource, obj: dict[str, Any], preconditions: Mapping[str, Any]
) -> None:
    """Raise ApiError 409 unless uid and resource version are those asked for."""
    meta = obj["metadata"]
    for key, label, hint in (
        ("uid", "UID", "The object might have been deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "The object might have been modified"),
    ):
        wanted = preconditions.get(key)
        if wanted and wanted != meta[key]:
            problem = (
                f"the {label} in the precondition ({wanted}) does not match the {label} in "
                f"record ({meta[key]}). {hint}"
            )
            raise conflict(resource, meta["name"], problem)
