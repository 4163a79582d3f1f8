"""Pods on the embedded node: their containers' lives, told as by a kubelet."""

import asyncio
import uuid

import pytest

from .conftest import condition, is_ready, main, processes, waiting


async def test_a_pod_succeeds_and_says_how(kube):
    pod = await kube.run("echo out; echo err >&2; exit 0")
    done = await kube.until_phase("Succeeded")
    assert await kube.log() == "out\nerr\n"
    end = main(done)["state"]["terminated"]
    assert (end["exitCode"], end["reason"]) == (0, "Completed")
    assert condition(done, "Ready")["reason"] == "PodCompleted"
    assert condition(done, "PodScheduled")["status"] == "True"
    assert kube.reasons() == ["Scheduled", "Pulling", "Pulled", "Created", "Started"]
    started = await kube.event("Started")
    assert started["involvedObject"]["uid"] == pod["metadata"]["uid"]
    assert started["involvedObject"]["fieldPath"] == "spec.containers{main}"
    assert (await kube.event("Scheduled"))["source"]["component"] == "default-scheduler"


@pytest.mark.parametrize(
    # As in a manifest, "$$" is a dollar sign.
    ("script", "code"),
    [("exit 3", 3), ("kill -9 $$$$", 137), ("kill -15 $$$$", 143)],
)
async def test_exit_codes(kube, script, code):
    await kube.run(script)
    end = main(await kube.until_phase("Failed"))["state"]["terminated"]
    assert (end["exitCode"], end["reason"]) == (code, "Error")


async def test_what_the_main_process_leaves_ends_with_it(kube):
    # The background process holds the log open; the pod must not wait for it.
    await kube.run("setsid sleep 300 & echo done")
    await kube.until_phase("Succeeded")
    assert await kube.log() == "done\n"


