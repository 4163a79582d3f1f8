"""Which container is the server's, whether it is ready, and whether it still runs."""

import pytest

from kubespawner.diagnosis import (
    is_ready,
    notebook_container_name,
    notebook_status,
    server_status,
)

from ._pods import crash_loop, ended, pod, running, waiting

NEVER = {"restartPolicy": "Never"}
ALWAYS = {"restartPolicy": "Always"}
GOING = {"deletionTimestamp": "2026-11-25T09:00:00Z"}


def containers(*items):
    return {"spec": {"containers": list(items)}}


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (containers({"name": "proxy"}, {"name": "notebook"}), "notebook"),
        (
            containers({"name": "proxy"}, {"name": "lab", "ports": [{"name": "notebook-port"}]}),
            "lab",
        ),
        (containers({"name": "lab", "ports": None}, {"name": "proxy"}), "lab"),
        ({}, "notebook"),
        ({"spec": None}, "notebook"),
    ],
)
def test_notebook_container_name(item, name):
    assert notebook_container_name(item) == name


def test_notebook_status_is_the_notebooks():
    item = pod(running(), others=[("proxy", running(ready=True))])
    assert notebook_status(item)["ready"] is False
    assert notebook_status(pod(others=[("proxy", running())])) is None
    assert notebook_status({}) is None


def test_is_ready_asks_the_notebook_or_all():
    slow_helper = pod(running(ready=True), others=[("proxy", running(ready=False))])
    assert is_ready(slow_helper) and not is_ready(slow_helper, all_containers=True)
    done = pod(running(ready=False), others=[("proxy", running(ready=True))])
    assert not is_ready(done)
    both = pod(running(ready=True), others=[("proxy", running(ready=True))])
    assert is_ready(both, all_containers=True)
    both["status"]["containerStatuses"].pop()
    assert not is_ready(both, all_containers=True)


@pytest.mark.parametrize("item", [None, {}, {"status": None}, {"status": {}}, pod()])
@pytest.mark.parametrize("all_containers", [False, True])
def test_nothing_known_is_not_ready(item, all_containers):
    assert is_ready(item, all_containers) is False


@pytest.mark.parametrize(
    "item",
    [
        {},
        pod(),
        pod(waiting("ContainerCreating")),
        pod(running(ready=True), phase="Running"),
        pod(waiting("ContainerCreating"), phase="Running"),
        pod(phase="Running"),
        pod(phase="Unknown"),
        pod(phase="Running", others=[("proxy", running())]),
        # Between two restarts of the kubelet.
        pod(ended(1), phase="Running"),
        pod(ended(0, "Completed"), phase="Running", spec=ALWAYS),
        pod(crash_loop(2), phase="Running"),
    ],
)
def test_pods_that_count_as_running(item):
    status = server_status(item)
    assert status.running and status.exit_code is None and status.reason == ""


@pytest.mark.parametrize(
    ("item", "code", "reason"),
    [
        (None, 1, "PodMissing"),
        (pod(ended(0, "Completed"), phase="Succeeded"), 0, "ServerExited"),
        (pod(ended(0, "Completed"), phase="Running"), 0, "ServerExited"),
        (pod(ended(3), phase="Running", spec=NEVER), 3, "ServerExited"),
        (pod(ended(137, "OOMKilled"), phase="Failed", spec=NEVER), 137, "OOMKilled"),
        # Nothing restarts in a pod that has failed.
        (pod(ended(5), phase="Failed", spec=ALWAYS), 5, "ServerExited"),
        (pod(phase="Failed", reason="Evicted", message="low on memory"), 1, "Evicted"),
        (pod(ended(137), phase="Failed", reason="Evicted"), 137, "Evicted"),
        (pod(phase="Failed"), 1, "PodFailed"),
        (pod(phase="Succeeded"), 0, "ServerExited"),
        (pod(phase="Failed", others=[("proxy", ended(1))]), 1, "PodFailed"),
        (pod(running(ready=True), phase="Running", metadata=GOING), 1, "PodDeleted"),
        (pod(ended(143), phase="Running", metadata=GOING), 143, "PodDeleted"),
        (pod(ended(0, "Completed"), phase="Running", metadata=GOING), 0, "PodDeleted"),
        (pod(crash_loop(3, 7), phase="Running"), 7, "CrashLoopBackOff"),
        (pod(crash_loop(3, 0), phase="Running", spec=ALWAYS), 0, "CrashLoopBackOff"),
        (pod(waiting("CrashLoopBackOff", restartCount=9), phase="Running"), 1, "CrashLoopBackOff"),
    ],
)
def test_pods_that_count_as_ended(item, code, reason):
    status = server_status(item)
    assert (status.running, status.exit_code, status.reason) == (False, code, reason)
    assert status.message and status.user


def test_own_stop_is_not_an_end():
    going = pod(running(ready=True), phase="Running", metadata=GOING)
    assert server_status(going, own_stop=True).running
    done = pod(ended(0, "Completed"), phase="Succeeded", metadata=GOING)
    assert server_status(done, own_stop=True).exit_code == 0


def test_crash_restarts_is_configurable():
    assert server_status(pod(crash_loop(4), phase="Running"), crash_restarts=5).running
    assert not server_status(pod(crash_loop(1), phase="Running"), crash_restarts=1).running


def test_node_loss_is_told_apart_from_a_deletion():
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
    }
    status = server_status(pod(running(), phase="Running", metadata=GOING, conditions=[condition]))
    assert (status.reason, status.exit_code) == ("NodeLost", 1)
    assert "machine" in status.user and "NoExecute" in status.message


@pytest.mark.parametrize(
    ("code", "runs"), [(42, True), (1, False)], ids=["listed code", "other code"]
)
def test_restart_rules_of_a_container_are_respected(code, runs):
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    item = pod(ended(code), phase="Running", spec=NEVER)
    item["spec"]["containers"][0].update(restartPolicy="Never", restartPolicyRules=rules)
    assert server_status(item).running is runs
