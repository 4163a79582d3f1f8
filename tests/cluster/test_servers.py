"""One server's life on a real kubelet, and its settings as seen from inside the container."""

import asyncio

import aiohttp
import pytest

from kubespawner.errors import SpawnError

from .conftest import telling

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

STORAGE = {
    "storage_pvc_ensure": True,
    "storage_capacity": "10Mi",
    "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}],
    "volume_mounts": [{"name": "home", "mountPath": "/data"}],
}


async def pods(api, namespace):
    return (await api.list_namespaced_pod(namespace)).items


async def test_start_answers_poll_stop(make_spawner, api, namespace):
    spawner = make_spawner()
    url = await spawner.start()
    (pod,) = await pods(api, namespace)
    assert url == f"http://{pod.status.pod_ip}:8888"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        # busybox' httpd has no index to show; that it answers is what counts.
        assert response.status in (200, 404)
    assert await spawner.poll() is None
    entries = [entry["message"] async for entry in spawner.progress()]
    assert any("Started container" in message for message in entries)
    await spawner.stop()
    assert await pods(api, namespace) == []
    assert isinstance(await spawner.poll(), int)


async def test_user_groups_and_privileges(make_spawner, log_of):
    spawner = make_spawner(
        uid=1234,
        gid=5678,
        supplemental_gids=[4321],
        cmd=telling("id -u", "id -g", "id -G", "grep NoNewPrivs /proc/self/status"),
    )
    await spawner.start()
    uid, gid, groups, no_new_privileges = (await log_of(spawner)).splitlines()[:4]
    assert (uid, gid) == ("1234", "5678")
    assert {"5678", "4321"} <= set(groups.split())
    assert no_new_privileges.split() == ["NoNewPrivs:", "1"]
    await spawner.stop()


async def test_memory_and_processor_limits_are_the_cgroups(make_spawner, log_of):
    files = {
        "memory": "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max",
        "cpu": "/sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max",
    }
    spawner = make_spawner(
        mem_limit="64M",
        cpu_limit=0.5,
        cmd=telling(*(f"cat {names} 2>/dev/null" for names in files.values())),
    )
    await spawner.start()
    memory, cpu = (await log_of(spawner)).splitlines()[:2]
    assert int(memory) == 64 * 1024 * 1024
    assert cpu.split()[0] == "50000"
    await spawner.stop()


async def test_environment_working_directory_and_no_token(make_spawner, log_of):
    spawner = make_spawner(
        environment={"B": "$(A)-b", "A": "{username}"},
        working_dir="/tmp/{username}",
        cmd=telling("echo $B", "pwd", "ls /var/run/secrets/kubernetes.io 2>&1"),
    )
    await spawner.start()
    lines = (await log_of(spawner)).splitlines()
    assert lines[:2] == ["alice-b", "/tmp/alice"]
    assert "No such file" in lines[2]
    await spawner.stop()


async def test_files_outlive_the_server(make_spawner, log_of):
    first = make_spawner(**STORAGE, cmd=telling("echo kept > /data/file"))
    await first.start()
    await first.stop()
    again = make_spawner(**STORAGE, cmd=telling("cat /data/file"))
    await again.start()
    assert (await log_of(again)).splitlines()[0] == "kept"
    await again.stop()


async def test_read_only_mounts(make_spawner, log_of):
    spawner = make_spawner(
        volumes=[{"name": "scratch", "emptyDir": {}}],
        volume_mounts=[{"name": "scratch", "mountPath": "/ro", "readOnly": True}],
        cmd=telling("touch /ro/x 2>&1 || true"),
    )
    await spawner.start()
    assert "Read-only file system" in await log_of(spawner)
    await spawner.stop()


