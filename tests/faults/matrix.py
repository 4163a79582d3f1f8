"""Every kind of request that a spawner makes, times every fault: what is done, and what must hold.

A fault that passes is survived. While one lasts, what was asked for may fail, in words; when it is
over, nothing is left of it. Neither makes a running server count as stopped, makes a second pod
of a server, or touches a claim.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kubespawner import KubeSpawner
from kubespawner import spawner as spawner_module
from kubespawner.errors import SpawnError
from tests.support.field import STORAGE, with_certificates

from .ground import Ground, ground
from .proxy import FaultProxy

_DAY = 86_400.0


@dataclass(frozen=True)
class Row:
    """A kind of request.

    Attributes:
        verb, resource: which requests of the API it is.
        settings: that make a spawn make it.
        during: "start", "stop", "poll" or "delete" (of the claim).
        before: what there is already when it begins: "pod", "companions" or "claim" of an earlier
            life of the server, its "namespace".
        needed: whether the spawn can't succeed without it.
    """

    verb: str
    resource: str
    settings: dict[str, Any] = field(default_factory=dict)
    during: str = "start"
    before: str = ""
    needed: bool = True


_OWN_NAMESPACE = {"enable_user_namespaces": True, "user_namespace_template": "{username}-home"}
_SERVICE = {"services_enabled": True}
_TLS = {"tls": True}

ROWS: dict[str, Row] = {
    "list pods": Row("list", "pods"),
    "watch pods": Row("watch", "pods", needed=False),
    "list events": Row("list", "events", needed=False),
    "watch events": Row("watch", "events", needed=False),
    "create namespace": Row("create", "namespaces", _OWN_NAMESPACE),
    "read namespace": Row("get", "namespaces", _OWN_NAMESPACE, before="namespace"),
    "read claim": Row("get", "persistentvolumeclaims", STORAGE, before="claim"),
    "create claim": Row("create", "persistentvolumeclaims", STORAGE),
    "create pod": Row("create", "pods"),
    "read pod that is in the way": Row("get", "pods", before="pod"),
    "delete pod that is in the way": Row("delete", "pods", before="pod"),
    "create secret": Row("create", "secrets", _TLS),
    "read secret": Row("get", "secrets", _TLS, before="companions"),
    "replace secret": Row("update", "secrets", _TLS, before="companions"),
    "create service": Row("create", "services", _SERVICE),
    "read service": Row("get", "services", _SERVICE, before="companions"),
    "replace service": Row("update", "services", _SERVICE, before="companions"),
    "read pod to poll": Row("get", "pods", during="poll"),
    "delete pod to stop": Row("delete", "pods", during="stop"),
    "read claim to delete": Row("get", "persistentvolumeclaims", STORAGE, during="delete"),
    "delete claim": Row("delete", "persistentvolumeclaims", STORAGE, during="delete"),
}


@dataclass(frozen=True)
class Column:
    """A fault.

    Attributes:
        fault: returns what to inject into a request.
        stream: what to do to a watch instead; None: as to other requests.
        only: verbs that can have it; () = all.
        tls: whether the connection has to be TLS.
    """

    fault: Callable[[Ground], dict[str, Any]]
    stream: dict[str, Any] | None = None
    only: tuple[str, ...] = ()
    tls: bool = False


def _always(**fault: Any) -> Callable[[Ground], dict[str, Any]]:
    return lambda ground: fault


def _status(status: int, reason: str, **more: Any) -> Column:
    return Column(_always(status=status, reason=reason, **more))


def _stream(what: str) -> Column:
    return Column(_always(), {"stream": what}, only=("watch",))


def _acting(act: str, *arguments: Any, **fault: Any) -> Callable[[Ground], dict[str, Any]]:
    return lambda ground: {"act": lambda: getattr(ground.proxy, act)(*arguments), **fault}


class Clock:
    """The hub's wall clock; :meth:`jump` sets it."""

    def __init__(self, patch: pytest.MonkeyPatch):
        self.offset = 0.0
        real = time.time
        patch.setattr(time, "time", lambda: real() + self.offset)
        clock = self

        class Moved(datetime.datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.datetime.now(tz) + datetime.timedelta(seconds=clock.offset)

        patch.setattr(spawner_module, "datetime", Moved)

    async def jump(self, seconds: float) -> None:
        self.offset += seconds


COLUMNS: dict[str, Column] = {
    "429": _status(429, "TooManyRequests", retry_after=1),
    "500": _status(500, "InternalError"),
    "503": _status(503, "ServiceUnavailable"),
    "504": _status(504, "Timeout"),
    "refused": Column(_acting("refuse_connections", 0.3, drop="before")),
    "reset before": Column(_always(drop="before")),
    "reset after": Column(_always(drop="after"), {"stream": "reset"}),
    "too slow": Column(lambda ground: {"delay_answer": 3 * ground.patience}, {"delay": 4}),
    "truncated": Column(_always(truncate=7), {"stream": "cut"}),
    "closed early": _stream("ended"),
    "silent": _stream("silent"),
    "410": Column(_always(status=410, reason="Expired"), {"stream": "gone"}, ("list", "watch")),
    "duplicated": _stream("twice"),
    "reordered": _stream("swapped"),
    "bookmarks": _stream("bookmarks"),
    "clock jump": Column(lambda ground: {"act": lambda: ground.clock.jump(_DAY)}),
    "expired token": Column(_acting("renew_token")),
    "rotated CA": Column(_acting("exchange_certificate", drop="before"), tls=True),
}
# What the token and the certificate do while the fault lasts: the hub's are worth nothing.
_REVOKED: dict[str, Callable[[FaultProxy], Awaitable[None]]] = {
    "expired token": lambda proxy: proxy.renew_token(publish=False),
    "rotated CA": lambda proxy: proxy.exchange_certificate(publish=False),
}
CASES = ("passing", "lasting")


def applies(row: str, column: str) -> bool:
    """Whether a request of the kind can have the fault."""
    only = COLUMNS[column].only
    return not only or ROWS[row].verb in only


async def run_case(row: str, column: str, case: str, directory: Path, cluster: str = "") -> None:
    """Run one case on an embedded API server or a real one; raises AssertionError."""
    with pytest.MonkeyPatch.context() as patch:
        async with ground(directory, cluster, tls=COLUMNS[column].tls) as it:
            it.clock = Clock(patch)
            await _Case(it, row, column, directory).run(lasting=case == "lasting")


class _Case:
    def __init__(self, ground: Ground, row: str, column: str, directory: Path):
        self.ground = ground
        self.row = ROWS[row]
        self.name, self.column = column, COLUMNS[column]
        self.directory = directory
        settings = dict(self.row.settings)
        self.certified = settings.pop("tls", False)
        self.settings = settings

    # ---- what is done ------------------------------------------------------------------

    async def run(self, *, lasting: bool) -> None:
        patience = self.ground.patience
        limits = {
            "k8s_api_request_retry_timeout": 2.5 * patience,
            "start_timeout": round(10 * patience),
        }
        more = limits if lasting else {}
        self.spawner = self._spawner(**more)
        await self._prepare()
        async with self._bystander():
            doing = getattr(self, f"_{self.row.during}")
            if lasting:
                await self._while_it_lasts(doing)
            else:
                with self._injected(times=1):
                    await doing()
        await self._check_claims()

    def _spawner(self, **more: Any) -> Any:
        spawner = self.ground.spawner(**{**self.settings, **more})
        if self.certified:
            with_certificates(spawner, self.directory)
        return spawner

    async def _prepare(self) -> None:
        """Let there be what the request needs, so that only it is left to do."""
        before = self.row.before
        if before == "namespace":
            body = {"metadata": {"name": self.spawner.namespace}}
            await self.ground.request("POST", "/api/v1/namespaces", body)
        if before == "pod":
            await self._spawner().start()
        if before == "claim":
            await self.spawner.start()
            await self.spawner.stop()
        if before == "companions":
            earlier = self._spawner()
            await earlier.start()
            # Without a garbage collector they stay, and must be taken over.
            (pod,) = await self.ground.pods_of(earlier)
            await self._let_go(earlier)
            await self.ground.delete("pods", pod["metadata"])
        if self.row.during != "start":
            await self.spawner.start()
        if self.row.during == "delete":
            await self.spawner.stop()

    async def _let_go(self, spawner: Any) -> None:
        """Let the server's companions belong to no pod."""
        for plural in ("secrets", "services"):
            for item in await self.ground.objects(plural):
                meta = item["metadata"]
                await self.ground.request(
                    "PATCH",
                    f"/api/v1/namespaces/{meta['namespace']}/{plural}/{meta['name']}",
                    {"metadata": {"ownerReferences": None}},
                    **{"Content-Type": "application/merge-patch+json"},
                )

    async def _start(self) -> None:
        made = len(self.ground.uids("ADDED", "pods", self.spawner.pod_name))
        await self.spawner.start()
        await self._check_running()
        assert len(self.ground.uids("ADDED", "pods", self.spawner.pod_name)) == made + 1
        await self.spawner.stop()
        await self._check_gone()

    async def _stop(self) -> None:
        await self.spawner.stop()
        await self._check_gone()

    async def _poll(self) -> None:
        """Poll while the watch is down, so that the pod has to be asked for."""
        faults = self.ground.proxy.faults
        await self.ground.until(lambda: faults._open("pods"))
        self.ground.fail(verb="watch", resource="pods", status=503)
        faults.close_watches("pods")
        for _ in range(3):
            assert await self.spawner.poll() is None
            await asyncio.sleep(0.1)

    async def _delete(self) -> None:
        await self.spawner.delete_forever()
        # A controller lets it go, once no pod uses it any more.
        await self.ground.until(lambda: self.ground.uids("DELETED", "claims"))

    # ---- the fault ---------------------------------------------------------------------

    @contextlib.contextmanager
    def _injected(self, **more: Any) -> Any:
        fault = self.column.fault(self.ground)
        if self.row.verb == "watch" and self.column.stream is not None:
            fault = self.column.stream
        where = {"verb": self.row.verb, "resource": self.row.resource}
        injected = self.ground.fail(**where, **fault, **more)
        yield injected
        assert injected.hits, "the request was never made"
        if injected in self.ground.proxy.faults._faults:
            self.ground.proxy.faults.remove(injected)

    async def _while_it_lasts(self, doing: Callable[[], Awaitable[None]]) -> None:
        with self._injected() as fault:
            if self.name in _REVOKED:
                fault.times = 1
                fault.act = lambda: _REVOKED[self.name](self.ground.proxy)
            try:
                await asyncio.wait_for(doing(), 60)
            except SpawnError as e:
                assert e.jupyterhub_message
                if self.row.needed:
                    assert e.reason
            except Exception as e:
                if self.row.during != "delete":
                    raise AssertionError("not told in words") from e
        self.ground.proxy.faults.clear()
        self.ground.proxy.publish()
        await self._afterwards()

    async def _afterwards(self) -> None:
        """The fault is over: nothing of it is left, and the server can be started."""
        if self.row.during == "poll":
            (pod,) = await self.ground.pods_of(self.spawner)
            await self.ground.delete("pods", pod["metadata"])
            await self.ground.until(self._is_stopped)
            return
        if self.row.during == "delete":
            await self.spawner.delete_forever()
            return
        if self.row.during == "start" and not self.row.before:
            await self.ground.until(self._nothing_left, 100)
        self.spawner.clear_state()
        again = self._spawner()
        again.load_state(self.spawner.get_state())
        await again.start()
        self.spawner = again
        await self._check_running()
        await again.stop()
        await self._check_gone()

    async def _is_stopped(self) -> bool:
        return isinstance(await self.spawner.poll(), int)

    async def _nothing_left(self) -> bool:
        return not await self.ground.leftovers(self.spawner)

    # ---- what must hold ----------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _bystander(self) -> AsyncIterator[None]:
        """Run another user's server, asked again and again whether it runs."""
        bystander = self.ground.spawner("bystander", **STORAGE)
        await bystander.start()
        # As after a restart of the hub: nothing is known but the state.
        await KubeSpawner._stop_all_reflectors()
        asking = asyncio.create_task(_ask(bystander))
        yield
        asking.cancel()
        (answer,) = await asyncio.gather(asking, return_exceptions=True)
        assert isinstance(answer, asyncio.CancelledError), answer
        assert [p["metadata"]["uid"] for p in await self.ground.pods_of(bystander)] == [
            bystander.pod_id
        ]

    async def _check_running(self) -> None:
        (pod,) = await self.ground.pods_of(self.spawner)
        assert pod["metadata"]["uid"] == self.spawner.pod_id
        assert await self.spawner.poll() is None
        await self.ground.settle()
        # None was made that had to be deleted.
        name = self.spawner.pod_name
        made, gone = (self.ground.uids(t, "pods", name) for t in ("ADDED", "DELETED"))
        assert made[-1] == self.spawner.pod_id and made[:-1] == gone

    async def _check_gone(self) -> None:
        assert await self.ground.pods_of(self.spawner) == []
        assert isinstance(await self.spawner.poll(), int)

    async def _check_claims(self) -> None:
        mine = [self.spawner.pvc_name] if self.row.during == "delete" else []
        if mine:
            await self.ground.until(lambda: self.ground.uids("DELETED", "claims"))
        await self.ground.settle()
        claims = {
            c["metadata"]["uid"]: c for c in await self.ground.objects("persistentvolumeclaims")
        }
        deleted = self.ground.uids("DELETED", "claims")
        names = {
            item["metadata"]["uid"]: item["metadata"]["name"]
            for _, kind, item in self.ground.history
            if kind == "claims"
        }
        assert [names[uid] for uid in deleted] == mine
        owners = {c["metadata"]["name"]: _username(c) for c in claims.values() if _username(c)}
        for type_, kind, pod in self.ground.history:
            if type_ == "ADDED" and kind == "pods":
                for claim in _mounted(pod):
                    assert owners.get(claim, _username(pod)) == _username(pod)


async def _ask(spawner: Any) -> None:
    while True:
        assert await spawner.poll() is None
        await asyncio.sleep(0.05)


def _username(item: dict[str, Any]) -> str:
    annotations = item["metadata"].get("annotations") or {}
    return annotations.get("hub.jupyter.org/username", "")


def _mounted(pod: dict[str, Any]) -> list[str]:
    return [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"].get("volumes") or ()
        if "persistentVolumeClaim" in volume
    ]
