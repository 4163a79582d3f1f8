"""Watches: a stream of changes from a resource version on.

See https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import msgspec

from kubespawner.localcluster.faults import Faults
from kubespawner.localcluster.listing import parse_version
from kubespawner.localcluster.resources import Resource
from kubespawner.localcluster.selectors import Predicate, predicate
from kubespawner.localcluster.statuses import (
    ApiError,
    forbidden_field,
    invalid,
    too_large_version,
)
from kubespawner.localcluster.store import Change, Record, Store

# One watch event that is ready to be sent: its type and the object's record, or plain JSON.
Encode = Callable[[str, Record], bytes]

_INITIAL_END = "k8s.io/initial-events-end"
# A client that lets this many changes wait is cut off, as the real server does.
_BACKLOG = 50_000


def encode_event(type_: str, record: Record) -> bytes:
    """Return one line of a watch."""
    return b'{"type":"' + type_.encode() + b'","object":' + record.raw + b"}\n"


class Watch:
    """One watch of one client.

    Args:
        store: what is watched.
        faults: may end the watch.
        resource: which resource.
        namespace: "" = all.
        query: the request's parameters.
        encode: makes a line of an event.

    Raises:
        ApiError: parameters that make no sense (400, 422) or a version of the future (504).
    """

    def __init__(
        self,
        store: Store,
        faults: Faults,
        resource: Resource,
        namespace: str,
        query: Mapping[str, str],
        encode: Encode = encode_event,
    ):
        self._store = store
        self._faults = faults
        self.resource = resource
        self._namespace = namespace
        self._encode = encode
        self._selected: Predicate | None = predicate(
            resource, query.get("labelSelector", ""), query.get("fieldSelector", "")
        )
        self._bookmarks = query.get("allowWatchBookmarks") in {"1", "true"}
        self._initial = query.get("sendInitialEvents") in {"1", "true"}
        self._since = parse_version(query.get("resourceVersion", ""))
        self._check(query)
        self._pending: deque[Change] = deque()
        self._woken = asyncio.Event()
        self._ended = False
        self._frozen = False
        self.aborted = False

    def _check(self, query: Mapping[str, str]) -> None:
        match = query.get("resourceVersionMatch", "")
        problem = ""
        if "sendInitialEvents" in query and match != "NotOlderThan":
            problem = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        elif match and "sendInitialEvents" not in query:
            problem = (
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            )
        if problem:
            cause = forbidden_field("resourceVersionMatch", problem)
            raise invalid("ListOptions", "meta.k8s.io", "", [cause])
        if self._since > self._store.revision:
            raise too_large_version(self._since, self._store.revision)

    async def lines(self, timeout: float, bookmark_interval: float) -> AsyncGenerator[bytes, None]:
        """Yield batches of lines until ``timeout`` seconds passed or the watch is ended."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        bookmark_due = loop.time() + min(bookmark_interval, max(timeout - 1, timeout / 2))
        unsubscribe = self._store.subscribe(self._take)
        self._faults.watch_opened(self)
        try:
            try:
                first = self._start()
            except ApiError as e:
                yield msgspec.json.encode({"type": "ERROR", "object": e.status()}) + b"\n"
                return
            yield first
            while not self._ended:
                now = loop.time()
                if self._pending:
                    yield self._drain()
                elif now >= deadline:
                    return
                elif self._bookmarks and now >= bookmark_due:
                    bookmark_due = now + bookmark_interval
                    if not self._frozen:
                        yield self._bookmark()
                else:
                    await self._wait(min(deadline, bookmark_due if self._bookmarks else deadline))
        finally:
            unsubscribe()
            self._faults.watch_closed(self)

    async def _wait(self, until: float) -> None:
        """Wait for a change, at most until a time of the loop."""
        self._woken.clear()
        if self._pending or self._ended:
            return
        timer = asyncio.get_running_loop().call_at(until, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            timer.cancel()

    def _start(self) -> bytes:
        """Return what the watch begins with: the present objects, or what was missed."""
        if self._since and not self._initial:
            self._pending.extendleft(
                reversed(self._store.changes_since(self.resource, self._since))
            )
            return self._drain()
        records = self._store.records(self.resource, self._namespace)
        selected = self._selected
        lines = [
            self._encode("ADDED", record)
            for record in records
            if not selected or selected(record.obj)
        ]
        if self._initial and self._bookmarks:
            lines.append(self._bookmark({_INITIAL_END: "true"}))
        return b"".join(lines)

    def _take(self, change: Change) -> None:
        if change.resource is self.resource and not self._frozen:
            self._pending.append(change)
            if len(self._pending) > _BACKLOG:
                self._ended = True
            self._woken.set()

    def end(self, *, abort: bool = False) -> None:
        """End the watch; with ``abort`` the connection is to be reset."""
        self.aborted = abort
        self._ended = True
        self._woken.set()

    def freeze(self) -> None:
        """Send nothing any more, without ending."""
        self._frozen = True
        self._pending.clear()

    def _drain(self) -> bytes:
        lines = []
        while self._pending:
            change = self._pending.popleft()
            if not self._namespace or change.after.key[0] == self._namespace:
                type_ = self._type(change)
                if type_ == "DELETED" and change.type != "DELETED":
                    lines.append(self._encode(type_, _last_selected(change)))
                elif type_:
                    lines.append(self._encode(type_, change.after))
        return b"".join(lines)

    def _type(self, change: Change) -> str:
        """Return the type as this watch's selectors see the change, "" for none of its business."""
        selected = self._selected
        if selected is None:
            return change.type
        before = change.before is not None and selected(change.before.obj)
        if change.type == "DELETED":
            return "DELETED" if before else ""
        after = selected(change.after.obj)
        if after:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else ""

    def _bookmark(self, annotations: dict[str, str] | None = None) -> bytes:
        meta: dict[str, Any] = {"resourceVersion": str(self._store.revision)}
        if annotations:
            meta["annotations"] = annotations
        obj = {
            "kind": self.resource.kind,
            "apiVersion": self.resource.api_version,
            "metadata": {"creationTimestamp": None, **meta},
        }
        return msgspec.json.encode({"type": "BOOKMARK", "object": obj}) + b"\n"


def _last_selected(change: Change) -> Record:
    """Return the state that was selected last, under the version in which it no longer is."""
    assert change.before is not None
    obj = change.before.copy()
    obj["metadata"]["resourceVersion"] = str(change.after.revision)
    return Record(obj, msgspec.json.encode(obj), change.after.revision)
