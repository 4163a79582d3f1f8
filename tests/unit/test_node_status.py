"""What the embedded node writes into the status of a pod."""

import pytest

from kubespawner.localcluster.podstatus import conditions, final_phase, phase

WAITING = {"waiting": {"reason": "ContainerCreating"}}
RUNNING = {"running": {}}


def ended(code):
    return {"terminated": {"exitCode": code}}


def status(state, *, ready=False, last=None, name="main"):
    return {"name": name, "state": state, "lastState": last or {}, "ready": ready}


@pytest.mark.parametrize(
    ("policy", "states", "expected"),
    [
        ("Always", [WAITING], "Pending"),
        ("Always", [RUNNING, WAITING], "Pending"),
        ("Always", [RUNNING, RUNNING], "Running"),
        ("Always", [ended(0)], "Running"),
        ("Always", [ended(1)], "Running"),
        ("OnFailure", [ended(0)], "Succeeded"),
        ("OnFailure", [ended(1)], "Running"),
        ("OnFailure", [ended(0), RUNNING], "Running"),
        ("Never", [ended(0), ended(0)], "Succeeded"),
        ("Never", [ended(0), ended(2)], "Failed"),
        ("Never", [ended(2), RUNNING], "Running"),
    ],
)
def test_phases(policy, states, expected):
    assert phase(policy, [status(state) for state in states]) == expected


def test_a_container_between_two_runs_does_not_make_the_pod_pending():
    assert phase("Always", [status(WAITING, last=ended(1))]) == "Running"


@pytest.mark.parametrize(
    ("policy", "init", "expected"),
    [
        ("Never", [ended(1)], "Failed"),
        ("OnFailure", [ended(1)], "Pending"),
        ("Always", [RUNNING], "Pending"),
        ("Always", [ended(0), WAITING], "Pending"),
        ("Always", [ended(0)], "Running"),
    ],
)
def test_phases_with_init_containers(policy, init, expected):
    found = phase(policy, [status(RUNNING)], [status(state) for state in init])
    assert found == expected


def test_the_phase_of_a_stopped_pod_tells_how_its_containers_ended():
    assert final_phase([status(ended(0)), status(ended(0))]) == "Succeeded"
    assert final_phase([status(ended(0)), status(ended(143))]) == "Failed"


def test_conditions_keep_the_time_of_their_last_change():
    def at(time, ready, before):
        containers = [status(RUNNING, ready=ready, name="a"), status(RUNNING, ready=True)]
        found = conditions(containers, initialized=True, phase="Running", before=before, time=time)
        return found, {condition["type"]: condition for condition in found}

    first, by_type = at("1", False, [])
    assert by_type["Ready"]["status"] == "False"
    assert by_type["Ready"]["message"] == "containers with unready status: [a]"
    assert by_type["PodScheduled"]["status"] == by_type["Initialized"]["status"] == "True"
    second, by_type = at("2", False, first)
    assert by_type["Ready"]["lastTransitionTime"] == "1"
    _, by_type = at("3", True, second)
    assert by_type["Ready"]["lastTransitionTime"] == "3"
    assert "reason" not in by_type["Ready"]
    assert by_type["Initialized"]["lastTransitionTime"] == "1"
