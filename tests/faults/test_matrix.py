"""Every request of a spawner, times every fault: what must hold is read from the API server.

A fault that passes is survived. One that stays ends the spawn with a :class:`SpawnError` and
leaves nothing but claims. Neither makes a running server count as stopped, makes a second pod,
or touches a claim.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubespawner import KubeSpawner, watching
from kubespawner.errors import SpawnError

from .conftest import STORAGE, Field, until, with_certificates

FAULTS: dict[str, dict[str, Any]] = {
    "429-retry-after": {"status": 429, "reason": "TooManyRequests", "retry_after": 1},
    "500": {"status": 500},
    "503": {"status": 503, "reason": "ServiceUnavailable"},
    "504": {"status": 504, "reason": "Timeout"},
    "drop-before": {"drop": "before"},
    "drop-after": {"drop": "after"},
    "late": {"delay_answer": 0.6},
    "truncated": {"truncate": 7},
}

# Of each request that a spawn makes: which it is, and the settings that make the spawn make it.
REQUESTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "create-pod": ({"verb": "create", "resource": "pods"}, {}),
    "read-claim": ({"verb": "get", "resource": "persistentvolumeclaims"}, STORAGE),
    "create-claim": ({"verb": "create", "resource": "persistentvolumeclaims"}, STORAGE),
    "create-secret": ({"verb": "create", "resource": "secrets"}, {}),
    "create-service": ({"verb": "create", "resource": "services"}, {"services_enabled": True}),
    "create-namespace": (
        {"verb": "create", "resource": "namespaces"},
        {"enable_user_namespaces": True},
    ),
    "list-pods": ({"verb": "list", "resource": "pods"}, {}),
    "watch-pods": ({"verb": "watch", "resource": "pods"}, {}),
    "list-events": ({"verb": "list", "resource": "events"}, {}),
    "watch-events": ({"verb": "watch", "resource": "events"}, {}),
}
# Requests that only a server's earlier pod brings about: read and delete it.
REPLACING = {
    "read-pod": {"verb": "get", "resource": "pods"},
    "delete-pod": {"verb": "delete", "resource": "pods"},
}
# Of a watch, the server answers with a stream: there is no body to cut off, and no "after".
_NOT_OF_WATCHES = {"drop-after", "late", "truncated"}
CELLS = [
    pytest.param(request, fault, id=f"{request}-{fault}")
    for request in (*REQUESTS, *REPLACING)
    for fault in FAULTS
    if not (request.startswith("watch") and fault in _NOT_OF_WATCHES)
]


class Bystander:
    """Another user's running server, asked again and again whether it runs."""

    def __init__(self, field: Field):
        self._field = field

    async def __aenter__(self) -> Bystander:
        self._spawner = self._field.spawner("bystander")
        await self._spawner.start()
        # As after a restart of the hub: nothing is known but the state.
        await KubeSpawner._stop_all_reflectors()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        answers = await asyncio.gather(self._task, return_exceptions=True)
        if exc[0] is None:
            assert isinstance(answers[0], asyncio.CancelledError), answers
            assert [p["metadata"]["uid"] for p in self._field.pods_of(self._spawner)] == [
                self._spawner.pod_id
            ]

    def watch(self) -> None:
        self._task = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        while True:
            assert await self._spawner.poll() is None
            await asyncio.sleep(0.05)


def arranged(field: Field, tmp_path: Any, request: str, **more: Any) -> tuple[Any, dict[str, Any]]:
    """Return a spawner that will make ``request``, and the conditions of a fault that hits it."""
    if request in REPLACING:
        return field.spawner(**more), REPLACING[request]
    conditions, settings = REQUESTS[request]
    spawner = field.spawner(**{**settings, **more})
    if request == "create-secret":
        with_certificates(spawner, tmp_path)
    return spawner, conditions


