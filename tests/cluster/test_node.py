"""A node that is lost for a while: its kubelet is stopped, its containers go on."""

import aiohttp
import pytest

from kubespawner.errors import SpawnError

from .conftest import until

pytestmark = [pytest.mark.cluster, pytest.mark.outage, pytest.mark.timeout(600)]


async def test_servers_on_a_node_that_is_not_ready(make_spawner, pods, parts, api):
    spawner = make_spawner("alice", start_timeout=10)
    url = await spawner.start()
    await parts.kill("kubelet")

    async def counts_as_lost() -> bool:
        (pod,) = await pods()
        return "False" in {c.status for c in pod.status.conditions if c.type == "Ready"}

    await until(counts_as_lost, 180)
    # The hub does not take from a user what may well be running; and here it does.
    assert await spawner.poll() is None
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status in (200, 404)

    with pytest.raises(SpawnError) as error:
        await make_spawner("bob", spawn_patience={"Unschedulable": 3}).start()
    assert error.value.reason == "Unschedulable"
    assert "not ready" in error.value.jupyterhub_message

    # A pod goes only when its kubelet says so: the stop says where it hangs.
    node = (await pods())[0].spec.node_name
    with pytest.raises(TimeoutError) as stuck:
        await spawner.stop()
    assert node in str(stuck.value)

    await parts.start()

    async def gone() -> bool:
        return "alice" not in str([pod.metadata.name for pod in await pods()])

    await until(gone, 120)
    assert isinstance(await spawner.poll(), int)
    await make_spawner("bob").start()
