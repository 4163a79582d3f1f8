"""Every reason for a failed start that can be provoked on a real cluster."""

from __future__ import annotations

import asyncio
import re

import pytest

from kubespawner.clients import load_config, shared_client
from tests.failures.cases import CASES, Case
from tests.failures.deaths import DEATHS, Death, die
from tests.failures.running import check, provoke, stop_watching, world_for
from tests.failures.world import REAL, World

from .conftest import IMAGE, on_this_machine

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
# Only the kubelet of this machine reaches a registry on its loopback interface.
LOOPBACK = ("image not found", "no permission to pull the image", "refused by a webhook")


@pytest.mark.parametrize("case", [pytest.param(c, id=c.title) for c in CASES if REAL in c.on])
async def test_failure(case: Case):
    if case.title in LOOPBACK:
        on_this_machine()
    load_config()
    async with world_for(case, REAL, shared_client("CoreV1Api"), IMAGE) as world:
        try:
            check(case, await provoke(case, world, to_the_end=False))
        finally:
            await stop_watching()


@pytest.mark.parametrize("death", [pytest.param(d, id=d.title) for d in DEATHS])
async def test_later_end(death: Death, namespace, caplog):
    world = World(REAL, shared_client("CoreV1Api"), namespace, IMAGE, registry="")
    notice = await die(death, world, lambda: [r.getMessage() for r in caplog.records])
    assert notice.reason == death.reason, notice
    assert re.search(death.words, notice.told), notice
    assert death.reason in notice.logged
    assert await world.left() == []


async def test_a_start_that_its_user_stops_ends_at_once_and_leaves_nothing(namespace):
    """As JupyterHub 6 stops a pending start: cancel, ask, and stop what still runs."""
    world = World(REAL, shared_client("CoreV1Api"), namespace, IMAGE, registry="")
    spawner = world.spawner(**world.settings(cpu_guarantee=1000))
    start = spawner.start()
    await world.pod()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    if await spawner.poll() is None:
        await spawner.stop()
    assert await world.left() == []
    assert await spawner.poll() is not None and spawner.exit_reason == ""
