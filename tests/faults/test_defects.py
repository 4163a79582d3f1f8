"""One test per defect of KubeSpawner 7.1 that this package must not have.

Each docstring begins with the row of the table of defects; the name says what is required instead.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

import pytest
from tornado import web
from traitlets import Float

from kubespawner import KubeSpawner, pods, watching
from kubespawner.errors import SpawnError
from kubespawner.kube.pod_events import MOST_EVENTS
from kubespawner.localcluster import lifecycle
from kubespawner.localcluster.resources import NAMESPACES

from .conftest import CLAIMS, PODS, STORAGE, Impatient, until, with_certificates

CLAIM = {
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


async def messages(spawner: Any) -> list[str]:
    return [entry["message"] async for entry in spawner.progress()]


def claim_names(field: Any) -> set[str]:
    return {claim["metadata"]["name"] for claim in field.objects("persistentvolumeclaims")}


def swap(field: Any, spawner: Any, **annotations: str) -> dict[str, Any]:
    """Exchange the pod of ``spawner`` for another one of the same name, at once; return it."""
    pod = field.store.get(PODS, "default", spawner.pod_name)
    field.store.remove(PODS, "default", spawner.pod_name)
    pod["metadata"]["annotations"] = {**pod["metadata"]["annotations"], **annotations}
    return field.add("pods", pod)


def swap_at(field: Any, spawner: Any, verb: str, **annotations: str) -> list[dict[str, Any]]:
    """Exchange the pod just before a request of ``verb`` takes effect; the list gets the new one."""
    swapped: list[dict[str, Any]] = []

    def when(call: Any) -> bool:
        if not swapped:
            swapped.append(swap(field, spawner, **annotations))
        return False

    field.fail(verb=verb, resource="pods", when=when)
    return swapped


async def restarted(field: Any, spawner: Any, **traits: Any) -> Any:
    """Return the spawner of a restarted hub, with nothing but the state."""
    await KubeSpawner._stop_all_reflectors()
    again = field.spawner(spawner.user.name, spawner.name, **traits)
    again.load_state(spawner.get_state())
    return again


async def test_server_whose_state_is_unknown_never_counts_as_stopped(field, monkeypatch):
    """1: a failed first list left an empty cache, in which everything was stopped."""
    monkeypatch.setattr(watching, "_FIRST_LIST_PATIENCE", 0.2)
    first = field.spawner()
    await first.start()
    spawner = await restarted(field, first)
    outage = field.fail(verb="list", resource="pods", status=500)
    for _ in range(3):
        assert await spawner.poll() is None
    assert outage.hits
    field.faults.remove(outage)
    await until(lambda: field.count("watch", "pods") > 1)
    assert await spawner.poll() is None
    field.confirm_gone(spawner.pod_name)
    assert await until(lambda: _stopped(spawner)) == [1]


async def _stopped(spawner: Any) -> list[int]:
    status = await spawner.poll()
    return [] if status is None else [status]


async def test_watch_is_supervised_for_ever(field):
    """2: the watch gave up after 30 seconds; its frozen cache was served from then on."""
    spawner = field.spawner()
    await spawner.start()
    informer = spawner.pod_reflector.informer
    field.fail(verb="watch", resource="pods", status=500, times=3)
    field.faults.close_watches("pods", abort=True)
    await until(lambda: field.count("watch", "pods") >= 2)
    await until(lambda: informer.stale_since is None)
    # Whatever ends the task itself: the next to need it takes it up again.
    informer.task.cancel()
    await asyncio.wait([informer.task])
    other = field.spawner("bob")
    await asyncio.wait_for(other.start(), 5)
    assert await spawner.poll() is None
    field.confirm_gone(spawner.pod_name)
    assert await until(lambda: _stopped(spawner)) == [1]


async def test_pod_of_an_unanswered_creation_is_adopted(field):
    """3: the conflict with the own new pod deleted it, over and over."""
    create = field.fail(verb="create", resource="pods", times=1, delay_answer=1)
    spawner = field.spawner()
    await spawner.start()
    assert create.hits == 1
    assert field.uids("ADDED", "pods") == [spawner.pod_id]
    assert field.uids("DELETED", "pods") == []


async def test_conflict_deletes_only_the_pod_that_was_looked_at(field):
    """4: any pod of the name was deleted."""
    await field.spawner().start()
    spawner = field.spawner()
    swapped = swap_at(field, spawner, "delete", **{"hub.jupyter.org/username": "bob"})
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "NameCollision"
    assert [p["metadata"]["uid"] for p in field.pods()] == [swapped[0]["metadata"]["uid"]]


async def test_conflict_with_a_terminating_pod_waits_for_it(field):
    """4: a pod that was going was deleted again, and waited for by polling."""
    field.node = "node-1"
    first = field.spawner()
    await first.start()
    lifecycle.delete(field.store, PODS, "default", first.pod_name, {"gracePeriodSeconds": 30})
    field.node = ""
    spawner = field.spawner()
    future = spawner.start()
    await until(lambda: field.count("get", "pods"))
    assert not future.done()
    field.confirm_gone(first.pod_name)
    await future
    assert field.count("delete", "pods") == 0
    assert [p["metadata"]["uid"] for p in field.pods()] == [spawner.pod_id]


class Hasty(Impatient):
    """Has less time for a request than what it waits for needs."""

    k8s_api_request_retry_timeout = Float(0.5, config=True)


async def still_waits(future: Any, seconds: float = 1) -> bool:
    await asyncio.wait([future], timeout=seconds)
    return not future.done()


async def test_a_pod_that_is_going_has_its_grace_period(field):
    """4: what ends by itself may take longer than requests may."""
    field.node = "node-1"
    first = field.spawner()
    await first.start()
    lifecycle.delete(field.store, PODS, "default", first.pod_name, {"gracePeriodSeconds": 30})
    field.node = ""
    future = field.spawner(cls=Hasty).start()
    assert await still_waits(future)
    field.confirm_gone(first.pod_name)
    await future


async def test_a_pod_that_does_not_go_is_told_with_what_holds_it(field, monkeypatch):
    """4: waiting for it took all the time of the start, and nobody was told what for."""
    monkeypatch.setattr(pods, "GRACE_MARGIN", 0.1)
    await field.spawner().start()
    (pod,) = field.pods()
    pod["metadata"]["finalizers"] = ["example.com/held"]
    field.store.update(PODS, pod)
    spawner = field.spawner(cls=Hasty, start_timeout=60)
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "PodStuckTerminating"
    assert "finalizers ['example.com/held']" in str(error.value)
    assert "try again" in error.value.jupyterhub_message


async def test_a_namespace_that_is_going_is_waited_for(field):
    """14: its deletion takes as long as its last pod, which is more than a request may."""
    spawner = field.spawner(cls=Hasty, enable_user_namespaces=True)
    held = {"name": spawner.namespace, "finalizers": ["example.com/held"]}
    lifecycle.create(field.store, NAMESPACES, {"metadata": held})
    lifecycle.delete(field.store, NAMESPACES, "", spawner.namespace, {})
    future = spawner.start()
    assert await still_waits(future)
    field.store.remove(NAMESPACES, "", spawner.namespace)
    await future
    assert [p["metadata"]["namespace"] for p in field.pods()] == [spawner.namespace]


async def test_legacy_claim_is_looked_up_until_a_claim_is_known(field):
    """5: one stop under 7.x, and the old volume was never looked for again."""
    field.add("persistentvolumeclaims", {"metadata": {"name": "claim-has-2dhyphen"}, **CLAIM})
    volume = {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}
    spawner = field.spawner("has-hyphen", volumes=[volume], **STORAGE)
    spawner.load_state({"kubespawner_version": "7.1.0", "pod_name": "jupyter-has-hyphen"})
    spawner.clear_state()
    await spawner.start()
    (pod,) = field.pods()
    (mounted,) = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["spec"]["volumes"]]
    assert mounted == spawner.pvc_name == "claim-has-2dhyphen"
    assert claim_names(field) == {"claim-has-2dhyphen"}


async def test_claim_is_verified_at_each_start(field):
    """6: a claim deleted by hand was believed to exist, and its spawns hung."""
    first = field.spawner(**STORAGE)
    await first.start()
    await first.stop()
    first.clear_state()
    claim = first.pvc_name
    lifecycle.delete(field.store, CLAIMS, "default", claim)
    await until(lambda: not field.objects("persistentvolumeclaims"))
    again = await restarted(field, first, **STORAGE)
    again.clear_state()
    await again.start()
    assert claim_names(field) == {claim}
    assert any("new and empty" in message for message in await messages(again))


async def test_evicted_pod_is_removed_and_its_reason_kept(field):
    """7: a failed pod without container statuses was left behind for ever."""
    spawner = field.spawner()
    await spawner.start()
    field.change_pod(
        spawner.pod_name,
        phase="Failed",
        reason="Evicted",
        message="The node was low on resource: memory.",
        containerStatuses=[],
    )
    assert await until(lambda: _stopped(spawner)) == [1]
    assert spawner.exit_reason == "Evicted"
    assert spawner.get_state()["exit_reason"] == "Evicted"
    assert field.pods() == []


async def test_bookmarks_only_move_the_version(field):
    """8: bookmarks were stored as pods."""
    field.server._bookmark_interval = 0.05
    spawner = field.spawner()
    await spawner.start()
    informer = spawner.pod_reflector.informer
    field.add("secrets", {"metadata": {"name": "unrelated"}})
    revision = field.store.revision
    await until(lambda: int(informer.resource_version) >= revision)
    assert list(spawner.pod_reflector.pods) == ["default/jupyter-alice"]
    assert field.count("list", "pods") == 1
    assert await spawner.poll() is None


@pytest.mark.parametrize(
    ("template", "left"),
    [
        ("claim-{username}--{servername}", set()),
        ("claim-{username}-{unescaped_servername}", set()),
        ("claim-{username}", {"claim-alice"}),
        # The same for all of the user's servers, though the server's name is in the text.
        ("claim-{user_server:.5}", {"claim-alice"}),
        ("claim-{username}{servername:.0}", {"claim-alice"}),
    ],
)
async def test_claim_deletion_is_decided_by_the_rendered_names(field, template, left):
    """9: decided by whether the template's text has {user_server}."""
    spawner = field.spawner("alice", "lab", pvc_name_template=template, **STORAGE)
    await spawner.start()
    await spawner.stop()
    await spawner.delete_forever()
    assert claim_names(field) == left