async def test_init_containers_run_first_and_sidecars_beside(make_spawner, log_of, api, namespace):
    shared = {"name": "shared", "mountPath": "/shared"}
    image = make_spawner().image
    spawner = make_spawner(
        volumes=[{"name": "shared", "emptyDir": {}}],
        volume_mounts=[shared],
        init_containers=[
            {
                "name": "prepare",
                "image": image,
                "command": ["sh", "-c", "echo prepared > /shared/file"],
                "volumeMounts": [shared],
            }
        ],
        extra_containers=[{"name": "side", "image": image, "command": ["sleep", "600"]}],
        cmd=telling("cat /shared/file"),
    )
    await spawner.start()
    assert (await log_of(spawner)).splitlines()[0] == "prepared"
    (pod,) = await pods(api, namespace)
    assert {c.name for c in pod.status.container_statuses} == {"notebook", "side"}
    await spawner.stop(now=True)


async def test_missing_image_ends_the_spawn_in_words(make_spawner, api, namespace):
    spawner = make_spawner(
        image="127.0.0.1:1/nowhere/missing:1", spawn_patience={"RegistryUnreachable": 5}
    )
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert "127.0.0.1:1/nowhere/missing:1" in error.value.jupyterhub_message
    assert error.value.reason in ("RegistryUnreachable", "ImagePullFailed")


async def test_missing_config_map_ends_the_spawn_in_words(make_spawner):
    reference = {"configMapKeyRef": {"name": "absent", "key": "a"}}
    spawner = make_spawner(
        environment={"A": {"valueFrom": reference}},
        spawn_patience={"CreateContainerConfigError": 2},
    )
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "CreateContainerConfigError"
    assert 'configmap "absent" not found' in str(error.value)


async def test_out_of_memory_is_named(make_spawner):
    spawner = make_spawner(
        mem_limit="16M",
        cmd=["sh", "-c", "x=a; while true; do x=$x$x; done"],
        extra_pod_config={"restartPolicy": "Never"},
    )
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "OOMKilled"


async def test_quota_refusal_has_the_numbers(make_spawner, api, namespace):
    await api.create_namespaced_resource_quota(
        namespace, {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "0"}}}
    )
    # The controller counts before the quota is enforced.
    while not (await api.read_namespaced_resource_quota("few", namespace)).status.hard:
        await asyncio.sleep(0.05)
    spawner = make_spawner()
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "QuotaExceeded"
    assert "0 of 0 in use" in error.value.jupyterhub_message


async def test_nothing_fits_is_told_with_what_lacks(make_spawner):
    spawner = make_spawner(cpu_guarantee=1000, spawn_patience={"Unschedulable": 2})
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "Unschedulable"
    assert "CPU" in error.value.jupyterhub_message


async def test_cancelled_start_leaves_nothing(make_spawner, api, namespace):
    spawner = make_spawner(cmd=["sleep", "600"], extra_container_config=NEVER_READY)
    future = spawner.start()
    while not await pods(api, namespace):
        await asyncio.sleep(0.05)
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    while await pods(api, namespace):
        await asyncio.sleep(0.1)


NEVER_READY = {"readinessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1}}


async def test_service_and_its_dns_name(make_spawner, log_of, namespace):
    server = make_spawner("alice", services_enabled=True)
    url = await server.start()
    assert url == f"http://jupyter-alice.{namespace}.svc.cluster.local:8888"
    client = make_spawner("bob", cmd=telling(f"wget -q -S -O - {url} 2>&1 | head -1"))
    await client.start()
    # Without a probe a container is ready before its command has ended.
    while not (text := await log_of(client)):
        await asyncio.sleep(0.1)
    assert "HTTP/1" in text
    await asyncio.gather(server.stop(), client.stop())


async def test_two_hubs_in_one_namespace_leave_each_other_alone(make_spawner, api, namespace):
    one = make_spawner("alice", component_label="hub-one", pod_name_template="one-{username}")
    two = make_spawner("alice", component_label="hub-two", pod_name_template="two-{username}")
    await asyncio.gather(one.start(), two.start())
    assert list(one._pods().keys()) == [f"{namespace}/one-alice"]
    assert list(two._pods().keys()) == [f"{namespace}/two-alice"]
    intruder = make_spawner("alice", component_label="hub-two", pod_name_template="one-{username}")
    with pytest.raises(SpawnError) as error:
        await intruder.start()
    assert error.value.reason == "NameCollision"
    await asyncio.gather(one.stop(), two.stop())
