"""Fixtures for testing a JupyterHub configuration on the embedded cluster.

Installed with the distribution's extra ``local``; pytest finds the plugin by itself. Needs
pytest-asyncio. An example, for a hook of yours::

    async def test_my_hook(make_spawner, local_cluster):
        spawner = make_spawner("alice", modify_pod_hook=my_hook)
        await spawner.start()
        pod = await local_cluster.api.read_namespaced_pod(spawner.pod_name, "default")
        assert pod.metadata.labels["team"] == "physics"
        await spawner.stop()

Or with your whole configuration file::

    async def test_my_configuration(make_spawner):
        spawner = make_spawner("alice", config_file="jupyterhub_config.py")
        manifest = await spawner.get_pod_manifest()
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

_async_fixture: Any
try:
    from pytest_asyncio import fixture as _async_fixture
except ImportError:
    _async_fixture = None

# A command that answers on the server's port, for pods that only have to run.
ANSWERING = ["python3", "-m", "http.server", "--bind", "0.0.0.0", "8888"]


def _load(config_file: str | Path) -> Any:
    from traitlets.config import PyFileConfigLoader

    path = Path(config_file).resolve()
    return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()


class FakeUser:
    """What a spawner reads of JupyterHub's user.

    Args:
        name: the user's name.
        groups: names of the groups they are in.
    """

    def __init__(self, name: str, groups: tuple[str, ...] = ()):
        from types import SimpleNamespace

        self.name = self.id = self.escaped_name = name
        self.url = f"/user/{name}/"
        self.groups = [SimpleNamespace(name=group) for group in groups]
        self.settings: dict[str, Any] = {}
        self.orm_user = SimpleNamespace(orm_spawners={})

    def server_url(self, name: str = "") -> str:
        return f"{self.url}{name}"


def fake_hub() -> Any:
    """Return what a spawner reads of the hub."""
    from types import SimpleNamespace

    return SimpleNamespace(
        public_host="",
        url="http://127.0.0.1:1/hub/",
        base_url="/hub/",
        api_url="http://127.0.0.1:1/hub/api/",
        server=SimpleNamespace(port=1),
    )


def build_spawner(
    config: Any,
    username: str = "alice",
    servername: str = "",
    *,
    groups: tuple[str, ...] = (),
    spawner_class: Any = None,
    hub: Any = None,
) -> Any:
    """Return a spawner as a hub with the configuration ``config`` would make it.

    Needs a running event loop; the cluster is the one of the current kubeconfig.

    Args:
        config: a traitlets ``Config``.
        groups: names of the groups the user is in.
        spawner_class: default: ``KubeSpawner``.
        hub: default: :func:`fake_hub`.
    """
    from unittest.mock import MagicMock

    from kubespawner import KubeSpawner

    orm_spawner = MagicMock(server=None, state=None)
    orm_spawner.name = servername
    spawner = (spawner_class or KubeSpawner)(
        user=FakeUser(username, groups),
        hub=hub or fake_hub(),
        orm_spawner=orm_spawner,
        db=MagicMock(),
        config=config,
        api_token="token",
        oauth_client_id="client",
    )
    spawner.server = None
    return spawner


def _make(
    username: str = "alice",
    servername: str = "",
    *,
    groups: tuple[str, ...] = (),
    spawner_class: Any = None,
    config_file: str | Path | None = None,
    **settings: Any,
) -> Any:
    from traitlets.config import Config

    config = Config({"KubeSpawner": Config({"cmd": ANSWERING, "image": "local/server:1"})})
    if config_file is not None:
        config.merge(_load(config_file))
    config.merge(Config({"KubeSpawner": Config(settings)}))
    return build_spawner(config, username, servername, groups=groups, spawner_class=spawner_class)


if _async_fixture is not None:

    @_async_fixture
    async def local_cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
        """A running :class:`~kubespawner.localcluster.LocalCluster`, named by ``KUBECONFIG``."""
        from kubespawner import KubeSpawner

        from . import LocalCluster

        async with LocalCluster() as cluster:
            monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig_path))
            yield cluster
            await KubeSpawner._stop_all_reflectors()

    @_async_fixture
    async def make_spawner(local_cluster: Any) -> Callable[..., Any]:
        """Return a function that makes spawners for the cluster.

        ``make_spawner(username="alice", servername="", groups=(), spawner_class=KubeSpawner,
        config_file=None, **settings)``; the settings win over the file. Without ``cmd``, pods run
        a plain web server that answers on the port.
        """
        return _make
