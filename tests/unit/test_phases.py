"""What a person reads while a server starts."""

import pytest

from kubespawner.diagnosis import Diagnosis, diagnose
from kubespawner.phases import event_message, event_progress, phase_message
from kubespawner.pulls import PullBook

from ._pods import IMAGE, event, pod, pulling, running, unscheduled, waiting


def told(item, events=(), elapsed=None, pulls=None):
    events = list(events)
    return phase_message(item, events, diagnose(item, events), elapsed, pulls)


# ---- events ------------------------------------------------------------------------------


def test_event_line_has_time_type_and_the_kubelets_text():
    started = event("Started", "Started container notebook", "containers{notebook}")
    assert event_message(started) == "2026-11-25T09:00:01Z [Normal] Started container notebook"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"series": {"lastObservedTime": "a"}, "lastTimestamp": "b", "eventTime": "c"}, "a"),
        ({"series": None, "lastTimestamp": "b", "eventTime": "c"}, "b"),
        ({"lastTimestamp": None, "eventTime": "c", "firstTimestamp": "d"}, "c"),
        ({"firstTimestamp": "d", "metadata": {"creationTimestamp": "e"}}, "d"),
        ({"metadata": {"creationTimestamp": "e"}}, "e"),
    ],
)
def test_event_time_is_the_first_that_is_set(times, expected):
    assert event_message({"type": "Normal", "message": "m", **times}) == f"{expected} [Normal] m"


def test_event_with_nothing_in_it():
    assert event_message({}) == "[Normal]"
    assert event_message({"reason": "Pulled", "type": None, "message": None}) == "[Normal] Pulled"


def test_repeated_event_says_how_often():
    message = "Back-off restarting failed container"
    assert event_message(event("BackOff", message, count=7)).endswith(f"{message} (7 times)")
    series = {"count": 3, "lastObservedTime": "2026-11-25T09:00:09.000000Z"}
    assert event_message(event("BackOff", message, series=series)).endswith("(3 times)")
    assert "times" not in event_message(event("BackOff", message, count=None))


def test_event_progress_moves_by_phase_not_by_count():
    steps = [
        event("Scheduled", "Successfully assigned hub/jupyter-ann to node-1"),
        pulling("alpine/git:2", "initContainers{git}"),
        event("Started", "Started container git", "initContainers{git}"),
        event("Started", "Started container notebook", "containers{notebook}"),
    ]
    bar = [event_progress(step) for step in steps]
    assert bar == sorted(bar) and len(set(bar)) == len(bar)
    assert all(0 < value < 100 for value in bar)
    assert event_progress(event("BackOff", "again")) is None


# ---- phases ------------------------------------------------------------------------------


def test_a_whole_start_reads_as_a_story_and_only_moves_forward():
    creating = pod(waiting("ContainerCreating"))
    pull = pulling()
    created = event("Created", "Created container notebook", "containers{notebook}")
    story = [
        told(pod(conditions=None, spec={"nodeName": None})),
        told(creating),
        told(creating, [pull]),
        told(creating, [pull, created]),
        told(pod(running(ready=True), phase="Running"), [pull, created]),
    ]
    assert [entry["message"] for entry in story] == [
        "Waiting for a free machine",
        "Preparing a machine for your server",
        f"Downloading the image {IMAGE} (first time on this machine)",
        "Starting the notebook",
        "Your server runs; connecting to it",
    ]
    bar = [entry["progress"] for entry in story]
    assert bar == sorted(set(bar)) and bar[0] > 0 and bar[-1] < 100


