"""Failures on demand: what a spawner has to survive, without a broken cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from kubespawner.localcluster.resources import Resource
from kubespawner.localcluster.routing import Call
from kubespawner.localcluster.store import Store


class OpenWatch(Protocol):
    """What faults do to a watch."""

    @property
    def resource(self) -> Resource: ...

    def end(self, *, abort: bool = False) -> None: ...

    def freeze(self) -> None: ...


@dataclass(eq=False)
class Fault:
    """What to do to which requests. Unset conditions match everything.

    Attributes:
        verb: get, list, watch, create, update, patch, delete, deletecollection.
        method: HTTP method.
        resource: plural, e.g. ``pods``.
        subresource: e.g. ``status``; "" = only requests without one, None = any.
        namespace: of the request.
        name: of the object.
        when: a further condition.
        times: how many requests are hit, None = all.
        delay: seconds before anything else happens.
        status: answer with this HTTP status instead of doing anything.
        reason: of the ``Status`` body, with ``status``.
        message: of the ``Status`` body, with ``status``.
        retry_after: seconds, sent as ``Retry-After`` with ``status``.
        delay_answer: seconds between taking effect and the answer, for clients that give up.
        drop: close the connection "before" or "after" the request took effect.
        truncate: send only this many bytes of the body, then close the connection.
        hits: how many requests were hit so far.
        reached: set at the first hit.
    """

    verb: str | None = None
    method: str | None = None
    resource: str | None = None
    subresource: str | None = None
    namespace: str | None = None
    name: str | None = None
    when: Callable[[Call], bool] | None = None
    times: int | None = None
    delay: float = 0
    status: int | None = None
    reason: str = "InternalError"
    message: str = "injected fault"
    retry_after: int | None = None
    delay_answer: float = 0
    drop: str | None = None
    truncate: int | None = None
    hits: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, call: Call) -> bool:
        """Tell whether this fault hits ``call``."""
        if self.times is not None and self.hits >= self.times:
            return False
        asked = {
            "verb": call.verb,
            "method": call.method,
            "resource": call.resource.plural if call.resource else "",
            "subresource": call.subresource,
            "namespace": call.namespace,
            "name": call.name,
        }
        for condition, value in asked.items():
            wanted = getattr(self, condition)
            if wanted is not None and wanted != value:
                return False
        return self.when is None or self.when(call)


@dataclass(frozen=True)
class Denial:
    """An RBAC rule that is missing: requests that match are 403. None matches everything."""

    verb: str | None = None
    resource: str | None = None
    namespace: str | None = None

    def matches(self, verb: str, resource: str, namespace: str) -> bool:
        """Tell whether this request is denied."""
        return all(
            wanted is None or wanted == value
            for wanted, value in (
                (self.verb, verb),
                (self.resource, resource),
                (self.namespace, namespace),
            )
        )


class Faults:
    """The faults of one API server.

    Args:
        store: compacted by :meth:`compact`.
    """

    def __init__(self, store: Store):
        self._store = store
        self._faults: list[Fault] = []
        self._denials: list[Denial] = []
        self._watches: set[OpenWatch] = set()

    def add(self, fault: Fault) -> Fault:
        """Begin to inject ``fault`` and return it. The first fault that matches is applied."""
        self._faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Stop injecting ``fault``."""
        self._faults.remove(fault)

    def clear(self) -> None:
        """Remove all faults and denials."""
        self._faults.clear()
        self._denials.clear()

    def deny(
        self, *, verb: str | None = None, resource: str | None = None, namespace: str | None = None
    ) -> None:
        """Answer matching requests as RBAC does where the role lacks the rule."""
        self._denials.append(Denial(verb, resource, namespace))

    def denied(self, verb: str, resource: str, namespace: str) -> bool:
        """Tell whether :meth:`deny` covers this request."""
        return any(denial.matches(verb, resource, namespace) for denial in self._denials)

    def take(self, call: Call) -> Fault | None:
        """Return the fault for ``call`` and count the hit."""
        for fault in self._faults:
            if fault.matches(call):
                fault.hits += 1
                fault.reached.set()
                return fault
        return None

    def close_watches(self, resource: str | None = None, *, abort: bool = False) -> int:
        """End the open watches and return how many.

        Args:
            resource: plural; None = all.
            abort: reset the connection, in the middle of whatever is under way, instead of
                ending the stream as a server that shuts down does.
        """
        watches = self._open(resource)
        for watch in watches:
            watch.end(abort=abort)
        return len(watches)

    def freeze_watches(self, resource: str | None = None) -> int:
        """Let the open watches stay open and silent, as over a dead connection; return how many."""
        watches = self._open(resource)
        for watch in watches:
            watch.freeze()
        return len(watches)

    def compact(self, resource: str | None = None, *, close: bool = True) -> None:
        """Make every resource version that a client knows too old: the next watch gets 410.

        Args:
            resource: plural; None = all.
            close: also end the open watches, so that their clients notice.
        """
        found = [each for each in self._store.kinds if each.plural == resource]
        if resource is not None and not found:
            raise ValueError(f"no such resource: {resource}")
        self._store.compact(found[0] if found else None)
        if close:
            self.close_watches(resource)

    def watch_opened(self, watch: OpenWatch) -> None:
        """Let ``watch`` be ended and frozen."""
        self._watches.add(watch)

    def watch_closed(self, watch: OpenWatch) -> None:
        """Forget ``watch``."""
        self._watches.discard(watch)

    def _open(self, resource: str | None) -> list[OpenWatch]:
        return [w for w in self._watches if resource is None or w.resource.plural == resource]


# ---- what faults do to a connection ----------------------------------------------------------


def cut(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer, or without the rest of it."""
    if request.transport:
        request.transport.abort()
    return web.Response(status=500)


async def truncated(request: web.Request, response: web.Response, size: int) -> web.StreamResponse:
    """Announce the whole body, send ``size`` bytes of it and close the connection."""
    body = response.body
    assert isinstance(body, bytes)
    partial = web.StreamResponse(
        status=response.status,
        headers={"Content-Type": "application/json", "Content-Length": str(len(body))},
    )
    await partial.prepare(request)
    await partial.write(body[:size])
    if request.transport:
        request.transport.close()
    return partial
