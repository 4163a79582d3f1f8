"""What a user reads during a start, and after an end; with hooks, other languages, and failures."""

from __future__ import annotations

import asyncio

import pytest

from kubespawner.errors import SpawnError
from kubespawner.localcluster.faults import Fault
from tests.support.waiting import eventually

from ._cases import shows
from ._stage import started
from .conftest import messages

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient cpu.",
}


async def add_event(stage, pod, own_name, reason, message, **about):
    meta = pod["metadata"]
    reference = {
        "kind": "Pod",
        "name": meta["name"],
        "namespace": meta["namespace"],
        "uid": meta["uid"],
    }
    body = {
        "metadata": {"name": own_name, "namespace": meta["namespace"]},
        "involvedObject": {**reference, **about},
        "reason": reason,
        "message": message,
        "type": "Normal",
    }
    await stage.request("POST", f"/api/v1/namespaces/{meta['namespace']}/events", body)


# ---- the story ---------------------------------------------------------------------------


async def test_the_last_thing_on_the_page_is_a_sentence_and_raw_events_are_beside_it(stage):
    spawner = stage.spawner()
    async with stage.starting(spawner) as future:
        (pod,) = await stage.pods()
        await stage.request(
            "POST",
            f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}/binding",
            {"target": {"kind": "Node", "name": "node-1"}},
        )
        field = "spec.containers{notebook}"
        await add_event(stage, pod, "e1", "Pulling", 'Pulling image "x/y:1"', fieldPath=field)
        await eventually(lambda: "Downloading" in spawner._feed.entries[-1]["message"])
        # Without a change of the phase, as well.
        await add_event(stage, pod, "e2", "Unheard", "of something new")
        await eventually(
            lambda: any("something new" in e["message"] for e in spawner._feed.entries)
        )
        last = spawner._feed.entries[-1]
        assert last["kind"] == "phase" and last["message"].startswith("Downloading the image x/y:1")
        await stage.run(pod)
        await asyncio.wait_for(future, 20)
    told = await messages(spawner)
    assert told[0]["kind"] == "phase"
    assert told[0]["message"] == "Asking the cluster for your server"
    events = [e for e in told if e["kind"] == "event"]
    assert [e["raw_event"]["reason"] for e in events] == ["Pulling", "Unheard"]
    # An event that says nothing of how far the start is leaves the bar where it is.
    assert events[1]["progress"] == 30
    assert [e["progress"] for e in told] == sorted(e["progress"] for e in told)


# ---- in other words ----------------------------------------------------------------------


GERMAN = {"Creating": "Der Cluster wird gefragt", "Scheduling": "Ein Rechner wird gesucht"}


@shows("progress_message_hook")
async def test_the_hook_rewords_and_hides(stage):
    async def hook(spawner, event):
        await asyncio.sleep(0)
        if event["kind"] == "event":
            return None
        return {"message": f"{GERMAN[event['phase']]}, {spawner.user.name}"}

    spawner = stage.spawner(progress_message_hook=hook)
    async with stage.starting(spawner) as future:
        (pod,) = await stage.pods()
        await add_event(stage, pod, "hidden", "FailedScheduling", "not for you")
        await eventually(lambda: any(e["kind"] == "event" for e in spawner._feed.entries))
        await stage.run(pod)
        await asyncio.wait_for(future, 20)
    told = await messages(spawner)
    words = {f"{text}, alice" for text in GERMAN.values()}
    assert {e["message"] for e in told} == words
    # Pages prefer the HTML, which must not stay in the default words.
    assert {e["html_message"] for e in told} == words
    assert {e["phase"] for e in told} == {*GERMAN}


async def test_a_hook_can_not_move_the_bar_backwards_or_to_its_end(stage):
    wanted = iter([50, 7, 100, 500, -3] * 10)
    spawner, _ = await started(
        stage, progress_message_hook=lambda spawner, event: {"progress": next(wanted)}
    )
    bar = [e["progress"] for e in await messages(spawner)]
    assert bar[:2] == [50, 50] and bar == sorted(bar) and bar[-1] <= 99


async def test_html_of_the_hook_is_kept(stage):
    def hook(spawner, event):
        return {"message": "Bitte warten", "html_message": "<b>Bitte warten</b>"}

    spawner, _ = await started(stage, progress_message_hook=hook)
    assert {e["html_message"] for e in await messages(spawner)} == {"<b>Bitte warten</b>"}