async def test_namespace_of_a_profile_ends_with_its_server(field):
    """10: it stuck in the state, and the next profile started there."""
    field.add("namespaces", {"metadata": {"name": "gpu"}}, "")
    profile = {"display_name": "GPU", "default": True, "kubespawner_override": {"namespace": "gpu"}}
    spawner = field.spawner(profile_list=[profile])
    await spawner.start()
    assert [p["metadata"]["namespace"] for p in field.pods()] == ["gpu"]
    await spawner.stop()
    spawner.clear_state()
    assert spawner.namespace == "default"
    assert (await restarted(field, spawner)).namespace == "default"
    # Also where the hub was restarted in between, and knows of the choice from the state only.
    await spawner.start()
    again = await restarted(field, spawner, profile_list=[profile])
    assert again.namespace == "gpu"
    await again.stop()
    again.clear_state()
    assert again.namespace == "default"


async def test_namespace_of_a_group_ends_with_its_server(field):
    """10: as that of a profile."""
    field.add("namespaces", {"metadata": {"name": "gpu"}}, "")
    spawner = field.spawner()
    # As JupyterHub's group overrides do before a start.
    spawner._apply_overrides({"namespace": "gpu"})
    await spawner.start()
    again = await restarted(field, spawner)
    assert again.namespace == "gpu"
    await again.stop()
    again.clear_state()
    assert again.namespace == "default"