async def test_sigterm_lets_a_process_clean_up(kube, cluster, tmp_path):
    script = (
        f"trap 'echo bye > {tmp_path}/said; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    )
    await kube.run(script)
    await kube.until_up()
    await kube.delete()
    assert (tmp_path / "said").read_text() == "bye\n"
    assert (await kube.event("Killing"))["message"] == "Stopping container main"


async def test_sigkill_after_the_grace_period(kube):
    await kube.run("trap '' TERM; echo up; while :; do sleep 0.05; done")
    await kube.until_up()
    ends = []
    kube.pods.subscribe("default/one", lambda kind, key, pod: ends.append(pod))
    await kube.delete(grace_period_seconds=1)
    last = [pod for pod in ends if pod][-1]
    assert main(last)["state"]["terminated"]["exitCode"] == 137
    assert last["status"]["phase"] == "Failed"


async def test_a_second_delete_shortens_the_grace_period_and_a_label_does_not(kube):
    await kube.run("trap '' TERM; echo up; while :; do sleep 0.05; done")
    await kube.until_up()
    await kube.api.delete_namespaced_pod("one", "default", grace_period_seconds=600)
    await kube.api.patch_namespaced_pod("one", "default", {"metadata": {"labels": {"a": "b"}}})
    # A kubelet that took the change for another order would have ended the pod by now.
    await kube.run("exit 0", name="another")
    await kube.until_phase("Succeeded", "another")
    assert kube.pods.get("default/one") is not None
    await kube.delete(grace_period_seconds=1)


async def test_a_pod_with_the_name_of_a_deleted_one_is_a_new_pod(kube, cluster):
    for _ in range(3):
        await kube.run("echo up; sleep 300")
        await kube.until_up()
        await kube.delete(grace_period_seconds=0)
    assert len(cluster.node._workers) == 0


async def test_pods_deleted_while_they_start_leave_no_process(kube):
    word = uuid.uuid4().hex
    program = ["python3", "-c", "import time; time.sleep(600)", word]
    for number, reason in enumerate(("", "Scheduled", "Pulled", "Created", "Started")):
        name = f"p{number}"
        await kube.run(name=name, container={"command": program})
        if reason:
            await kube.event(reason, about=name)
        await kube.delete(name, grace_period_seconds=1)
        assert processes(word) == []


async def test_restarts_and_crash_loop(kube):
    await kube.run("echo run; exit 5", restartPolicy="OnFailure")
    state = await kube.until_waiting("CrashLoopBackOff")
    assert "restarting failed container=main pod=one_default(" in state["message"]
    pod = await kube.until(lambda pod: pod and main(pod).get("restartCount", 0) >= 3)
    assert main(pod)["lastState"]["terminated"]["exitCode"] == 5
    assert pod["status"]["phase"] == "Running"
    assert "BackOff" in kube.reasons()
    assert await kube.log(previous="true") == "run\n"
    await kube.delete()


@pytest.mark.parametrize(("policy", "phase"), [("OnFailure", "Succeeded"), ("Always", "Running")])
async def test_restart_policies_after_success(kube, policy, phase):
    await kube.run("exit 0", restartPolicy=policy)
    if policy == "Always":
        await kube.until(lambda pod: pod and main(pod).get("restartCount", 0) >= 1)
    else:
        assert main(await kube.until_phase(phase))["restartCount"] == 0


async def test_init_containers_run_one_after_the_other(kube):
    volumes = [{"name": "shared", "emptyDir": {}}]
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    init = [
        {
            "name": name,
            "image": "busybox:1",
            "command": ["sh", "-c", f"sleep {pause}; echo {name} >> /shared/log"],
            "volumeMounts": mounts,
        }
        for name, pause in (("first", 0.2), ("second", 0))
    ]
    output = await kube.output(
        "cat /shared/log", initContainers=init, volumes=volumes, container={"volumeMounts": mounts}
    )
    assert output == "first\nsecond\n"
    statuses = kube.pods.get("default/one")["status"]["initContainerStatuses"]
    assert [(s["ready"], s["state"]["terminated"]["exitCode"]) for s in statuses] == [(True, 0)] * 2


async def test_a_failing_init_container_holds_the_pod(kube):
    init = [{"name": "prepare", "image": "busybox:1", "command": ["sh", "-c", "exit 9"]}]
    await kube.run("echo never", initContainers=init, restartPolicy="OnFailure")

    def crashes(pod):
        state = (pod or {}).get("status", {}).get("initContainerStatuses", [{}])[0]
        return state.get("restartCount", 0) >= 2

    pod = await kube.until(crashes)
    assert pod["status"]["phase"] == "Pending"
    assert waiting(pod)["reason"] == "PodInitializing"
    assert condition(pod, "Initialized")["status"] == "False"

    await kube.run("echo never", name="two", initContainers=init)
    pod = await kube.until_phase("Failed", "two")
    assert waiting(pod)["reason"] == "PodInitializing"


async def test_a_sidecar_runs_beside_and_ends_with_the_pod(kube):
    sidecar = {
        "name": "side",
        "image": "busybox:1",
        "command": ["sleep", "300"],
        "restartPolicy": "Always",
    }
    await kube.run("exit 0", initContainers=[sidecar])
    await kube.until_phase("Succeeded")
    (side,) = kube.pods.get("default/one")["status"]["initContainerStatuses"]
    assert side["restartCount"] == 0


# ---- images -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "policy", "reason", "events"),
    [
        (
            "missing.invalid/x:1",
            "Always",
            "ImagePullBackOff",
            ["Pulling", "Failed", "Failed", "BackOff"],
        ),
        (
            "private/x:1",
            "IfNotPresent",
            "ImagePullBackOff",
            ["Pulling", "Failed", "Failed", "BackOff"],
        ),
        ("Not an image", "Always", "InvalidImageName", ["InspectFailed", "Failed"]),
        ("busybox:9", "Never", "ErrImageNeverPull", ["ErrImageNeverPull", "Failed"]),
    ],
)
async def test_images_that_cannot_be_had(kube, image, policy, reason, events):
    await kube.run("", container={"image": image, "imagePullPolicy": policy})
    await kube.until_waiting(reason)
    assert [each for each in kube.reasons() if each in events][: len(events)] == events
    assert kube.pods.get("default/one")["status"]["phase"] == "Pending"
    await kube.delete()


async def test_an_image_on_the_node_is_not_pulled_and_one_that_appears_is(kube, cluster):
    await kube.run("echo hi", container={"image": "local/only:1", "imagePullPolicy": "Never"})
    await kube.until_phase("Succeeded")
    assert "already present" in (await kube.event("Pulled"))["message"]

    await kube.run("", name="two", container={"image": "private/late:1"})
    await kube.until_waiting("ImagePullBackOff", "two")
    cluster.node.images.denied = []
    await kube.until_phase("Succeeded", "two")