async def test_plain_words_of_the_hook_are_escaped(stage):
    spawner, _ = await started(
        stage, progress_message_hook=lambda spawner, event: {"message": "<script>"}
    )
    assert {e["html_message"] for e in await messages(spawner)} == {"&lt;script&gt;"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
        ("text", "it returned str, not a dict or None"),
        ({"message": 7}, "its 'message' is int, not str"),
        ({"progress": "much"}, "its 'progress' is str, not int"),
    ],
)
async def test_a_failing_hook_is_named_in_the_log_and_the_default_is_shown(
    stage, caplog, answer, said
):
    def hook(spawner, event):
        if isinstance(answer, Exception):
            raise answer
        return answer

    spawner, _ = await started(stage, progress_message_hook=hook)
    told = await messages(spawner)
    assert "Asking the cluster for your server" in [e["message"] for e in told]
    logged = [r.getMessage() for r in caplog.records if "progress_message_hook" in r.getMessage()]
    # Once, not for each message.
    assert len(logged) == 1 and said in logged[0]


async def test_the_hook_words_the_failure_that_the_hubs_page_shows(stage):
    def hook(spawner, event):
        if event["kind"] == "failure" and event["reason"] == "Unschedulable":
            return {"message": "Kein Rechner ist frei <b>"}
        return event

    spawner = stage.spawner(progress_message_hook=hook, spawn_patience={"Unschedulable": 0})
    async with stage.starting(spawner) as future:
        await stage.set_status((await stage.pods())[0], conditions=[UNSCHEDULABLE])
        with pytest.raises(SpawnError) as error:
            await asyncio.wait_for(future, 20)
    assert error.value.jupyterhub_message == "Kein Rechner ist frei <b>"
    assert error.value.jupyterhub_html_message == "Kein Rechner ist frei &lt;b&gt;"
    # The administrator's log is not translated.
    assert "3 Insufficient cpu" in str(error.value)


# ---- after the end -----------------------------------------------------------------------


async def next_life(stage, spawner, **settings):
    """Return the spawner of the hub's next spawn of this server."""
    await spawner.poll()
    spawner.clear_state()
    state = spawner.get_state()
    again = stage.spawner(**settings)
    again.load_state(state)
    again.clear_state()
    return again


OOM = {"exitCode": 137, "reason": "OOMKilled"}


async def end(stage, pod, terminated, phase="Failed", **more):
    status = {"name": "notebook", "state": {"terminated": terminated}, "ready": False}
    status = {**status, "image": "x", "imageID": "", "restartCount": 0}
    await stage.set_status(pod, phase=phase, containerStatuses=[status], **more)


async def ended(spawner):
    return await eventually(lambda: _exit_code(spawner))


async def _exit_code(spawner):
    code = await spawner.poll()
    return None if code is None else [code]


async def test_why_a_server_died_is_told_at_the_next_start_until_one_succeeds(stage, caplog):
    spawner, pod = await started(stage, mem_limit="2G")
    await end(stage, pod, OOM)
    assert await ended(spawner) == [137]
    assert spawner.exit_reason == "OOMKilled"
    assert "ended (OOMKilled): it used more memory than its limit of 2 GiB" in caplog.text
    again = await next_life(stage, spawner)
    assert again.get_state()["exit_reason"] == "OOMKilled"
    # Of a user without profiles: there is no page to show it on.
    assert await again.get_options_form() == ""
    notice = await again.last_exit_notice()
    sentence = (
        "About your last server: Your server used more memory than its limit of 2 GiB, "
        "and was stopped."
    )
    assert notice["message"] == sentence and notice["kind"] == "last_exit"
    async with stage.starting(again) as future:
        (pod,) = await stage.pods()
        # No page with options: the first thing that the next start says.
        assert again._feed.entries[0]["message"] == sentence
        assert await again.last_exit_notice()
        await stage.run(pod)
        await asyncio.wait_for(future, 20)
    assert await again.last_exit_notice() is None
    assert again.exit_reason == "" and "last_exit" not in again.get_state()


async def test_a_start_that_fails_leaves_the_notice(stage):
    spawner, pod = await started(stage)
    await end(stage, pod, OOM)
    await ended(spawner)
    again = await next_life(stage, spawner, spawn_patience={"Unschedulable": 0})
    async with stage.starting(again) as future:
        await stage.set_status((await stage.pods())[0], conditions=[UNSCHEDULABLE])
        with pytest.raises(SpawnError):
            await asyncio.wait_for(future, 20)
    assert (await again.last_exit_notice())["reason"] == "OOMKilled"


@pytest.mark.parametrize("ending", ["refused", "stopped"])
async def test_a_start_that_fails_or_is_stopped_is_no_end_of_a_server(stage, ending):
    spawner = stage.spawner(spawn_patience={"Unschedulable": 0})
    async with stage.starting(spawner) as future:
        if ending == "stopped":
            future.cancel()
        else:
            await stage.set_status((await stage.pods())[0], conditions=[UNSCHEDULABLE])
        await asyncio.wait([future], timeout=20)
    assert await stage.pods() == []
    assert await ended(spawner) == [1]
    assert spawner.exit_reason == "" and await spawner.last_exit_notice() is None


