"""The objects of the embedded cluster, their resource versions and what happened to them."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kubespawner.localcluster.resources import Kinds, Resource
from kubespawner.localcluster.statuses import already_exists, expired, not_found

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

Key = tuple[str, str]


@dataclass(slots=True, frozen=True)
class Record:
    """One state of one object.

    Attributes:
        obj: the object; nobody may change it, since older states are kept and shared.
        raw: its JSON.
        revision: its resource version.
    """

    obj: dict[str, Any]
    raw: bytes
    revision: int

    @property
    def key(self) -> Key:
        meta = self.obj["metadata"]
        return meta.get("namespace", ""), meta["name"]

    def copy(self) -> dict[str, Any]:
        """Return the object as a fresh dict."""
        return _decode(self.raw)


@dataclass(slots=True, frozen=True)
class Change:
    """A step of the history: ``before`` is None for ADDED.

    For DELETED, ``after`` is the last state under the resource version of the deletion.
    """

    type: str
    resource: Resource
    after: Record
    before: Record | None


@dataclass
class _Shelf:
    items: dict[Key, Record] = field(default_factory=dict)
    history: deque[Change] = field(default_factory=deque)
    # Changes up to this revision are forgotten.
    compacted: int = 0


class Store:
    """Objects by resource, namespace and name. Every write is one new revision.

    Args:
        history_limit: changes kept per resource; older resource versions are answered with 410.

    Attributes:
        revision: of the last write.
        kinds: which resources there are.
    """

    def __init__(self, *, history_limit: int = 10_000):
        self.revision = 1
        self.kinds = Kinds()
        self._history_limit = history_limit
        # What was compacted before a resource had its first object.
        self._floor = 0
        self._shelves: dict[Resource, _Shelf] = {}
        self._subscribers: list[Callable[[Change], None]] = []

    def _shelf(self, resource: Resource) -> _Shelf:
        shelf = self._shelves.get(resource)
        if shelf is None:
            shelf = self._shelves[resource] = _Shelf(compacted=self._floor)
        return shelf

    def record(self, resource: Resource, namespace: str, name: str) -> Record | None:
        """Return the present state, None if there is no such object."""
        return self._shelf(resource).items.get((namespace, name))

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a fresh copy of the object, None if there is none."""
        record = self.record(resource, namespace, name)
        return record.copy() if record else None

    def records(
        self, resource: Resource, namespace: str = "", *, at: int | None = None
    ) -> list[Record]:
        """Return the objects ordered by namespace and name.

        Args:
            resource: which resource.
            namespace: "" = all.
            at: as they were at this revision; None = now.

        Raises:
            ApiError: 410, that revision is forgotten.
        """
        items = self._shelf(resource).items
        if at is not None and at != self.revision:
            items = self._rolled_back(resource, at)
        keys = sorted(key for key in items if not namespace or key[0] == namespace)
        return [items[key] for key in keys]

    def occupied(self, resource: Resource, namespace: str) -> bool:
        """Tell whether a namespace has objects of ``resource``."""
        return any(key[0] == namespace for key in self._shelf(resource).items)

    def _rolled_back(self, resource: Resource, revision: int) -> dict[Key, Record]:
        undo = self.changes_since(resource, revision)
        items = dict(self._shelf(resource).items)
        for change in reversed(undo):
            if change.before is None:
                items.pop(change.after.key, None)
            else:
                items[change.before.key] = change.before
        return items

    def changes_since(self, resource: Resource, revision: int) -> list[Change]:
        """Return what happened after ``revision``, oldest first.

        Raises:
            ApiError: 410, it is forgotten.
        """
        shelf = self._shelf(resource)
        if revision < shelf.compacted:
            raise expired(f"too old resource version: {revision} ({shelf.compacted})")
        history = shelf.history
        if not history or history[-1].after.revision <= revision:
            return []
        changes = list(history)
        start = bisect_right(changes, revision, key=lambda change: change.after.revision)
        return changes[start:]

    def add(self, resource: Resource, obj: dict[str, Any]) -> Record:
        """Store a new object. Raises ApiError 409 if the name is taken."""
        meta = obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        if key in self._shelf(resource).items:
            raise already_exists(resource, key[1])
        return self._commit("ADDED", resource, key, obj, None)

    def update(self, resource: Resource, obj: dict[str, Any]) -> Record:
        """Replace an object; nothing is written if nothing differs. Raises ApiError 404."""
        meta = obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        before = self._shelf(resource).items.get(key)
        if before is None:
            raise not_found(resource, key[1])
        meta["resourceVersion"] = str(before.revision)
        if obj == before.obj:
            return before
        return self._commit("MODIFIED", resource, key, obj, before)

    def remove(self, resource: Resource, namespace: str, name: str) -> Record:
        """Remove an object and return its last state. Raises ApiError 404."""
        before = self.record(resource, namespace, name)
        if before is None:
            raise not_found(resource, name)
        return self._commit("DELETED", resource, (namespace, name), before.copy(), before)

    def _commit(
        self,
        type_: str,
        resource: Resource,
        key: Key,
        obj: dict[str, Any],
        before: Record | None,
    ) -> Record:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        record = Record(obj, _encode(obj), self.revision)
        shelf = self._shelf(resource)
        if type_ == "DELETED":
            del shelf.items[key]
        else:
            shelf.items[key] = record
        change = Change(type_, resource, record, before)
        shelf.history.append(change)
        while len(shelf.history) > self._history_limit:
            shelf.compacted = shelf.history.popleft().after.revision
        for subscriber in tuple(self._subscribers):
            subscriber(change)
        return record

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call ``callback`` with every change from now on; return what ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def compact(self, resource: Resource | None = None) -> None:
        """Forget the history, so that every resource version known to a client is too old."""
        self.revision += 1
        if resource is None:
            self._floor = self.revision
        for each in [resource] if resource else list(self._shelves):
            shelf = self._shelf(each)
            shelf.history.clear()
            shelf.compacted = self.revision

    def resources(self) -> list[Resource]:
        """Return the resources that have, or had, objects."""
        return list(self._shelves)
