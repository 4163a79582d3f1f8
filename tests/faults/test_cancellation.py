"""A start that is cancelled at any point leaves nothing, or a pod that is known to run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubespawner.errors import SpawnError

from .conftest import PODS, STORAGE, Field, until, with_certificates

# Everything that a spawn can make.
ALL = {"enable_user_namespaces": True, **STORAGE}


def everything(field: Field, tmp_path: Any) -> Any:
    return with_certificates(field.spawner(**ALL), tmp_path)


async def assert_gone_or_known(field: Field, spawner: Any) -> None:
    """Do as the hub does after it cancelled a start: poll, and stop what runs."""
    claims = field.objects("persistentvolumeclaims")
    if await spawner.poll() is None:
        await spawner.stop()
    await until(lambda: not field.leftovers(spawner))
    assert isinstance(await spawner.poll(), int)
    assert field.objects("persistentvolumeclaims") == claims
    assert len(field.uids("ADDED", "pods")) <= 1


async def cancelled(future: asyncio.Future[str]) -> None:
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(future), 5)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144])
async def test_cancelled_after_some_turns_of_the_loop(field, tmp_path, steps):
    field.runs = False
    spawner = everything(field, tmp_path)
    future = spawner.start()
    for _ in range(steps):
        await asyncio.sleep(0)
    await cancelled(future)
    await assert_gone_or_known(field, spawner)


REQUESTS = [
    ("create", "namespaces"),
    ("list", "pods"),
    ("watch", "pods"),
    ("list", "events"),
    ("watch", "events"),
    ("get", "persistentvolumeclaims"),
    ("create", "persistentvolumeclaims"),
    ("create", "pods"),
    ("create", "secrets"),
    ("create", "services"),
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("verb", "plural"), REQUESTS)
async def test_cancelled_at_a_request(field, tmp_path, verb, plural, when):
    field.runs = False
    spawner = everything(field, tmp_path)
    if (verb, plural) == ("get", "persistentvolumeclaims"):
        # One that the server had before is looked at, any other just created.
        spawner.load_state({"claims": {spawner.namespace: {"name": spawner.pvc_name}}})
    fault = {"delay": 0.3} if when == "before" else {"delay_answer": 0.3}
    reached = field.fail(verb=verb, resource=plural, **fault).reached
    future = spawner.start()
    await asyncio.wait_for(reached.wait(), 5)
    await asyncio.sleep(0)
    await cancelled(future)
    await assert_gone_or_known(field, spawner)


@pytest.mark.parametrize("end", ["cancel", "stop"])
async def test_pod_whose_creation_takes_effect_after_the_cancellation(field, end, monkeypatch):
    """A request that was sent is not called back by closing the connection."""
    field.runs = False
    serve = field.server._dispatch
    arrived = asyncio.Event()

    async def late(request: Any, call: Any) -> Any:
        if call.verb != "create" or call.resource is not PODS:
            return await serve(request, call)
        await request.read()
        arrived.set()

        async def commit() -> Any:
            await asyncio.sleep(0.2)
            return await serve(request, call)

        return await asyncio.shield(asyncio.ensure_future(commit()))

    monkeypatch.setattr(field.server, "_dispatch", late)
    spawner = field.spawner()
    future = spawner.start()
    await arrived.wait()
    if end == "stop":
        await spawner.stop()
    else:
        await cancelled(future)
    if await spawner.poll() is None:
        await spawner.stop()
    await asyncio.sleep(0.4)
    assert len(field.uids("ADDED", "pods")) == 1
    assert field.pods_of(spawner) == []
    assert isinstance(await spawner.poll(), int)


async def test_cancelled_when_the_answer_to_the_creation_and_the_look_are_lost(field):
    field.runs = False
    spawner = field.spawner()
    create = field.fail(verb="create", resource="pods", delay_answer=0.3)
    look = field.fail(verb="get", resource="pods", status=503)
    future = spawner.start()
    await create.reached.wait()
    await until(lambda: field.pods_of(spawner))
    field.fail(verb="delete", resource="pods", status=503)
    await cancelled(future)
    assert await spawner.poll() is None
    field.faults.remove(look)
    assert await spawner.poll() is None
    field.faults.clear()
    await assert_gone_or_known(field, spawner)


async def test_cancelled_twice_still_cleans_up(field):
    field.runs = False
    spawner = field.spawner()
    future = spawner.start()
    await until(lambda: field.pods_of(spawner))
    delete = field.fail(verb="delete", resource="pods", delay=0.2)
    future.cancel()
    await delete.reached.wait()
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    assert field.pods_of(spawner) == []


async def test_cancelled_after_readiness_in_the_last_step(field):
    entered = asyncio.Event()

    async def url(spawner: Any, pod: Any) -> str:
        entered.set()
        await asyncio.sleep(5)
        return "http://10.0.0.1:8888"

    spawner = field.spawner(get_pod_url=lambda spawner, pod: url(spawner, pod))
    future = spawner.start()
    await entered.wait()
    await cancelled(future)
    await assert_gone_or_known(field, spawner)


async def test_cancelled_in_the_hook_after_creation(field):
    entered = asyncio.Event()

    async def hook(spawner: Any, pod: Any) -> None:
        entered.set()
        await asyncio.sleep(5)

    spawner = field.spawner(after_pod_created_hook=hook)
    future = spawner.start()
    await entered.wait()
    await cancelled(future)
    await assert_gone_or_known(field, spawner)


async def test_cancelled_while_an_earlier_pod_goes(field):
    field.node = "node-1"
    first = field.spawner()
    await first.start()
    field.runs = False
    field.node = "node-1"
    spawner = field.spawner()
    delete = field.fail(verb="delete", resource="pods", times=1, delay_answer=0.1)
    # A pod on a node that does not answer stays, whatever grace it was given.
    pod = field.store.get(PODS, "default", first.pod_name)
    pod["metadata"]["finalizers"] = ["example.com/hold"]
    field.store.update(PODS, pod)
    future = spawner.start()
    await delete.reached.wait()
    await cancelled(future)
    assert [p["metadata"]["uid"] for p in field.pods_of(spawner)] == [first.pod_id]
    assert len(field.uids("ADDED", "pods")) == 1


async def test_start_again_at_once_after_a_cancellation(field):
    field.runs = False
    spawner = field.spawner()
    future = spawner.start()
    await until(lambda: field.pods_of(spawner))
    await cancelled(future)
    field.runs = True
    await spawner.start()
    (pod,) = field.pods_of(spawner)
    assert pod["metadata"]["uid"] == spawner.pod_id
    assert await spawner.poll() is None
    await spawner.stop()


async def test_running_servers_survive_the_end_of_the_hub(field):
    spawner = field.spawner()
    await spawner.start()
    await spawner._stop_all_reflectors()
    assert len(field.pods_of(spawner)) == 1


async def test_failed_start_of_a_collision_leaves_the_others_pod(field):
    other = field.spawner("bob", pod_name_template="same")
    await other.start()
    mine = field.spawner("alice", pod_name_template="same")
    with pytest.raises(SpawnError):
        await mine.start()
    assert [p["metadata"]["uid"] for p in field.pods()] == [other.pod_id]
