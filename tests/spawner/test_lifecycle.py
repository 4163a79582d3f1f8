"""One server's life: start, poll, progress, stop, and what survives a hub restart."""

import asyncio

import pytest
from kubernetes_asyncio.client import ApiException

from kubespawner.errors import SpawnError
from kubespawner.ownership import uid_of
from tests.support.waiting import eventually

from .conftest import messages


async def pods(api, namespace="default"):
    return (await api.list_namespaced_pod(namespace)).items


async def test_start_poll_stop(make_spawner, api):
    spawner = make_spawner()
    assert isinstance(await spawner.poll(), int)
    url = await spawner.start()
    (pod,) = await pods(api)
    assert pod.status.phase == "Running"
    assert url == f"http://{pod.status.pod_ip}:8888"
    assert spawner.pod_id == pod.metadata.uid
    assert await spawner.poll() is None
    await spawner.stop()
    assert await pods(api) == []
    assert isinstance(await spawner.poll(), int)


async def test_progress_tells_what_the_kubelet_says_and_every_reader_gets_it(make_spawner):
    spawner = make_spawner()
    early = asyncio.create_task(messages(spawner))
    await spawner.start()
    entries = await asyncio.wait_for(early, 10)
    assert await messages(spawner) == entries
    assert any("Started container" in entry["message"] for entry in entries)
    assert all(isinstance(e["progress"], int) and e["progress"] < 100 for e in entries)
    assert [e["progress"] for e in entries] == sorted(e["progress"] for e in entries)
    uids = {e["raw_event"]["involvedObject"].get("uid") for e in entries if "raw_event" in e}
    assert uids <= {spawner.pod_id, None}
    await spawner.stop()


async def test_progress_works_without_events(make_spawner):
    spawner = make_spawner(events_enabled=False)
    await spawner.start()
    assert await messages(spawner)
    assert spawner.events == []
    await spawner.stop()


async def test_state_finds_the_server_again(make_spawner, api):
    first = make_spawner()
    url = await first.start()
    state = first.get_state()
    await first._stop_all_reflectors()

    again = make_spawner(pod_name_template="renamed-{username}")
    again.load_state(state)
    assert await again.poll() is None
    (pod,) = await pods(api)
    assert await again._pod_url(again._pods().get(again._pod_key)) == url
    await again.stop()
    assert await pods(api) == []


async def test_state_of_seed_versions_loads(make_spawner):
    spawner = make_spawner()
    spawner.load_state({"pod_name": "jupyter-old"})
    assert spawner.pod_name == "jupyter-old"
    assert spawner.dns_name == "jupyter-old.default.svc.cluster.local"
    assert spawner._state_kubespawner_version == "unknown"
    spawner.clear_state()
    assert spawner.pod_name == "jupyter-alice"


async def test_cancelled_start_leaves_nothing(make_spawner, api):
    spawner = make_spawner(cmd=["sleep", "600"])
    future = spawner.start()
    await eventually(lambda: pods(api))
    assert await spawner.poll() is None
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    await eventually(lambda: _none(api))
    assert isinstance(await spawner.poll(), int)


async def _none(api):
    return not await pods(api)


async def test_stop_ends_a_pending_start_and_its_pod(make_spawner, api):
    spawner = make_spawner(cmd=["sleep", "600"])
    future = spawner.start()
    await eventually(lambda: pods(api))
    await spawner.stop()
    assert future.cancelled()
    assert await pods(api) == []


async def test_stop_twice_and_at_once(make_spawner):
    spawner = make_spawner()
    await spawner.start()
    await asyncio.gather(spawner.stop(), spawner.stop())
    await spawner.stop()


async def test_missing_image_ends_the_spawn_at_once_in_words(make_spawner, api):
    spawner = make_spawner(image="registry.invalid/missing:1", start_timeout=60)
    with pytest.raises(SpawnError) as error:
        await asyncio.wait_for(spawner.start(), 30)
    assert "registry.invalid/missing:1" in error.value.jupyterhub_message
    await eventually(lambda: _none(api))


async def test_refused_manifest_names_the_reason(make_spawner, api):
    spawner = make_spawner(priority_class_name="does-not-exist")
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert "does-not-exist" in str(error.value)
    assert isinstance(error.value.__cause__, ApiException)
    assert await pods(api) == []


async def test_pod_deleted_from_outside_is_exited(make_spawner, api):
    spawner = make_spawner()
    await spawner.start()
    await api.delete_namespaced_pod(spawner.pod_name, "default", grace_period_seconds=0)
    assert isinstance(await eventually(spawner.poll), int)


