"""A real hub that looks out for leftovers, its metrics, and the command line beside it."""

import asyncio
import json
import sys

import pytest

from tests.support.hub import Browser, Hub
from tests.support.waiting import eventually

pytestmark = [pytest.mark.hub, pytest.mark.timeout(240)]

TOKEN = "of-the-watcher-0123456789"
CONFIG = f"""
import kubespawner.sweeper
# What a test makes is old enough at once.
kubespawner.sweeper._AFTER_START = -10**6
c.KubeSpawner.leftovers_grace = 0
c.KubeSpawner.leftovers_interval = 1
c.KubeSpawner.leftovers_delete = ["pods"]
c.JupyterHub.services = [
    {{"name": "watcher", "api_token": "{TOKEN}"}},
    {{"name": "blind", "api_token": "{TOKEN}-blind"}},
]
c.JupyterHub.load_roles = [
    {{
        "name": "watcher",
        "services": ["watcher"],
        "scopes": ["list:users", "read:servers", "admin:server_state", "read:metrics"],
    }}
]
"""


@pytest.fixture
async def hub(cluster, tmp_path):
    hub = Hub(tmp_path, cluster.kubeconfig_path, CONFIG)
    await hub.start()
    yield hub
    await hub.stop()


def of_nobody(name, **spec):
    return {
        "metadata": {
            "name": name,
            "labels": {
                "component": "singleuser-storage" if "accessModes" in spec else "singleuser-server",
                "app.kubernetes.io/component": "singleuser-server",
            },
            "annotations": {
                "hub.jupyter.org/username": "nobody",
                "hub.jupyter.org/hub": "default/singleuser-server",
            },
        },
        "spec": spec,
    }


POD = of_nobody(
    "jupyter-nobody",
    schedulerName="none",
    containers=[{"name": "notebook", "image": "local/server:1"}],
)
CLAIM = of_nobody(
    "claim-nobody",
    accessModes=["ReadWriteOnce"],
    resources={"requests": {"storage": "1Gi"}},
)


async def command(hub, *arguments, token=TOKEN, api=None):
    """Run the command line; return its exit code, output, and what it says of errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kubespawner.cli",
        "leftovers",
        str(hub.config),
        *arguments,
        env={
            **hub.env,
            "JUPYTERHUB_API_URL": api or f"http://127.0.0.1:{hub.env['DEMO_HUB_PORT']}/hub/api",
            "JUPYTERHUB_API_TOKEN": token,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def metrics(hub, browser):
    headers = {"Authorization": f"token {TOKEN}"}
    async with browser.session.get(f"{hub.url}/hub/metrics", headers=headers) as response:
        assert response.status == 200
        return (await response.text()).splitlines()


async def names(cluster):
    pods = (await cluster.api.list_namespaced_pod("default")).items
    claims = (await cluster.api.list_namespaced_persistent_volume_claim("default")).items
    return {item.metadata.name for item in (*pods, *claims)}


async def test_leftovers_of_a_hub_that_serves_a_user(hub, cluster):
    async with Browser(hub, "alice") as alice:
        assert (await alice.spawn(profile="small"))[-1].get("ready")
        served = await names(cluster)
        assert len(served) == 2
        assert await command(hub) == (0, "Nothing is left over.\n", "")

        await cluster.api.create_namespaced_persistent_volume_claim("default", CLAIM)
        await cluster.api.create_namespaced_pod("default", POD)

        # The hub deletes the pod by itself; the claim it keeps, and tells of.
        async def only_the_claim():
            return await names(cluster) == {*served, "claim-nobody"}

        await eventually(only_the_claim)

        async def told():
            lines = await metrics(hub, alice)
            return (
                'kubespawner_leftovers{kind="claims"} 1.0' in lines
                and 'kubespawner_leftovers{kind="pods"} 0.0' in lines
            )

        await eventually(told)
        lines = await metrics(hub, alice)
        assert 'kubespawner_leftovers_deleted_total{kind="pods"} 1.0' in lines
        assert 'kubespawner_spawns_total{outcome="started",reason=""} 1.0' in lines
        log = hub.log.read_text()
        assert "Deleted the leftover pod default/jupyter-nobody" in log
        assert log.count("Leftover claim default/claim-nobody") == 1

        code, out, _ = await command(hub)
        assert code == 1
        assert "claim-nobody" in out
        assert "its user does not" in " ".join(out.split())
        code, out, _ = await command(hub, "--json", "--delete", "pods")
        assert code == 1
        (left,) = json.loads(out)["leftovers"]
        assert (left["kind"], left["name"], left["deleted"]) == ("claims", "claim-nobody", False)
        code, out, _ = await command(hub, "--json", "--delete", "claims")
        assert code == 0
        assert json.loads(out)["leftovers"][0]["deleted"] is True

        async def only_what_is_served():
            return await names(cluster) == served

        await eventually(only_what_is_served)
        assert "JupyterLab" in await alice.open_lab()

        code, out, err = await command(hub, token=f"{TOKEN}-blind", api=None)
        assert (code, out) == (2, "")
        assert "lacks the scopes list:users" in err
        code, out, err = await command(hub, api="http://127.0.0.1:1/hub/api")
        assert (code, out) == (2, "")
        assert "can't be asked" in err
        await alice.stop()
