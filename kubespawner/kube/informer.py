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
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import aiohttp
import msgspec
from kubernetes_asyncio.client import ApiException

from . import connection
from .backoff import Backoff, breathe
from .requests import ApiUnavailable, Deadline, retry_after, status_of
from .summary import (
    Header,
    event_decoder,
    header_decoder,
    list_decoder,
    status_decoder,
    without_managed_fields,
)

Item = dict[str, Any]
Listener = Callable[[str, str, "Item | None"], None]

# Server-side limit of one watch, in seconds; each takes a random part more, so that the watches
# of many hubs do not end together.
WATCH_SECONDS = 300
# Bookmarks come about once a minute; after this long without a byte the connection is taken for
# dead: https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks
SILENCE_SECONDS = 150.0
LIST_TIMEOUT = 60.0
PAGE_SIZE = 500
# Objects decoded before the event loop gets its turn.
SLICE = 100

_FAILURES = (
    aiohttp.ClientError,
    OSError,
    asyncio.TimeoutError,
    TimeoutError,
    msgspec.DecodeError,
    ApiException,
)


class Health(enum.Enum):
    """What the content of a cache is worth."""

    NEVER_LOADED = "never loaded"
    FRESH = "fresh"
    STALE = "stale"


class _Gone(Exception):
    """The API server no longer knows the resource version (HTTP 410)."""


class _Entry:
    __slots__ = ("header", "raw")

    def __init__(self, header: Header, raw: bytes):
        self.header = header
        self.raw = raw


class _Items(Mapping[str, Item]):
    """The cache as a mapping of key to plain dict, decoded on access."""

    def __init__(self, entries: dict[str, _Entry]):
        self._entries = entries

    def __getitem__(self, key: str) -> Item:
        return msgspec.json.decode(self._entries[key].raw)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries


class Informer:
    """One watched set of objects.

    Args:
        api_client_factory: returns the ``kubernetes_asyncio`` client to ask with.
        path: collection, such as ``/api/v1/namespaces/x/pods``.
        label_selector, field_selector: as in the API.
        log: logger; outages are reported once each.
        name: for messages; default: the path.
    """

    # Whether objects are held, or only passed on to listeners.
    keeps = True

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
        self._client = api_client_factory
        self._path = path
        self._selectors = [
            (key, value)
            for key, value in (("labelSelector", label_selector), ("fieldSelector", field_selector))
            if value
        ]
        self._log = log
        self.name = name or path
        self._watch_seconds = watch_seconds
        self._silence_seconds = silence_seconds
        self._list_timeout = list_timeout

        self._entries: dict[str, _Entry] = {}
        self.items_view: Mapping[str, Item] = _Items(self._entries)
        # Objects of our own making, not yet seen by the watch: key -> (resource version, raw).
        self._created: dict[str, tuple[int, _Entry]] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._all_listeners: list[Listener] = []
        self._raw_listeners: list[Callable[[str, str, bytes], None]] = []

        self.resource_version = ""
        self.list_count = 0
        self.watch_count = 0
        self.stale_since: float | None = None
        self.last_error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._loaded = asyncio.Event()
        self._attempted = asyncio.Event()

    # ---- life --------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to list and watch in a supervised task; nothing if that runs already."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(
                self._supervise(), name=f"informer {self.name}"
            )

    @property
    def task(self) -> asyncio.Task[None] | None:
        return self._task

    async def stop(self) -> None:
        """End the watch; the content stays as it was."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=5)

    @property
    def health(self) -> Health:
        """Whether the content is that of the cluster."""
        if not self._loaded.is_set():
            return Health.NEVER_LOADED
        if self.stale_since is not None or self._task is None or self._task.done():
            return Health.STALE
        return Health.FRESH

    async def loaded(self, deadline: Deadline | None = None) -> None:
        """Wait for the first list.

        Raises:
            ApiUnavailable: there was none until the deadline.
        """
        remaining = deadline.remaining() if deadline else float("inf")
        try:
            await asyncio.wait_for(
                self._loaded.wait(), None if remaining == float("inf") else remaining
            )
        except (TimeoutError, asyncio.TimeoutError) as e:
            cause = self.last_error or e
            raise ApiUnavailable(
                f"list {self.name}: no answer from {connection.describe(self._api())}: {cause!r}"
            ) from cause

    async def first_attempt(self) -> None:
        """Wait until the first list has succeeded or failed; raises its error."""
        await self._attempted.wait()
        if not self._loaded.is_set() and self.last_error is not None:
            raise self.last_error

    def _api(self) -> Any:
        holder = type("Api", (), {})()
        holder.api_client = self._client()
        return holder

    # ---- content -----------------------------------------------------------------------

    def get(self, key: str) -> Item | None:
        """Return the object ``namespace/name`` as a plain dict of the caller's own; or None."""
        entry = self._entry(key)
        return None if entry is None else msgspec.json.decode(entry.raw)

    def header(self, key: str) -> Header | None:
        """Return identity and version of the object, without decoding the rest."""
        entry = self._entry(key)
        return None if entry is None else entry.header

    def keys(self) -> list[str]:
        return list(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _entry(self, key: str) -> _Entry | None:
        # What we created is newer than anything the watch has shown of that name so far.
        if key in self._created:
            return self._created[key][1]
        return self._entries.get(key)

    def note_created(self, item: Item) -> None:
        """Let ``item``, the answer to a create, count as present until the watch has passed it.

        A poll that runs ahead of the watch would otherwise take a new pod for a vanished one.
        """
        raw = msgspec.json.encode(item)
        header = header_decoder.decode(raw)
        version = _as_int(header.metadata.resource_version)
        if version > _as_int(self.resource_version):
            self._created[header.key] = (version, _Entry(header, raw))

    # ---- waiting -----------------------------------------------------------------------

    def subscribe(self, key: str, listener: Listener) -> Callable[[], None]:
        """Call ``listener(type, key, item)`` at each change of one object; returns the undo."""
        listeners = self._listeners.setdefault(key, [])
        listeners.append(listener)

        def unsubscribe() -> None:
            if listener in listeners:
                listeners.remove(listener)
            if not listeners and self._listeners.get(key) is listeners:
                del self._listeners[key]

        return unsubscribe

    def subscribe_all(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(type, key, item)`` at each change; returns the undo."""
        self._all_listeners.append(listener)
        return lambda: self._all_listeners.remove(listener)

    async def wait_for(
        self,
        key: str,
        predicate: Callable[[Item | None], bool],
        deadline: Deadline | None = None,
    ) -> Item | None:
        """Return the object (or None) as soon as ``predicate`` accepts it.

        Raises:
            TimeoutError: it was not accepted before the deadline.
        """
        changed = asyncio.Event()
        unsubscribe = self.subscribe(key, lambda *_: changed.set())
        try:
            while True:
                changed.clear()
                item = self.get(key)
                if predicate(item):
                    return item
                remaining = deadline.remaining() if deadline else float("inf")
                try:
                    await asyncio.wait_for(
                        changed.wait(), None if remaining == float("inf") else remaining
                    )
                except asyncio.TimeoutError as e:
                    raise TimeoutError(f"{key} did not reach the awaited state") from e
        finally:
            unsubscribe()

    def _tell(self, kind: str, key: str, raw: bytes) -> None:
        listeners = [*self._listeners.get(key, ()), *self._all_listeners]
        if not listeners:
            return
        item = None if kind == "DELETED" else msgspec.json.decode(raw)
        for listener in listeners:
            try:
                listener(kind, key, item)
            except Exception:  # noqa: BLE001 - one listener must not end the watch of all
                if self._log:
                    self._log.exception("A listener of %s failed", self.name)

    # ---- supervision -------------------------------------------------------------------

    async def _supervise(self) -> None:
        backoff = Backoff(first=0.1, cap=30.0)
        while True:
            wait = 0.0
            try:
                if not self.resource_version:
                    await self._list()
                    backoff.reset()
                await self._watch(backoff)
                continue
            except _Gone as e:
                self.resource_version = ""
                self._note_failure(e, outage=False)
            except _FAILURES as e:
                self._note_failure(e)
                if isinstance(e, ApiException):
                    wait = retry_after(e.headers)
                    if e.status == 401:
                        await connection.reload(self._client().configuration)
            except Exception as e:  # noqa: BLE001 - whatever it was, the watch goes on
                self._note_failure(e)
                self.resource_version = ""
                if self._log:
                    self._log.exception("The watch of %s failed; it starts anew", self.name)
            await backoff.pause(at_least=wait)

    def _note_failure(self, error: BaseException, *, outage: bool = True) -> None:
        self.last_error = error
        self._attempted.set()
        if not outage:
            return
        if self.stale_since is None:
            self.stale_since = time.time()
            if self._log:
                self._log.warning(
                    "The watch of %s at %s is interrupted; trying again: %s",
                    self.name,
                    connection.describe(self._api()),
                    _told(error),
                )

    def _note_success(self) -> None:
        if self.stale_since is not None and self._loaded.is_set():
            if self._log:
                self._log.info(
                    "The watch of %s is back after %.0f s",
                    self.name,
                    time.time() - self.stale_since,
                )
        self.stale_since = None
        self.last_error = None

    # ---- list --------------------------------------------------------------------------

    async def _list(self) -> None:
        """Load everything, from the API server's own cache if it allows."""
        try:
            pages = await self._pages([("resourceVersion", "0")])
        except ApiException as e:
            if e.status not in (400, 410, 422):
                raise
            pages = await self._pages([("limit", str(PAGE_SIZE))])
        version, raws = pages
        fresh: dict[str, _Entry] = {}
        count = 0
        while raws:
            raw = without_managed_fields(raws.popleft())
            header = header_decoder.decode(raw)
            fresh[header.key] = _Entry(header, raw)
            count += 1
            if count % SLICE == 0:
                await breathe()
        await self._replace(fresh)
        self._note_listed(version)

    def _note_listed(self, version: str) -> None:
        self.list_count += 1
        self.resource_version = version
        self._forget_created(_as_int(version))
        self._note_success()
        self._loaded.set()
        self._attempted.set()

    async def _pages(self, query: list[tuple[str, str]]) -> tuple[str, deque[msgspec.Raw]]:
        raws: deque[msgspec.Raw] = deque()
        token = ""
        while True:
            extra = [("continue", token)] if token else []
            response = await self._request([*query, *extra], self._list_timeout)
            try:
                data = await asyncio.wait_for(response.read(), self._list_timeout)
            finally:
                response.release()
            page = list_decoder.decode(data)
            raws.extend(page.items or ())
            token = page.metadata.continue_
            if not token or not self.keeps:
                return page.metadata.resource_version, raws

    async def _replace(self, fresh: dict[str, _Entry]) -> None:
        """Take over a list by its differences, so that nobody ever sees an empty cache."""
        for count, key in enumerate([k for k in self._entries if k not in fresh]):
            raw = self._entries.pop(key).raw
            self._tell("DELETED", key, raw)
            if count % SLICE == SLICE - 1:
                await breathe()
        for count, (key, entry) in enumerate(fresh.items()):
            old = self._entries.get(key)
            if old is None or old.header.metadata != entry.header.metadata or old.raw != entry.raw:
                self._entries[key] = entry
                self._tell("MODIFIED" if old else "ADDED", key, entry.raw)
            if count % SLICE == SLICE - 1:
                await breathe()

    # ---- watch -------------------------------------------------------------------------

    async def _watch(self, backoff: Backoff) -> None:
        """Follow changes until the server ends the watch, which is no failure."""
        seconds = int(self._watch_seconds * random.uniform(1.0, 1.5))
        self.watch_count += 1
        response = await self._request(
            [
                ("watch", "1"),
                ("allowWatchBookmarks", "true"),
                ("resourceVersion", self.resource_version),
                ("timeoutSeconds", str(seconds)),
            ],
            aiohttp.ClientTimeout(sock_connect=10, sock_read=self._silence_seconds),
        )
        self._note_success()
        try:
            received = await self._follow(response, backoff)
        finally:
            response.close()
        if not received:
            # Ended at once: a server that closes every watch must not be asked in a tight loop.
            await backoff.pause()

    async def _follow(self, response: Any, backoff: Backoff) -> bool:
        rest = b""
        count = 0
        started = time.monotonic()
        async for chunk in response.content.iter_any():
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for line in lines:
                if line.strip():
                    self._apply(line)
                    count += 1
                    if count % SLICE == 0:
                        await breathe()
            if count:
                backoff.reset()
        if rest.strip():
            raise msgspec.DecodeError("the watch ended in the middle of an event")
        return count > 0 or time.monotonic() - started > 1

    def _apply(self, line: bytes) -> None:
        event = event_decoder.decode(line)
        if event.type == "ERROR":
            status = status_decoder.decode(event.object)
            if status.code == 410 or status.reason in ("Expired", "Gone"):
                raise _Gone(status.message)
            error: Any = ApiException(status=status.code, reason=status.reason)
            error.body = bytes(event.object).decode()
            raise error
        if event.type == "BOOKMARK":
            header = header_decoder.decode(event.object)
            self._advance(header.metadata.resource_version)
            return
        raw = without_managed_fields(event.object)
        header = header_decoder.decode(raw)
        key = header.key
        old = self._entries.get(key)
        created = self._created.get(key)
        if created and created[1].header.metadata.uid == header.metadata.uid:
            del self._created[key]
        if event.type == "DELETED":
            if old is not None:
                del self._entries[key]
            self._advance(header.metadata.resource_version)
            self._tell("DELETED", key, raw)
            return
        if old is not None and old.header.metadata == header.metadata:
            # Sent twice around a resumption.
            self._advance(header.metadata.resource_version)
            return
        if self.keeps:
            self._entries[key] = _Entry(header, raw)
        self._advance(header.metadata.resource_version)
        self._tell("MODIFIED" if old else "ADDED", key, raw)

    def _advance(self, version: str) -> None:
        if version:
            if _as_int(version) < _as_int(self.resource_version):
                # Only a restored or exchanged database goes back; what we hold is of another one.
                raise _Gone(f"resource version went back from {self.resource_version} to {version}")
            self.resource_version = version
            if self._created:
                self._forget_created(_as_int(version))

    def _forget_created(self, version: int) -> None:
        for key in [k for k, (created, _) in self._created.items() if created <= version]:
            del self._created[key]
            if key not in self._entries:
                self._tell("DELETED", key, b"null")

    # ---- HTTP --------------------------------------------------------------------------

    async def _request(self, query: list[tuple[str, str]], timeout: Any) -> Any:
        client = self._client()
        response = await client.call_api(
            self._path,
            "GET",
            query_params=[*self._selectors, *query],
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )
        if response.status == 200:
            return response
        try:
            body = (await asyncio.wait_for(response.read(), 10)).decode(errors="replace")
        finally:
            response.release()
        error = ApiException(status=response.status, reason=response.reason)
        error.body, error.headers = body, response.headers
        if response.status == 410:
            raise _Gone(status_of(error)["message"])
        raise error


def _as_int(version: str) -> int:
    """Order resource versions. The API calls them opaque; since 1.35 it promises this order.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """
    return int(version) if version.isdigit() else 0


def _told(error: BaseException) -> str:
    if isinstance(error, ApiException):
        return f"HTTP {error.status} {status_of(error).get('message') or error.reason}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