def test_image_that_is_always_asked_for_may_be_there_already():
    item = pod(waiting("ContainerCreating"))
    item["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    assert told(item, [pulling()])["message"] == f"Downloading the image {IMAGE}"


def test_size_and_time_are_told_where_another_machine_has_pulled_the_image():
    pulls, item = PullBook(), pod(waiting("ContainerCreating"))
    text = f'Successfully pulled image "{IMAGE}" in 2m10s. Image size: 1234567890 bytes.'
    pulls.note(event("Pulled", text))
    entry = told(item, [pulling()], pulls=pulls)
    assert entry["message"] == (
        f"Downloading the image {IMAGE} (first time on this machine, 1.2 GB, took 2 minutes before)"
    )
    assert entry["values"] == {
        "container": "notebook",
        "image": IMAGE,
        "first_time": True,
        "bytes": 1234567890,
        "seconds": 130.0,
    }


def test_a_message_says_by_code_what_it_is_about():
    entry = told(unscheduled("0/3 nodes are available: 3 Insufficient memory."))
    assert (entry["kind"], entry["phase"], entry["reason"], entry["waiting_helps"]) == (
        "phase",
        "Scheduling",
        "Unschedulable",
        True,
    )
    item = pod(waiting("ImagePullBackOff", "manifest unknown"))
    entry = told(item)
    assert entry["reason"] == "ImageNotFound" and not entry["waiting_helps"]
    assert entry["values"]["image"] == IMAGE


def test_how_many_machines_lack_something_is_told_unless_all_do():
    some = "0/3 nodes are available: 1 node(s) had taint {a: b}, 2 Insufficient memory."
    assert told(unscheduled(some))["message"] == (
        "No machine has enough free memory for your server at the moment (2 of 3 machines lack it)."
    )
    every = "0/2 nodes are available: 2 Insufficient cpu, 1 Insufficient memory."
    assert told(unscheduled(every))["message"] == (
        "No machine has enough free CPU for your server at the moment."
    )


def test_image_of_an_init_container_is_the_one_that_is_downloaded():
    item = pod(waiting("PodInitializing"), init=[("git", waiting("PodInitializing"))])
    entry = told(item, [pulling("alpine/git:2", "initContainers{git}")])
    assert "alpine/git:2" in entry["message"] and IMAGE not in entry["message"]


def test_init_container_is_named():
    item = pod(waiting("PodInitializing"), init=[("git", running())])
    entry = told(item, [event("Started", "Started container git", "initContainers{git}")])
    assert entry["message"] == "Preparing your server (step git)"


def test_what_is_wrong_is_said_instead_of_the_phase():
    item = unscheduled("0/3 nodes are available: 3 Insufficient memory.")
    entry = told(item)
    assert "enough free memory" in entry["message"]
    assert entry["progress"] == told(pod(conditions=None, spec={"nodeName": None}))["progress"]


@pytest.mark.parametrize("phase", ["Failed", "Gone", "SomethingNew"])
def test_progress_is_an_int_in_every_phase(phase):
    entry = phase_message({}, [], Diagnosis(phase))
    assert type(entry["progress"]) is int and 0 <= entry["progress"] < 100
    assert entry["message"]


def test_html_is_escaped():
    entry = phase_message({}, [], Diagnosis("Pulling", "X", "The image <script>&.", "", 0))
    assert entry["message"] == "The image <script>&."
    assert entry["html_message"] == "The image &lt;script&gt;&amp;."
    item = pod(waiting("ContainerCreating"))
    entry = told(item, [pulling("evil/<b>:1")])
    assert "<code>evil/&lt;b&gt;:1</code>" in entry["html_message"]
    assert "<b>" not in entry["html_message"]


def test_elapsed_creeps_within_the_phase_and_tells_minutes():
    item = pod(waiting("ContainerCreating"))
    entries = [told(item, [pulling()], elapsed) for elapsed in (0, 20, 59, 65, 130, 1e6)]
    bar = [entry["progress"] for entry in entries]
    assert bar == sorted(bar) and bar[1] > bar[0]
    # However long it takes, the next phase is still ahead.
    started = told(item, [event("Started", "x", "containers{notebook}")])
    assert bar[-1] < started["progress"]
    assert "minute" not in entries[2]["message"]
    assert entries[3]["message"].endswith("for 1 minute")
    assert entries[4]["message"].endswith("for 2 minutes")


def test_bar_of_the_last_phase_stays_below_100():
    item = pod(running(ready=True), phase="Running")
    assert 90 <= told(item, elapsed=1e6)["progress"] < 100
