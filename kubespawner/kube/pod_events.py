"""The Kubernetes events of pods that somebody waits for, and of no others.

A namespace keeps an hour of everybody's events. This watch runs only while pods are followed,
and holds only theirs, a bounded number each.
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
from kubernetes_asyncio.client import ApiException

from .informer import Informer
from .requests import RETRIED_STATUSES, ApiUnavailable, Deadline, told
from .store import Entry
from .timing import within

Event = dict[str, Any]

# Events held per pod; a pod that never gets ready repeats the same few.
MOST_EVENTS = 200
_TIMESTAMP = re.compile(
    r"(?P<seconds>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.(?P<fraction>\d+))?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?"
)
_NEVER = datetime.min.replace(tzinfo=timezone.utc)
# Event times have a resolution of one second, and clocks of cluster and hub differ a little.
_CLOCK_MARGIN = timedelta(seconds=5)


def parse_time(text: Any) -> datetime | None:
    """Return the time of a Kubernetes timestamp; None for null, missing or unreadable ones."""
    match = _TIMESTAMP.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    # Python 3.10 reads 3 or 6 digits of a second only, and no Z.
    fraction = (match["fraction"] or "")[:6].ljust(6, "0")
    zone = match["zone"] if match["zone"] and match["zone"] != "Z" else "+00:00"
    try:
        return datetime.fromisoformat(f"{match['seconds']}.{fraction}{zone}")
    except ValueError:
        return None


def event_time(event: Mapping[str, Any]) -> datetime:
    """Return when ``event`` happened last, by the first of its many timestamps that is set."""
    candidates = (
        (event.get("series") or {}).get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        (event.get("metadata") or {}).get("creationTimestamp"),
    )
    for candidate in candidates:
        time = parse_time(candidate)
        if time is not None:
            return time
    return _NEVER


class Followed:
    """The events of one pod; a context manager, or :meth:`close` it.

    Attributes:
        uid: the pod's UID. Until it is set, events count by namespace, name and time.
        claims: names of claims whose events count as well.
    """

    def __init__(self, watch: PodEvents, namespace: str, name: str, since: datetime | None):
        self._watch = watch
        self.namespace = namespace
        self.name = name
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=timezone.utc)
        self._since = since - _CLOCK_MARGIN if since else _NEVER
        self._uid = ""
        self.claims: set[str] = set()
        self._events: dict[str, Event] = {}
        self._listeners: list[Callable[[], None]] = []

    @property
    def uid(self) -> str:
        return self._uid

    @uid.setter
    def uid(self, uid: str) -> None:
        self._uid = uid
        self._events = {k: e for k, e in self._events.items() if self._is_ours(e)}

    @property
    def events(self) -> list[Event]:
        """The events so far, oldest first; a repeated one stands once, at its last time."""
        return sorted(self._events.values(), key=event_time)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener()`` whenever :attr:`events` changed."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Stop following; the events so far stay."""
        self._listeners.clear()
        self._watch._unfollow(self)

    def __enter__(self) -> Followed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_ours(self, event: Event) -> bool:
        about = event.get("involvedObject") or {}
        if about.get("namespace", self.namespace) != self.namespace:
            return False
        kind = about.get("kind")
        if kind == "PersistentVolumeClaim":
            return about.get("name") in self.claims and event_time(event) >= self._since
        if kind != "Pod" or about.get("name") != self.name:
            return False
        if self._uid and about.get("uid"):
            return about["uid"] == self._uid
        return event_time(event) >= self._since

    def _offer(self, event: Event) -> None:
        if not self._is_ours(event):
            return
        metadata = event.get("metadata") or {}
        self._events[metadata.get("uid") or metadata.get("name") or ""] = event
        if len(self._events) > MOST_EVENTS:
            oldest = min(self._events, key=lambda uid: event_time(self._events[uid]))
            del self._events[oldest]
        for listener in self._listeners:
            listener()


