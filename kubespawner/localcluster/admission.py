"""Decisions about a create that need to look at other objects: namespaces, accounts, classes.

See https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/ (NamespaceLifecycle,
ServiceAccount, Priority, DefaultStorageClass, StorageObjectInUseProtection,
PersistentVolumeClaimResize).
"""

from __future__ import annotations

from typing import Any

from kubespawner.localcluster.quantities import parse_quantity
from kubespawner.localcluster.resources import (
    CLAIMS,
    NAMESPACES,
    PODS,
    PRIORITY_CLASSES,
    SERVICE_ACCOUNTS,
    STORAGE_CLASSES,
    Resource,
)
from kubespawner.localcluster.statuses import Cause, forbidden, not_found
from kubespawner.localcluster.store import Store

CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_SYSTEM_PRIORITIES = {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}


def check_namespace(store: Store, resource: Resource, namespace: str, name: str) -> None:
    """Refuse new content in a namespace that is absent (404) or being deleted (403)."""
    record = store.record(NAMESPACES, "", namespace)
    if record is None:
        raise not_found(NAMESPACES, namespace)
    if record.obj["metadata"].get("deletionTimestamp"):
        text = f"namespace {namespace} is being terminated"
        cause = Cause("metadata.namespace", "NamespaceTerminating", text)
        problem = (
            f"unable to create new content in namespace {namespace} because it is being terminated"
        )
        raise forbidden(resource, name, problem, [cause])


def admit(store: Store, resource: Resource, obj: dict[str, Any]) -> None:
    """Complete a new object from what the cluster has, in place, or refuse it.

    Raises:
        ApiError: 403, with the text of the admission plugin that refuses.
    """
    if resource is PODS:
        _service_account(store, obj)
        _priority(store, obj)
    elif resource is CLAIMS:
        _storage_class(store, obj)
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if CLAIM_PROTECTION not in finalizers:
            finalizers.append(CLAIM_PROTECTION)


def admit_update(
    store: Store, resource: Resource, old: dict[str, Any], new: dict[str, Any]
) -> None:
    """Refuse a change that depends on other objects: PersistentVolumeClaimResize.

    Raises:
        ApiError: 403, with the text of the admission plugin that refuses.
    """
    if resource is not CLAIMS or not _grows(old, new):
        return
    name = old["metadata"]["name"]
    record = store.record(STORAGE_CLASSES, "", old["spec"].get("storageClassName") or "")
    if record is None or not record.obj.get("allowVolumeExpansion"):
        raise forbidden(
            CLAIMS,
            name,
            "only dynamically provisioned pvc can be resized and the storageclass that "
            "provisions the pvc must support resize",
        )


def _grows(old: dict[str, Any], new: dict[str, Any]) -> bool:
    before, after = (
        item["spec"].get("resources", {}).get("requests", {}).get("storage") for item in (old, new)
    )
    return bool(before and after) and parse_quantity(after) > parse_quantity(before)


def _service_account(store: Store, pod: dict[str, Any]) -> None:
    meta, account = pod["metadata"], pod["spec"]["serviceAccountName"]
    record = store.record(SERVICE_ACCOUNTS, meta["namespace"], account)
    if record is None:
        raise forbidden(
            PODS,
            meta["name"],
            f"error looking up service account {meta['namespace']}/{account}: "
            f'serviceaccount "{account}" not found',
        )
    if not pod["spec"].get("imagePullSecrets") and record.obj.get("imagePullSecrets"):
        pod["spec"]["imagePullSecrets"] = record.copy()["imagePullSecrets"]


def _priority(store: Store, pod: dict[str, Any]) -> None:
    spec = pod["spec"]
    wanted = spec.get("priorityClassName")
    if wanted in _SYSTEM_PRIORITIES:
        spec["priority"] = _SYSTEM_PRIORITIES[wanted]
        return
    if wanted:
        found = store.record(PRIORITY_CLASSES, "", wanted)
        if found is None:
            problem = f"no PriorityClass with name {wanted} was found"
            raise forbidden(PODS, pod["metadata"]["name"], problem)
        classes = [found]
    else:
        classes = [r for r in store.records(PRIORITY_CLASSES) if r.obj.get("globalDefault")]
    for record in classes:
        spec["priorityClassName"] = record.obj["metadata"]["name"]
        spec["priority"] = record.obj["value"]
        spec["preemptionPolicy"] = record.obj["preemptionPolicy"]


def _storage_class(store: Store, claim: dict[str, Any]) -> None:
    if "storageClassName" in claim["spec"]:
        return
    for record in store.records(STORAGE_CLASSES):
        annotations = record.obj["metadata"].get("annotations", {})
        if annotations.get(_DEFAULT_CLASS) == "true":
            claim["spec"]["storageClassName"] = record.obj["metadata"]["name"]
            return