async def test_events_count_by_namespace_and_uid(field):
    """11: events of any pod of that name were shown."""
    field.runs = False
    field.add("namespaces", {"metadata": {"name": "elsewhere"}}, "")
    # One watch of the events of all namespaces.
    spawner = field.spawner(enable_user_namespaces=True)
    future = spawner.start()
    await until(field.pods)
    (pod,) = field.pods()
    field.event({"metadata": {**pod["metadata"], "uid": "another"}}, "of an earlier pod")
    # Not every reporter says which UID it means.
    namesake = {**pod["metadata"], "namespace": "elsewhere", "uid": ""}
    field.event({"metadata": namesake}, "of a pod in another namespace")
    field.event(pod, "of the own pod")
    await until(lambda: spawner.events)
    field.run(spawner.pod_name, spawner.namespace)
    await future
    said = " ".join(await messages(spawner))
    assert "of the own pod" in said
    assert "of an earlier pod" not in said
    assert "of a pod in another namespace" not in said


async def test_restart_policy_is_respected_between_restarts(field):
    """12: a poll between two restarts by the kubelet deleted the pod."""
    spawner = field.spawner()
    await spawner.start()
    assert field.pods()[0]["spec"]["restartPolicy"] == "OnFailure"
    field.end(spawner.pod_name, 1)
    await _seen(field, spawner)
    assert await spawner.poll() is None
    assert len(field.pods()) == 1
    field.end(spawner.pod_name, 0)
    await _seen(field, spawner)
    assert await spawner.poll() == 0
    assert field.pods() == []


