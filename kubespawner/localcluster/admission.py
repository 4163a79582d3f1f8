"""Decisions about a create that need to look at other objects: namespaces, quotas, classes.

See https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/ (NamespaceLifecycle,
ServiceAccount, Priority, DefaultStorageClass, StorageObjectInUseProtection, ResourceQuota).
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from kubespawner.localcluster.quantities import format_quantity, parse_quantity
from kubespawner.localcluster.resources import (
    CLAIMS,
    NAMESPACES,
    PODS,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
    STORAGE_CLASSES,
    Resource,
)
from kubespawner.localcluster.statuses import Cause, forbidden, not_found
from kubespawner.localcluster.store import Store

CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_SYSTEM_PRIORITIES = {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}

Usage = dict[str, Decimal]


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


def check_quota(store: Store, resource: Resource, obj: dict[str, Any]) -> None:
    """Refuse an object that exceeds a quota of its namespace.

    As on the real server this happens before the name is looked up: a create over the quota is
    403 also where the object exists already. See
    https://kubernetes.io/docs/concepts/policy/resource-quotas/.

    Raises:
        ApiError: 403.
    """
    meta = obj["metadata"]
    quotas = store.records(RESOURCE_QUOTAS, meta["namespace"])
    if not quotas:
        return
    asked = usage_of(resource, obj)
    for record in quotas:
        if not _in_scope(record.obj, resource, obj):
            continue
        hard = {k: parse_quantity(v) for k, v in record.obj["spec"].get("hard", {}).items()}
        quota = record.obj["metadata"]["name"]
        if resource is PODS:
            _check_specified(hard, obj, quota)
        used = quota_usage(store, record.obj)
        over = sorted(
            name
            for name in asked
            if name in hard and asked[name] > 0 and used.get(name, 0) + asked[name] > hard[name]
        )
        if over:
            texts = (
                ",".join(f"{name}={_text(amounts.get(name, Decimal(0)), name)}" for name in over)
                for amounts in (asked, used, hard)
            )
            problem = "exceeded quota: {}, requested: {}, used: {}, limited: {}".format(
                quota, *texts
            )
            raise forbidden(resource, meta["name"], problem)


def _check_specified(hard: Usage, pod: dict[str, Any], quota: str) -> None:
    wanted = sorted(name for name in hard if _compute(name))
    absent: dict[str, list[str]] = {}
    for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
        for name in wanted:
            kind, resource = _compute(name)
            if resource not in container.get("resources", {}).get(kind, {}):
                absent.setdefault(name, []).append(container["name"])
    if absent:
        listed = "; ".join(f"{name} for: {','.join(names)}" for name, names in absent.items())
        problem = f"failed quota: {quota}: must specify {listed}"
        raise forbidden(PODS, pod["metadata"]["name"], problem)


def _compute(name: str) -> tuple[str, str]:
    """Return kind and resource of a quota on compute resources, else two empty strings."""
    kind, dot, resource = name.partition(".")
    if name in {"cpu", "memory"}:
        return "requests", name
    if dot and kind in {"requests", "limits"} and resource in {"cpu", "memory"}:
        return kind, resource
    return "", ""


def _text(amount: Decimal, name: str) -> str:
    binary = name.endswith(("memory", "storage"))
    return format_quantity(amount, binary=binary)


def quota_usage(store: Store, quota: dict[str, Any]) -> Usage:
    """Return what of a quota's ``spec.hard`` is in use now."""
    used: Counter[str] = Counter()
    namespace = quota["metadata"]["namespace"]
    hard = quota["spec"].get("hard", {})
    for resource in store.resources():
        if not resource.namespaced:
            continue
        for record in store.records(resource, namespace):
            if _in_scope(quota, resource, record.obj):
                for name, amount in usage_of(resource, record.obj).items():
                    if name in hard:
                        used[name] += amount  # type: ignore[assignment]
    return {name: Decimal(used[name]) for name in hard}


def usage_text(name: str, amount: Decimal) -> str:
    """Return an amount as it is written into a quota's status."""
    return _text(amount, name)


def _in_scope(quota: dict[str, Any], resource: Resource, obj: dict[str, Any]) -> bool:
    scopes = quota["spec"].get("scopes", [])
    if not scopes:
        return True
    if resource is not PODS:
        return False
    best_effort = obj.get("status", {}).get("qosClass") == "BestEffort"
    terminating = "activeDeadlineSeconds" in obj["spec"]
    matches = {
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "Terminating": terminating,
        "NotTerminating": not terminating,
    }
    return all(matches.get(scope, True) for scope in scopes)


def usage_of(resource: Resource, obj: dict[str, Any]) -> Usage:
    """Return what one object counts against quotas, by the names that quotas use."""
    one = Decimal(1)
    usage = {f"count/{resource.qualified}": one}
    if resource is PODS:
        if obj.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            return usage
        usage["pods"] = one
        usage.update(_pod_amounts(obj["spec"]))
    elif resource is CLAIMS:
        usage[resource.plural] = one
        storage = obj["spec"].get("resources", {}).get("requests", {}).get("storage")
        if storage:
            usage["requests.storage"] = parse_quantity(storage)
        class_ = obj["spec"].get("storageClassName")
        if class_:
            prefix = f"{class_}.storageclass.storage.k8s.io/"
            usage[f"{prefix}persistentvolumeclaims"] = one
            if storage:
                usage[f"{prefix}requests.storage"] = usage["requests.storage"]
    elif not resource.group:
        usage[resource.plural] = one
    return usage


def _pod_amounts(spec: dict[str, Any]) -> Usage:
    """Return requests and limits: the sum of the containers, or the largest init container."""
    total: Usage = {}
    for container in spec["containers"]:
        for name, amount in _container_amounts(container).items():
            total[name] = total.get(name, Decimal(0)) + amount
    for container in spec.get("initContainers", ()):
        for name, amount in _container_amounts(container).items():
            total[name] = max(total.get(name, Decimal(0)), amount)
    for name in ("cpu", "memory", "ephemeral-storage"):
        if f"requests.{name}" in total:
            total[name] = total[f"requests.{name}"]
    return total


def _container_amounts(container: dict[str, Any]) -> Usage:
    return {
        f"{kind}.{name}": parse_quantity(text)
        for kind in ("requests", "limits")
        for name, text in container.get("resources", {}).get(kind, {}).items()
    }
