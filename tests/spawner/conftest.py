"""Spawners without a hub, on the embedded cluster: the fixtures that operators use."""

from __future__ import annotations

import asyncio

import pytest

from kubespawner.clients import shared_client
from kubespawner.localcluster.pytest_plugin import FakeUser as User
from kubespawner.localcluster.pytest_plugin import _make
from kubespawner.localcluster.pytest_plugin import fake_hub as hub

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


async def messages(spawner) -> list[dict]:
    return [entry async for entry in spawner.progress()]


async def eventually(condition, seconds: float = 20):
    """Return what ``condition()`` (may be async) returns once it is true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        assert asyncio.get_running_loop().time() < deadline, "it did not come true"
        await asyncio.sleep(0.02)
