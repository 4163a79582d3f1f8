"""A claim is known to the hub from before a pod can write to it, not from when a start is over."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.hub import Browser, Hub

from .test_last_exit import QUICK

pytestmark = [pytest.mark.hub, pytest.mark.timeout(240)]

NEVER_READY = """
c.KubeSpawner.init_containers = [
    {"name": "slow", "image": "kubespawner/slow:1", "command": ["sleep", "1000"]}
]
"""
# The hub that comes back waits no longer than this for the server to become ready, and to answer.
RENAMED = """
c.KubeSpawner.pvc_name_template = "{user_server}-home"
c.KubeSpawner.start_timeout = 15
c.KubeSpawner.http_timeout = 3
c.JupyterHub.init_spawners_timeout = 1
"""


def claims_of(pod):
    volumes = pod.spec.volumes or []
    return [v.persistent_volume_claim.claim_name for v in volumes if v.persistent_volume_claim]


async def test_a_hub_killed_during_a_first_start_comes_back_with_another_template(
    cluster, tmp_path
):
    hub = Hub(tmp_path, cluster.kubeconfig_path, QUICK + NEVER_READY)
    await hub.start()
    try:
        async with Browser(hub, "alice") as alice:
            assert (await alice.submit(profile="small"))[0] == 302
            pods = []
            while not pods:
                pods = (await cluster.api.list_namespaced_pod("default")).items
                await asyncio.sleep(0.1)
            (claim,) = claims_of(pods[0])
            hub.kill()
            text = hub.config.read_text()
            hub.config.write_text(text.replace(NEVER_READY, RENAMED))
            await hub.start()
        async with Browser(hub, "alice") as alice:
            while await alice.servers():
                await asyncio.sleep(0.1)
            assert (await alice.spawn(profile="small"))[-1].get("ready")
            (pod,) = (await cluster.api.list_namespaced_pod("default")).items
            assert claims_of(pod) == [claim]
            found = (await cluster.api.list_namespaced_persistent_volume_claim("default")).items
            assert [item.metadata.name for item in found] == [claim]
            await alice.stop()
    finally:
        await hub.stop()
