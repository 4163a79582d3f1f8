"""One server's life on a real kubelet: start, hooks, restarts, every way to end, stop."""

import asyncio

import aiohttp
import pytest
from kubernetes_asyncio.client import ApiException, CustomObjectsApi, PolicyApi

from kubespawner.errors import SpawnError

from .conftest import NEVER_READY, SCRATCH, STORAGE, telling, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

SHARED = {"name": "scratch", "mountPath": "/shared"}
ONCE = {"restartPolicy": "Never"}


async def ended(spawner) -> int:
    """Poll until the server has ended; return its exit code."""

    async def code() -> tuple | None:
        status = await spawner.poll()
        return None if status is None else (status,)

    return (await until(code))[0]


async def answers(url) -> bool:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        # busybox' httpd has no index to show; that it answers is what counts.
        return response.status in (200, 404)


# ---- start and stop ------------------------------------------------------------------------


async def test_start_answers_poll_stop(make_spawner, pods):
    spawner = make_spawner()
    url = await spawner.start()
    (pod,) = await pods()
    assert url == f"http://{pod.status.pod_ip}:8888"
    assert await answers(url)
    assert await spawner.poll() is None
    entries = [entry["message"] async for entry in spawner.progress()]
    assert any("Started container" in message for message in entries)
    await spawner.stop()
    assert await pods() == []
    assert isinstance(await spawner.poll(), int)


async def test_a_restarted_hub_finds_the_server(make_spawner):
    spawner = make_spawner()
    await spawner.start()
    again = make_spawner()
    again.load_state(spawner.get_state())
    assert await again.poll() is None
    await again.stop()
    assert isinstance(await again.poll(), int)


async def test_a_start_lasts_until_the_probe_succeeds(make_spawner, told_by):
    probe = {"exec": {"command": ["test", "-e", "/shared/ready"]}, "periodSeconds": 1}
    spawner = make_spawner(
        volumes=[SCRATCH],
        volume_mounts=[SHARED],
        extra_container_config={"readinessProbe": probe},
        cmd=telling("sleep 3", "touch /shared/ready", "echo ready"),
    )
    await spawner.start()
    # Written before the probe could see the file.
    assert await told_by(spawner) == ["ready"]


async def test_cancelled_start_leaves_nothing(make_spawner, pods):
    spawner = make_spawner(cmd=["sleep", "600"], extra_container_config=NEVER_READY)
    future = spawner.start()
    await until(pods)
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future

    async def none_left() -> bool:
        return not await pods()

    await until(none_left)


# ---- init containers, sidecars and hooks ---------------------------------------------------


async def test_init_containers_run_first_and_sidecars_beside(make_spawner, told_by, pods):
    image = make_spawner().image
    spawner = make_spawner(
        volumes=[SCRATCH],
        volume_mounts=[SHARED],
        init_containers=[
            {
                "name": name,
                "image": image,
                "command": ["sh", "-c", f"ls /shared >> /shared/order; touch /shared/{name}"],
                "volumeMounts": [SHARED],
            }
            for name in ("one", "two")
        ],
        extra_containers=[
            {
                "name": "side",
                "image": image,
                "command": telling("cat /shared/order", "id -u", then="sleep 600"),
                "volumeMounts": [SHARED],
                "securityContext": {"runAsUser": 4321},
            }
        ],
        cmd=telling("cat /shared/order"),
    )
    await spawner.start()
    # What each saw when it ran: nothing but the list itself, then the first one's file.
    assert await told_by(spawner) == ["order", "one", "order"]
    assert await told_by(spawner, "side") == ["order", "one", "order", "4321"]
    (pod,) = await pods()
    assert {c.name for c in pod.status.container_statuses} == {"notebook", "side"}


async def test_a_failing_init_container_is_quoted(make_spawner):
    spawner = make_spawner(
        init_containers=[
            {
                "name": "fetch",
                "image": make_spawner().image,
                "command": ["sh", "-c", "echo no route to the data; exit 3"],
            }
        ],
        extra_pod_config=ONCE,
    )
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "InitContainerFailed"
    assert "'fetch'" in error.value.jupyterhub_message
    assert "no route to the data" in error.value.jupyterhub_message


