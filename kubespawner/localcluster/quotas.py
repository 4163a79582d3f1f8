"""Resource quotas: what is in use, and what would be too much.

See https://kubernetes.io/docs/concepts/policy/resource-quotas/.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from kubespawner.localcluster.quantities import format_quantity, parse_quantity
from kubespawner.localcluster.resources import CLAIMS, PODS, RESOURCE_QUOTAS, Resource
from kubespawner.localcluster.statuses import forbidden
from kubespawner.localcluster.store import Change, Store

Usage = dict[str, Decimal]


class Quotas:
    """The quotas of a store, with the usage of each namespace kept up to date.

    Usage is counted once, when a namespace first has a quota, and from then on with each change:
    a create costs the same however many objects there are.

    Args:
        store: whose objects are counted.
    """

    def __init__(self, store: Store):
        self._store = store
        # By namespace, and by the scopes of the quotas that count.
        self._totals: dict[str, dict[tuple[str, ...], Counter[str]]] = {}
        store.subscribe(self._take)

    def check(self, resource: Resource, obj: dict[str, Any]) -> None:
        """Refuse an object that exceeds a quota of its namespace.

        As on the real server this happens before the name is looked up: a create over the quota
        is 403 also where the object exists already.

        Raises:
            ApiError: 403.
        """
        meta = obj["metadata"]
        asked: Usage | None = None
        for record in self._store.records(RESOURCE_QUOTAS, meta["namespace"]):
            if not _in_scope(_scopes(record.obj), resource, obj):
                continue
            asked = usage_of(resource, obj) if asked is None else asked
            hard = {k: parse_quantity(v) for k, v in record.obj["spec"].get("hard", {}).items()}
            quota = record.obj["metadata"]["name"]
            if resource is PODS:
                _check_specified(hard, obj, quota)
            used = self.usage(record.obj)
            over = sorted(
                name
                for name, amount in asked.items()
                if name in hard and amount > 0 and used[name] + amount > hard[name]
            )
            if over:
                requested, in_use, limited = (
                    ",".join(f"{name}={amount_text(name, amounts[name])}" for name in over)
                    for amounts in (asked, used, hard)
                )
                raise forbidden(
                    resource,
                    meta["name"],
                    f"exceeded quota: {quota}, requested: {requested}, used: {in_use}, "
                    f"limited: {limited}",
                )

    def usage(self, quota: dict[str, Any]) -> Usage:
        """Return what of a quota's ``spec.hard`` is in use now."""
        namespace, scopes = quota["metadata"]["namespace"], _scopes(quota)
        by_scopes = self._totals.setdefault(namespace, {})
        if scopes not in by_scopes:
            by_scopes[scopes] = self._counted(namespace, scopes)
        total = by_scopes[scopes]
        return {name: Decimal(total[name]) for name in quota["spec"].get("hard", {})}

    def _counted(self, namespace: str, scopes: tuple[str, ...]) -> Counter[str]:
        total: Counter[str] = Counter()
        for resource in self._store.resources():
            if resource.namespaced:
                for record in self._store.records(resource, namespace):
                    _count(total, scopes, resource, record.obj, 1)
        return total

    def _take(self, change: Change) -> None:
        if change.resource is RESOURCE_QUOTAS and change.type == "DELETED":
            # Counted anew if another quota needs it; else nobody asks any more.
            self._totals.pop(change.after.key[0], None)
            return
        by_scopes = self._totals.get(change.after.key[0])
        for scopes, total in (by_scopes or {}).items():
            if change.before:
                _count(total, scopes, change.resource, change.before.obj, -1)
            if change.type != "DELETED":
                _count(total, scopes, change.resource, change.after.obj, 1)


def _count(
    total: Counter[str],
    scopes: tuple[str, ...],
    resource: Resource,
    obj: dict[str, Any],
    factor: int,
) -> None:
    if _in_scope(scopes, resource, obj):
        for name, amount in usage_of(resource, obj).items():
            total[name] += amount * factor  # type: ignore[assignment]


def _scopes(quota: dict[str, Any]) -> tuple[str, ...]:
    return tuple(quota["spec"].get("scopes", ()))


def _check_specified(hard: Usage, pod: dict[str, Any], quota: str) -> None:
    wanted = sorted(name for name in hard if _compute(name)[0])
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
    """Return kind and resource of a quota on compute resources, else empty strings."""
    kind, dot, resource = name.partition(".")
    if name in {"cpu", "memory"}:
        return "requests", name
    if dot and kind in {"requests", "limits"} and resource in {"cpu", "memory"}:
        return kind, resource
    return "", ""


def amount_text(name: str, amount: Decimal) -> str:
    """Return an amount of what a quota limits, as messages and its status show it."""
    binary = name.endswith(("memory", "storage"))
    return format_quantity(amount, binary=binary)


def _in_scope(scopes: tuple[str, ...], resource: Resource, obj: dict[str, Any]) -> bool:
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