async def _seen(field: Any, spawner: Any) -> None:
    """Wait until the watch has the pod as it is now."""
    informer = spawner.pod_reflector.informer
    version = field.store.record(PODS, spawner.namespace, spawner.pod_name).revision
    await until(lambda: int(informer.resource_version) >= version)


async def test_terminating_pod_counts_as_exited_with_a_reason(field):
    """13: it counted as running until it was gone."""
    field.node = "node-1"
    spawner = field.spawner()
    await spawner.start()
    lifecycle.delete(field.store, PODS, "default", spawner.pod_name, {"gracePeriodSeconds": 30})
    await _seen(field, spawner)
    assert await spawner.poll() == 1
    assert spawner.exit_reason
    assert len(field.pods()) == 1


async def test_creation_of_a_namespace_is_tried_again(field):
    """14: its first timeout or 5xx ended the spawn."""
    fault = field.fail(verb="create", resource="namespaces", status=503, times=2)
    spawner = field.spawner(enable_user_namespaces=True)
    await spawner.start()
    assert fault.hits == 2
    assert [p["metadata"]["namespace"] for p in field.pods()] == [spawner.namespace]


async def test_slow_spawn_is_told_without_events(field):
    """15: without events, nothing was said at all."""
    field.runs = False
    spawner = field.spawner(
        events_enabled=False,
        slow_spawn_message_threshold=1,
        slow_spawn_message="It has been {seconds} seconds.",
    )
    future = spawner.start()

    async def told() -> str:
        async for entry in spawner.progress():
            if "seconds" in entry["message"]:
                return entry["message"]
        return ""

    assert await asyncio.wait_for(told(), 5) == "It has been 1 seconds."
    field.run(spawner.pod_name)
    await future


async def test_readiness_is_that_of_the_notebook_container(field):
    """16: a finished helper container kept the spawn waiting."""
    helper = {"name": "helper", "image": "kubespawner/test:1"}
    spawner = field.spawner(extra_containers=[helper])
    await spawner.start()
    (pod,) = field.pods()
    assert [c["ready"] for c in pod["status"]["containerStatuses"]] == [True, False]
    strict = field.spawner("bob", extra_containers=[helper], pod_readiness="all", start_timeout=1)
    with pytest.raises(SpawnError) as error:
        await strict.start()
    assert error.value.reason == "Timeout"


