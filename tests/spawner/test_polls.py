"""Polls of a server that runs: decoded once per version of its pod, and blind to no change."""

from __future__ import annotations

import pytest
from jupyterhub import orm
from jupyterhub.objects import Server

from kubespawner import KubeSpawner
from kubespawner.kube.informer import Informer
from tests.support.waiting import eventually

from ._stage import staged, started


@pytest.fixture
async def stage(tmp_path):
    async with staged(tmp_path) as stage:
        yield stage


def count_reads(monkeypatch):
    """Return a list that grows with every pod that is read from the cache as a dict."""
    read: list[str] = []
    get = Informer.get

    def counting(self, key):
        read.append(key)
        return get(self, key)

    monkeypatch.setattr(Informer, "get", counting)
    return read


async def test_an_unchanged_pod_is_decoded_by_the_first_poll_only(stage, monkeypatch):
    spawner, _ = await started(stage)
    read = count_reads(monkeypatch)
    assert [await spawner.poll() for _ in range(4)] == [None] * 4
    assert len(read) == 1


async def test_every_change_of_the_pod_is_looked_at(stage, monkeypatch):
    spawner, pod = await started(stage)
    assert await spawner.poll() is None
    read = count_reads(monkeypatch)
    before = spawner._pods().header(spawner._pod_key)
    await stage.set_status(pod, message="something else")
    await eventually(lambda: spawner._pods().header(spawner._pod_key) is not before)
    assert await spawner.poll() is None
    assert len(read) == 1

    ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
    container = {"name": "notebook", "image": "x", "imageID": "", "ready": False}
    container |= {"restartCount": 0, "state": ended}
    await stage.set_status(pod, phase="Failed", containerStatuses=[container])
    await eventually(lambda: spawner._pods().get(spawner._pod_key)["status"]["phase"] == "Failed")
    assert await spawner.poll() == 3


async def test_a_pod_that_is_gone_is_noticed(stage):
    spawner, _ = await started(stage)
    assert await spawner.poll() is None
    await stage.clear()
    await eventually(lambda: spawner._pods().header(spawner._pod_key) is None)
    assert await spawner.poll() == 1


async def test_an_address_that_the_hub_has_wrong_is_put_right_though_the_pod_is_unchanged(stage):
    spawner, _ = await started(stage)
    spawner.orm_spawner = None
    spawner.db = orm.new_session_factory()()
    spawner.server = Server(proto="http", ip="10.1.2.3", port=8888)
    assert await spawner.poll() is None
    spawner.server.ip = "10.9.9.9"
    assert await spawner.poll() is None
    assert spawner.server.ip == "10.1.2.3"


async def test_a_subclass_is_asked_at_every_poll(stage):
    asked = []

    class Asked(KubeSpawner):
        def is_pod_running(self, pod):
            asked.append(pod)
            return super().is_pod_running(pod)

    spawner, _ = await started(stage, cls=Asked)
    asked.clear()
    assert [await spawner.poll() for _ in range(3)] == [None] * 3
    assert len(asked) == 3


async def test_the_operators_url_is_asked_for_at_every_poll(stage):
    asked = []

    def url(spawner, pod):
        asked.append(pod)
        return "http://10.1.2.3:8888"

    spawner, _ = await started(stage, get_pod_url=url)
    spawner.orm_spawner = None
    spawner.server = Server(proto="http", ip="10.1.2.3", port=8888)
    asked.clear()
    assert [await spawner.poll() for _ in range(3)] == [None] * 3
    assert len(asked) == 3


async def test_spawners_alike_share_what_they_found_until_the_watch_is_another(stage):
    one, two = stage.spawner("alice"), stage.spawner("bob")
    other = stage.spawner("carol", component_label="other")
    pods = one._pods()
    assert two._pods() is pods
    assert other._pods() is not pods
    assert len(KubeSpawner._pod_watches) == 2
    await one._start_watching_pods(replace=True)
    assert one._pods() is not pods
    assert two._pods() is one._pods()
    assert len(KubeSpawner._pod_watches) == 2
