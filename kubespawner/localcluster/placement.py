"""Whether a pod can run on the node, and if not, why; worded as by the scheduler.

Pure: plain dicts in (API JSON), text out.
https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from .addresses import declared_ports
from .quantities import parse_quantity

Json = Mapping[str, Any]


def refusal(
    pod: Json,
    node: Json,
    others: Sequence[Json],
    claims: Mapping[str, Json | None],
    *,
    ports_are_shared: bool = False,
) -> str:
    """Return why ``pod`` can't be placed; "" if it can.

    Args:
        node: the only one.
        others: pods that are bound to it and not finished.
        claims: the claims that the pod names, None for those that don't exist.
        ports_are_shared: all pods have one address, so that their ports count as host ports.
    """
    why = _claims(claims) or _node(pod, node, others, ports_are_shared)
    return f"0/1 nodes are available: {why}." if why else ""


def claim_names(pod: Json) -> list[str]:
    """Return the names of the claims that a pod mounts."""
    return [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"].get("volumes") or ()
        if "persistentVolumeClaim" in volume
    ]


def _claims(claims: Mapping[str, Json | None]) -> str:
    for name, claim in claims.items():
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if claim["metadata"].get("deletionTimestamp"):
            return f'persistentvolumeclaim "{name}" is being deleted'
        if (claim.get("status") or {}).get("phase") != "Bound":
            return "pod has unbound immediate PersistentVolumeClaims"
    return ""


def _node(pod: Json, node: Json, others: Sequence[Json], ports_are_shared: bool) -> str:
    spec, labels = pod["spec"], node["metadata"].get("labels") or {}
    if (node.get("spec") or {}).get("unschedulable"):
        return "1 node(s) were unschedulable"
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint["effect"] != "PreferNoSchedule" and not _tolerated(taint, spec):
            return f"1 node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    affinity = spec.get("affinity") or {}
    if not (_selected(spec, labels) and _node_affinity(affinity, node)):
        return "1 node(s) didn't match Pod's node affinity/selector"
    if not _pod_affinity(pod, affinity, others, labels):
        return "1 node(s) didn't match pod affinity rules"
    if _repelled(pod, affinity, others, labels):
        return "1 node(s) didn't match pod anti-affinity rules"
    taken = {port for other in others for port in declared_ports(other["spec"])}
    if ports_are_shared and declared_ports(spec) & taken:
        return "1 node(s) didn't have free ports for the requested pod ports"
    return _lacking(spec, node, others)


def _selected(spec: Json, labels: Mapping[str, str]) -> bool:
    wanted = spec.get("nodeSelector") or {}
    return all(labels.get(key) == value for key, value in wanted.items())


def _tolerated(taint: Json, spec: Json) -> bool:
    for toleration in spec.get("tolerations") or ():
        if toleration.get("effect") and toleration["effect"] != taint["effect"]:
            continue
        if toleration.get("operator") == "Exists":
            if toleration.get("key") in (None, "", taint["key"]):
                return True
        elif toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get(
            "value", ""
        ):
            return True
    return False


def _node_affinity(affinity: Json, node: Json) -> bool:
    required = (affinity.get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not required:
        return True
    labels = node["metadata"].get("labels") or {}
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        _match_all(term.get("matchExpressions"), labels)
        and _match_all(term.get("matchFields"), fields)
        for term in required["nodeSelectorTerms"]
        if term.get("matchExpressions") or term.get("matchFields")
    )


def _match_all(expressions: Iterable[Json] | None, labels: Mapping[str, str]) -> bool:
    return all(_match(expression, labels) for expression in expressions or ())


def _match(expression: Json, labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    values, value = expression.get("values") or [], labels.get(expression["key"])
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    if value is None or not value.lstrip("-").isdecimal():
        return False
    return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])


def _terms(affinity: Json, kind: str) -> list[Json]:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    return (affinity.get(kind) or {}).get(required) or []


def _near(term: Json, owner: Json, pod: Json) -> bool:
    """Whether ``pod`` is one of those that a term of ``owner`` speaks of."""
    namespaces = term.get("namespaces") or [owner["metadata"]["namespace"]]
    if "namespaceSelector" not in term and pod["metadata"]["namespace"] not in namespaces:
        return False
    selector = term.get("labelSelector")
    if selector is None:
        return False
    labels = pod["metadata"].get("labels") or {}
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and _match_all(
        selector.get("matchExpressions"), labels
    )


def _pod_affinity(
    pod: Json, affinity: Json, others: Sequence[Json], labels: Mapping[str, str]
) -> bool:
    for term in _terms(affinity, "podAffinity"):
        if term["topologyKey"] not in labels:
            return False
        # A pod that matches its own term may be the first of its kind.
        if not any(_near(term, pod, other) for other in [*others, pod]):
            return False
    return True


def _repelled(pod: Json, affinity: Json, others: Sequence[Json], labels: Json) -> bool:
    """Whether the pod keeps away from another one, or another one from it."""
    for term in _terms(affinity, "podAntiAffinity"):
        if term["topologyKey"] in labels and any(_near(term, pod, other) for other in others):
            return True
    return any(
        term["topologyKey"] in labels and _near(term, other, pod)
        for other in others
        for term in _terms(other["spec"].get("affinity") or {}, "podAntiAffinity")
    )


def _lacking(spec: Json, node: Json, others: Sequence[Json]) -> str:
    capacity = node["status"]["allocatable"]
    if len(others) >= int(capacity.get("pods", 110)):
        return "1 Too many pods"
    used: dict[str, Decimal] = {}
    for other in others:
        for name, amount in requests_of(other["spec"]).items():
            used[name] = used.get(name, Decimal()) + amount
    lacking = [
        name
        for name, amount in requests_of(spec).items()
        if amount
        and amount + used.get(name, Decimal()) > parse_quantity(str(capacity.get(name, "0")))
    ]
    return ", ".join(f"1 Insufficient {name}" for name in lacking)


def requests_of(spec: Json) -> dict[str, Decimal]:
    """Return what a pod requests: its containers together, or its greediest init container."""
    total: dict[str, Decimal] = {}
    for container in spec["containers"]:
        for name, amount in _wanted(container).items():
            total[name] = total.get(name, Decimal()) + amount
    for container in spec.get("initContainers") or ():
        for name, amount in _wanted(container).items():
            total[name] = max(total.get(name, Decimal()), amount)
    return total


def _wanted(container: Json) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: parse_quantity(str(quantity)) for name, quantity in wanted.items()}
