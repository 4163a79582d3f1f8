"""What keeps a pod from running: which reason, in whose words, and whether waiting helps."""

import pytest

from kubespawner.diagnosis import DEFAULT_PATIENCE, diagnose

from ._pods import (
    claim_event,
    crash_loop,
    ended,
    event,
    pod,
    pulling,
    running,
    unscheduled,
    waiting,
)

INSUFFICIENT = (
    "0/3 nodes are available: 1 node(s) had untolerated taint "
    "{node-role.kubernetes.io/control-plane: }, 2 Insufficient memory. preemption: 0/3 nodes are "
    "available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for "
    "incoming pod."
)
UNBOUND = (
    "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 "
    "nodes are available: 1 Preemption is not helpful for scheduling."
)


# ---- on the way --------------------------------------------------------------------------

CREATING = waiting("ContainerCreating")
SCHEDULED = event("Scheduled", "Successfully assigned hub/jupyter-ann to node-1")
PULLED = event("Pulled", "Successfully pulled image in 1s", "containers{notebook}")
STARTED = event("Started", "Started container notebook", "containers{notebook}")
MOUNT_FAILED = event(
    "FailedMount",
    'MountVolume.SetUp failed for volume "pvc-1" : rpc error: code = Internal desc = mount failed',
    type_="Warning",
)


@pytest.mark.parametrize(
    ("item", "events", "phase"),
    [
        (pod(conditions=None, spec={"nodeName": None}), [], "Scheduling"),
        (pod(CREATING), [], "Preparing"),
        (pod(CREATING), [SCHEDULED], "Preparing"),
        (pod(CREATING), [SCHEDULED, pulling()], "Pulling"),
        (pod(CREATING), [SCHEDULED, pulling(), PULLED], "Starting"),
        (pod(CREATING), [MOUNT_FAILED, pulling()], "Pulling"),
        (pod(running(), phase="Running"), [STARTED], "Starting"),
        (pod(running(ready=True), phase="Running"), [STARTED], "Running"),
        (
            pod(waiting("PodInitializing"), init=[("git", running())]),
            [event("Started", "Started container git", "initContainers{git}")],
            "Initializing",
        ),
        (
            pod(CREATING, init=[("git", ended(0, "Completed"))]),
            [pulling()],
            "Pulling",
        ),
        # A helper container says nothing about the notebook.
        (pod(CREATING), [pulling(), event("Started", "Started x", "containers{x}")], "Pulling"),
    ],
)
def test_phases_of_a_pod_with_which_nothing_is_wrong(item, events, phase):
    found = diagnose(item, events)
    assert (found.phase, found.reason) == (phase, None)
    assert found.waiting_helps and found.patience is None


def test_empty_and_partial_pods_are_tolerated():
    assert diagnose({}).phase == "Scheduling"
    assert (
        diagnose({"spec": {"nodeName": "a"}, "status": {"containerStatuses": None}}).reason is None
    )


def test_native_sidecar_that_runs_does_not_hold_the_phase():
    item = pod(
        CREATING,
        init=[("proxy", {**running(), "started": True})],
        spec={"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]},
    )
    assert diagnose(item).phase == "Preparing"
    assert diagnose(item, [PULLED]).phase == "Starting"


def test_every_default_patience_is_a_number_of_seconds_or_minus_one():
    assert all(value >= 0 or value == -1 for value in DEFAULT_PATIENCE.values())


# ---- containers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('configmap "nb-config" not found', ["ConfigMap nb-config"]),
        ('secret "api-key" not found', ["Secret api-key"]),
        ("couldn't find key token in Secret hub/api-key", ["the key token of the Secret api-key"]),
        ("couldn't find key a.py in ConfigMap hub/cfg", ["the key a.py of the ConfigMap cfg"]),
        (
            'container has runAsNonRoot and image will run as root (pod: "jupyter-ann_hub(u1)", '
            "container: notebook)",
            ["runs as root", "not allowed"],
        ),
        (
            "container has runAsNonRoot and image has non-numeric user (jovyan), cannot verify "
            "user is non-root",
            ["can't be told", "root"],
        ),
        ('failed to prepare subPath for volumeMount "home" of container "notebook"', ["folder"]),
    ],
)
def test_container_config_errors_say_what_is_missing(message, words):
    found = diagnose(pod(waiting("CreateContainerConfigError", message)))
    assert found.reason == found.patience_key == "CreateContainerConfigError"
    assert found.patience == 15 and found.waiting_helps
    assert all(word in found.user for word in words), found.user
    assert message in found.admin and found.container == "notebook"


