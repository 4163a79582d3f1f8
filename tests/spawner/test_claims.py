"""Claims: made, found again, and never somebody else's."""

import pytest
from kubernetes_asyncio.client import ApiException

from kubespawner.errors import SpawnError

STORAGE = {"storage_pvc_ensure": True, "storage_capacity": "1Gi"}


async def claims(api):
    found = (await api.list_namespaced_persistent_volume_claim("default")).items
    return {claim.metadata.name: claim for claim in found}


def claim_of(name, username=None):
    annotations = {"hub.jupyter.org/username": username} if username else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


async def test_claim_is_made_recorded_and_outlives_the_server(make_spawner, api):
    spawner = make_spawner(**STORAGE)
    assert "pvc_name" not in spawner.get_state()
    await spawner.start()
    await spawner.stop()
    spawner.clear_state()
    assert spawner.get_state()["pvc_name"] == "claim-alice"
    assert set(await claims(api)) == {"claim-alice"}


async def test_remembered_claim_survives_a_renamed_template(make_spawner, api):
    first = make_spawner(**STORAGE)
    await first.start()
    await first.stop()
    first.clear_state()
    again = make_spawner(pvc_name_template="data-{user_server}", **STORAGE)
    again.load_state(first.get_state())
    again.clear_state()
    await again.start()
    assert set(await claims(api)) == {"claim-alice"}
    await again.stop()


@pytest.mark.parametrize("state", [{}, {"kubespawner_version": "7.1.0"}, {"pod_name": "x"}])
async def test_legacy_claim_is_found_whatever_version_wrote_the_state(make_spawner, api, state):
    await api.create_namespaced_persistent_volume_claim(
        "default", claim_of("claim-has-2dhyphen", "has-hyphen")
    )
    spawner = make_spawner("has-hyphen", **STORAGE)
    spawner.load_state(state)
    spawner.clear_state()
    await spawner.start()
    assert spawner.pvc_name == "claim-has-2dhyphen"
    assert set(await claims(api)) == {"claim-has-2dhyphen"}
    await spawner.stop()


async def test_claim_of_another_user_is_never_mounted(make_spawner, api):
    await api.create_namespaced_persistent_volume_claim("default", claim_of("shared", "bob"))
    spawner = make_spawner("alice", pvc_name_template="shared", **STORAGE)
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert "'alice'" in str(error.value)
    assert "'bob'" in str(error.value)
    assert set(await claims(api)) == {"shared"}


async def test_claim_deleted_by_hand_is_made_anew_with_a_warning(make_spawner, api):
    spawner = make_spawner(**STORAGE)
    await spawner.start()
    await spawner.stop()
    await api.delete_namespaced_persistent_volume_claim("claim-alice", "default")
    spawner.clear_state()
    await spawner.start()
    entries = [entry["message"] async for entry in spawner.progress()]
    assert any("new and empty" in message for message in entries)
    assert set(await claims(api)) == {"claim-alice"}
    await spawner.stop()


async def test_delete_forever_deletes_the_users_claim(make_spawner, api):
    spawner = make_spawner(**STORAGE)
    await spawner.start()
    await spawner.stop()
    await spawner.delete_forever()
    assert await claims(api) == {}


@pytest.mark.parametrize(
    ("template", "left"),
    [
        ("claim-{user_server}", set()),
        ("claim-{username}--{servername}", set()),
        ("claim-{pod_name}", set()),
        ("claim-{username}", {"claim-alice"}),
    ],
)
async def test_named_server_takes_only_a_claim_that_is_its_own(make_spawner, api, template, left):
    spawner = make_spawner("alice", "lab", pvc_name_template=template, **STORAGE)
    await spawner.start()
    await spawner.stop()
    await spawner.delete_forever()
    assert set(await claims(api)) == left


async def test_claim_without_user_part_outlives_the_user_it_was_not_made_for(make_spawner, api):
    await api.create_namespaced_persistent_volume_claim("default", claim_of("everyone"))
    spawner = make_spawner("alice", pvc_name_template="everyone", **STORAGE)
    await spawner.start()
    await spawner.stop()
    await spawner.delete_forever()
    assert set(await claims(api)) == {"everyone"}


async def test_delete_pvc_off_keeps_the_claim(make_spawner, api):
    spawner = make_spawner(delete_pvc=False, **STORAGE)
    await spawner.start()
    await spawner.stop()
    await spawner.delete_forever()
    assert set(await claims(api)) == {"claim-alice"}


async def test_quota_refusal_has_the_numbers_and_an_existing_claim_still_mounts(make_spawner, api):
    await api.create_namespaced_resource_quota(
        "default",
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "limit"},
            "spec": {"hard": {"persistentvolumeclaims": "1"}},
        },
    )
    first = make_spawner("alice", **STORAGE)
    await first.start()
    await first.stop()
    second = make_spawner("bob", **STORAGE)
    with pytest.raises(SpawnError) as error:
        await second.start()
    assert isinstance(error.value.__cause__, ApiException)
    assert 400 <= error.value.status_code < 500
    assert "persistentvolumeclaims" in str(error.value)
    again = make_spawner("alice", **STORAGE)
    await again.start()
    await again.stop()


async def test_ensure_without_capacity_names_the_setting(make_spawner, api):
    spawner = make_spawner(storage_pvc_ensure=True)
    with pytest.raises(SpawnError, match="storage_capacity"):
        await spawner.start()
    assert await claims(api) == {}
