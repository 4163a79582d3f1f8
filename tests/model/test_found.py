"""What the model test found; each test fails on the behaviour it found."""

from __future__ import annotations

import asyncio
import json

import pytest

from kubespawner import KubeSpawner
from kubespawner.errors import SpawnError

from ..faults.conftest import STORAGE, until


async def test_pod_of_a_stop_that_failed_is_deleted_once_the_api_server_is_back(field):
    """The hub forgets a server whose stop failed: its pod ran on, unknown to anybody."""
    spawner = field.spawner(k8s_api_request_retry_timeout=1)
    await spawner.start()
    outage = field.fail(resource="pods", drop="before")
    with pytest.raises(SpawnError):
        await spawner.stop()
    spawner.clear_state()
    assert len(field.pods()) == 1
    await asyncio.sleep(600)
    field.faults.remove(outage)
    await until(lambda: not field.pods(), 120)


async def test_pod_of_a_start_that_failed_is_deleted_once_the_api_server_is_back(field):
    """Neither the start's own cleaning up nor the hub's stop could reach the API server."""
    field.runs = False
    spawner = field.spawner(k8s_api_request_retry_timeout=1, start_timeout=5)
    future = spawner.start()
    await until(field.pods)
    outage = field.fail(resource="pods", drop="before")
    with pytest.raises(SpawnError):
        await future
    assert await spawner.poll() is None
    with pytest.raises(SpawnError):
        await spawner.stop()
    spawner.clear_state()
    field.faults.remove(outage)
    await until(lambda: not field.pods(), 120)


async def test_a_newer_pod_survives_the_late_deletion_of_an_older_one(field):
    spawner = field.spawner(k8s_api_request_retry_timeout=1)
    await spawner.start()
    outage = field.fail(verb="delete", resource="pods", drop="before")
    with pytest.raises(SpawnError):
        await spawner.stop()
    field.confirm_gone(spawner.pod_name)
    spawner.clear_state()
    await spawner.start()
    field.faults.remove(outage)
    await asyncio.sleep(300)
    assert [pod["metadata"]["uid"] for pod in field.pods()] == [spawner.pod_id]


async def test_the_claim_of_a_start_that_the_hub_did_not_survive_is_known_to_the_next(field):
    """It was in no database: with other templates, the server got another, empty claim."""
    field.runs = False
    home = {"volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}]}
    first = field.spawner(**STORAGE, **home)
    future = first.start()
    await until(field.pods)
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    first.db.commit.assert_called()
    stored = json.loads(json.dumps(first.orm_spawner.state))
    await KubeSpawner._stop_all_reflectors()
    field.runs = True
    second = field.spawner(pvc_name_template="{user_server}-home", **STORAGE, **home)
    second.load_state(stored)
    await second.start()
    (pod,) = field.pods_of(second)
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == "claim-alice"
    assert len(field.objects("persistentvolumeclaims")) == 1