@pytest.mark.parametrize(
    ("reason", "key"),
    [
        ("CreateContainerError", "CreateContainerError"),
        ("RunContainerError", "RunContainerError"),
        ("PostStartHookError", "RunContainerError"),
    ],
)
def test_runtime_errors(reason, key):
    message = 'failed to create containerd task: exec: "jupyterhub-singleuser": not found in $PATH'
    found = diagnose(pod(waiting(reason, message)))
    assert (found.reason, found.patience_key, found.patience) == (reason, key, 15)
    assert "$PATH" in found.admin


def test_crash_loop_counts_from_the_third_restart():
    found = diagnose(pod(crash_loop(2), phase="Running"))
    assert (found.reason, found.patience) == ("Restarting", -1)
    assert "started again" in found.user and "exit code 1" in found.user
    found = diagnose(pod(crash_loop(3), phase="Running"))
    assert found.reason == "CrashLoopBackOff" and found.patience == 0 and not found.waiting_helps
    assert "exit code 1" in found.user and "restarted 3 times" in found.admin
    assert diagnose(pod(crash_loop(1), phase="Running"), crash_restarts=1).reason


def test_crash_loop_for_lack_of_memory_says_so():
    found = diagnose(pod(crash_loop(3, 137, "OOMKilled"), phase="Running"))
    assert found.reason == "CrashLoopBackOff"
    assert "more memory" in found.user and "OOMKilled" in found.admin


def test_crash_loop_carries_the_last_log_lines():
    logs = {"notebook": "loading\nModuleNotFoundError: No module named 'jupyterhub'\n"}
    found = diagnose(pod(crash_loop(4), phase="Running"), logs=logs)
    assert found.user.endswith("“ModuleNotFoundError: No module named 'jupyterhub'”.")
    assert "loading\nModule" in found.admin


@pytest.mark.parametrize("init_policy", [None, "OnFailure"])
def test_init_container_crash_loop(init_policy):
    item = pod(waiting("PodInitializing"), init=[("git", crash_loop(3, 128))])
    found = diagnose(item)
    assert (found.reason, found.container) == ("CrashLoopBackOff", "git")
    assert "preparation" in found.user and "exit code 128" in found.user


def test_init_container_that_failed_for_good():
    item = pod(
        waiting("PodInitializing"),
        init=[("git", ended(128)), ("perms", waiting("PodInitializing"))],
        spec={"restartPolicy": "Never"},
        phase="Failed",
    )
    found = diagnose(item, logs={"git": "Cloning\nfatal: repository 'https://x' not found\n"})
    assert (found.phase, found.reason, found.patience) == ("Failed", "InitContainerFailed", 0)
    assert found.container == "git" and "'git'" in found.user
    assert "fatal: repository 'https://x' not found" in found.user
    assert "exit code 128" in found.admin and "Cloning\nfatal:" in found.admin


def test_init_container_that_will_be_tried_again_is_no_failure_yet():
    item = pod(waiting("PodInitializing"), init=[("git", ended(1))])
    assert (diagnose(item).reason, diagnose(item).patience) == ("Restarting", -1)


def test_init_container_with_termination_message():
    item = pod(init=[("git", ended(1, message="no space"))], spec={"restartPolicy": "Never"})
    assert "no space" in diagnose(item).admin


def test_notebook_that_ended():
    never = {"restartPolicy": "Never"}
    found = diagnose(pod(ended(3), spec=never, phase="Failed"))
    assert (found.reason, found.patience_key, found.patience) == ("ServerExited", "ServerExited", 0)
    assert "exit code 3" in found.user
    found = diagnose(pod(ended(137, "OOMKilled"), spec=never, phase="Failed"))
    assert (found.reason, found.patience_key) == ("OOMKilled", "ServerExited")
    assert "more memory" in found.user
    found = diagnose(pod(ended(0, "Completed"), phase="Succeeded"))
    assert (found.reason, found.patience) == ("ServerExited", 0)


