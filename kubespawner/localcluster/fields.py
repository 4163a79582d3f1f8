"""The downward API: fields of a pod, as variables and files.

https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .quantities import parse_quantity

_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_PLAIN = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
    }
)


class FieldError(Exception):
    """There is no such field; worded as by the kubelet."""


def field_value(
    source: Mapping[str, Any], pod: Mapping[str, Any], container: Mapping[str, Any], pod_ip: str
) -> str:
    """Return what a ``fieldRef`` or ``resourceFieldRef`` names.

    Raises:
        FieldError: it can't be named.
    """
    if "resourceFieldRef" in source:
        return _resource(source["resourceFieldRef"], pod, container)
    path = source["fieldRef"]["fieldPath"]
    if path in {"status.podIP", "status.podIPs"}:
        return pod_ip
    if path in {"status.hostIP", "status.hostIPs"}:
        return "127.0.0.1"
    if path in {"metadata.labels", "metadata.annotations"}:
        values = pod["metadata"].get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
    keyed = _KEYED.fullmatch(path)
    if keyed:
        return (pod["metadata"].get(keyed[1]) or {}).get(keyed[2], "")
    if path not in _PLAIN:
        raise FieldError(f"unsupported fieldPath: {path}")
    group, _, name = path.partition(".")
    return str(pod[group].get(name, ""))


def _resource(
    reference: Mapping[str, Any], pod: Mapping[str, Any], container: Mapping[str, Any]
) -> str:
    name = reference.get("containerName")
    if name:
        found = [each for each in pod["spec"]["containers"] if each["name"] == name]
        if not found:
            raise FieldError(f"container {name} not found")
        container = found[0]
    group, _, resource = reference["resource"].partition(".")
    amount = ((container.get("resources") or {}).get(group) or {}).get(resource, "0")
    divisor = parse_quantity(str(reference.get("divisor") or "1")) or Decimal(1)
    return str(math.ceil(parse_quantity(str(amount)) / divisor))
