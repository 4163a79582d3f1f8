"""Servers that end after they were up, and what their user reads at the next visit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .cases import NEVER, Act, delete_pod, volume
from .world import World, until

# Answers at once, and goes on to its end.
_THEN = "httpd -p 8888 -h /tmp; sleep 2; "
_EAT = _THEN + "x=a; while true; do x=$x$x; done"


@dataclass(frozen=True)
class Death:
    """One way to end.

    Args:
        title: for the table.
        reason: the code in the server's state.
        words: what the notice has to contain.
        settings: of the server.
        act: what happens from outside.
        runs_on: the kubelet starts it again, and the hub still counts it as running.
    """

    title: str
    reason: str
    words: str
    settings: Callable[[World], dict[str, Any]] = lambda world: {}
    act: Act | None = None
    runs_on: bool = False


def _script(script: str, **more: Any) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"cmd": ["sh", "-c", script], **more}


async def evict(world: World) -> None:
    """Ask for the pod's eviction, as who drains a node does."""
    pod = await world.running_pod()
    name = pod["metadata"]["name"]
    body = {
        "apiVersion": "policy/v1beta1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": world.namespace},
    }
    await world.call("POST", world.path("pods", f"{name}/eviction"), body)


DEATHS = [
    Death(
        "out of memory (`restartPolicy: Never`)",
        "OOMKilled",
        "Your server used more memory than its limit of 16 MiB, and was stopped",
        _script(_EAT, mem_limit="16M", mem_guarantee="16M", extra_pod_config=NEVER),
    ),
    Death(
        "out of memory, started again by the kubelet (the default)",
        "OOMKilled",
        "Your server used more memory than its limit of 16 MiB, and was stopped",
        _script(_EAT, mem_limit="16M", mem_guarantee="16M"),
        runs_on=True,
    ),
    Death(
        "ended by itself with an error",
        "ServerExited",
        r"Your server ended by itself \(exit code 5\)",
        _script(_THEN + "exit 5", extra_pod_config=NEVER),
    ),
    Death(
        "evicted: too much temporary data",
        "Evicted",
        "used more temporary disk space than it may have",
        volume(
            {"emptyDir": {"sizeLimit": "1Mi"}},
            cmd=["sh", "-c", _THEN + "head -c 9000000 /dev/zero > /it/x; sleep 600"],
        ),
    ),
    Death("evicted by who drains the node", "PodDeleted", "removed from the cluster", act=evict),
    Death("pod deleted from outside", "PodDeleted", "removed from the cluster", act=delete_pod),
]


@dataclass
class Notice:
    """What is left of a server.

    Attributes:
        reason: the code, in its state.
        told: what the next spawn page or start says.
        logged: what the hub's log says.
    """

    reason: str
    told: str
    logged: str


async def die(death: Death, world: World, logged: Callable[[], list[str]]) -> Notice:
    """Let a server start and end; return what its user and the log are told.

    Args:
        logged: returns the lines of the log so far.
    """
    spawner = world.spawner(**world.settings(**death.settings(world)))
    await spawner.start()
    act = asyncio.ensure_future(death.act(world)) if death.act else None

    async def noticed() -> bool:
        code = await spawner.poll()
        return bool(spawner.exit_reason) if death.runs_on else code is not None

    await until(noticed, 120)
    if act:
        await act
    notice = await spawner.last_exit_notice()
    await spawner.stop(now=True)
    lines = [line for line in logged() if "ended (" in line or "was restarted" in line]
    return Notice(spawner.exit_reason, notice["message"] if notice else "", lines[0])