async def test_with_a_page_of_options_the_progress_does_not_repeat_it(stage):
    settings = {"profile_list": [{"display_name": "A"}]}
    spawner, pod = await started(stage, **settings)
    await end(stage, pod, OOM)
    await ended(spawner)
    again = await next_life(stage, spawner, **settings)
    page = await again.get_options_form()
    assert page.startswith('<div class="alert alert-info alert-dismissible')
    assert "Your server used more memory than it may have" in page
    async with stage.starting(again):
        assert [e for e in again._feed.entries if e["kind"] == "last_exit"] == []


async def test_a_server_that_its_user_or_the_hub_ended_leaves_nothing(stage):
    spawner, pod = await started(stage)
    await end(stage, pod, {"exitCode": 0, "reason": "Completed"}, phase="Succeeded")
    assert await ended(spawner) == [0]
    assert await (await next_life(stage, spawner)).last_exit_notice() is None

    spawner, _ = await started(stage)
    await spawner.stop()
    assert await spawner.poll() == 1
    assert spawner.exit_reason == "" and await spawner.last_exit_notice() is None


async def test_a_pod_that_was_deleted_from_outside_is_told_as_such(stage):
    spawner, pod = await started(stage)
    await stage.clear()
    assert await ended(spawner) == [1]
    assert spawner.exit_reason == "PodDeleted"
    again = await next_life(stage, spawner)
    assert "removed from the cluster" in (await again.last_exit_notice())["message"]


@pytest.mark.parametrize(
    ("reason", "message", "code", "words"),
    [
        ("Evicted", "The node was low on resource: memory. ", "Evicted", "ran out of memory"),
        ("TaintManagerEviction", "Marking for deletion Pod a/b", "NodeLost", "was lost"),
        ("NodeNotReady", "Node is not ready", "NodeLost", "was lost"),
        ("Preempted", "by pod x on node y", "Preempted", "more important one"),
        ("TaintManagerEviction", "Cancelling deletion of Pod a/b", "PodDeleted", "removed from"),
    ],
)
async def test_why_a_pod_is_gone_is_found_in_its_events(stage, reason, message, code, words):
    spawner, pod = await started(stage)
    other = {"metadata": {**pod["metadata"], "uid": "another"}}
    await add_event(stage, pod, f"e-{code}-{reason.lower()}".lower(), reason, message)
    await add_event(stage, other, f"f-{code}-{reason.lower()}".lower(), "Preempted", "another's")
    await stage.clear()
    assert await ended(spawner) == [1]
    assert spawner.exit_reason == code
    assert words in (await spawner.last_exit_notice())["message"]
    for event in await stage.objects("events"):
        path = f"/api/v1/namespaces/default/events/{event['metadata']['name']}"
        await stage.request("DELETE", path)


async def test_a_pod_that_goes_with_its_node_is_told_before_it_is_gone(stage):
    spawner, pod = await started(stage)
    # Nobody confirms its end: its node does not answer.
    name = pod["metadata"]["name"]
    path = f"/api/v1/namespaces/default/pods/{name}"
    merge = {"Content-Type": "application/merge-patch+json"}
    held = {"metadata": {"finalizers": ["example.com/held"]}}
    await stage.request("PATCH", path, held, **merge)
    await add_event(stage, pod, "lost", "TaintManagerEviction", "Marking for deletion Pod a/b")
    await stage.request("DELETE", path, {"gracePeriodSeconds": 30})
    assert await ended(spawner) == [1]
    assert spawner.exit_reason == "NodeLost"
    assert len(await stage.pods()) == 1
    await stage.request("PATCH", path, {"metadata": {"finalizers": None}}, **merge)


async def test_a_restart_that_the_hub_would_not_notice_is_logged_and_told(stage, caplog):
    spawner, pod = await started(stage, mem_limit="1G")
    container = {"name": "notebook", "image": "x", "imageID": "", "ready": True, "restartCount": 1}
    running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    container |= {"state": running, "lastState": {"terminated": OOM}}
    await stage.set_status(pod, containerStatuses=[container])
    await eventually(lambda: _restart_seen(spawner))
    assert await spawner.poll() is None
    assert caplog.text.count("was restarted, 1 times by now (OOMKilled)") == 1
    await spawner.stop()
    again = await next_life(stage, spawner)
    assert "its limit of 1 GiB" in (await again.last_exit_notice())["message"]


async def _restart_seen(spawner):
    assert await spawner.poll() is None
    return spawner._restarts == 1


async def test_the_hook_words_the_notice(stage):
    def hook(spawner, event):
        return {"message": "Zu viel Speicher"} if event["kind"] == "last_exit" else event

    spawner, pod = await started(stage, progress_message_hook=hook)
    await end(stage, pod, OOM)
    await ended(spawner)
    assert (await spawner.last_exit_notice())["message"] == "Zu viel Speicher"


