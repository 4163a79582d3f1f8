"""Metrics: what the hub's page shows after spawns, polls and outages."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kubespawner import KubeSpawner, metrics
from kubespawner.errors import SpawnError
from kubespawner.localcluster.faults import Fault
from kubespawner.sweeper import Sweeper
from tests.support.waiting import eventually

from ._cases import STORAGE
from ._stage import staged


@pytest.fixture
async def stage(tmp_path):
    async with staged(tmp_path) as stage:
        yield stage


def page():
    """Return name and labels (without empty ones) to value."""
    registry = CollectorRegistry()
    metrics.register(registry)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()) if value)): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def grown(before):
    """Return what has more, or is new, since ``before``."""
    return {
        key: value - before.get(key, 0)
        for key, value in page().items()
        if value != before.get(key, 0)
    }


async def test_a_spawn_is_counted_with_its_phases_and_requests(stage):
    before = page()
    spawner = stage.spawner(**STORAGE)
    async with stage.starting(spawner) as future:
        (pod,) = await stage.pods()
        await stage.run(pod)
        await asyncio.wait_for(future, 10)
        now = grown(before)
    assert now["kubespawner_spawns_total", "started"] == 1
    for phase in (
        "options",
        "watches",
        "claim",
        "manifest",
        "create",
        "companions",
        "ready",
        "url",
    ):
        count = now["kubespawner_spawn_phase_seconds_count", phase]
        assert count == (2 if phase in ("claim", "manifest") else 1)
        assert now["kubespawner_spawn_phase_seconds_bucket", "+Inf", phase] == count
        assert now["kubespawner_spawn_phase_seconds_sum", phase] > 0
    assert now["kubespawner_api_requests_total", "201", "pod", "create"] == 1
    assert now["kubespawner_api_requests_total", "201", "persistent_volume_claim", "create"] == 1
    assert now["kubespawner_watch_objects", "pods in default"] == 1
    assert now["kubespawner_watch_health", "fresh", "pods in default"] == 1
    assert now["kubespawner_watch_lists_total", "pods in default"] == 1
    assert now["kubespawner_watch_connections_total", "pods in default"] >= 1


async def test_failures_and_cancellations_are_counted_by_reason(stage):
    before = page()
    with pytest.raises(SpawnError):
        await stage.spawner(pod_security="restricted", privileged=True).start()
    future = stage.spawner().start()
    await asyncio.sleep(0)
    future.cancel()
    await asyncio.gather(future, return_exceptions=True)
    now = grown(before)
    assert now["kubespawner_spawns_total", "failed", "InvalidManifest"] == 1
    assert now["kubespawner_spawns_total", "cancelled"] == 1
    assert ("kubespawner_spawns_total", "started") not in now


async def test_retries_and_requests_without_an_answer_are_counted(stage):
    stage.server.faults.add(Fault(status=503, resource="pods", verb="create", times=1))
    stage.server.faults.add(Fault(drop="before", resource="pods", verb="create", times=1))
    before = page()
    async with stage.starting(stage.spawner()):
        now = grown(before)
    for code, count in (("503", 1), ("none", 1), ("201", 1)):
        assert now["kubespawner_api_requests_total", code, "pod", "create"] == count
    assert now["kubespawner_api_retries_total", "pod", "create"] == 2


async def test_an_outage_shows_as_a_stale_watch_and_unknown_polls(stage):
    spawner = stage.spawner(k8s_api_request_timeout=1)
    async with stage.starting(spawner) as future:
        (pod,) = await stage.pods()
        await stage.run(pod)
        await asyncio.wait_for(future, 10)
    before = page()
    stage.server.faults.add(Fault(status=503))
    # The watch under way ends, and can't be resumed.
    informer = KubeSpawner.reflectors["pods", "default"].informer
    await informer.stop()
    informer.start()
    await eventually(lambda: informer.stale_since)
    assert await spawner.poll() is None
    now = page()
    assert now["kubespawner_polls_unknown_total",] == before["kubespawner_polls_unknown_total",] + 1
    assert now["kubespawner_watch_health", "stale", "pods in default"] == 1
    assert now["kubespawner_watch_health", "fresh", "pods in default"] == 0
    assert now["kubespawner_watch_stale_seconds", "pods in default"] > 0


async def test_leftovers_show_only_where_they_are_looked_for(stage):
    assert not any(name.startswith("kubespawner_leftovers") for name, *_ in page())
    stage.spawner(leftovers_interval=3600)
    try:
        now = page()
        for kind in ("pods", "secrets", "services", "claims"):
            assert now["kubespawner_leftovers", kind] == 0
            assert now["kubespawner_leftovers_deleted_total", kind] == 0
        assert now["kubespawner_leftovers_looked_timestamp_seconds",] == 0
    finally:
        for sweeper in Sweeper.running.values():
            sweeper.stop()
        Sweeper.running.clear()


def test_every_metric_says_what_it_is():
    names = [figure.name for figure in metrics.FIGURES]
    assert len(set(names)) == len(names)
    for figure in metrics.FIGURES:
        assert figure.name.startswith("kubespawner_")
        assert figure.kind in ("counter", "gauge", "histogram")
        assert figure.help.endswith(".")


def test_registering_twice_shows_everything_once():
    registry = CollectorRegistry()
    metrics.register(registry)
    metrics.register(registry)
    text = generate_latest(registry).decode()
    assert text.count("# TYPE kubespawner_spawns_total counter") == 1
