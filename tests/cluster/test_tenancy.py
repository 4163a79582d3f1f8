"""Several hubs, namespaces and quotas."""

import asyncio

import pytest
from kubernetes_asyncio.client import ApiException

from kubespawner.errors import SpawnError

from .conftest import STORAGE, fresh_namespace, telling, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

OWN_NAMESPACE = {"enable_user_namespaces": True}


async def names_of_pods(api, namespace):
    return [pod.metadata.name for pod in (await api.list_namespaced_pod(namespace)).items]


@pytest.fixture
async def limit(api, namespace):
    """Return a function that sets a quota, and comes back when it is in force."""

    async def lay(**hard):
        spec = {"hard": {key.replace("__", "."): value for key, value in hard.items()}}
        await api.create_namespaced_resource_quota(
            namespace, {"metadata": {"name": "few"}, "spec": spec}
        )

        async def counted() -> bool:
            quota = await api.read_namespaced_resource_quota("few", namespace)
            return bool(quota.status.hard)

        await until(counted)

    return lay


# ---- hubs and namespaces -------------------------------------------------------------------


async def test_two_hubs_in_one_namespace_leave_each_other_alone(make_spawner, namespace):
    one = make_spawner("alice", component_label="hub-one", pod_name_template="one-{username}")
    two = make_spawner("alice", component_label="hub-two", pod_name_template="two-{username}")
    await asyncio.gather(one.start(), two.start())
    assert list(one._pods().keys()) == [f"{namespace}/one-alice"]
    assert list(two._pods().keys()) == [f"{namespace}/two-alice"]
    intruder = make_spawner("alice", component_label="hub-two", pod_name_template="one-{username}")
    with pytest.raises(SpawnError) as error:
        await intruder.start()
    assert error.value.reason == "NameCollision"
    await two.stop()
    assert await one.poll() is None


async def test_a_namespace_for_each_user(make_spawner, api, namespace, told_by):
    template = f"{namespace}-{{username}}"
    settings = {**OWN_NAMESPACE, "user_namespace_template": template, **STORAGE}
    write = telling("echo mine > /data/file", "cat /data/file")
    alice, bob = (make_spawner(name, **settings, cmd=write) for name in ("alice", "bob"))
    try:
        # At once in a namespace that has been there for a moment only.
        await asyncio.gather(alice.start(), bob.start())
        assert (alice.namespace, bob.namespace) == (f"{namespace}-alice", f"{namespace}-bob")
        for spawner in (alice, bob):
            assert await names_of_pods(api, spawner.namespace) == [spawner.pod_name]
            assert await told_by(spawner) == ["mine"]
        assert await names_of_pods(api, namespace) == []
        await alice.stop()
        assert await bob.poll() is None
        again = make_spawner("alice", **settings, cmd=telling("cat /data/file"))
        await again.start()
        assert await told_by(again) == ["mine"]
    finally:
        for name in ("alice", "bob"):
            await api.delete_namespace(f"{namespace}-{name}")


async def test_a_namespace_on_its_way_out_is_waited_for(make_spawner, api, namespace):
    name = f"{namespace}-alice"
    settings = {**OWN_NAMESPACE, "user_namespace_template": name}
    first = make_spawner("alice", **settings)
    await first.start()
    old = (await api.read_namespace(name)).metadata.uid
    await api.delete_namespace(name)
    try:
        again = make_spawner(
            "alice", **settings, start_timeout=160, k8s_api_request_retry_timeout=150
        )
        await again.start()
        assert (await api.read_namespace(name)).metadata.uid != old
    finally:
        await api.delete_namespace(name)


async def test_a_profile_that_switches_the_namespace(make_spawner, api, namespace):
    async with fresh_namespace() as other:
        profiles = [
            {"display_name": "Here", "slug": "here", "default": True},
            {
                "display_name": "There",
                "slug": "there",
                "kubespawner_override": {"namespace": other},
            },
        ]
        spawner = make_spawner(profile_list=profiles)
        spawner.user_options = {"profile": "there"}
        await spawner.start()
        assert await names_of_pods(api, other) == [spawner.pod_name]
        assert await names_of_pods(api, namespace) == []

        restarted = make_spawner(profile_list=profiles)
        restarted.load_state(spawner.get_state())
        assert await restarted.poll() is None
        await restarted.stop()
        assert await names_of_pods(api, other) == []

        spawner.clear_state()
        spawner.user_options = {"profile": "here"}
        await spawner.start()
        assert await names_of_pods(api, namespace) == [spawner.pod_name]


# ---- quotas and limits ---------------------------------------------------------------------


async def test_a_quota_of_pods(make_spawner, limit):
    await limit(pods="0")
    with pytest.raises(SpawnError) as error:
        await make_spawner().start()
    assert error.value.reason == "QuotaExceeded"
    assert "0 of 0 in use" in error.value.jupyterhub_message


async def test_room_in_a_quota_comes_back_with_a_stop(make_spawner, limit):
    await limit(requests__memory="64Mi")
    size = {"mem_guarantee": "32M", "mem_limit": "32M"}
    first, second, third = (make_spawner(name, **size) for name in ("alice", "bob", "carol"))
    await asyncio.gather(first.start(), second.start())
    with pytest.raises(SpawnError) as error:
        await third.start()
    assert error.value.reason == "QuotaExceeded"
    assert "64Mi" in str(error.value)
    assert await first.poll() is None
    await first.stop()

    async def fits() -> bool:
        # The quota is counted down a moment after the pod is gone.
        try:
            await make_spawner("carol", **size).start()
        except SpawnError as e:
            assert e.reason == "QuotaExceeded"
            return False
        return True

    await until(fits)


async def test_a_quota_of_claims(make_spawner, limit, api, namespace):
    await limit(persistentvolumeclaims="0")
    with pytest.raises(SpawnError) as error:
        await make_spawner(**STORAGE).start()
    assert error.value.reason == "QuotaExceeded"
    assert await names_of_pods(api, namespace) == []


async def test_a_quota_that_asks_for_limits_names_the_setting(make_spawner, limit):
    await limit(limits__memory="1Gi")
    with pytest.raises(SpawnError) as error:
        await make_spawner().start()
    assert "mem_limit" in str(error.value)


async def test_the_namespaces_largest_container(make_spawner, api, namespace):
    item = {"type": "Container", "max": {"memory": "64Mi"}, "default": {"memory": "32Mi"}}
    await api.create_namespaced_limit_range(
        namespace, {"metadata": {"name": "small"}, "spec": {"limits": [item]}}
    )

    async def refused() -> SpawnError | None:
        spawner = make_spawner(mem_limit="128M")
        try:
            await spawner.start()
        except SpawnError as e:
            return e
        # Each API server looks at the limits it knows; it learns of new ones in a moment.
        await spawner.stop(now=True)
        return None

    error = await until(refused)
    assert "64Mi" in str(error)
    spawner = make_spawner("bob", cmd=telling("cat /sys/fs/cgroup/memory/memory.limit_in_bytes"))
    await spawner.start()
    (pod,) = (await api.list_namespaced_pod(namespace)).items
    assert pod.spec.containers[0].resources.limits == {"memory": "32Mi"}


async def test_no_namespace_is_said(make_spawner, namespace):
    with pytest.raises((SpawnError, ApiException)) as error:
        await make_spawner(namespace=f"{namespace}-absent").start()
    assert f"{namespace}-absent" in str(error.value)