async def test_a_dying_sidecar_does_not_take_the_server_along(make_spawner, pods):
    spawner = make_spawner(
        extra_containers=[
            {"name": "side", "image": make_spawner().image, "command": ["sh", "-c", "exit 7"]}
        ],
        extra_pod_config=ONCE,
    )
    await spawner.start()

    async def side_has_ended() -> bool:
        (pod,) = await pods()
        states = {c.name: c.state for c in pod.status.container_statuses}
        return states["side"].terminated is not None

    await until(side_has_ended)
    assert await spawner.poll() is None


async def test_all_containers_may_have_to_be_ready(make_spawner):
    spawner = make_spawner(
        pod_readiness="all",
        start_timeout=8,
        extra_containers=[
            {
                "name": "side",
                "image": make_spawner().image,
                "command": ["sleep", "600"],
                **NEVER_READY,
            }
        ],
    )
    with pytest.raises(TimeoutError):
        await spawner.start()


async def test_a_hook_runs_after_the_start(make_spawner, told_by):
    spawner = make_spawner(
        lifecycle_hooks={
            "postStart": {"exec": {"command": ["sh", "-c", "echo after > /shared/hook"]}}
        },
        volumes=[SCRATCH],
        volume_mounts=[SHARED],
        cmd=telling("until [ -s /shared/hook ]; do sleep 0.1; done", "cat /shared/hook"),
    )
    await spawner.start()
    assert await told_by(spawner) == ["after"]


async def test_a_failing_hook_ends_the_spawn_in_words(make_spawner):
    spawner = make_spawner(
        lifecycle_hooks={"postStart": {"exec": {"command": ["sh", "-c", "exit 9"]}}},
        extra_pod_config=ONCE,
        extra_container_config=NEVER_READY,
        spawn_patience={"RunContainerError": 0},
        # The kubelet ends the container before it tells; httpd would let it wait.
        cmd=telling("trap 'exit 0' TERM", then="sleep 600 & wait"),
    )
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason in ("PostStartHookError", "ServerExited")


@pytest.mark.parametrize("how", ["hook", "signal", "neither"])
async def test_a_server_gets_its_time_to_save(make_spawner, told_by, how):
    save = "sleep 2; echo saved > /data/file"
    # The first process of a container gets no signal that it does not ask for.
    asked = f"{save}; exit 0" if how == "signal" else "exit 0"
    spawner = make_spawner(
        **STORAGE,
        delete_grace_period=30,
        lifecycle_hooks={"preStop": {"exec": {"command": ["sh", "-c", save]}}}
        if how == "hook"
        else {},
        cmd=telling(f"trap '{asked}' TERM", then="sleep 600 & wait"),
    )
    await spawner.start()
    # Without a grace period the process is killed before it has saved anything.
    await spawner.stop(now=how == "neither")
    again = make_spawner(**STORAGE, cmd=telling("cat /data/file 2>&1"))
    await again.start()
    (line,) = await told_by(again)
    assert line == "saved" if how != "neither" else "No such file" in line


# ---- ends ----------------------------------------------------------------------------------


async def test_an_exit_is_told_with_its_code(make_spawner, pods):
    spawner = make_spawner(cmd=["sh", "-c", "sleep 3; exit 42"], extra_pod_config=ONCE)
    await spawner.start()
    assert await ended(spawner) == 42
    assert spawner.exit_reason == "ServerExited"

    async def none_left() -> bool:
        return not await pods()

    # `delete_stopped_pods` is on.
    await until(none_left)


async def test_a_crash_is_survived_in_place(make_spawner, api, pods):
    spawner = make_spawner(
        volumes=[SCRATCH],
        volume_mounts=[SHARED],
        cmd=[
            "sh",
            "-c",
            "[ -e /shared/again ] || { touch /shared/again; sleep 2; exit 1; }; exec httpd -f -p 8888",
        ],
    )
    url = await spawner.start()

    async def restarted() -> bool:
        assert await spawner.poll() is None
        (pod,) = await pods()
        (status,) = pod.status.container_statuses
        return status.restart_count == 1 and status.ready

    await until(restarted)
    assert await answers(url)


async def test_crashing_again_and_again_ends_the_spawn_with_the_last_words(make_spawner):
    spawner = make_spawner(
        cmd=["sh", "-c", "echo no licence found; exit 5"],
        extra_container_config=NEVER_READY,
        crash_loop_restarts=1,
    )
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "CrashLoopBackOff"
    assert "no licence found" in error.value.jupyterhub_message


