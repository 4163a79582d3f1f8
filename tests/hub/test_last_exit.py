"""A server that dies leaves its reason on the next spawn page, until one has started again."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.hub import Browser, Hub

pytestmark = [pytest.mark.hub, pytest.mark.timeout(240)]

# A server of a few milliseconds: what it serves matters to nobody here.
QUICK = """
c.Spawner.poll_interval = 1
c.KubeSpawner.cmd = [
    "python3", "-c",
    "import http.server as h\\n"
    "class A(h.BaseHTTPRequestHandler):\\n"
    "    def do_GET(self):\\n"
    "        self.send_response(200); self.send_header('X-JupyterHub-Version', '6'); self.end_headers()\\n"
    "h.HTTPServer(('0.0.0.0', 8888), A).serve_forever()",
]
"""


async def test_the_next_spawn_page_says_how_the_last_server_ended(cluster, tmp_path):
    hub = Hub(tmp_path, cluster.kubeconfig_path, QUICK)
    await hub.start()
    try:
        async with Browser(hub, "alice") as alice:
            assert "About your last server" not in await alice.page("/hub/spawn/alice")
            assert (await alice.spawn(profile="small"))[-1].get("ready")
            (pod,) = (await cluster.api.list_namespaced_pod("default")).items
            await cluster.api.delete_namespaced_pod(
                pod.metadata.name, "default", grace_period_seconds=0
            )
            while await alice.servers():
                await asyncio.sleep(0.1)
            page = await alice.page("/hub/spawn/alice")
            assert "About your last server: Your server was removed from the cluster." in page
            # Also for a hub that was started since.
            hub.kill()
            await hub.start()
            assert "About your last server" in await alice.page("/hub/spawn/alice")
            assert (await alice.spawn(profile="small"))[-1].get("ready")
            await alice.stop()
            assert "About your last server" not in await alice.page("/hub/spawn/alice")
        assert "(PodDeleted): its pod was deleted from outside" in hub.log.read_text()
    finally:
        await hub.stop()
