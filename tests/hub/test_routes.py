"""A real JupyterHub whose proxy is the cluster: browser, routes as objects, hub and servers."""

from __future__ import annotations

import asyncio

import pytest
from kubernetes_asyncio.client import ApiextensionsV1Api

from kubespawner.localcluster import LocalCluster
from tests.support.gateway import CUSTOM_RESOURCES
from tests.support.hub import Browser, Hub
from tests.support.router import Router

pytestmark = [pytest.mark.hub, pytest.mark.timeout(300)]

CONFIGS = {
    "ingress": 'c.JupyterHub.proxy_class = "kube-ingress"',
    "gateway": (
        'c.JupyterHub.proxy_class = "kube-gateway"\n'
        'c.KubeGatewayProxy.gateway_parent_refs = [{"name": "test"}]\n'
        "c.KubeGatewayProxy.route_status_timeout = 60"
    ),
}


@pytest.mark.parametrize("kind", sorted(CONFIGS))
async def test_users_reach_hub_and_servers_through_the_clusters_own_routes(kind, tmp_path):
    async with LocalCluster(root=tmp_path / "cluster") as cluster:
        for definition in CUSTOM_RESOURCES:
            api = ApiextensionsV1Api(cluster.api.api_client)
            await api.create_custom_resource_definition(definition)
        directory = tmp_path / "hub"
        directory.mkdir()
        config = f"{CONFIGS[kind]}\nc.JupyterHub.cleanup_servers = False"
        hub = Hub(directory, cluster.kubeconfig_path, config)
        async with Router(kind, cluster, hub.port) as router:
            await hub.start()
            try:
                await _work(hub, router)
            finally:
                await hub.stop()


async def _work(hub: Hub, router: Router) -> None:
    async with Browser(hub, "ada") as ada:
        entries = await ada.spawn(profile="small")
        assert entries[-1].get("ready"), entries
        assert set(await router.routes()) == {"/", "/user/ada/"}
        assert "JupyterLab" in await ada.open_lab()
        assert await ada.run_code("6 * 7") == "42"
        before = await router.routes()

        hub.kill()
        # The server does not need the hub, nor does its route.
        assert await router.routes() == before
        await hub.start()
        assert await router.routes() == before
        assert await ada.run_code("6 * 8") == "48"

        await ada.stop()
        for _ in range(300):
            if set(await router.routes()) == {"/"}:
                break
            await asyncio.sleep(0.1)
        assert set(await router.routes()) == {"/"}