async def test_missing_parts_of_a_status_are_not_ready_yet(field):
    """17: KeyError on missing podIP, containerStatuses or ports."""
    field.runs = False
    spawner = field.spawner(extra_containers=[{"name": "a", "image": "kubespawner/test:1"}])
    future = spawner.start()
    await until(field.pods)
    field.change_pod(spawner.pod_name, phase="Running")
    await _seen(field, spawner)
    assert not future.done()
    assert await spawner.poll() is None
    field.run(spawner.pod_name, podIP="")
    await _seen(field, spawner)
    assert not future.done()
    field.run(spawner.pod_name)
    await future
    portless = {"containers": [{"name": "a"}, field.pods()[0]["spec"]["containers"][0]]}
    assert spawner._get_pod_port({"spec": portless}) == 8888
    for pod in ({}, {"spec": {}}, {"status": {"phase": "Running"}}):
        assert spawner.is_pod_running(pod) is False


async def test_events_with_null_timestamps_are_sorted(field):
    """18: TypeError in the sort."""
    field.runs = False
    spawner = field.spawner()
    future = spawner.start()
    await until(field.pods)
    (pod,) = field.pods()
    field.event(pod, "without", lastTimestamp=None, eventTime=None, firstTimestamp=None)
    field.event(pod, "in 2099", lastTimestamp="2099-01-01T00:00:00Z")
    field.event(pod, "in 2098", eventTime="2098-01-01T00:00:00.123456Z", lastTimestamp=None)
    await until(lambda: len(spawner.events) == 3)
    assert [event["message"] for event in spawner.events] == ["without", "in 2098", "in 2099"]
    field.run(spawner.pod_name)
    await future
    assert len(await messages(spawner)) >= 3


async def test_waits_are_subscriptions(field, monkeypatch):
    """19: pauses of up to 1 and 5 seconds between two looks."""
    fired = fired_timers(monkeypatch)
    field.runs = False
    spawner = field.spawner()
    reader = asyncio.create_task(messages(spawner))
    future = spawner.start()
    await until(field.pods)
    await asyncio.sleep(0.3)
    field.run(spawner.pod_name)
    await future
    await reader
    await spawner.stop()
    assert fired == []
    assert field.count("get", "pods") == 0
    assert field.count("list", "pods") == 1


def fired_timers(monkeypatch: Any) -> list[str]:
    """Return a list that gets the module of the package whose wait ended since time was up."""
    loop = asyncio.get_running_loop()
    call_at = loop.call_at
    fired: list[str] = []

    def watched(when: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)
        while frame.f_back and frame.f_globals["__name__"].split(".")[0] in (
            "asyncio",
            "async_timeout",
        ):
            frame = frame.f_back
        waiter = frame.f_globals["__name__"]
        if not waiter.startswith("kubespawner.") or ".localcluster" in waiter:
            return call_at(when, callback, *args, **kwargs)

        def fire() -> None:
            fired.append(waiter)
            callback(*args)

        return call_at(when, fire, **kwargs)

    monkeypatch.setattr(loop, "call_at", watched)
    return fired


async def test_only_events_of_waiting_pods_are_held_and_a_bounded_number(field):
    """20: all events of the namespace were held, and sorted anew each second."""
    field.runs = False
    spawner = field.spawner()
    future = spawner.start()
    await until(field.pods)
    (pod,) = field.pods()
    other = {"metadata": {"name": "other", "namespace": "default", "uid": "other"}}
    for number in range(MOST_EVENTS + 50):
        field.event(other, f"other {number}")
        field.event(pod, f"own {number}")
    await until(lambda: any(e["message"].endswith(str(MOST_EVENTS + 49)) for e in spawner.events))
    watch = spawner._events_of_pods()
    assert len(watch._informer) == 0
    assert len(spawner.events) == MOST_EVENTS
    assert {e["involvedObject"]["name"] for e in spawner.events} == {spawner.pod_name}
    field.run(spawner.pod_name)
    await future
    assert not watch.running


async def test_pods_are_listed_once_and_again_only_when_the_version_is_too_old(field):
    """21: six full lists a minute."""
    spawner = field.spawner()
    await spawner.start()
    for watches in (2, 3, 4):
        field.faults.close_watches("pods")
        await until(lambda watches=watches: field.count("watch", "pods") >= watches)
        await until(lambda: len(field.faults._open("pods")))
    assert field.count("list", "pods") == 1
    field.faults.compact("pods")
    await until(lambda: field.count("list", "pods") == 2)
    assert await spawner.poll() is None


