"""Claims: bound late, bound by selector, kept, grown, removed."""

import asyncio

import pytest
from kubernetes_asyncio.client import ApiException, StorageV1Api

from kubespawner.errors import SpawnError

from .conftest import STORAGE, telling, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]


@pytest.fixture
async def volume(api, namespace, tmp_path):
    """Return a function that makes a volume by hand, of a class that nobody provisions."""
    storage = StorageV1Api(api.api_client)
    await storage.create_storage_class(
        {"metadata": {"name": namespace}, "provisioner": "example.org/nobody"}
    )
    made = []

    async def make(name, **labels):
        made.append(f"{namespace}-{name}")
        path = {"path": str(tmp_path / name), "type": "DirectoryOrCreate"}
        await api.create_persistent_volume(
            {
                "metadata": {"name": made[-1], "labels": labels},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "capacity": {"storage": "10Mi"},
                    "hostPath": path,
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": namespace,
                },
            }
        )
        return made[-1]

    yield make
    for name in made:
        await api.delete_persistent_volume(name)
    await storage.delete_storage_class(namespace)


async def exists(api, name, namespace) -> bool:
    try:
        await api.read_namespaced_persistent_volume_claim(name, namespace)
    except ApiException as e:
        if e.status != 404:
            raise
        return False
    return True


async def test_files_outlive_the_server(make_spawner, told_by):
    first = make_spawner(**STORAGE, cmd=telling("echo kept > /data/file"))
    await first.start()
    await told_by(first)
    await first.stop()
    again = make_spawner(**STORAGE, cmd=telling("cat /data/file"))
    await again.start()
    assert await told_by(again) == ["kept"]


async def test_files_outlive_a_crash(make_spawner, told_by, api, namespace):
    first = make_spawner(**STORAGE, cmd=telling("echo kept > /data/file"))
    await first.start()
    await told_by(first)
    await api.delete_namespaced_pod(first.pod_name, namespace, grace_period_seconds=0)
    again = make_spawner(**STORAGE, cmd=telling("cat /data/file"))
    await again.start()
    assert await told_by(again) == ["kept"]


async def test_named_servers_have_files_of_their_own(make_spawner, told_by):
    servers = [
        make_spawner(
            "alice", name, **STORAGE, cmd=telling(f"touch /data/{name or 'default'}", "ls /data")
        )
        for name in ("", "second")
    ]
    await asyncio.gather(*(server.start() for server in servers))
    assert [await told_by(server) for server in servers] == [["default"], ["second"]]


async def test_a_claim_that_waits_is_told_and_its_volume_arrives(
    make_spawner, told_by, namespace, volume
):
    spawner = make_spawner(
        **STORAGE, storage_class=namespace, cmd=telling("echo here > /data/file", "cat /data/file")
    )
    start = spawner.start()
    async for entry in spawner.progress():
        if (
            "Waiting for your storage volume" in entry["message"]
            or "no free storage" in (entry["message"])
        ):
            break
    assert not start.done()
    assert await spawner.poll() is None
    await volume("late")
    await start
    assert await told_by(spawner) == ["here"]


async def test_waiting_for_a_volume_has_an_end(make_spawner, namespace, volume, api):
    spawner = make_spawner(**STORAGE, storage_class=namespace, spawn_patience={"ClaimPending": 3})
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "ClaimPending"
    # It may be bound at the next attempt.
    assert await exists(api, spawner.pvc_name, namespace)


async def test_a_storage_class_that_does_not_exist(make_spawner):
    spawner = make_spawner(
        **STORAGE, storage_class="absent-class", spawn_patience={"ClaimProvisioningFailed": 1}
    )
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "ClaimProvisioningFailed"
    assert "its kind does not exist" in error.value.jupyterhub_message


async def test_the_selector_chooses_the_volume(make_spawner, api, namespace, volume):
    await volume("wrong", **{"for": "bob"})
    right = await volume("right", **{"for": "alice"})
    spawner = make_spawner(
        **STORAGE,
        storage_class=namespace,
        storage_selector={"matchLabels": {"for": "{username}"}},
    )
    await spawner.start()
    claim = await api.read_namespaced_persistent_volume_claim(spawner.pvc_name, namespace)
    assert claim.spec.volume_name == right


async def test_a_deleted_users_claim_goes_when_no_pod_uses_it(make_spawner, api, namespace):
    spawner = make_spawner(**STORAGE)
    await spawner.start()
    name = spawner.pvc_name
    await spawner.delete_forever()
    # Protected while the pod is there: its files are still being used.
    claim = await api.read_namespaced_persistent_volume_claim(name, namespace)
    assert claim.metadata.deletion_timestamp is not None
    await spawner.stop()

    async def gone() -> bool:
        return not await exists(api, name, namespace)

    await until(gone)