async def test_pod_deleted_while_it_starts_ends_the_spawn(make_spawner, api):
    spawner = make_spawner(cmd=["sleep", "600"])
    future = spawner.start()
    await eventually(lambda: pods(api))
    await api.delete_namespaced_pod(spawner.pod_name, "default", grace_period_seconds=0)
    with pytest.raises(SpawnError) as error:
        await asyncio.wait_for(future, 20)
    assert error.value.reason == "PodDeleted"


async def test_exit_code_is_reported_and_the_pod_removed(make_spawner, api):
    spawner = make_spawner(
        cmd=["sh", "-c", "python3 -m http.server --bind 0.0.0.0 8888 & sleep 2; exit 0"]
    )
    await spawner.start()
    await eventually(lambda: _phase(api, "Succeeded"))
    assert await eventually(lambda: _exited(spawner)) == [0]
    await eventually(lambda: _none(api))


async def _phase(api, phase):
    found = await pods(api)
    return found and found[0].status.phase == phase


async def _exited(spawner):
    status = await spawner.poll()
    return None if status is None else [status]


async def test_an_earlier_pod_of_the_same_server_makes_way(make_spawner, api):
    first = make_spawner()
    await first.start()
    (old,) = await pods(api)
    second = make_spawner()
    await second.start()
    (new,) = await pods(api)
    assert new.metadata.uid != old.metadata.uid
    await second.stop()


async def test_somebody_elses_pod_of_that_name_is_left_alone(make_spawner, api):
    other = make_spawner("bob", pod_name_template="same")
    await other.start()
    mine = make_spawner("alice", pod_name_template="same")
    with pytest.raises(SpawnError) as error:
        await mine.start()
    assert "'alice'" in str(error.value)
    assert "'bob'" in str(error.value)
    (pod,) = await pods(api)
    assert pod.metadata.uid == other.pod_id
    assert await mine.poll() == 1
    await mine.stop()
    assert [p.metadata.uid for p in await pods(api)] == [other.pod_id]
    await other.stop()


async def test_named_servers_of_one_user_side_by_side(make_spawner, api):
    spawners = [make_spawner("alice", name) for name in ("", "one", "two")]
    urls = await asyncio.gather(*(s.start() for s in spawners))
    assert len(set(urls)) == 3
    await spawners[1].stop()
    assert {p.metadata.name for p in await pods(api)} == {"jupyter-alice", "jupyter-alice--two"}
    await asyncio.gather(*(s.stop() for s in spawners))


async def test_after_pod_created_hook_gets_the_pod_as_a_dict(make_spawner):
    seen = []

    async def hook(spawner, pod):
        seen.append(uid_of(pod))

    spawner = make_spawner(after_pod_created_hook=hook)
    await spawner.start()
    assert seen == [spawner.pod_id]
    await spawner.stop()


async def test_failing_hook_takes_its_pod_along(make_spawner, api):
    def hook(spawner, pod):
        raise RuntimeError("no quota service")

    spawner = make_spawner(after_pod_created_hook=hook)
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert isinstance(error.value.__cause__, RuntimeError)
    assert "no quota service" in str(error.value)
    await eventually(lambda: _none(api))


@pytest.mark.parametrize("broken", [lambda s, p: None, lambda s, p: {"kind": "Pod"}])
async def test_modify_pod_hook_that_returns_no_pod_is_named(make_spawner, api, broken):
    spawner = make_spawner(modify_pod_hook=broken)
    with pytest.raises(SpawnError, match="modify_pod_hook"):
        await spawner.start()
    assert await pods(api) == []


async def test_services_enabled_connects_by_name_and_service_goes_with_the_pod(make_spawner, api):
    spawner = make_spawner(services_enabled=True)
    assert await spawner.start() == f"http://{spawner.dns_name}:8888"
    service = await api.read_namespaced_service(spawner.pod_name, "default")
    assert service.spec.selector["component"] == "singleuser-server"
    await spawner.stop()

    async def gone():
        services = (await api.list_namespaced_service("default")).items
        return spawner.pod_name not in [s.metadata.name for s in services]

    await eventually(gone)


async def test_failed_init_container_is_told_with_its_last_lines(make_spawner):
    container = {
        "name": "prepare",
        "image": "kubespawner/test:1",
        "command": ["sh", "-c", "echo disk quota exceeded; exit 3"],
    }
    spawner = make_spawner(init_containers=[container], extra_pod_config={"restartPolicy": "Never"})
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "InitContainerFailed"
    assert "disk quota exceeded" in str(error.value)
