"""The matrix of requests and faults on the embedded API server; on a real one see __main__.py."""

from __future__ import annotations

import asyncio
import json

import pytest

from kubespawner import KubeSpawner, watching
from kubespawner.errors import SpawnError

from .conftest import PODS, until
from .matrix import CASES, COLUMNS, ROWS, applies, run_case
from .proxy import _Relay, _spoilt

CELLS = [
    pytest.param(row, column, case, id=f"{row}-{column}-{case}".replace(" ", "_"))
    for row in ROWS
    for column in COLUMNS
    for case in CASES
    if applies(row, column)
]
FAULTS = {
    "503": {"status": 503, "reason": "ServiceUnavailable"},
    "drop-before": {"drop": "before"},
    "late": {"delay_answer": 0.6},
    "truncated": {"truncate": 7},
}


@pytest.mark.parametrize(("row", "column", "case"), CELLS)
async def test_request_with_fault(row, column, case, tmp_path):
    await run_case(row, column, case, tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
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


async def test_stop_that_cannot_be_confirmed_says_so_and_the_server_still_runs(field):
    spawner = field.spawner(k8s_api_request_retry_timeout=1)
    await spawner.start()
    field.fail(verb="delete", resource="pods", status=503)
    with pytest.raises(SpawnError) as error:
        await spawner.stop()
    assert error.value.reason == "ClusterUnavailable"
    assert len(field.pods_of(spawner)) == 1
    assert await spawner.poll() is None


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


async def test_injected_bookmarks_promise_nothing_that_was_not_sent():
    """Else the fault would be one that no API server has."""

    async def events():
        for version in ("7", "9"):
            meta = {"resourceVersion": version}
            yield json.dumps({"type": "ADDED", "object": {"metadata": meta}}).encode()

    watch = _Relay(PODS)
    sent = [json.loads(line) async for line in _spoilt(events(), watch, "bookmarks")]
    versions = [(e["type"], int(e["object"]["metadata"]["resourceVersion"])) for e in sent]
    assert versions == [
        ("BOOKMARK", 6),
        ("ADDED", 7),
        ("BOOKMARK", 7),
        ("BOOKMARK", 8),
        ("ADDED", 9),
        ("BOOKMARK", 9),
    ]


async def test_a_watch_that_fell_silent_before_a_spawn_does_not_hold_it_up(field):
    """As after a quiet night, in which a firewall forgot the connection."""
    first = field.spawner("bob")
    await first.start()
    await until(lambda: field.faults.freeze_watches("pods"))
    spawner = field.spawner(start_timeout=30)
    await spawner.start()
    assert [pod["metadata"]["uid"] for pod in field.pods_of(spawner)] == [spawner.pod_id]
