"""Spawners without a hub, on an API server: the embedded cluster, or the current kubeconfig's."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from kubernetes_asyncio import config as kube_config
from traitlets.config import Config

from kubespawner import KubeSpawner
from kubespawner.clients import shared_client
from kubespawner.localcluster import LocalCluster

# Answers on the port it is told, as a notebook server would.
SERVER = ["python3", "-m", "http.server", "--bind", "0.0.0.0", "8888"]


class User(SimpleNamespace):
    """The parts of JupyterHub's user that a spawner reads."""

    def __init__(self, name: str):
        super().__init__(
            name=name,
            id=name,
            url=f"/user/{name}/",
            escaped_name=name,
            groups=[],
            settings={},
            orm_user=SimpleNamespace(orm_spawners={}),
        )

    def __hash__(self) -> int:
        return hash(self.name)

    def server_url(self, name: str = "") -> str:
        return f"{self.url}{name}"


def hub() -> SimpleNamespace:
    return SimpleNamespace(
        public_host="",
        url="http://127.0.0.1:1/hub/",
        base_url="/hub/",
        api_url="http://127.0.0.1:1/hub/api/",
        server=SimpleNamespace(port=1),
    )


@pytest.fixture
async def cluster():
    async with LocalCluster() as cluster:
        await kube_config.load_kube_config(config_file=str(cluster.kubeconfig_path))
        yield cluster
        await KubeSpawner._stop_all_reflectors()


@pytest.fixture
async def api(cluster):
    return shared_client("CoreV1Api")


@pytest.fixture
def make_spawner(cluster, monkeypatch):
    """Return a function that makes a spawner: ``make_spawner("user", "server", trait=value)``."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig_path))

    def make(username="alice", servername="", cls=KubeSpawner, section=None, **traits):
        config = Config()
        config.KubeSpawner = Config(
            {"cmd": SERVER, "image": "kubespawner/test:1", "start_timeout": 30, **traits}
        )
        if section:
            config.merge(section)
        orm_spawner = MagicMock(server=None)
        orm_spawner.name = servername
        spawner = cls(
            hub=hub(),
            user=User(username),
            orm_spawner=orm_spawner,
            db=MagicMock(),
            config=config,
            api_token="token",
            oauth_client_id="client",
        )
        spawner.server = None
        return spawner

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
