"""A live copy of a set of objects: list once, watch for hours, wake whoever waits.

What client-go calls a reflector with a store. A watch that ends is resumed from the last resource
version; a list is made again only when the API server no longer knows that version.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import aiohttp
import msgspec
from kubernetes_asyncio.client import ApiException

from . import connection
from .backoff import Backoff
from .collection import Collection, Gone, Interrupted, Watch
from .requests import ApiUnavailable, Deadline, retry_after, told
from .store import Entry, Item, Listener, Store, as_int
from .summary import Header, event_decoder, header_decoder, status_decoder
from .timing import within
from .turns import Turns

# Server-side limit of one watch, in seconds; each takes a random part more, so that the watches
# of many hubs do not end together.
WATCH_SECONDS = 300
# Bookmarks come about once a minute; after this long without a byte the connection is taken for
# dead: https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks
SILENCE_SECONDS = 150.0
# What was just created comes with the next bytes; a watch that does not bring it is dead already.
OVERDUE_SECONDS = 5.0
LIST_TIMEOUT = 60.0
# The longest pause that a Retry-After is believed for.
_MOST_PATIENCE = 120.0

_T = TypeVar("_T")

_OUTAGES = (aiohttp.ClientError, OSError, asyncio.TimeoutError, msgspec.DecodeError, ApiException)


class Health(enum.Enum):
    """What the content of a cache is worth."""

    NEVER_LOADED = "never loaded"
    FRESH = "fresh"
    STALE = "stale"


class Informer:
    """One watched set of objects.

    Args:
        api_client_factory: returns the ``kubernetes_asyncio`` client to ask with.
        path: collection, such as ``/api/v1/namespaces/x/pods``.
        label_selector, field_selector: as in the API.
        log: logger; outages are reported once each.
        name: for messages; default: the path.
        watch_seconds: after which the API server ends a watch, at least.
        silence_seconds: without a byte, after which a connection is taken for dead.
        list_timeout: seconds for one response to a list.

    Attributes:
        resource_version: up to which the content is known; "" before the first list.
        list_count, watch_count: successful lists and begun watches.
        stale_since: wall clock time since when changes may be missing; None if they are not.
        last_error: of the last attempt; None if that succeeded.
    """

    def __init__(
        self,
        api_client_factory: Callable[[], Any],
        path: str,
        *,
        label_selector: str = "",
        field_selector: str = "",
        log: Any = None,
        name: str = "",
        watch_seconds: int = WATCH_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        list_timeout: float = LIST_TIMEOUT,
    ):
        selectors = [("labelSelector", label_selector), ("fieldSelector", field_selector)]
        self._client = api_client_factory
        self._log = log
        self.name = name or path
        self._watch_seconds = watch_seconds
        self._silence_seconds = silence_seconds
        self._collection = Collection(
            api_client_factory, path, [s for s in selectors if s[1]], list_timeout
        )
        self._store = Store(log, self.name)
        self.items_view: Mapping[str, Item] = self._store.view
        self._load_listeners: list[Callable[[], None]] = []
        self.list_count = 0
        self.watch_count = 0
        self._task: asyncio.Task[None] | None = None
        # The watch under way.
        self._open: Watch | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._store.clear()
        self.resource_version = ""
        # Why the next list is made: the first one may come from the API server's cache; one that
        # follows must not, since that cache may be behind what was seen already.
        self._from_cache = True
        self._exchanged = False
        self.stale_since: float | None = None
        self.last_error: BaseException | None = None
        self._outage_told = False
        self._loaded = asyncio.Event()
        self._attempted = asyncio.Event()
        # Whether list and watch got their first answer, and the last refusal (HTTP 403) if any.
        self._answered = asyncio.Event()
        self._refusal: ApiException | None = None
        self._turns = Turns()
        # Objects of lists that have come so far.
        self._arrived = 0

    # ---- life --------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to list and watch in a supervised task; nothing if that runs already.

        Nothing of an event loop that has ended is used again.
        """
        loop = asyncio.get_running_loop()
        if self._task is not None:
            if self._task.get_loop() is not loop:
                self._begin_anew()
            elif not self._task.done():
                return
        if not self._loaded.is_set():
            # A new attempt; the outcome of one before stop() is not its own.
            self._attempted = asyncio.Event()
        self._task = loop.create_task(self._supervise(), name=f"informer {self.name}")

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The supervised task; None before :meth:`start` and after :meth:`stop`."""
        return self._task

    async def stop(self) -> None:
        """End the watch, within 5 seconds; the content stays as it was."""
        task, self._task = self._task, None
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            return
        task.cancel()
        await asyncio.wait([task], timeout=5)

    @property
    def health(self) -> Health:
        """Whether the content is that of the cluster."""
        if not self._loaded.is_set():
            return Health.NEVER_LOADED
        task = self._task
        if task is None or task.done() or task.get_loop().is_closed():
            return Health.STALE
        return Health.FRESH if self.stale_since is None else Health.STALE

    async def loaded(self, deadline: Deadline | None = None) -> None:
        """Wait for the first list.

        Raises:
            ApiUnavailable: there was none until the deadline.
        """
        try:
            await within(self._loaded.wait(), _left(deadline))
        except asyncio.TimeoutError as e:
            cause = self.last_error or e
            raise ApiUnavailable(
                f"list {self.name}: no answer from {connection.describe(self._client())}: "
                f"{told(cause)}"
            ) from cause

    async def under_way(self, deadline: Deadline | None = None) -> None:
        """Wait until the content is known and what changes in it is told.

        What the API server refuses is asked for once more, since it may be allowed by now.

        Raises:
            ApiException: it refuses to list or to watch (HTTP 403); the message names the verb.
            ApiUnavailable: there was no list until the deadline.
        """
        if self._refusal is not None:
            self._ask_again()
        while not self._answered.is_set():
            try:
                await within(self._answered.wait(), _left(deadline))
            except asyncio.TimeoutError:
                await self.loaded(deadline)
                return
        if self._refusal is not None:
            raise self._refusal

    def _ask_again(self) -> None:
        """Try again at once, and not only after the pause."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
        self._refusal = None
        self._answered.clear()
        self.start()

    async def first_attempt(self) -> None:
        """Wait until the first list has succeeded or failed; raises its error."""
        await self._attempted.wait()
        if not self._loaded.is_set() and self.last_error is not None:
            raise self.last_error

    async def turn(self, patience: float) -> None:
        """Return when it is the caller's turn to look at the content.

        For what many do at once: together they hold the event loop for a moment at a time only.
        Before the first list nobody's turn comes, until a while has passed without progress.

        Args:
            patience: seconds of that while.
        """
        if not self._loaded.is_set() and not self._turns.held:
            self._turns.hold()
            asyncio.get_running_loop().call_later(
                patience, self._end_patience, patience, self._arrived
            )
        await self._turns.mine()

    def _end_patience(self, patience: float, arrived: int) -> None:
        if self._loaded.is_set() or self._arrived == arrived:
            self._turns.release()
        else:
            asyncio.get_running_loop().call_later(
                patience, self._end_patience, patience, self._arrived
            )

    def on_load(self, listener: Callable[[], None]) -> None:
        """Call ``listener()`` after each list that succeeds."""
        self._load_listeners.append(listener)

    # ---- content -----------------------------------------------------------------------

    def get(self, key: str) -> Item | None:
        """Return the object ``namespace/name`` as a plain dict of the caller's own; or None."""
        entry = self._store.entry(key)
        return None if entry is None else msgspec.json.decode(entry.raw)

    def header(self, key: str) -> Header | None:
        """Return identity and version of the object, without decoding the rest."""
        entry = self._store.entry(key)
        return None if entry is None else entry.header

    def keys(self) -> list[str]:
        """Return the keys ``namespace/name`` of all objects."""
        return list(self._store.entries)

    def __len__(self) -> int:
        return len(self._store.entries)

    def note_created(self, item: Item) -> None:
        """Let ``item``, the answer to a create, count as present until the watch has passed it.

        A poll that runs ahead of the watch would otherwise take a new pod for a vanished one.
        """
        self._store.note_created(item, self.resource_version)
        version = (item.get("metadata") or {}).get("resourceVersion") or ""
        loop = asyncio.get_running_loop()
        loop.call_later(OVERDUE_SECONDS, self._end_if_behind, version, self._open)

    def _end_if_behind(self, version: str, watch: Watch | None) -> None:
        if watch and watch is self._open and as_int(self.resource_version) < as_int(version):
            if self._log:
                self._log.info("The watch of %s is behind; it is opened anew", self.name)
            watch.close()

    # ---- waiting -----------------------------------------------------------------------

    def subscribe(self, key: str, listener: Listener) -> Callable[[], None]:
        """Call ``listener(type, key, item)`` at each change of one object; returns the undo.

        ``type`` is "ADDED", "MODIFIED" or "DELETED"; ``item`` a plain dict, None if deleted.
        """
        return self._store.subscribe(key, listener)

    def on_change(self, key: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener()`` at each change of one object, which is not decoded for it.

        Returns the undo.
        """
        return self._store.on_change(key, listener)

    def subscribe_all(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(type, key, item)`` at each change; returns the undo."""
        return self._store.subscribe_all(listener)

    async def wait_for(
        self,
        key: str,
        predicate: Callable[[Item | None], bool],
        deadline: Deadline | None = None,
    ) -> Item | None:
        """Return the object (or None: there is none) as soon as ``predicate`` accepts it.

        Before the first list nothing is known, so nothing is asked of ``predicate``.

        Raises:
            TimeoutError: it was not accepted before the deadline.
        """
        return await self._until(key, lambda: self.get(key), predicate, deadline)

    async def wait_gone(self, key: str, uid: str, deadline: Deadline | None = None) -> None:
        """Wait until there is no object ``key`` with this UID; what is there is not decoded.

        Raises:
            TimeoutError: it was still there at the deadline.
        """
        await self._until(
            key,
            lambda: self.header(key),
            lambda header: header is None or header.metadata.uid != uid,
            deadline,
        )

    async def _until(
        self,
        key: str,
        look: Callable[[], _T],
        accepts: Callable[[_T], bool],
        deadline: Deadline | None,
    ) -> _T:
        """Return what ``look`` sees of an object as soon as it is accepted."""
        changed = asyncio.Event()
        unsubscribe = self.on_change(key, changed.set)
        try:
            await within(self._loaded.wait(), _left(deadline))
            while True:
                changed.clear()
                seen = look()
                if accepts(seen):
                    return seen
                await within(changed.wait(), _left(deadline))
        except asyncio.TimeoutError as e:
            because = f": {told(self.last_error)}" if self.last_error else ""
            raise TimeoutError(f"{key} did not reach the awaited state{because}") from e
        finally:
            unsubscribe()

    # ---- supervision -------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Go on for ever, whatever happens."""
        backoff = Backoff(first=0.1, cap=30.0)
        while True:
            try:
                wait = await self._attempt(backoff)
            except Exception:  # noqa: BLE001 - not even our own mistakes end the watch
                wait = 0.0
                if self._log:
                    self._log.exception("The watch of %s failed in its own care", self.name)
            if wait is not None:
                await backoff.pause(at_least=wait)

    async def _attempt(self, backoff: Backoff) -> float | None:
        """List if needed, and watch; return the least pause after a failure, else None."""
        try:
            if not self.resource_version:
                await self._list()
            await self._watch(backoff)
            return None
        except Gone as e:
            self._list_again(e)
            return 0.0
        except Exception as e:  # noqa: BLE001 - sorted there by what it is
            wait = self._note_failure(e)
        await self._reload_credentials()
        return wait

    def _list_again(self, reason: Gone) -> None:
        """Give up the resource version; what is held may be missing changes until the list."""
        self.resource_version = ""
        self._from_cache = False
        self.last_error = reason
        self.stale_since = self.stale_since or time.time()
        if self._log:
            self._log.info("%s is listed again: %s", self.name, told(reason))

    def _note_failure(self, error: Exception) -> float:
        """Record a failed attempt; return the seconds that the API server asked to wait."""
        self.last_error = error
        self.stale_since = self.stale_since or time.time()
        self._attempted.set()
        if isinstance(error, ApiException) and error.status == 403:
            self._refusal = error
        if self._refusal is not None or self._loaded.is_set():
            self._answered.set()
        if isinstance(error, Interrupted):
            # Nothing to tell yet: usually the next watch resumes at once.
            if self._log:
                self._log.debug("The watch of %s broke off: %s", self.name, told(error))
            return 0.0
        if isinstance(error, msgspec.ValidationError) or not isinstance(error, _OUTAGES):
            # Not the cluster's fault as we know them: what we hold may be wrong too.
            self.resource_version = ""
            if self._log:
                self._log.error("The watch of %s failed; it starts anew", self.name, exc_info=error)
        elif not self._outage_told:
            self._outage_told = True
            if self._log:
                self._log.warning(
                    "The watch of %s at %s is interrupted; trying again: %s",
                    self.name,
                    connection.describe(self._client()),
                    told(error),
                )
        headers = error.headers if isinstance(error, ApiException) else None
        return min(retry_after(headers), _MOST_PATIENCE)

    async def _reload_credentials(self) -> None:
        error = self.last_error
        try:
            if isinstance(error, ApiException) and error.status == 401:
                await connection.reload(self._client().configuration)
            elif isinstance(error, aiohttp.ClientSSLError):
                await connection.trust_anew(self._client())
        except Exception as e:  # noqa: BLE001 - as if there were none; tried at the next refusal
            if self._log:
                self._log.warning("The credentials can't be read anew: %s", told(e))

    def _note_success(self) -> None:
        if self._outage_told and self._log:
            since = self.stale_since or time.time()
            self._log.info("The watch of %s is back after %.0f s", self.name, time.time() - since)
        self._outage_told = False
        self.stale_since = None
        self.last_error = None

    # ---- list and watch ----------------------------------------------------------------

    async def _list(self) -> None:
        fresh: dict[str, Entry] = {}

        def take(raw: msgspec.Raw) -> None:
            entry = Entry.of(raw)
            fresh[entry.header.key] = entry
            self._arrived += 1

        version = await self._collection.list(take, from_cache=self._from_cache)
        await self._store.replace(fresh, exchanged=self._exchanged)
        self._note_listed(version)

    def _note_listed(self, version: str) -> None:
        self.list_count += 1
        self.resource_version = version
        self._from_cache = False
        self._exchanged = False
        self._store.passed(version)
        self._note_success()
        self._loaded.set()
        self._attempted.set()
        self._turns.release()
        for listener in self._load_listeners:
            listener()

    async def _watch(self, backoff: Backoff) -> None:
        """Follow changes until the API server ends the watch, which is no failure."""
        seconds = int(self._watch_seconds * random.uniform(1.0, 1.5))
        self.watch_count += 1
        watch = await self._collection.watch(self.resource_version, seconds, self._silence_seconds)
        self._open = watch
        try:
            self._note_success()
            self._refusal = None
            self._answered.set()
            async with contextlib.aclosing(watch.lines()) as lines:
                async for line in lines:
                    self._apply(line)
                    # Only now: who is refused in the first line must not ask again in haste.
                    backoff.reset()
        finally:
            self._open = None
            watch.close()

    def _apply(self, line: bytes) -> None:
        event = event_decoder.decode(line)
        if event.type == "ERROR":
            status = status_decoder.decode(event.object)
            if status.code == 410 or status.reason in ("Expired", "Gone"):
                raise Gone(status.message)
            error = ApiException(status=status.code, reason=status.reason)
            error.body = bytes(event.object).decode()  # type: ignore[assignment]
            raise error
        if event.type == "BOOKMARK":
            self._advance(header_decoder.decode(event.object))
        else:
            entry = Entry.of(event.object)
            self._advance(entry.header)
            if event.type == "DELETED":
                self._take_removed(entry)
            else:
                self._take_changed(entry)
        self._store.passed(self.resource_version)

    def _take_changed(self, entry: Entry) -> None:
        self._store.put(entry)

    def _take_removed(self, entry: Entry) -> None:
        self._store.remove(entry)

    def _advance(self, header: Header) -> None:
        version = header.metadata.resource_version
        if as_int(version) < as_int(self.resource_version):
            # Only a restored or exchanged database goes back; what we hold is of another one.
            self._exchanged = True
            raise Gone(f"resource version went back from {self.resource_version} to {version}")
        self.resource_version = version


def _left(deadline: Deadline | None) -> float | None:
    return deadline.remaining() if deadline else None
