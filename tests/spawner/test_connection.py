"""How the API server is reached, and what a hub says and keeps while it is not."""

import asyncio
import logging

import pytest

from kubespawner.errors import SpawnError
from kubespawner.kube.requests import ApiUnavailable
from kubespawner.localcluster.faults import Fault
from kubespawner.ownership import uid_of
from tests.support.waiting import eventually

from ._cases import shows
from ._stage import Stage, staged

QUICK = {"k8s_api_request_timeout": 1, "k8s_api_request_retry_timeout": 1}


@pytest.fixture
async def stage(tmp_path):
    async with staged(tmp_path) as stage:
        yield stage


# ---- settings ----------------------------------------------------------------------------


@shows("k8s_api_host")
async def test_k8s_api_host_replaces_the_address_of_the_kubeconfig(stage):
    other = Stage(token=stage.server.token)
    await other.start()
    try:
        async with other.starting(other.spawner(k8s_api_host=other.server.url)):
            assert len(await other.pods()) == 1
            assert await stage.pods() == []
    finally:
        await other.stop()


async def test_two_api_servers_in_one_process_are_not_mixed_up(stage):
    other = Stage(token=stage.server.token)
    await other.start()
    try:
        here = stage.spawner()
        there = other.spawner(k8s_api_host=other.server.url)
        assert here.api is not there.api
        async with stage.starting(here), other.starting(there):
            (pod,), (other_pod,) = await stage.pods(), await other.pods()
            assert uid_of(pod) != uid_of(other_pod)
            # Each asks its own cache; of the other's pod neither knows.
            assert here._pods() is not there._pods()
            assert uid_of(await here._find_pod()) == uid_of(pod)
            assert uid_of(await there._find_pod()) == uid_of(other_pod)
    finally:
        await other.stop()


def _without_authority(stage, path):
    """Write a kubeconfig that does not name the authority of the server's certificate."""
    kubeconfig = stage.server.kubeconfig()
    del kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]
    stage.write_kubeconfig(path / "kubeconfig", kubeconfig)


async def test_an_unknown_certificate_is_refused(stage, tmp_path):
    _without_authority(stage, tmp_path)
    with pytest.raises(SpawnError, match="certificate"):
        await stage.spawner(**QUICK, start_timeout=2).start()
    assert await stage.pods() == []


@shows("k8s_api_ssl_ca_cert")
async def test_k8s_api_ssl_ca_cert_makes_the_certificate_known(stage, tmp_path):
    _without_authority(stage, tmp_path)
    (tmp_path / "ca.pem").write_bytes(stage.server.ca_certificate)
    async with stage.starting(stage.spawner(k8s_api_ssl_ca_cert=str(tmp_path / "ca.pem"))):
        assert len(await stage.pods()) == 1


@shows("k8s_api_verify_ssl")
async def test_k8s_api_verify_ssl_off_accepts_any_certificate(stage, tmp_path):
    _without_authority(stage, tmp_path)
    async with stage.starting(stage.spawner(k8s_api_verify_ssl=False)):
        assert len(await stage.pods()) == 1


@shows("k8s_api_request_timeout", "k8s_api_request_retry_timeout")
async def test_requests_are_given_up_and_repeated_within_their_limits(stage):
    # Without the timeout of one request, the first create would never end.
    hanging = stage.server.faults.add(Fault(verb="create", resource="pods", delay=60, times=1))
    async with stage.starting(stage.spawner(k8s_api_request_timeout=1)):
        assert hanging.hits == 1
        assert len(await stage.pods()) == 1
    await stage.clear()

    refusing = stage.server.faults.add(Fault(verb="create", resource="pods", status=503))
    for seconds, spawner in ((1, stage.spawner("quick", **QUICK)), (30, stage.spawner("patient"))):
        future = spawner.start()
        if seconds == 1:
            with pytest.raises(SpawnError) as error:
                await asyncio.wait_for(future, 20)
            assert error.value.reason == "ClusterUnavailable"
            continue
        before = refusing.hits
        await eventually(lambda before=before: refusing.hits >= before + 2)
        stage.server.faults.remove(refusing)
        await eventually(stage.pods)
        future.cancel()
        await asyncio.gather(future, return_exceptions=True)


# ---- an API server that is away or refuses -------------------------------------------------


@pytest.fixture
async def server_before(stage):
    """State and pod of a server that an earlier hub started."""
    spawner = stage.spawner()
    async with stage.starting(spawner) as future:
        (pod,) = await stage.pods()
        await stage.run(pod)
        await asyncio.wait_for(future, 10)
    state = spawner.get_state()
    await spawner._stop_all_reflectors()
    return state, pod


def restored(stage, state, **settings):
    spawner = stage.spawner(**settings)
    spawner.load_state(state)
    return spawner


async def test_hub_that_starts_without_an_api_server_disowns_nobody(
    stage, server_before, tmp_path, caplog
):
    state, pod = server_before
    await stage.server.stop()
    with caplog.at_level(logging.WARNING):
        spawner = restored(stage, state, **QUICK)
        assert await asyncio.gather(*(spawner.poll() for _ in range(3))) == [None] * 3
    assert stage.server.tls_url in caplog.text
    assert str(tmp_path / "kubeconfig") in caplog.text
    unknown = [r for r in caplog.records if "is unknown" in r.getMessage()]
    assert len(unknown) == 1

    await stage.server.start()
    found = await eventually(lambda: spawner._pods().get(spawner._pod_key), 30)
    assert uid_of(found) == uid_of(pod)
    assert await spawner.poll() is None


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_hub_that_is_refused_disowns_nobody(stage, server_before, tmp_path, caplog, status):
    state, pod = server_before
    faults = stage.server.faults
    fault = faults.add(Fault(status=status, message="not today"))
    with caplog.at_level(logging.WARNING):
        spawner = restored(stage, state, **QUICK)
        assert await spawner.poll() is None
    assert fault.hits
    assert stage.server.tls_url in caplog.text
    assert str(tmp_path / "kubeconfig") in caplog.text
    assert "not today" in caplog.text or status == 401

    faults.remove(fault)
    found = await eventually(lambda: spawner._pods().get(spawner._pod_key), 30)
    assert uid_of(found) == uid_of(pod)
    assert await spawner.poll() is None


async def test_watch_says_what_is_missing_until_the_server_is_back(stage, server_before):
    state, _ = server_before
    await stage.server.stop()
    spawner = restored(stage, state, **QUICK)
    assert await spawner.poll() is None
    reflector = spawner.pod_reflector
    assert isinstance(reflector.informer.last_error, Exception)
    with pytest.raises(SpawnError) as error:
        await stage.spawner("bob", **QUICK, start_timeout=2).start()
    assert error.value.reason == "ClusterUnavailable"
    assert stage.server.tls_url in str(error.value)
    assert isinstance(error.value.__cause__, ApiUnavailable)
    await stage.server.start()