class PodEvents:
    """Events of followed pods in one namespace, or in all.

    Args:
        api_client_factory: returns the client to ask with.
        namespace: None: all namespaces.
    """

    def __init__(
        self, api_client_factory: Callable[[], Any], namespace: str | None, log: Any = None
    ):
        self._client = api_client_factory
        self._path = f"/api/v1/namespaces/{namespace}/events" if namespace else "/api/v1/events"
        self._log = log
        self._followed: dict[tuple[str, str], list[Followed]] = {}
        self._informer: _EventFeed | None = None
        self._stopping: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> bool:
        """Whether events are watched at the moment."""
        return self._informer is not None

    def follow(self, namespace: str, name: str, *, since: datetime | None = None) -> Followed:
        """Follow one pod; the watch runs until the last one is closed."""
        followed = Followed(self, namespace, name, since)
        self._followed.setdefault((namespace, name), []).append(followed)
        if self._informer is None:
            self._informer = _EventFeed(
                self._wants,
                self._offer,
                self._client,
                self._path,
                log=self._log,
                name="pod events",
            )
            self._informer.start()
        return followed

    async def ready(self, deadline: Deadline) -> None:
        """Wait until the watch is under way: what happens from then on is not missed.

        Raises:
            ApiUnavailable: it is not by the deadline.
            ApiException: the API server refuses, for instance since the Role lacks ``events``.
        """
        if self._informer is None:
            return
        informer = self._informer
        try:
            await within(informer.first_attempt(), deadline.remaining())
        except ApiException as e:
            if e.status not in RETRIED_STATUSES:
                raise
        except Exception as e:
            if deadline.expired:
                raise ApiUnavailable(f"the watch of pod events did not start: {told(e)}") from e
        await informer.under_way(deadline)

    async def stop(self) -> None:
        """End the watch, whoever follows."""
        self._followed.clear()
        informer, self._informer = self._informer, None
        if informer is not None:
            await informer.stop()

    def _unfollow(self, followed: Followed) -> None:
        key = (followed.namespace, followed.name)
        remaining = [f for f in self._followed.get(key, []) if f is not followed]
        if remaining:
            self._followed[key] = remaining
        else:
            self._followed.pop(key, None)
        if not self._followed and self._informer is not None:
            informer, self._informer = self._informer, None
            try:
                task = asyncio.get_running_loop().create_task(informer.stop())
            except RuntimeError:
                # Closed after its event loop, whose end has ended the watch as well.
                return
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    def _wants(self, kind: str, namespace: str, name: str) -> bool:
        if kind == "Pod":
            return (namespace, name) in self._followed
        return kind == "PersistentVolumeClaim" and any(
            where == namespace and name in followed.claims
            for (where, _), group in self._followed.items()
            for followed in group
        )

    def _offer(self, event: Event) -> None:
        about = event.get("involvedObject") or {}
        namespace = about.get("namespace") or (event.get("metadata") or {}).get("namespace", "")
        if about.get("kind") == "PersistentVolumeClaim":
            for (where, _), group in self._followed.items():
                if where == namespace:
                    for followed in group:
                        followed._offer(event)
            return
        for followed in self._followed.get((namespace, about.get("name", "")), ()):
            followed._offer(event)


class _About(msgspec.Struct, gc=False):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class _EventHead(msgspec.Struct, rename="camel", gc=False):
    involved_object: _About


_head_decoder = msgspec.json.Decoder(_EventHead)


class _EventFeed(Informer):
    """An informer that passes events on instead of keeping them, from now on."""

    def __init__(
        self,
        wanted: Callable[[str, str, str], bool],
        offer: Callable[[Event], None],
        *args: Any,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self._wanted = wanted
        self._offer = offer

    async def _list(self) -> None:
        # Only the version is needed: what happened before nobody waits for.
        self._note_listed(await self._collection.version())

    def _take_changed(self, entry: Entry) -> None:
        about = _head_decoder.decode(entry.raw).involved_object
        if self._wanted(about.kind, about.namespace, about.name):
            self._offer(msgspec.json.decode(entry.raw))

    def _take_removed(self, entry: Entry) -> None:
        # An event expires after an hour; whoever follows keeps what was told.
        return