async def test_hopeless_spawn_fails_at_once_in_words(field):
    """22: it waited for the start timeout."""
    field.runs = False
    spawner = field.spawner(start_timeout=60, image="kubespawner/test:1")
    future = spawner.start()
    await until(field.pods)
    waiting = {"reason": "InvalidImageName", "message": "couldn't parse image name"}
    field.change_pod(
        spawner.pod_name,
        phase="Pending",
        conditions=[{"type": "PodScheduled", "status": "True"}],
        containerStatuses=[
            {"name": "notebook", "ready": False, "restartCount": 0, "state": {"waiting": waiting}}
        ],
    )
    with pytest.raises(SpawnError) as error:
        await asyncio.wait_for(future, 5)
    assert error.value.reason == "InvalidImageName"
    assert "kubespawner/test:1" in error.value.jupyterhub_message + str(error.value)
    assert field.pods() == []


async def test_cancelled_start_leaves_no_pod_that_nobody_knows(field):
    """23: see also test_cancellation.py."""
    spawner = field.spawner()
    create = field.fail(verb="create", resource="pods", delay_answer=0.3)
    future = spawner.start()
    await create.reached.wait()
    await until(field.pods)
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    assert field.pods() == []
    assert isinstance(await spawner.poll(), int)


async def test_retry_after_is_honoured(field):
    """24: 429 and 5xx failed the spawn."""
    loop = asyncio.get_running_loop()
    begun: list[float] = []

    def overloaded(call: Any) -> bool:
        begun.append(loop.time())
        return loop.time() < begun[0] + 0.8

    fault = field.fail(verb="create", resource="pods", when=overloaded, status=429, retry_after=1)
    spawner = field.spawner()
    await spawner.start()
    # Who comes back before the second is over is refused again.
    assert fault.hits == 1
    assert len(field.pods()) == 1


async def test_certificates_are_made_again_for_a_profiles_namespace(field, tmp_path):
    """25: they named the service in the namespace that was not used."""
    field.add("namespaces", {"metadata": {"name": "gpu"}}, "")
    made: list[str] = []

    class Certified(Impatient):
        async def create_certs(self) -> dict[str, str]:
            made.append(self.dns_name)
            return self.cert_paths

        async def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
            made.append("moved")
            return paths

    profile = {"display_name": "GPU", "default": True, "kubespawner_override": {"namespace": "gpu"}}
    spawner = with_certificates(field.spawner(cls=Certified, profile_list=[profile]), tmp_path)
    url = await spawner.start()
    assert made == ["jupyter-alice.gpu.svc.cluster.local", "moved"]
    assert url == "https://jupyter-alice.gpu.svc.cluster.local:8888"


async def test_stop_never_deletes_a_newer_pod(field):
    """26: deletion was by name."""
    spawner = field.spawner()
    await spawner.start()
    swapped = swap_at(field, spawner, "delete")
    await spawner.stop()
    assert [p["metadata"]["uid"] for p in field.pods()] == [swapped[0]["metadata"]["uid"]]


async def test_poll_never_deletes_a_newer_pod(field):
    """26: deletion was by name."""
    spawner = field.spawner()
    await spawner.start()
    swapped = swap_at(field, spawner, "delete")
    field.end(spawner.pod_name, 0)
    await _seen(field, spawner)
    assert await spawner.poll() == 0
    assert [p["metadata"]["uid"] for p in field.pods()] == [swapped[0]["metadata"]["uid"]]


@pytest.mark.parametrize("other", [("bob", {}), ("alice", {"component_label": "second-hub"})])
async def test_collision_of_users_or_hubs_is_refused(field, other):
    """27: two hubs or users with one pod name killed each other's servers."""
    username, traits = other
    theirs = field.spawner(username, pod_name_template="same", **traits)
    await theirs.start()
    mine = field.spawner("alice", pod_name_template="same")
    with pytest.raises(SpawnError) as error:
        await mine.start()
    assert error.value.reason == "NameCollision"
    await mine.stop()
    assert [p["metadata"]["uid"] for p in field.pods()] == [theirs.pod_id]
    assert await theirs.poll() is None