async def test_the_notice_is_escaped_on_the_page(stage):
    spawner = stage.spawner(profile_list=[{"display_name": "A"}])
    assert "js-last-exit" not in await spawner.get_options_form()
    spawner.load_state({"last_exit": {"reason": "X", "message": "<script>", "uid": "1"}})
    page = await spawner.get_options_form()
    assert "&lt;script&gt;" in page and "About your last server: <script>" not in page


# ---- claims ------------------------------------------------------------------------------

UNBOUND = {
    **UNSCHEDULABLE,
    "message": "0/1 nodes are available: 1 pod has unbound immediate PersistentVolumeClaims.",
}
MOUNTING = {"volumes": [{"name": "it", "persistentVolumeClaim": {"claimName": "theirs"}}]}


async def make_claim(stage, **status):
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "slow"}
    spec["resources"] = {"requests": {"storage": "1Gi"}}
    path = "/api/v1/namespaces/default/persistentvolumeclaims"
    await stage.request("POST", path, {"metadata": {"name": "theirs"}, "spec": spec})
    headers = {"Content-Type": "application/merge-patch+json"}
    await stage.request("PATCH", f"{path}/theirs/status", {"status": status}, **headers)


async def test_a_claim_that_the_pod_waits_for_is_looked_at(stage):
    await make_claim(stage, phase="Pending")
    spawner = stage.spawner(**MOUNTING, spawn_patience={"ClaimPending": 0})
    async with stage.starting(spawner) as future:
        await stage.set_status((await stage.pods())[0], conditions=[UNBOUND])
        with pytest.raises(SpawnError) as error:
            await asyncio.wait_for(future, 20)
    assert error.value.reason == "ClaimPending"
    assert "claim 'theirs' (storage class 'slow') is Pending" in str(error.value)


async def test_a_lost_claim_ends_the_start(stage):
    await make_claim(stage, phase="Lost")
    spawner = stage.spawner(**MOUNTING)
    async with stage.starting(spawner) as future:
        await stage.set_status((await stage.pods())[0], conditions=[UNBOUND])
        with pytest.raises(SpawnError) as error:
            await asyncio.wait_for(future, 20)
    assert error.value.reason == "ClaimLost"
    assert "claim 'theirs': its volume no longer exists (phase Lost)" in str(error.value)


async def test_claims_that_the_role_does_not_show_change_nothing(stage):
    await make_claim(stage, phase="Lost")
    fault = Fault(verb="get", resource="persistentvolumeclaims", status=403, reason="Forbidden")
    stage.server.faults.add(fault)
    try:
        spawner = stage.spawner(**MOUNTING, spawn_patience={"ClaimPending": 0})
        async with stage.starting(spawner) as future:
            await stage.set_status((await stage.pods())[0], conditions=[UNBOUND])
            with pytest.raises(SpawnError) as error:
                await asyncio.wait_for(future, 20)
        assert error.value.reason == "ClaimPending" and fault.hits == 1
    finally:
        stage.server.faults.remove(fault)


async def test_events_of_a_mounted_claim_are_told(stage):
    await make_claim(stage, phase="Pending")
    spawner = stage.spawner(**MOUNTING)
    async with stage.starting(spawner):
        (pod,) = await stage.pods()
        await stage.set_status(pod, conditions=[UNBOUND])
        about = {"kind": "PersistentVolumeClaim", "name": "theirs", "uid": "x"}
        text = 'volume "x" already bound to a different claim.'
        await add_event(stage, pod, "claims-event", "FailedBinding", text, **about)
        await eventually(lambda: "belongs to another claim" in spawner._feed.entries[-1]["message"])


async def test_when_time_is_up_the_page_says_what_was_waited_for(stage):
    spawner = stage.spawner(start_timeout=2)
    async with stage.starting(spawner) as future:
        await stage.set_status((await stage.pods())[0], conditions=[UNSCHEDULABLE])
        with pytest.raises(TimeoutError) as error:
            await asyncio.wait_for(future, 20)
    assert error.value.reason == "Unschedulable" and error.value.waiting_helps
    assert error.value.jupyterhub_message == (
        "Your server did not start in time. Last: No machine has enough free CPU for your server "
        "at the moment. Please try again."
    )
    assert "after 2 s (KubeSpawner.start_timeout)" in str(error.value)

    quiet = stage.spawner("bob", start_timeout=1)
    async with stage.starting(quiet) as future:
        with pytest.raises(TimeoutError) as error:
            await asyncio.wait_for(future, 20)
    assert error.value.reason == "Timeout"
    assert "Last: Waiting for a free machine." in error.value.jupyterhub_message
