"""Every reason for a failed start that can be provoked on a real cluster."""

from __future__ import annotations

import pytest

from kubespawner.clients import load_config, shared_client
from tests.failures.cases import CASES, Case
from tests.failures.running import check, provoke, stop_watching, world_for
from tests.failures.world import REAL

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
