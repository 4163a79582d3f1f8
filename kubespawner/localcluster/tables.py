"""Tables: the columns that ``kubectl get`` prints.

See https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec
from aiohttp import web

from kubespawner.localcluster.listing import Page
from kubespawner.localcluster.resources import (
    CLAIMS,
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICES,
    STORAGE_CLASSES,
    VOLUMES,
    Resource,
)
from kubespawner.localcluster.store import Record

Obj = dict[str, Any]
# Title of a column, its priority (1 = only with -o wide) and its cell.
Column = tuple[str, int, Callable[[Obj], Any]]


def wants_table(request: web.Request) -> bool:
    """Tell whether the client prefers a table."""
    first = request.headers.get("Accept", "").split(",")[0]
    return "as=Table" in first and "g=meta.k8s.io" in first


class TableEncoder:
    """Encodes objects of one resource as tables, for one request."""

    def __init__(self, resource: Resource, query: Mapping[str, str]):
        self._columns: list[Column] = [
            ("Name", 0, lambda obj: obj["metadata"]["name"]),
            *_COLUMNS.get(resource, ()),
        ]
        if resource is not EVENTS:
            place = next((i for i, c in enumerate(self._columns) if c[1]), len(self._columns))
            self._columns.insert(place, ("Age", 0, _age))
        else:
            self._columns = self._columns[1:]
        self._include = query.get("includeObject", "Metadata")
        self._titled = False

    def one(self, record: Record) -> bytes:
        """Return a table of one row."""
        return msgspec.json.encode(self._table([record], {"resourceVersion": str(record.revision)}))

    def page(self, page: Page) -> bytes:
        """Return the table of a list."""
        meta: dict[str, Any] = {"resourceVersion": str(page.revision)}
        if page.continue_token:
            meta["continue"] = page.continue_token
        if page.remaining is not None:
            meta["remainingItemCount"] = page.remaining
        return msgspec.json.encode(self._table(page.records, meta))

    def event(self, type_: str, record: Record) -> bytes:
        """Return one line of a watch; only the first one carries the column titles."""
        table = self._table([record], {"resourceVersion": str(record.revision)})
        if self._titled:
            table["columnDefinitions"] = []
        self._titled = True
        return msgspec.json.encode({"type": type_, "object": table}) + b"\n"

    def _table(self, records: list[Record], meta: dict[str, Any]) -> dict[str, Any]:
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": meta,
            "columnDefinitions": [
                {
                    "name": title,
                    "type": "string",
                    "format": "name" if title == "Name" else "",
                    "description": title,
                    "priority": priority,
                }
                for title, priority, _ in self._columns
            ],
            "rows": [self._row(record) for record in records],
        }

    def _row(self, record: Record) -> dict[str, Any]:
        obj = record.obj
        row: dict[str, Any] = {"cells": [cell(obj) for _, _, cell in self._columns]}
        if self._include == "Object":
            row["object"] = obj
        elif self._include == "Metadata":
            kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
            row["object"] = {**kind, "metadata": obj["metadata"]}
        return row


def _age(obj: Obj) -> str:
    return _since(obj["metadata"].get("creationTimestamp"))


def _since(text: str | None) -> str:
    if not text:
        return "<unknown>"
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    seconds = max(0, int((datetime.now(timezone.utc) - moment).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _field(*path: str, absent: str = "<none>") -> Callable[[Obj], str]:
    def cell(obj: Obj) -> str:
        found: Any = obj
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
        return absent if found is None or found == "" else str(found)

    return cell


def _ready(pod: Obj) -> str:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    ready = sum(bool(each.get("ready")) for each in statuses)
    return f"{ready}/{len(pod['spec']['containers'])}"


def _pod_status(pod: Obj) -> str:
    status = pod.get("status", {})
    text = status.get("reason") or status.get("phase", "Unknown")
    for each in status.get("containerStatuses", ()):
        state = each.get("state", {})
        reason = state.get("waiting", {}).get("reason")
        ended = state.get("terminated")
        if reason:
            text = reason
        elif ended:
            text = ended.get("reason") or f"ExitCode:{ended.get('exitCode', 0)}"
    return "Terminating" if pod["metadata"].get("deletionTimestamp") else text


def _restarts(pod: Obj) -> str:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return str(sum(each.get("restartCount", 0) for each in statuses))


def _claim_status(claim: Obj) -> str:
    if claim["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return claim.get("status", {}).get("phase", "Pending")


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(obj: Obj) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in obj["spec"].get("accessModes", ()))


def _ports(service: Obj) -> str:
    ports = service["spec"].get("ports", ())
    return ",".join(f"{p['port']}/{p.get('protocol', 'TCP')}" for p in ports) or "<none>"


def _data(obj: Obj) -> str:
    return str(len(obj.get("data", {})) + len(obj.get("binaryData", {})))


def _node_status(node: Obj) -> str:
    for condition in node.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready":
            return "Ready" if condition["status"] == "True" else "NotReady"
    return "Unknown"


def _event_object(event: Obj) -> str:
    about = event.get("involvedObject", {})
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _last_seen(event: Obj) -> str:
    moment = event.get("lastTimestamp") or event.get("eventTime")
    return _since(moment or event["metadata"].get("creationTimestamp"))


_COLUMNS: Mapping[Resource, tuple[Column, ...]] = {
    PODS: (
        ("Ready", 0, _ready),
        ("Status", 0, _pod_status),
        ("Restarts", 0, _restarts),
        ("IP", 1, _field("status", "podIP")),
        ("Node", 1, _field("spec", "nodeName")),
    ),
    CLAIMS: (
        ("Status", 0, _claim_status),
        ("Volume", 0, _field("spec", "volumeName", absent="")),
        ("Capacity", 0, _field("status", "capacity", "storage", absent="")),
        ("Access Modes", 0, _modes),
        ("StorageClass", 0, _field("spec", "storageClassName", absent="")),
    ),
    VOLUMES: (
        ("Capacity", 0, _field("spec", "capacity", "storage")),
        ("Access Modes", 0, _modes),
        ("Reclaim Policy", 0, _field("spec", "persistentVolumeReclaimPolicy")),
        ("Status", 0, _claim_status),
        ("StorageClass", 0, _field("spec", "storageClassName", absent="")),
    ),
    NAMESPACES: (("Status", 0, _field("status", "phase")),),
    SECRETS: (("Type", 0, _field("type")), ("Data", 0, _data)),
    CONFIG_MAPS: (("Data", 0, _data),),
    SERVICES: (
        ("Type", 0, _field("spec", "type")),
        ("Cluster-IP", 0, _field("spec", "clusterIP")),
        ("External-IP", 0, _field("spec", "externalName")),
        ("Port(s)", 0, _ports),
    ),
    NODES: (
        ("Status", 0, _node_status),
        ("Version", 0, _field("status", "nodeInfo", "kubeletVersion")),
    ),
    STORAGE_CLASSES: (
        ("Provisioner", 0, _field("provisioner")),
        ("ReclaimPolicy", 0, _field("reclaimPolicy")),
        ("VolumeBindingMode", 0, _field("volumeBindingMode")),
    ),
    EVENTS: (
        ("Last Seen", 0, _last_seen),
        ("Type", 0, _field("type")),
        ("Reason", 0, _field("reason")),
        ("Object", 0, _event_object),
        ("Message", 0, _field("message")),
        ("Name", 1, _field("metadata", "name")),
    ),
}