def test_sidecar_that_never_started_holds_the_pod():
    # The pod stays Pending, so the server gets no traffic although it runs.
    missing = waiting("ErrImagePull", 'rpc error: code = NotFound desc = "x": not found')
    item = pod(running(ready=True), others=[("proxy", missing)])
    found = diagnose(item)
    assert (found.reason, found.container) == ("ImageNotFound", "proxy")
    item["status"]["phase"] = "Running"
    assert diagnose(item).reason is None


# ---- pods --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "message", "word"),
    [
        (
            "Evicted",
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. ",
            "ran out of memory",
        ),
        ("Evicted", "The node had condition: [DiskPressure]. ", "ran out of resources"),
        (
            "Evicted",
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
            "temporary disk space",
        ),
        ("NodeLost", "Node node-1 which was running pod is unresponsive", "was lost"),
        (
            "DeadlineExceeded",
            "Pod was active on the node longer than the specified deadline",
            "time that it may run",
        ),
        (
            "UnexpectedAdmissionError",
            "Pod was rejected: Allocate failed due to requested number of devices unavailable for "
            "nvidia.com/gpu. Requested: 1, Available: 0, which is unexpected",
            "no room",
        ),
        (
            "OutOfcpu",
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000, used: 1, "
            "capacity: 2000",
            "ran out of cpu",
        ),
        ("NodeAffinity", "Pod was rejected: Predicate NodeAffinity failed", "may not run it"),
        ("Terminated", "Pod was terminated in response to imminent node shutdown.", "shut down"),
        ("SysctlForbidden", "forbidden sysctl", "SysctlForbidden"),
    ],
)
def test_pods_that_failed_as_a_whole(reason, message, word):
    found = diagnose(pod(phase="Failed", reason=reason, message=message))
    assert (found.phase, found.reason, found.patience_key) == ("Failed", reason, "PodFailed")
    assert found.patience == 0 and word in found.user and message.strip() in found.admin


def test_eviction_says_more_than_that_its_container_was_killed():
    item = pod(ended(137), phase="Failed", reason="Evicted", message="low on resource: memory")
    assert diagnose(item).reason == "Evicted"


def test_failed_without_a_word_and_unknown():
    found = diagnose(pod(phase="Failed"))
    assert (found.reason, found.patience) == ("PodFailed", 0)
    found = diagnose(pod(phase="Unknown"))
    assert (found.reason, found.patience) == ("NodeUnreachable", 120)


def test_pod_that_is_gone_or_going():
    assert (diagnose(None).phase, diagnose(None).reason) == ("Gone", "PodDeleted")
    going = {"deletionTimestamp": "2026-11-25T09:00:00Z"}
    found = diagnose(pod(running(ready=True), metadata=going))
    assert (found.phase, found.reason, found.patience) == ("Gone", "PodDeleted", 0)


@pytest.mark.parametrize(
    ("code", "reason", "word"),
    [
        ("PreemptionByScheduler", "Preempted", "more important"),
        ("DeletionByTaintManager", "NodeLost", "was lost"),
        ("EvictionByEvictionAPI", "Drained", "out of service"),
    ],
)
def test_deletion_by_the_cluster_says_why(code, reason, word):
    condition = {"type": "DisruptionTarget", "status": "True", "reason": code, "message": "since"}
    going = {"deletionTimestamp": "2026-11-25T09:00:00Z"}
    found = diagnose(pod(running(), metadata=going, conditions=[condition]))
    assert (found.reason, found.patience_key) == (reason, "PodDeleted")
    assert word in found.user and code in found.admin


