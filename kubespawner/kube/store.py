"""The content of a cache: bytes with a small header each, and who wants to hear of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from .backoff import breathe
from .summary import Header, header_decoder, without_managed_fields

Item = dict[str, Any]
# Called with "ADDED", "MODIFIED" or "DELETED", the key, and the object (None if deleted).
Listener = Callable[[str, str, "Item | None"], None]

# Objects compared before the event loop gets its turn.
_SLICE = 100


class Entry(msgspec.Struct, gc=False):
    """One object: its JSON, and what the cache itself reads of it.

    Unknown to the garbage collector, which would walk 10,000 of them again and again.
    """

    header: Header
    raw: bytes

    @classmethod
    def of(cls, raw: bytes | msgspec.Raw) -> Entry:
        """Return the entry of an object's JSON.

        Raises:
            msgspec.DecodeError: this is no object of the API.
        """
        data = without_managed_fields(raw)
        return cls(header_decoder.decode(data), data)

    @property
    def version(self) -> int:
        return as_int(self.header.metadata.resource_version)


class Items(Mapping[str, Item]):
    """The cache as a mapping of key to plain dict, decoded on access: change one freely."""

    def __init__(self, entries: dict[str, Entry]):
        self._entries = entries

    def __getitem__(self, key: str) -> Item:
        return msgspec.json.decode(self._entries[key].raw)

    def __iter__(self) -> Iterator[str]:
        # A copy: the watch goes on while somebody iterates and awaits.
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __repr__(self) -> str:
        return f"<{len(self)} objects>"


class Store:
    """What is known of a set of objects, keyed by ``namespace/name``.

    Args:
        log: gets the exceptions of listeners.
        name: for messages.
    """

    def __init__(self, log: Any = None, name: str = ""):
        self._log = log
        self._name = name
        self.entries: dict[str, Entry] = {}
        self.view: Mapping[str, Item] = Items(self.entries)
        # Objects of our own making that no list or watch has shown yet.
        self._created: dict[str, Entry] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._signals: dict[str, list[Callable[[], None]]] = {}
        self._all_listeners: list[Listener] = []

    def entry(self, key: str) -> Entry | None:
        # What we created is newer than anything the watch has shown of that name so far.
        return self._created.get(key) or self.entries.get(key)

    def clear(self) -> None:
        """Forget objects and listeners alike, as those of an event loop that has ended."""
        self.entries.clear()
        self._created.clear()
        self._listeners.clear()
        self._signals.clear()
        self._all_listeners.clear()

    # ---- changes -----------------------------------------------------------------------

    def note_created(self, item: Item, passed: str) -> None:
        """Let ``item`` count as present until resource version ``passed`` has overtaken it."""
        entry = Entry.of(msgspec.json.encode(item))
        if entry.version > as_int(passed):
            self._created[entry.header.key] = entry

    def put(self, entry: Entry) -> None:
        """Take over a created or changed object."""
        key = entry.header.key
        old = self.entries.get(key)
        self._seen(key, entry)
        if old is not None and old.header.metadata == entry.header.metadata:
            # Sent once more around a resumption.
            return
        self.entries[key] = entry
        self.tell("ADDED" if old is None else "MODIFIED", key, entry.raw)

    def remove(self, entry: Entry) -> None:
        """Take over a deletion."""
        key = entry.header.key
        self._seen(key, entry)
        self.entries.pop(key, None)
        self.tell("DELETED", key, entry.raw)

    async def replace(self, fresh: dict[str, Entry], *, exchanged: bool = False) -> None:
        """Take over a list by its differences, so that nobody ever sees an empty cache.

        Args:
            exchanged: the list is of another database than before, so that equal resource
                versions prove nothing.
        """
        for count, key in enumerate([k for k in self.entries if k not in fresh], 1):
            raw = self.entries.pop(key).raw
            self.tell("DELETED", key, raw)
            if count % _SLICE == 0:
                await breathe()
        for count, (key, entry) in enumerate(fresh.items(), 1):
            old = self.entries.get(key)
            # Not by their bytes: a list writes an object without its kind, a watch with it.
            if old is None or exchanged or old.header.metadata != entry.header.metadata:
                self.entries[key] = entry
                self.tell("ADDED" if old is None else "MODIFIED", key, entry.raw)
            if count % _SLICE == 0:
                await breathe()

    def passed(self, version: str) -> None:
        """Give up notes of creation that the cluster's state at ``version`` does not confirm."""
        if not self._created:
            return
        limit = as_int(version)
        for key in [k for k, entry in self._created.items() if entry.version <= limit]:
            entry = self._created.pop(key)
            if key not in self.entries:
                self.tell("DELETED", key, entry.raw)

    def _seen(self, key: str, entry: Entry) -> None:
        created = self._created.get(key)
        if created and created.header.metadata.uid == entry.header.metadata.uid:
            del self._created[key]

    # ---- listeners ---------------------------------------------------------------------

    def subscribe(self, key: str, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` at each change of one object; returns the undo."""
        return _added(self._listeners, key, listener)

    def on_change(self, key: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener()`` at each change of one object; returns the undo."""
        return _added(self._signals, key, listener)

    def subscribe_all(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` at each change; returns the undo."""
        self._all_listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._all_listeners:
                self._all_listeners.remove(listener)

        return unsubscribe

    def tell(self, kind: str, key: str, raw: bytes) -> None:
        for signal in list(self._signals.get(key, ())):
            self._call(signal)
        listeners = [*self._listeners.get(key, ()), *self._all_listeners]
        for listener in listeners:
            # Each its own: what one listener does to it, no other one sees.
            item = None if kind == "DELETED" else msgspec.json.decode(raw)
            self._call(listener, kind, key, item)

    def _call(self, listener: Callable[..., None], *arguments: Any) -> None:
        try:
            listener(*arguments)
        except Exception:  # noqa: BLE001 - one listener must not end the watch of all
            if self._log:
                self._log.exception("A listener of %s failed", self._name)


def _added(listeners: dict[str, list[Any]], key: str, listener: Any) -> Callable[[], None]:
    """Add a listener of ``key``; return the undo, which is safe to repeat."""
    group = listeners.setdefault(key, [])
    group.append(listener)

    def undo() -> None:
        if listener in group:
            group.remove(listener)
        if not group and listeners.get(key) is group:
            del listeners[key]

    return undo


def as_int(version: str) -> int:
    """Order resource versions. The API calls them opaque; since 1.35 it promises this order.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """
    return int(version) if version.isdigit() else 0
