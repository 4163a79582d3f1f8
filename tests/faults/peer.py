"""What each fault does to a server as seen from outside: with this package, and with the peer.

The peer, ``jupyterhub-kubespawner`` 7.1.0, is run in an environment of its own (``bench/peer.py``),
by :mod:`tests.faults.one_server`, through the same proxy before the same API server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

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
_DAY = 86_400
# Longer than either side's own pauses between two looks.
_WHILE = 20.0
_DRIVER = Path(__file__).with_name("one_server.py")


class Life:
    """A process with one spawner in it."""

    def __init__(self, process: asyncio.subprocess.Process):
        self._process = process

    async def tell(self, command: str) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{command}\n".encode())
        await self._process.stdin.drain()
        return json.loads(await asyncio.wait_for(self._process.stdout.readline(), 90) or '"dead"')


@contextlib.asynccontextmanager
async def life(it: Ground, interpreter: str, directory: Path, state: Any) -> AsyncIterator[Life]:
    """Run a hub's process; at the end it is killed."""
    settings = {
        "cmd": ["serve"],
        "image": "kubespawner/busybox:test",
        "component_label": it.hub,
        "extra_pod_config": {"schedulerName": "nobody"},
        "start_timeout": 30,
        "k8s_api_request_timeout": 2,
        "k8s_api_request_retry_timeout": 15,
    }
    order = {"user": it.user, "settings": settings, "state": state}
    process = await asyncio.create_subprocess_exec(
        interpreter,
        str(_DRIVER),
        json.dumps(order),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"KUBECONFIG": str(directory / "kubeconfig"), "PATH": "/usr/bin:/bin"},
        cwd="/",
    )
    try:
        assert process.stdout
        await asyncio.wait_for(process.stdout.readline(), 60)
        yield Life(process)
    finally:
        process.kill()
        await process.wait()


async def observe(
    question: str, column: str, interpreter: str, directory: Path, cluster: str = ""
) -> str:
    """Return what became of the server, in a word or two."""
    tls = COLUMNS[column].tls
    async with ground(directory, cluster, tls=tls) as it:
        return await globals()[f"_{question}"](it, column, interpreter, directory)


def _inject(it: Ground, column: str, verb: str, **more: Any) -> Any:
    """Inject the fault into requests of ``verb``, of a watch's own kind into watches."""
    fault = COLUMNS[column]
    if fault.only or verb == "watch":
        content = fault.stream if fault.stream is not None else fault.fault(it)
        return it.fail(verb="watch", resource="pods", **content, **more)
    return it.fail(verb=verb, resource="pods", **fault.fault(it), **more)


async def _spawn(it: Ground, column: str, interpreter: str, directory: Path) -> str:
    async with life(it, interpreter, directory, {}) as hub:
        if column == "clock jump":
            await hub.tell(f"clock {_DAY}")
        else:
            _inject(it, column, "create", times=1)
        answer = await hub.tell("start")
        await it.settle()
        made = len(it.uids("ADDED", "pods"))
        left = made - len(it.uids("DELETED", "pods"))
        if isinstance(answer, dict):
            return "failed" + (", pod left" if left else "")
        return "spawned" if made == 1 else f"spawned, {made} pods made"


async def _poll(it: Ground, column: str, interpreter: str, directory: Path) -> str:
    async with life(it, interpreter, directory, {}) as hub:
        await hub.tell("start")
        state = await hub.tell("state")
    async with life(it, interpreter, directory, state) as hub:
        if column == "clock jump":
            await hub.tell(f"clock {_DAY}")
        elif column in _REVOKED:
            await _REVOKED[column](it.proxy)
        elif COLUMNS[column].only:
            await hub.tell("poll")
            _inject(it, column, "watch")
            it.proxy.faults.close_watches("pods")
        else:
            for verb in ("list", "watch", "get"):
                _inject(it, column, verb)
        loop = asyncio.get_running_loop()
        end = loop.time() + _WHILE
        while loop.time() < end:
            if await hub.tell("poll") is not None:
                return "disowned"
            await asyncio.sleep(1)
        return "kept"


async def _stop(it: Ground, column: str, interpreter: str, directory: Path) -> str:
    async with life(it, interpreter, directory, {}) as hub:
        await hub.tell("start")
        if column == "clock jump":
            await hub.tell(f"clock {_DAY}")
        else:
            _inject(it, column, "delete", times=1)
            if COLUMNS[column].only:
                it.proxy.faults.close_watches("pods")
        answer = await hub.tell("stop")
        left = [p for p in await it.objects("pods") if not p["metadata"].get("deletionTimestamp")]
        if left:
            return "pod left"
        return "gone, but said to have failed" if isinstance(answer, dict) else "gone"


def interpreters() -> dict[str, str]:
    """Return the interpreter of each side; makes the peer's environment if it is missing."""
    from bench.peer import python

    return {"ours": sys.executable, "peer": python()}