@dataclass(frozen=True)
class Failure:
    """What fails in a start.

    Attributes:
        fault: of the requests that create pods.
        traits: of the spawner.
        status: HTTP status that the user's page has.
    """

    fault: dict[str, Any]
    traits: dict[str, Any] = dataclass_field(default_factory=dict)
    status: int = 500


def _failing_hook(spawner: Any, pod: Any) -> Any:
    raise ZeroDivisionError("in the hook")


def _impossible_setting(spawner: Any, pod: Any) -> Any:
    spawner.start_timeout = "soon"
    return pod


def _impossible_profiles(spawner: Any) -> list[dict[str, Any]]:
    override = {"start_timeout": "soon"}
    return [{"display_name": "A", "default": True, "kubespawner_override": override}]


FAILURES = {
    "role": Failure({"status": 403, "reason": "Forbidden"}, status=403),
    "outage": Failure({"drop": "before"}, status=503),
    "invalid": Failure(
        {"status": 422, "reason": "Invalid", "message": "spec.x: Invalid"}, status=422
    ),
    "credentials": Failure({"status": 401, "reason": "Unauthorized"}, status=401),
    "unknown status": Failure({"status": 418, "reason": "Teapot"}, status=418),
    "time": Failure({}, {"start_timeout": 1}, status=504),
    "options": Failure({}, {"profile_list": _impossible_profiles}),
    "setting": Failure({}, {"modify_pod_hook": _impossible_setting}),
    "our code": Failure({}, {"modify_pod_hook": _failing_hook}),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_every_failure_is_of_one_family(field, failure):
    """28: people saw a raw ApiException, or a generic 500."""
    failing = FAILURES[failure]
    field.runs = False
    spawner = field.spawner(k8s_api_request_retry_timeout=0.5, **failing.traits)
    if failing.fault:
        field.fail(verb="create", resource="pods", **failing.fault)
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    _check_told(error.value)
    assert error.value.status_code == failing.status


@pytest.mark.parametrize("status", [403, 503])
async def test_a_failed_stop_is_of_the_same_family(field, status):
    """28: people saw a raw ApiException, or a generic 500."""
    spawner = field.spawner(k8s_api_request_retry_timeout=0.5)
    await spawner.start()
    field.fail(verb="delete", resource="pods", status=status)
    with pytest.raises(SpawnError) as error:
        await spawner.stop()
    _check_told(error.value)
    assert error.value.status_code == status


def _check_told(error: SpawnError) -> None:
    assert isinstance(error, web.HTTPError)
    assert error.jupyterhub_message
    assert error.jupyterhub_html_message
    assert error.reason
    assert error.__cause__ is not None


def test_rows_are_all_covered():
    """The table has 30 rows."""
    tests = [f for name, f in globals().items() if name.startswith("test_")]
    rows = {(f.__doc__ or "").partition(":")[0] for f in tests}
    assert rows >= {str(row) for row in range(1, 31)}


async def test_derived_names_follow_overrides(field):
    """29: dns_name and secret_name went stale."""
    spawner = field.spawner()
    spawner.namespace = "elsewhere"
    spawner.pod_name = "other"
    assert spawner.dns_name == "other.elsewhere.svc.cluster.local"
    assert spawner.secret_name == "other"
    loaded = field.spawner()
    loaded.load_state({"pod_name": "kept", "dns_name": "kept.by.state"})
    loaded.namespace = "elsewhere"
    assert loaded.dns_name == "kept.by.state"


async def test_url_of_a_running_pod_stays_as_it_was_made(field):
    """30: scheme and host followed the new configuration."""
    first = field.spawner()
    url = await first.start()
    again = await restarted(field, first, services_enabled=True)
    assert await again.poll() is None
    (pod,) = field.pods()
    assert again._get_pod_url(pod) == url == "http://10.1.2.3:8888"
