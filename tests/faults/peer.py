"""What each fault does to a server as seen from outside: with this package, and with the peer.

The peer, ``jupyterhub-kubespawner`` 7.1.0, is run in an environment of its own (``bench/peer.py``),
by :mod:`tests.faults.one_server`, through the same proxy before the same API server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bench.peer import python

from .ground import Ground, ground
from .matrix import _REVOKED, COLUMNS

SIDES = ("ours", "peer")
# What is observed, and what is hoped for.
QUESTIONS = {
    "spawn": "A spawn during which the fault passes",
    "poll": "A running server, polled by a restarted hub while the fault lasts",
    "stop": "A stop during which the fault passes",
}
GOOD = {"spawned", "kept", "gone"}
# Seconds, the same for both sides: else the peer takes its own, which are up to minutes.
LIMITS = {
    "start_timeout": 30,
    "k8s_api_request_timeout": 2,
    "k8s_api_request_retry_timeout": 15,
}
_DAY = 86_400
# Seconds; longer than either side's own pauses between two looks.
WHILE = 15
# Servers observed at the same time.
_LANES = 6
_DRIVER = Path(__file__).with_name("one_server.py")


class Life:
    """A hub's process with one spawner in it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader, self._writer = reader, writer

    async def tell(self, command: str) -> Any:
        self._writer.write(f"{command}\n".encode())
        await self._writer.drain()
        return json.loads(await asyncio.wait_for(self._reader.readline(), 90) or '"dead"')


class Side:
    """One of the two, ready to live; starts its interpreter at the first life.

    Args:
        interpreter: of its environment.
        directory: where its kubeconfig is, which the client library reads once for all.
    """

    def __init__(self, interpreter: str, directory: Path):
        self._interpreter = interpreter
        self.directory = directory
        self._socket = directory / "socket"
        self._process: asyncio.subprocess.Process | None = None
        directory.mkdir(parents=True)

    async def _ready(self) -> None:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                self._interpreter,
                str(_DRIVER),
                str(self._socket),
                stderr=asyncio.subprocess.DEVNULL,
                env={"KUBECONFIG": str(self.directory / "kubeconfig"), "PATH": "/usr/bin:/bin"},
                cwd="/",
            )
        while not self._socket.exists():
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        if self._process:
            self._process.kill()
            await self._process.wait()

    @contextlib.asynccontextmanager
    async def life(self, it: Ground, state: Any = None) -> AsyncIterator[Life]:
        """Run a hub's process; at the end it dies."""
        await self._ready()
        settings = {
            "cmd": ["serve"],
            "image": "kubespawner/busybox:test",
            "component_label": it.hub,
            "extra_pod_config": {"schedulerName": "nobody"},
            **LIMITS,
        }
        order = {"user": it.user, "settings": settings, "state": state or {}}
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(json.dumps(order).encode() + b"\n")
            yield Life(reader, writer)
        finally:
            writer.close()


async def observe(question: str, column: str, side: Side) -> str:
    """Return what became of the server, in a word or two."""
    await side._ready()
    async with ground(side.directory, tls=COLUMNS[column].tls) as it:
        # What is too slow is so for both sides.
        it.patience = LIMITS["k8s_api_request_timeout"]
        return await _ASKED[question](it, column, side)


async def observe_all() -> dict[tuple[str, str, str], str]:
    """Return what became of the servers, by question, column and side.

    What could not be observed within five minutes says so.
    """
    interpreters = {"ours": sys.executable, "peer": python()}
    waiting = [(q, c, s) for c in COLUMNS for q in QUESTIONS for s in SIDES]
    found: dict[tuple[str, str, str], str] = {}

    async def lane(directory: Path) -> None:
        sides = {name: Side(path, directory / name) for name, path in interpreters.items()}
        while waiting:
            question, column, side = key = waiting.pop(0)
            try:
                found[key] = await asyncio.wait_for(observe(question, column, sides[side]), 300)
            except Exception as e:  # noqa: BLE001 - a cell that shows it
                found[key] = f"not observed ({type(e).__name__})"
        for each in sides.values():
            await each.stop()

    with tempfile.TemporaryDirectory() as directory:
        await asyncio.gather(*(lane(Path(directory) / str(n)) for n in range(_LANES)))
    return found


def _inject(it: Ground, column: str, verb: str, **more: Any) -> Any:
    """Inject the fault into requests of ``verb``, of a watch's own kind into watches."""
    fault = COLUMNS[column]
    if fault.only or verb == "watch":
        content = fault.stream if fault.stream is not None else fault.fault(it)
        return it.fail(verb="watch", resource="pods", **content, **more)
    return it.fail(verb=verb, resource="pods", **fault.fault(it), **more)


async def _spoil_watch(it: Ground, column: str, **more: Any) -> Any:
    """Inject the fault into the watch of pods that follows the present one; return it."""
    await it.until(lambda: it.proxy.faults._open("pods"))
    fault = _inject(it, column, "watch", **more)
    it.proxy.faults.close_watches("pods")
    await it.until(lambda: fault.hits)
    return fault


async def _spawn(it: Ground, column: str, side: Side) -> str:
    async with side.life(it) as hub:
        if column == "clock jump":
            await hub.tell(f"clock {_DAY}")
        else:
            fault = _inject(it, column, "create", times=1)
        answer = await hub.tell("start")
        if column != "clock jump":
            assert fault.hits
        await it.settle()
        made = len(it.uids("ADDED", "pods"))
        left = made - len(it.uids("DELETED", "pods"))
        if isinstance(answer, dict):
            return "failed" + (", pod left" if left else "")
        return "spawned" if made == 1 else f"spawned, {made} pods made"


async def _poll(it: Ground, column: str, side: Side) -> str:
    async with side.life(it) as hub:
        await hub.tell("start")
        state = await hub.tell("state")
    faults: list[Any] = []
    async with side.life(it, state) as hub:
        if column == "clock jump":
            await hub.tell(f"clock {_DAY}")
        elif column in _REVOKED:
            await _REVOKED[column](it.proxy)
        elif COLUMNS[column].only:
            await hub.tell("poll")
            faults = [await _spoil_watch(it, column)]
        else:
            faults = [_inject(it, column, verb) for verb in ("list", "watch", "get")]
        loop = asyncio.get_running_loop()
        end = loop.time() + WHILE
        while loop.time() < end:
            if await hub.tell("poll") is not None:
                return "disowned"
            # Something for a watch to tell.
            await it.touch_pods()
            await asyncio.sleep(1)
        assert not faults or any(fault.hits for fault in faults)
        return "kept"


async def _stop(it: Ground, column: str, side: Side) -> str:
    async with side.life(it) as hub:
        await hub.tell("start")
        if column == "clock jump":
            await hub.tell(f"clock {_DAY}")
        elif COLUMNS[column].only:
            fault = await _spoil_watch(it, column, times=1)
        else:
            fault = _inject(it, column, "delete", times=1)
        answer = await hub.tell("stop")
        if column != "clock jump":
            assert fault.hits
        left = [p for p in await it.objects("pods") if not p["metadata"].get("deletionTimestamp")]
        if left:
            return "pod left"
        return "gone, but said to have failed" if isinstance(answer, dict) else "gone"


_ASKED = {"spawn": _spawn, "poll": _poll, "stop": _stop}
