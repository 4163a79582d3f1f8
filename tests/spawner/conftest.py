"""Spawners without a hub, on the embedded cluster: the fixtures that operators use."""

from __future__ import annotations

import pytest
import pytest_asyncio

from kubespawner.clients import shared_client
from kubespawner.localcluster.pytest_plugin import FakeUser as User
from kubespawner.localcluster.pytest_plugin import _make
from kubespawner.localcluster.pytest_plugin import fake_hub as hub

from ._stage import staged

__all__ = ["User", "hub"]


@pytest.fixture
async def cluster(local_cluster):
    return local_cluster


@pytest.fixture
async def api(make_spawner):
    make_spawner()
    return shared_client("CoreV1Api")


@pytest.fixture
async def make_spawner(local_cluster):
    """Return a function that makes a spawner: ``make_spawner("user", "server", trait=value)``."""

    def make(username="alice", servername="", **traits):
        return _make(username, servername, **{"start_timeout": 30, **traits})

    return make


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _stage(tmp_path_factory):
    async with staged(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def stage(_stage):
    """An API server without a node, which a module's tests share; empty again after each."""
    yield _stage
    await _stage.clear()


async def messages(spawner) -> list[dict]:
    return [entry async for entry in spawner.progress()]
