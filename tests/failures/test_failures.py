"""Failures on the embedded cluster, and on an API server where the test speaks for the kubelet."""

from __future__ import annotations

import pytest

from kubespawner.clients import shared_client
from tests.spawner._stage import staged

from .cases import CASES, Case
from .running import check, provoke, stop_watching, world_for
from .world import EMBEDDED, STAGE


def cases(kind: str) -> list[pytest.ParameterSet]:
    return [pytest.param(case, id=case.title) for case in CASES if kind in case.on]


@pytest.mark.parametrize("case", cases(EMBEDDED))
async def test_on_the_embedded_cluster(case: Case, local_cluster, make_spawner):
    make_spawner()
    api = shared_client("CoreV1Api")
    async with world_for(case, EMBEDDED, api, "local/shell:1") as world:
        check(case, await provoke(case, world, to_the_end=False))
        await stop_watching()


@pytest.mark.parametrize("case", cases(STAGE))
async def test_as_a_kubelet_or_controller_would_say(case: Case, tmp_path):
    async with staged(tmp_path) as stage, world_for(case, STAGE, stage, "local/shell:1") as world:
        check(case, await provoke(case, world, to_the_end=False))