# ---- scheduling --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "word"),
    [
        (INSUFFICIENT, "enough free memory"),
        ("0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory.", "CPU and memory"),
        ("0/9 nodes are available: 1 Insufficient memory, 8 Insufficient cpu.", "free CPU for"),
        (
            "0/4 nodes are available: 4 Insufficient nvidia.com/gpu. preemption: 0/4 nodes are "
            "available: 4 Insufficient cpu.",
            "free GPUs (nvidia.com/gpu) for",
        ),
        ("0/1 nodes are available: 1 Insufficient ephemeral-storage.", "free disk space"),
        (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
            "no machine of the kind",
        ),
        (
            "0/3 nodes are available: 3 node(s) didn't match node selector.",
            "no machine of the kind",
        ),
        (
            "0/1 nodes are available: 1 node(s) had taint {node.kubernetes.io/not-ready: }, that "
            "the pod didn't tolerate.",
            "other work, or are not ready",
        ),
        ("0/3 nodes are available: 3 node(s) had volume node affinity conflict.", "storage volume"),
        ("0/3 nodes are available: 3 node(s) were unschedulable.", "no new servers"),
        ("0/3 nodes are available: 3 Too many pods.", "as many servers as they may"),
        (
            "0/3 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name "
            "and ReadWriteOncePod access mode.",
            "another server of yours",
        ),
        ("0/0 nodes are available: .", "no machine at the moment"),
        ("no nodes available to schedule pods", "no machine at the moment"),
        ("something new", "No machine in the cluster"),
    ],
)
def test_unschedulable_names_what_lacks(message, word):
    found = diagnose(unscheduled(message))
    assert (found.phase, found.reason, found.patience) == ("Scheduling", "Unschedulable", -1)
    assert found.waiting_helps
    assert word in found.user, found.user
    assert message in found.admin


def test_failed_scheduling_event_is_enough():
    item = pod(conditions=None, spec={"nodeName": None})
    found = diagnose(item, [event("FailedScheduling", INSUFFICIENT, type_="Warning")])
    assert found.reason == "Unschedulable" and "memory" in found.user


SCALE_UP = event("TriggeredScaleUp", "pod triggered scale-up: [{pool-1 1->2 (max: 5)}]")
NO_SCALE_UP = event(
    "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached"
)


def test_scale_up_keeps_waiting_while_it_is_the_last_word():
    failed = event("FailedScheduling", INSUFFICIENT, type_="Warning")
    found = diagnose(unscheduled(INSUFFICIENT), [failed, SCALE_UP, failed])
    assert found.reason is None and "new machine" in found.user
    assert "pool-1" in found.admin and "Insufficient memory" in found.admin
    nominated = event("Nominated", "Pod should schedule on: nodeclaim/default-x7")
    assert diagnose(unscheduled(INSUFFICIENT), [nominated]).reason is None
    found = diagnose(unscheduled(INSUFFICIENT), [SCALE_UP, NO_SCALE_UP])
    assert found.reason == "Unschedulable" and "max node group size" in found.admin
    assert "No machine can be added" in found.user
    assert diagnose(unscheduled(INSUFFICIENT), [NO_SCALE_UP, SCALE_UP]).reason is None


def test_scheduling_gates_are_a_queue():
    message = "Scheduling is blocked due to non-empty scheduling gates"
    found = diagnose(unscheduled(message, reason="SchedulingGated"))
    assert found.reason is None and "turn" in found.user


# ---- volumes -----------------------------------------------------------------------------


def claim(phase, name="claim-ann", storage_class="fast"):
    return {
        "metadata": {"name": name},
        "spec": {"storageClassName": storage_class},
        "status": {"phase": phase},
    }


def test_claim_pending():
    found = diagnose(unscheduled(UNBOUND), claims=[claim("Pending")])
    assert (found.phase, found.reason, found.patience) == ("Volumes", "ClaimPending", -1)
    assert "'claim-ann'" in found.admin and "'fast'" in found.admin
    assert diagnose(unscheduled(UNBOUND)).reason == "ClaimPending"


def test_claim_that_nothing_will_ever_bind():
    said = "no persistent volumes available for this claim and no storage class is set"
    found = diagnose(unscheduled(UNBOUND), [claim_event("FailedBinding", said)])
    assert found.reason == "ClaimPending" and "no free storage volume" in found.user
    assert said in found.admin


def test_claim_lost():
    found = diagnose(unscheduled(UNBOUND), claims=[claim("Bound", "other"), claim("Lost")])
    assert (found.reason, found.patience) == ("ClaimLost", 0)
    message = (
        '0/1 nodes are available: persistentvolumeclaim "claim-ann" bound to non-existent '
        'persistentvolume "pvc-1".'
    )
    assert diagnose(unscheduled(message)).reason == "ClaimLost"


@pytest.mark.parametrize(
    "message",
    [
        '0/1 nodes are available: persistentvolumeclaim "claim-ann" not found.',
        'persistentvolumeclaim "claim-ann" not found',
        '0/1 nodes are available: persistentvolumeclaim "claim-ann" is being deleted.',
    ],
)
def test_claim_missing(message):
    found = diagnose(unscheduled(message))
    assert (found.phase, found.reason, found.patience) == ("Volumes", "ClaimMissing", 15)
    assert "claim-ann" in found.admin