async def test_out_of_memory_while_starting(make_spawner):
    spawner = make_spawner(
        mem_limit="16M",
        cmd=["sh", "-c", "x=a; while true; do x=$x$x; done"],
        extra_pod_config=ONCE,
    )
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "OOMKilled"


async def test_out_of_memory_while_running(make_spawner):
    spawner = make_spawner(
        mem_limit="16M",
        cmd=["sh", "-c", "sleep 3; x=a; while true; do x=$x$x; done"],
        extra_pod_config=ONCE,
    )
    await spawner.start()
    assert await ended(spawner) == 137
    assert spawner.exit_reason == "OOMKilled"


async def test_deleted_from_outside(make_spawner, api, namespace):
    spawner = make_spawner(cmd=["sh", "-c", "trap '' TERM; sleep 600"], delete_grace_period=1)
    await spawner.start()
    await api.delete_namespaced_pod(spawner.pod_name, namespace, grace_period_seconds=5)
    await ended(spawner)
    assert spawner.exit_reason == "PodDeleted"


async def test_its_time_is_over(make_spawner):
    spawner = make_spawner(extra_pod_config={"activeDeadlineSeconds": 4})
    await spawner.start()
    await ended(spawner)
    assert spawner.exit_reason == "DeadlineExceeded"


async def policy_version(api) -> str:
    """``v1``, or before Kubernetes 1.21 ``v1beta1``."""
    group = await PolicyApi(api.api_client).get_api_group()
    return group.preferred_version.version


async def evict(api, spawner, version):
    meta = {"name": spawner.pod_name, "namespace": spawner.namespace}
    body = {"apiVersion": f"policy/{version}", "kind": "Eviction", "metadata": meta}
    await api.create_namespaced_pod_eviction(spawner.pod_name, spawner.namespace, body)


async def test_evicted_as_when_a_node_is_drained(make_spawner, api, namespace):
    spawner = make_spawner()
    await spawner.start()
    version = await policy_version(api)
    budgets = CustomObjectsApi(api.api_client)
    where = ("policy", version, namespace, "poddisruptionbudgets")
    labels = {"component": spawner.component_label}
    budget = {
        "apiVersion": f"policy/{version}",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "keep"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
    }
    await budgets.create_namespaced_custom_object(*where, budget)

    async def counted() -> bool:
        found = await budgets.get_namespaced_custom_object(*where, "keep")
        return bool(found.get("status", {}).get("currentHealthy"))

    await until(counted)
    with pytest.raises(ApiException) as refusal:
        await evict(api, spawner, version)
    assert refusal.value.status == 429
    assert await spawner.poll() is None
    await budgets.delete_namespaced_custom_object(*where, "keep")
    await evict(api, spawner, version)
    await ended(spawner)
    assert spawner.exit_reason in ("Drained", "PodDeleted")


async def test_evicted_for_the_disk_it_used(make_spawner):
    spawner = make_spawner(
        volumes=[{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}],
        volume_mounts=[SHARED],
        cmd=telling("dd if=/dev/zero of=/shared/much bs=1M count=8 2>/dev/null"),
    )
    await spawner.start()
    await ended(spawner)
    assert spawner.exit_reason == "Evicted"


# ---- starts that can't succeed -------------------------------------------------------------


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


async def test_missing_secret_volume_ends_the_spawn_in_words(make_spawner):
    spawner = make_spawner(
        volumes=[{"name": "key", "secret": {"secretName": "absent"}}],
        volume_mounts=[{"name": "key", "mountPath": "/key"}],
        spawn_patience={"MountSourceMissing": 2},
    )
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "MountSourceMissing"
    assert "the Secret absent" in error.value.jupyterhub_message


async def test_a_command_that_does_not_exist(make_spawner):
    spawner = make_spawner(cmd=["jupyterlab-hub"], spawn_patience={"RunContainerError": 1})
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason in ("RunContainerError", "CrashLoopBackOff")
    assert "jupyterlab-hub" in str(error.value)


async def test_nothing_fits_is_told_with_what_lacks(make_spawner):
    spawner = make_spawner(cpu_guarantee=1000, spawn_patience={"Unschedulable": 2})
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "Unschedulable"
    assert "CPU" in error.value.jupyterhub_message


async def test_no_node_is_chosen_by_the_selector(make_spawner):
    spawner = make_spawner(
        node_selector={"example.org/pool": "none"}, spawn_patience={"Unschedulable": 2}
    )
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "Unschedulable"