async def test_a_program_that_does_not_exist(kube):
    await kube.run(container={"command": ["no-such-program"]})
    end = main(await kube.until_phase("Failed"))["state"]["terminated"]
    assert (end["exitCode"], end["reason"]) == (128, "StartError")
    assert "executable file not found in $PATH" in end["message"]
    assert "Failed" in kube.reasons()


# ---- readiness, probes, hooks -----------------------------------------------------------


async def test_ready_when_the_port_answers_and_not_before(kube, tmp_path):
    script = (
        f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; "
        "exec python3 -m http.server --bind $(POD_IP) 8888"
    )
    env = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    await kube.run(script, container={"env": env, "ports": [{"containerPort": 8888}]})
    pod = await kube.until_phase("Running")
    assert not is_ready(pod)
    assert condition(pod, "Ready")["reason"] == "ContainersNotReady"
    (tmp_path / "go").touch()
    pod = await kube.until_ready()
    reader, writer = await asyncio.open_connection(pod["status"]["podIP"], 8888)
    writer.close()


async def test_readiness_probe_by_command_goes_both_ways(kube, tmp_path):
    probe = {
        "exec": {"command": ["test", "-e", f"{tmp_path}/ready"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
    await kube.run("sleep 300", container={"readinessProbe": probe})
    message = (await kube.event("Unhealthy"))["message"]
    assert message.startswith("Readiness probe failed: ")
    (tmp_path / "ready").touch()
    await kube.until_ready()
    (tmp_path / "ready").unlink()
    await kube.until(lambda pod: pod and not is_ready(pod))


async def test_a_failing_liveness_probe_restarts(kube):
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    await kube.run("exec sleep 300", restartPolicy="Always", container={"livenessProbe": probe})
    pod = await kube.until(lambda pod: pod and main(pod).get("restartCount", 0) >= 1)
    assert main(pod)["lastState"]["terminated"]["exitCode"] == 143
    assert "failed liveness probe, will be restarted" in (await kube.event("Killing"))["message"]


async def test_hooks(kube, tmp_path):
    lifecycle = {
        "postStart": {"exec": {"command": ["touch", f"{tmp_path}/started"]}},
        "preStop": {"exec": {"command": ["touch", f"{tmp_path}/stopping"]}},
    }
    await kube.run("exec sleep 300", container={"lifecycle": lifecycle})
    await kube.until_ready()
    assert (tmp_path / "started").exists()
    assert not (tmp_path / "stopping").exists()
    await kube.delete()
    assert (tmp_path / "stopping").exists()


async def test_a_failing_post_start_hook_kills_the_container(kube):
    lifecycle = {"postStart": {"exec": {"command": ["false"]}}}
    await kube.run("exec sleep 300", container={"lifecycle": lifecycle})
    pod = await kube.until_phase("Failed")
    assert main(pod)["state"]["terminated"]["exitCode"] == 137
    assert "FailedPostStartHook" in kube.reasons()


# ---- logs -------------------------------------------------------------------------------


async def test_logs_are_followed_to_the_end(kube, tmp_path):
    script = f"echo one; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; printf two; exit 1"
    await kube.run(script)
    await kube.until_phase("Running")
    response = await kube.api.read_namespaced_pod_log(
        "one", "default", follow="true", _preload_content=False
    )
    assert await response.content.readline() == b"one\n"
    (tmp_path / "go").touch()
    assert await response.content.read() == b"two"


async def test_parts_of_logs(kube):
    await kube.run("for i in 1 2 3 4; do echo line $i; done")
    await kube.until_phase("Succeeded")
    assert await kube.log(tail_lines=2) == "line 3\nline 4\n"
    assert await kube.log(tail_lines=0) == ""
    assert await kube.log(limit_bytes=8) == "line 1\nl"
    stamped = (await kube.log(timestamps="true")).splitlines()
    assert [line.split(" ", 1)[1] for line in stamped] == [f"line {i}" for i in (1, 2, 3, 4)]
    assert stamped[0][10] == "T" and stamped[0].split()[0].endswith("Z")
