"""The whole control plane dies while servers run and start."""

import asyncio
import contextlib

import aiohttp
import pytest
from kubernetes_asyncio.client import ApiException

from .conftest import SCRATCH, telling, until

pytestmark = [pytest.mark.cluster, pytest.mark.outage, pytest.mark.timeout(600)]

CONTROL_PLANE = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler")
PATIENT = {"start_timeout": 300, "k8s_api_request_retry_timeout": 240}
SLOW = {
    "volumes": [SCRATCH],
    "volume_mounts": [{"name": "scratch", "mountPath": "/shared"}],
    "extra_container_config": {
        "readinessProbe": {"exec": {"command": ["test", "-e", "/shared/ready"]}, "periodSeconds": 1}
    },
    "cmd": telling("sleep 20", "touch /shared/ready"),
}


async def identities(pods) -> dict[str, str]:
    return {pod.metadata.name: pod.metadata.uid for pod in await pods()}


async def test_nobody_is_disowned_and_everybody_arrives(make_spawner, pods, parts):
    running = [make_spawner(f"user{n}") for n in range(10)]
    urls = await asyncio.gather(*(spawner.start() for spawner in running))
    before = await identities(pods)
    polls = 0

    async def watch_over() -> None:
        nonlocal polls
        while True:
            # At once, as a hub does: while nobody answers, each one asks for some seconds.
            polled = await asyncio.gather(*(spawner.poll() for spawner in running))
            assert polled == [None] * len(running)
            polls += len(polled)
            await asyncio.sleep(0.2)

    guard = asyncio.ensure_future(watch_over())

    # One pod runs and is not ready, one may or may not have a node, one is not even created.
    starting = [make_spawner(f"late{n}", **PATIENT, **SLOW) for n in range(3)]
    starts = [starting[0].start()]

    async def first_runs() -> bool:
        return "Running" in {p.status.phase for p in await pods() if "late0" in p.metadata.name}

    await until(first_runs)
    starts.append(starting[1].start())
    await until(lambda: starting[1]._pod_uid)
    await parts.kill(*CONTROL_PLANE)
    starts.append(starting[2].start())
    with pytest.raises((aiohttp.ClientError, ApiException)):
        await pods()
    # With nobody to ask, they count as running, and rightly: they answer.
    polls = 0
    await until(lambda: polls >= 3 * len(running) or guard.done())
    async with aiohttp.ClientSession() as session:
        for url in urls:
            async with session.get(url) as response:
                assert response.status in (200, 404)
    assert not any(start.done() for start in starts)

    await parts.start()
    await asyncio.gather(*starts)
    assert not guard.done(), guard
    guard.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await guard
    after = await identities(pods)
    assert {name: after.get(name) for name in before} == before
    assert len(after) == 13
    assert [await spawner.poll() for spawner in (*running, *starting)] == [None] * 13
    await running[0].stop()
    assert isinstance(await running[0].poll(), int)
    assert await running[1].poll() is None
