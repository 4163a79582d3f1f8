"""Claims: made, found again, and never somebody else's."""

import logging
from types import SimpleNamespace

import pytest
from kubernetes_asyncio.client import ApiException, StorageV1Api

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


async def test_claim_of_a_profiles_namespace_is_none_of_the_configured_one(make_spawner, api):
    await api.create_namespace({"metadata": {"name": "gpu"}})
    gpu = {"display_name": "GPU", "slug": "gpu", "kubespawner_override": {"namespace": "gpu"}}
    settings = {**STORAGE, "profile_list": [{"display_name": "Small"}, gpu]}
    first = make_spawner("has-hyphen", **settings)
    first.user_options = {"profile": "gpu"}
    await first.start()
    await first.stop()
    first.clear_state()
    state = first.get_state()
    assert state["namespace"] == "default" and "pvc_name" not in state
    assert list(state["claims"]) == ["gpu"]
    # A claim of an earlier version is looked for, and a new one is no loss.
    await api.create_namespaced_persistent_volume_claim(
        "default", claim_of("claim-has-2dhyphen", "has-hyphen")
    )
    again = make_spawner("has-hyphen", **settings)
    again.load_state(state)
    again.clear_state()
    await again.start()
    assert set(await claims(api)) == {"claim-has-2dhyphen"}
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


@pytest.mark.parametrize("capacity", [None, ""])
async def test_ensure_without_capacity_names_the_setting(make_spawner, api, capacity):
    spawner = make_spawner(storage_pvc_ensure=True, storage_capacity=capacity)
    with pytest.raises(SpawnError, match="storage_capacity"):
        await spawner.start()
    assert await claims(api) == {}


# ---- growing -----------------------------------------------------------------------------


async def ended(make_spawner, **settings):
    """Start and stop alice's server."""
    spawner = make_spawner(**{**STORAGE, **settings})
    await spawner.start()
    await spawner.stop()
    return spawner


async def size(api, name="claim-alice"):
    return (await claims(api))[name].spec.resources.requests["storage"]


async def allow_expansion(api, allowed=True):
    storage = StorageV1Api(api.api_client)
    (storage_class,) = (await storage.list_storage_class()).items
    await storage.patch_storage_class(
        storage_class.metadata.name, {"allowVolumeExpansion": allowed}
    )


async def test_claim_grows_with_the_capacity_and_keeps_its_identity(make_spawner, api):
    await allow_expansion(api)
    await ended(make_spawner)
    uid = (await claims(api))["claim-alice"].metadata.uid
    await ended(make_spawner, storage_capacity="2Gi")
    assert await size(api) == "2Gi"
    assert (await claims(api))["claim-alice"].metadata.uid == uid


@pytest.mark.parametrize("capacity", ["512Mi", "1024Mi", "1Gi"])
async def test_claim_never_shrinks_and_is_left_alone_where_it_is_large_enough(
    make_spawner, api, capacity
):
    await allow_expansion(api)
    await ended(make_spawner)
    version = (await claims(api))["claim-alice"].metadata.resource_version
    await ended(make_spawner, storage_capacity=capacity)
    assert await size(api) == "1Gi"
    assert (await claims(api))["claim-alice"].metadata.resource_version == version


async def test_claim_that_can_not_grow_is_told_and_used(make_spawner, api, caplog):
    await ended(make_spawner)
    with caplog.at_level(logging.WARNING):
        await ended(make_spawner, storage_capacity="2Gi")
    assert await size(api) == "1Gi"
    (warning,) = [r.getMessage() for r in caplog.records if "expanded" in r.getMessage()]
    for part in ("default/claim-alice", "1Gi", "2Gi", "storage_capacity", "must support resize"):
        assert part in warning


async def test_storage_expand_off_leaves_the_size(make_spawner, api, caplog):
    await allow_expansion(api)
    await ended(make_spawner)
    await ended(make_spawner, storage_capacity="2Gi", storage_expand=False)
    assert await size(api) == "1Gi"
    assert "expanded" not in caplog.text


async def test_claim_that_is_not_bound_yet_waits_for_its_growth(make_spawner, api, caplog):
    await allow_expansion(api)
    unbound = claim_of("claim-alice", "alice")
    unbound["spec"]["storageClassName"] = ""
    await api.create_namespaced_persistent_volume_claim("default", unbound)
    with caplog.at_level(logging.INFO):
        await ended(make_spawner, storage_capacity="2Gi")
    assert await size(api) == "1Gi"
    assert "claim-alice stays at 1Gi until it is bound" in caplog.text


# ---- deleting ----------------------------------------------------------------------------


def with_servers(spawner, **states):
    """Let the hub know more servers of the user: name to state."""
    spawner.user.orm_user.orm_spawners = {
        name: SimpleNamespace(state=state) for name, state in states.items()
    }
    return spawner


