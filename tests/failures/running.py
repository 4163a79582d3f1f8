"""Running a case with our spawner, and reading what its user reads."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from jupyterhub.utils import format_exception
from kubernetes_asyncio.client import CoreV1Api

from kubespawner import KubeSpawner
from kubespawner.errors import SpawnError

from .cases import Case
from .world import STAGE, World, empty_registry, namespaced

# More than any case needs to be read; a loaded machine may need it.
_READ_WITHIN = 150
# What is waited for by default, since it may heal: restarts (with ever longer pauses), objects
# that may be on their way, a part of the cluster that may come back.
_QUICK: dict[str, Any] = {
    "crash_loop_restarts": 1,
    "spawn_patience": {"CreateContainerConfigError": 2, "ClaimMissing": 2},
    "k8s_api_request_retry_timeout": 6,
}


@dataclass
class Outcome:
    """What became of a start.

    Attributes:
        reason: the code.
        told: what the user read of it first.
        told_last: what the hub's page said at the end.
        admin: what the log says.
        waiting_helps: whether the condition may go away.
        read_after: seconds until the user read it.
        ended_after: seconds until the start ended; None if it was not waited for.
        left: kinds of what stayed.
    """

    reason: str = ""
    told: str = ""
    told_last: str = ""
    admin: str = ""
    waiting_helps: bool = False
    read_after: float = 0.0
    ended_after: float | None = None
    left: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def world_for(case: Case, kind: str, api: Any, image: str) -> AsyncIterator[World]:
    """Yield a world of ``kind`` that is prepared for ``case``.

    Args:
        api: a CoreV1Api of the cluster; of the stage's client, with ``STAGE``.
    """
    async with contextlib.AsyncExitStack() as stack:
        registry = await stack.enter_async_context(empty_registry())
        if kind == STAGE:
            world = World(kind, api.api, "default", image, registry, api)
            stack.push_async_callback(world.close)
        else:
            world = await stack.enter_async_context(namespaced(api, kind, image, registry))
        if case.prepare:
            await case.prepare(world)
        yield world


async def provoke(case: Case, world: World, *, to_the_end: bool) -> Outcome:
    """Start a server in ``world``; return what its user read, and what stayed.

    Args:
        to_the_end: wait until a start ends that only tells its reason, and goes on.
    """
    patience = {} if to_the_end else _QUICK
    spawner = world.spawner(**world.settings(**case.settings(world), **patience))
    outcome, begin = Outcome(), time.monotonic()

    async def read() -> None:
        async for event in spawner.progress():
            if event.get("reason") in case.reasons:
                _note(outcome, event["reason"], event["message"], event["waiting_helps"], begin)
                outcome.admin = spawner._current_spawn.diagnosis.admin
                # What is found first can be less than what the cluster says a little later.
                if re.search(case.words, event["message"]):
                    return

    start = spawner.start()
    tasks = [asyncio.ensure_future(read())]
    if case.during:
        tasks.append(asyncio.ensure_future(case.during(world)))
    try:
        if case.ends or to_the_end:
            await asyncio.wait([start], timeout=_READ_WITHIN)
        else:
            await asyncio.wait(
                [start, tasks[0]], return_when="FIRST_COMPLETED", timeout=_READ_WITHIN
            )
        await _finish(spawner, start, outcome, begin)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    outcome.left = await world.left()
    return outcome


def _note(outcome: Outcome, reason: str, told: str, waiting_helps: bool, begin: float) -> None:
    outcome.reason, outcome.told, outcome.waiting_helps = reason, told, waiting_helps
    outcome.read_after = time.monotonic() - begin


async def _finish(spawner: Any, start: asyncio.Future[str], outcome: Outcome, begin: float) -> None:
    if not start.done():
        start.cancel()
    try:
        await start
    except asyncio.CancelledError:
        return
    except SpawnError as error:
        outcome.ended_after = time.monotonic() - begin
        # What JupyterHub puts on its page.
        message, _ = format_exception(error, only_jupyterhub=True)
        outcome.told_last = message
        if not outcome.told:
            _note(outcome, error.reason, message, error.waiting_helps, begin)
        outcome.admin = str(error)
    else:
        await spawner.stop(now=True)
        raise AssertionError("the server started")


def check(case: Case, outcome: Outcome) -> None:
    """Assert that the user read the reason, the administrator the facts, and nothing stayed."""
    assert outcome.reason in case.reasons, outcome
    # What comes at the end has the container's own words.
    assert re.search(case.words, outcome.told_last or outcome.told), outcome
    assert re.search(case.facts, outcome.admin, re.DOTALL), outcome
    assert sorted(outcome.left) == sorted(case.left), outcome
    # One sentence for people: no JSON, no stack, nothing of the API client.
    assert len(outcome.told) < 500 and "Traceback" not in outcome.told, outcome


async def stop_watching() -> None:
    await KubeSpawner._stop_all_reflectors()


def core(client: Any) -> CoreV1Api:
    return CoreV1Api(client)