@pytest.mark.parametrize(("request_kind", "fault"), CELLS)
async def test_a_passing_fault_is_survived(field, tmp_path, request_kind, fault):
    spawner, conditions = arranged(field, tmp_path, request_kind)
    kept = field.add(
        "persistentvolumeclaims",
        {
            "metadata": {"name": "claim-other"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        },
    )
    async with Bystander(field) as bystander:
        if request_kind in REPLACING:
            await field.spawner().start()
        injected = field.fail(times=1, **conditions, **FAULTS[fault])
        bystander.watch()
        await spawner.start()
        await asyncio.wait_for(injected.reached.wait(), 3)
        assert injected.hits == 1
        (pod,) = field.pods_of(spawner)
        assert pod["metadata"]["uid"] == spawner.pod_id
        assert await spawner.poll() is None
        made = 2 if request_kind in REPLACING else 1
        # One for the bystander. None was made that had to be replaced.
        assert len(field.uids("ADDED", "pods")) == made + 1
        assert len(field.uids("DELETED", "pods")) == made - 1
        await spawner.stop()
        assert field.pods_of(spawner) == []
        assert isinstance(await spawner.poll(), int)
    assert field.uids("DELETED", "persistentvolumeclaims") == []
    assert kept["metadata"]["uid"] in field.uids("ADDED", "persistentvolumeclaims")


# A conflict is answered in time by "late"; "slow" answers nothing in time.
LASTING = {"503": FAULTS["503"], "drop-after": FAULTS["drop-after"], "slow": {"delay": 5}}


@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.parametrize(
    "request_kind", [r for r in (*REQUESTS, *REPLACING) if "watch" not in r and "events" not in r]
)
async def test_a_lasting_fault_ends_the_spawn_in_words(field, tmp_path, request_kind, fault):
    limits = {"k8s_api_request_retry_timeout": 0.5, "start_timeout": 1}
    spawner, conditions = arranged(field, tmp_path, request_kind, **limits)
    async with Bystander(field) as bystander:
        earlier = []
        if request_kind in REPLACING:
            before = field.spawner()
            await before.start()
            earlier = [before.pod_id]
        injected = field.fail(**conditions, **LASTING[fault])
        bystander.watch()
        with pytest.raises(SpawnError) as error:
            await asyncio.wait_for(spawner.start(), 5)
        assert injected.hits
        assert error.value.reason in {"ClusterUnavailable", "Timeout"}
        assert error.value.status_code in {503, 504}
        assert error.value.jupyterhub_message
        field.faults.remove(injected)
        left = [pod["metadata"]["uid"] for pod in field.pods_of(spawner)]
        assert set(left) <= set(earlier)
        if not left:
            assert field.leftovers(spawner) == [] or await until(
                lambda: not field.leftovers(spawner)
            )
    assert field.uids("DELETED", "persistentvolumeclaims") == []


@pytest.mark.parametrize("fault", ["503", "drop-before", "late", "truncated"])
async def test_pod_that_cannot_be_cleaned_up_counts_as_running(field, fault):
    field.runs = False
    spawner = field.spawner(start_timeout=1)
    read = field.fail(verb="get", resource="pods", **FAULTS[fault])
    delete = field.fail(verb="delete", resource="pods", status=503)
    with pytest.raises(SpawnError):
        await spawner.start()
    assert len(field.pods_of(spawner)) == 1
    assert await spawner.poll() is None
    field.faults.remove(delete)
    field.faults.remove(read)
    assert await spawner.poll() is None
    await spawner.stop()
    assert field.pods_of(spawner) == []
    assert isinstance(await spawner.poll(), int)


@pytest.mark.parametrize("fault", FAULTS)
async def test_stop_survives_a_passing_fault_of_its_deletion(field, fault):
    spawner = field.spawner()
    await spawner.start()
    injected = field.fail(verb="delete", resource="pods", times=1, **FAULTS[fault])
    await spawner.stop()
    assert injected.hits == 1
    assert field.pods_of(spawner) == []


async def test_stop_that_cannot_be_confirmed_says_so_and_the_server_still_runs(field):
    spawner = field.spawner(k8s_api_request_retry_timeout=1)
    await spawner.start()
    field.fail(verb="delete", resource="pods", status=503)
    with pytest.raises(SpawnError) as error:
        await spawner.stop()
    assert error.value.reason == "ClusterUnavailable"
    assert len(field.pods_of(spawner)) == 1
    assert await spawner.poll() is None


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", ["get", "delete"])
async def test_deletion_of_a_claim_survives_a_passing_fault(field, verb, fault):
    spawner = field.spawner(**STORAGE)
    await spawner.start()
    await spawner.stop()
    (claim,) = field.objects("persistentvolumeclaims")
    injected = field.fail(verb=verb, resource="persistentvolumeclaims", times=1, **FAULTS[fault])
    await spawner.delete_forever()
    assert injected.hits == 1
    assert field.objects("persistentvolumeclaims") == []
    assert field.uids("DELETED", "persistentvolumeclaims") == [claim["metadata"]["uid"]]


@pytest.mark.parametrize("fault", [*FAULTS, "forbidden"])
async def test_events_that_cannot_be_had_do_not_end_a_spawn(field, fault):
    if fault == "forbidden":
        field.faults.deny(resource="events")
    else:
        field.fail(verb="list", resource="events", **FAULTS[fault])
    spawner = field.spawner()
    await spawner.start()
    assert await spawner.poll() is None
    assert [entry async for entry in spawner.progress()]


@pytest.mark.parametrize("resource", ["pods", "events"])
@pytest.mark.parametrize("how", ["ended", "reset", "too-old"])
async def test_a_watch_that_breaks_during_a_start_is_taken_up_again(field, how, resource):
    async with Bystander(field) as bystander:
        bystander.watch()
        field.runs = False
        spawner = field.spawner()
        future = spawner.start()
        await until(lambda: field.pods_of(spawner) and field.count("watch", resource))
        if how == "too-old":
            field.faults.compact(resource)
        else:
            # The request is counted a moment before its watch is there to be closed.
            await until(lambda: field.faults.close_watches(resource, abort=how == "reset"))
        field.run(spawner.pod_name)
        await future
        assert await spawner.poll() is None
        assert [pod["metadata"]["uid"] for pod in field.pods_of(spawner)] == [spawner.pod_id]


@pytest.mark.parametrize("verb", ["list", "watch", "get", None])
async def test_forbidden_watches_never_stop_a_running_server(field, verb, monkeypatch):
    monkeypatch.setattr(watching, "_FIRST_LIST_PATIENCE", 0.3)
    spawner = field.spawner()
    await spawner.start()
    await KubeSpawner._stop_all_reflectors()
    field.faults.deny(verb=verb, resource="pods")
    for _ in range(3):
        assert await asyncio.wait_for(spawner.poll(), 5) is None
    assert len(field.pods_of(spawner)) == 1