async def test_claims_of_every_namespace_that_a_server_had_are_deleted(
    make_spawner, api, local_cluster
):
    for name in ("one", "two", "three"):
        await api.create_namespace({"metadata": {"name": name}})
    states = {}
    for namespace in ("one", "two"):
        spawner = make_spawner(namespace=namespace, **STORAGE)
        spawner.load_state({**states, "namespace": namespace})
        await spawner.start()
        await spawner.stop()
        states = spawner.get_state()
    # Of this user as well, but no claim that the server ever had.
    await api.create_namespaced_persistent_volume_claim("three", claim_of("claim-alice", "alice"))
    spawner = make_spawner(namespace="two", **STORAGE)
    spawner.load_state(states)
    await spawner.delete_forever()
    found = (await api.list_persistent_volume_claim_for_all_namespaces()).items
    assert [(c.metadata.namespace, c.metadata.name) for c in found] == [("three", "claim-alice")]


REMEMBERED = {"pvc_name": "shared", "namespace": "default"}


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (REMEMBERED, True),
        ({"claims": {"default": {"name": "shared"}}}, True),
        ({"claims": {"elsewhere": {"name": "shared"}}}, False),
        ({"pvc_name": "another", "namespace": "default"}, False),
        ({}, False),
    ],
)
async def test_a_claim_that_another_server_remembers_is_kept(
    make_spawner, api, caplog, state, kept
):
    await api.create_namespaced_persistent_volume_claim("default", claim_of("shared", "alice"))
    spawner = with_servers(make_spawner("alice", "lab", **STORAGE), other=state)
    spawner.load_state(REMEMBERED)
    with caplog.at_level(logging.INFO):
        await spawner.delete_forever()
    assert ("shared" in await claims(api)) is kept
    assert (
        "Keeping claim default/shared: it is also that of server 'other'" in caplog.text
    ) is kept


async def test_with_their_user_the_servers_that_share_a_claim_lose_it(make_spawner, api):
    await api.create_namespaced_persistent_volume_claim("default", claim_of("shared", "alice"))
    # Named servers only: that of the default server is another one.
    spawners = {name: make_spawner("alice", name, **STORAGE) for name in ("a", "b")}
    user = with_servers(spawners["a"], a=REMEMBERED, b=REMEMBERED).user
    user.spawners = spawners
    for spawner in spawners.values():
        spawner.user = user
        spawner.load_state(REMEMBERED)
    await spawners["a"].delete_forever()
    assert set(await claims(api)) == {"shared"}
    await spawners["b"].delete_forever()
    assert await claims(api) == {}


async def test_a_server_that_was_started_again_counts_again(make_spawner, api):
    spawners = {name: make_spawner("alice", name, **STORAGE) for name in ("a", "b")}
    user = with_servers(spawners["a"], a=REMEMBERED, b=REMEMBERED).user
    user.spawners = spawners
    for spawner in spawners.values():
        spawner.user = user
        spawner.load_state(REMEMBERED)
    await spawners["a"].delete_forever()
    spawners["a"].load_state(REMEMBERED)
    await spawners["a"].start()
    await spawners["b"].delete_forever()
    assert set(await claims(api)) == {"shared"}
    await spawners["a"].stop()


@pytest.mark.parametrize(
    ("claim", "settings", "why"),
    [
        (claim_of("claim-alice", "bob"), {}, "it belongs to user 'bob'"),
        (claim_of("claim-alice"), {}, "no annotation hub.jupyter.org/username"),
        (
            claim_of("claim-alice", "alice"),
            {"storage_pvc_ensure": False},
            "storage_pvc_ensure is off",
        ),
        (claim_of("claim-alice", "alice"), {"delete_pvc": False}, "delete_pvc is off"),
    ],
)
async def test_what_is_kept_is_told_with_the_reason(
    make_spawner, api, caplog, claim, settings, why
):
    await api.create_namespaced_persistent_volume_claim("default", claim)
    with caplog.at_level(logging.INFO):
        await make_spawner(**{**STORAGE, **settings}).delete_forever()
    assert set(await claims(api)) == {"claim-alice"}
    (told,) = [r.getMessage() for r in caplog.records if "Keeping claim" in r.getMessage()]
    assert "claim-alice" in told
    assert why in told


@pytest.mark.parametrize("handle", [True, False])
async def test_claim_of_an_earlier_version_is_deleted_with_its_user(make_spawner, api, handle):
    legacy = claim_of("claim-has-2dhyphen", "has-hyphen")
    await api.create_namespaced_persistent_volume_claim("default", legacy)
    # Never started by this version, so that nothing is remembered.
    await make_spawner("has-hyphen", handle_legacy_names=handle, **STORAGE).delete_forever()
    assert bool(await claims(api)) is not handle


async def test_claim_of_another_hub_is_kept(make_spawner, api, caplog):
    other = make_spawner(component_label="other-hub", **STORAGE)
    await other.start()
    await other.stop()
    await make_spawner(**STORAGE).delete_forever()
    assert set(await claims(api)) == {"claim-alice"}
    assert "it belongs to another hub (component 'other-hub')" in caplog.text
