"""A real JupyterHub process on the embedded cluster."""

from __future__ import annotations

import pytest

from kubespawner.localcluster import LocalCluster
from tests.support.hub import Hub


@pytest.fixture
async def cluster(tmp_path):
    async with LocalCluster(root=tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
async def hub(cluster, tmp_path):
    hub = Hub(tmp_path, cluster.kubeconfig_path)
    await hub.start()
    yield hub
    await hub.stop()