def test_provisioning_failed_until_it_succeeded():
    failed = claim_event(
        "ProvisioningFailed",
        'failed to provision volume with StorageClass "fast": rpc error: code = ResourceExhausted',
    )
    found = diagnose(unscheduled(UNBOUND), [failed], [claim("Pending")])
    assert (found.reason, found.patience) == ("ClaimProvisioningFailed", -1)
    assert "ResourceExhausted" in found.admin
    succeeded = claim_event("ProvisioningSucceeded", "Successfully provisioned volume pvc-1")
    assert diagnose(unscheduled(INSUFFICIENT), [failed, succeeded]).reason == "Unschedulable"
    assert diagnose(unscheduled(INSUFFICIENT), [failed], [claim("Bound")]).reason == "Unschedulable"


def test_provisioning_for_a_storage_class_that_does_not_exist():
    failed = claim_event("ProvisioningFailed", 'storageclass.storage.k8s.io "fats" not found')
    found = diagnose(unscheduled(UNBOUND), [failed])
    assert found.reason == "ClaimProvisioningFailed" and "does not exist" in found.user


@pytest.mark.parametrize(
    ("reason", "message", "key", "word"),
    [
        (
            "FailedAttachVolume",
            'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one '
            "node and can't be attached to another",
            "VolumeMountFailed",
            "another machine",
        ),
        (
            "FailedMount",
            "Unable to attach or mount volumes: unmounted volumes=[home], unattached volumes=[home]"
            ": timed out waiting for the condition",
            "VolumeMountFailed",
            "takes long",
        ),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "nfs" : mount failed: exit status 32\nmount.nfs: '
            "access denied by server while mounting nfs:/home",
            "VolumeMountFailed",
            "may not be used",
        ),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "cfg" : configmap "nb-config" not found',
            "MountSourceMissing",
            "ConfigMap nb-config",
        ),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "cfg" : references non-existent secret key: a',
            "MountSourceMissing",
            "key of a ConfigMap or Secret",
        ),
    ],
)
def test_volumes_that_can_not_be_mounted(reason, message, key, word):
    found = diagnose(pod(CREATING), [SCHEDULED, event(reason, message, type_="Warning")])
    assert (found.phase, found.reason) == ("Volumes", key)
    assert found.patience == DEFAULT_PATIENCE[key] and found.waiting_helps
    assert word in found.user and message in found.admin


def test_sandbox_that_can_not_be_made():
    failed = event(
        "FailedCreatePodSandBox",
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network",
    )
    assert diagnose(pod(CREATING), [SCHEDULED, failed]).reason == "SandboxFailed"
    assert diagnose(pod(CREATING), [failed, pulling()]).reason is None


def test_a_preparation_that_is_tried_again_is_told_and_one_that_is_done_is_not():
    failed = {**waiting("PodInitializing"), "restartCount": 1}
    failed["lastState"] = {"terminated": {"exitCode": 3, "reason": "Error"}}
    found = diagnose(pod(waiting("PodInitializing"), init=[("git", failed)]))
    assert (found.phase, found.reason) == ("Initializing", "Restarting")
    assert found.waiting_helps
    assert found.user == (
        "The preparation of your server (step 'git') ended while starting (exit code 3); "
        "it is started again."
    )
    done = pod(waiting("PodInitializing"), init=[("git", ended(0, "Completed"))])
    assert "again" not in diagnose(done).user


@pytest.mark.parametrize(
    "message",
    [
        "failed to create shim: OCI runtime create failed: container_linux.go:380: starting container "
        'process caused: exec: "serve": executable file not found in $PATH: unknown',
        "container create failed: executable file `serve` not found in $PATH: No such file",
    ],
)
def test_a_command_that_the_image_lacks_is_named(message):
    found = diagnose(pod(waiting("RunContainerError", message)))
    assert found.user.startswith("The image of your server has no command serve.")
    again = crash_loop(3, 128, "StartError")
    again["lastState"]["terminated"]["message"] = message
    assert diagnose(pod(again, phase="Running")).user == found.user
