"""The informer against a server that makes every fault on demand."""

import asyncio
import json
import logging

import pytest
from kubernetes_asyncio.client import ApiException

from kubespawner.kube.informer import Health, Informer
from kubespawner.kube.requests import ApiUnavailable, Deadline
from tests.support.fakeapi import (
    PODS,
    FakeApi,
    Stream,
    bookmark,
    error,
    event,
    pod,
    pod_list,
    refuse,
    reply,
    reset,
    status,
)

LOG = logging.getLogger("test")


@pytest.fixture
async def api():
    async with FakeApi() as api:
        yield api


@pytest.fixture
async def informer(api):
    informer = Informer(lambda: api.client, PODS, log=LOG, name="pods in ns")
    yield informer
    await informer.stop()


async def loaded(informer):
    informer.start()
    await informer.loaded(Deadline.after(10))


async def shows(informer, key, phase):
    """Wait until the cache has ``key`` in ``phase``; None: not at all."""

    def arrived(item):
        return item is None if phase is None else bool(item) and item["status"]["phase"] == phase

    return await informer.wait_for(key, arrived, Deadline.after(10))


# ---- list ----------------------------------------------------------------------------------


async def test_lists_once_from_the_cache_and_watches_from_there(api, informer):
    watch = Stream()
    api.on("GET", PODS, reply(pod_list(pod("a", 5), pod("b", 7), version=9)))
    api.on("WATCH", PODS, watch)
    await loaded(informer)
    await asyncio.wait_for(watch.begun.wait(), 10)

    assert api.of("GET") == [{"resourceVersion": "0"}]
    [query] = api.of("WATCH")
    assert query["resourceVersion"] == "9"
    assert query["allowWatchBookmarks"] == "true"
    assert 300 <= int(query["timeoutSeconds"]) <= 450
    assert informer.health is Health.FRESH
    assert sorted(informer.keys()) == ["ns/a", "ns/b"]
    assert informer.get("ns/a") == pod("a", 5)
    assert informer.get("ns/nobody") is None


async def test_selectors_are_sent_with_every_request(api):
    informer = Informer(
        lambda: api.client, PODS, label_selector="component=x,y in (z)", field_selector="a.b=c"
    )
    await loaded(informer)
    await api.wait_requests(1, method="WATCH")
    await informer.stop()
    for query in api.of("GET") + api.of("WATCH"):
        assert query["labelSelector"] == "component=x,y in (z)"
        assert query["fieldSelector"] == "a.b=c"


@pytest.mark.parametrize("code", [400, 410, 422])
async def test_a_refused_cached_list_is_made_in_pages(api, informer, code):
    api.on(
        "GET",
        PODS,
        refuse(code, "no"),
        reply(pod_list(pod("a", 1), version=8, token="next&1")),
        reply(pod_list(pod("b", 2), version=8)),
    )
    await loaded(informer)
    assert api.of("GET")[1:] == [{"limit": "500"}, {"limit": "500", "continue": "next&1"}]
    assert sorted(informer.keys()) == ["ns/a", "ns/b"]


async def test_pages_that_expire_are_begun_anew(api, informer):
    api.on(
        "GET",
        PODS,
        refuse(410),
        reply(pod_list(pod("a", 1), version=8, token="t")),
        refuse(410, "expired"),
        reply(pod_list(pod("b", 2), version=9)),
    )
    await loaded(informer)
    assert informer.keys() == ["ns/b"]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b'{"metadata":{"resourceVersion":"3"},"items":[{"met']
)
async def test_what_is_no_complete_list_is_a_failure_and_never_empties_the_cache(
    api, informer, body
):
    api.on("GET", PODS, reply(body), reply(pod_list(pod("a", 1), version=3)))
    informer.start()
    with pytest.raises(Exception, match=r"."):
        await informer.first_attempt()
    assert informer.health is Health.NEVER_LOADED
    await informer.loaded(Deadline.after(10))
    assert informer.keys() == ["ns/a"]


async def test_an_empty_list_may_have_null_items(api, informer):
    api.on("GET", PODS, reply({"metadata": {"resourceVersion": "3"}, "items": None}))
    await loaded(informer)
    assert len(informer) == 0
    assert informer.resource_version == "3"


async def test_a_list_cut_off_by_the_connection_is_tried_again(api, informer):
    api.on("GET", PODS, reset, reply(pod_list(pod("a", 1), version=3)))
    await loaded(informer)
    assert informer.keys() == ["ns/a"]
    assert informer.last_error is None


async def test_loaded_tells_at_the_deadline_whom_it_asked_and_what_it_heard(api, informer):
    api.on("GET", PODS, *[refuse(403, "pods is forbidden")] * 20)
    informer.start()
    with pytest.raises(ApiUnavailable, match="pods in ns") as caught:
        await informer.loaded(Deadline.after(0.1))
    assert api.url in str(caught.value)
    assert "pods is forbidden" in str(caught.value)
    assert isinstance(caught.value.__cause__, ApiException)
    assert informer.health is Health.NEVER_LOADED


@pytest.mark.parametrize("refused", ["GET", "WATCH"])
async def test_what_is_not_allowed_is_told_at_once_and_asked_again_by_the_next(
    api, informer, refused
):
    api.on(refused, PODS, refuse(403, "pods is forbidden"))
    api.on("GET", PODS, reply(pod_list(pod("a", 1), version=9)))
    informer.start()
    with pytest.raises(ApiException, match="pods is forbidden"):
        await informer.under_way()
    # Allowed by now: not only after the pause of the one that was refused.
    await asyncio.gather(*(informer.under_way() for _ in range(3)))
    assert informer.health is Health.FRESH
    assert informer.keys() == ["ns/a"]


async def test_under_way_needs_no_watch_while_the_api_server_is_only_overloaded(api, informer):
    api.on("GET", PODS, reply(pod_list(pod("a", 1), version=9)))
    api.on("WATCH", PODS, *[refuse(503)] * 20)
    informer.start()
    await informer.under_way(Deadline.after(10))
    assert informer.keys() == ["ns/a"]


async def test_managed_fields_are_not_kept(api, informer):
    managed = pod("a", 5)
    managed["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    watch = Stream()
    api.on("GET", PODS, reply(pod_list(managed, version=9)))
    api.on("WATCH", PODS, watch)
    await loaded(informer)
    assert informer.get("ns/a") == pod("a", 5)
    changed = pod("a", 10, phase="Failed")
    changed["metadata"]["managedFields"] = [{}]
    watch.send(event("MODIFIED", changed))
    assert await shows(informer, "ns/a", "Failed") == pod("a", 10, phase="Failed")


async def test_a_big_list_lets_the_event_loop_go_on(api, informer):
    pods = [pod(f"p{i}", i + 1, filler="x" * 2000) for i in range(2000)]
    api.on("GET", PODS, reply(pod_list(*pods, version=5000)))
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += len(informer._store.entries) == 0

    informer.start()
    counting = asyncio.create_task(count_turns())
    await informer.loaded(Deadline.after(30))
    counting.cancel()
    assert len(informer) == 2000
    assert informer.get("ns/p1999") == pods[1999]
    assert turns > 20


# ---- watch ---------------------------------------------------------------------------------


async def test_events_change_the_cache(api, informer):
    watch = Stream()
    api.on("GET", PODS, reply(pod_list(pod("a", 5), version=9)))
    api.on("WATCH", PODS, watch)
    await loaded(informer)
    told = []
    informer.subscribe_all(lambda *change: told.append(change))

    watch.send(event("ADDED", pod("b", 10, phase="Pending")))
    watch.send(event("MODIFIED", pod("b", 11)))
    watch.send(event("DELETED", pod("a", 12)))
    await shows(informer, "ns/a", None)

    assert informer.keys() == ["ns/b"]
    assert informer.resource_version == "12"
    assert told == [
        ("ADDED", "ns/b", pod("b", 10, phase="Pending")),
        ("MODIFIED", "ns/b", pod("b", 11)),
        ("DELETED", "ns/a", None),
    ]


async def test_a_bookmark_only_moves_the_version(api, informer):
    watch = Stream(bookmark(100)).end()
    api.on("GET", PODS, reply(pod_list(pod("a", 5), version=9)))
    api.on("WATCH", PODS, watch)
    await loaded(informer)
    await api.wait_requests(2, method="WATCH")
    assert api.of("WATCH")[1]["resourceVersion"] == "100"
    assert informer.keys() == ["ns/a"]


async def test_an_ended_watch_is_resumed_without_a_list(api, informer):
    api.on("GET", PODS, reply(pod_list(version=9)))
    api.on("WATCH", PODS, *[Stream(event("ADDED", pod(f"p{i}", 10 + i))).end() for i in range(20)])
    await loaded(informer)
    await api.wait_requests(21, method="WATCH")
    assert [q["resourceVersion"] for q in api.of("WATCH")] == [str(9 + i) for i in range(21)]
    assert len(api.of("GET")) == informer.list_count == 1
    assert len(informer) == 20


@pytest.mark.parametrize(
    "broken",
    [
        Stream(event("ADDED", pod("a", 10)), b'{"type": "MODIF').end,
        Stream(event("ADDED", pod("a", 10))).cut,
    ],
    ids=["truncated JSON", "connection reset"],
)
async def test_a_watch_that_breaks_off_is_resumed_without_a_list(api, informer, broken, caplog):
    api.on("GET", PODS, reply(pod_list(version=9)))
    api.on("WATCH", PODS, broken(), Stream(event("MODIFIED", pod("a", 11, phase="Succeeded"))))
    await loaded(informer)
    await shows(informer, "ns/a", "Succeeded")
    assert api.of("WATCH")[1]["resourceVersion"] == "10"
    assert len(api.of("GET")) == 1
    # It came back at once: no outage that an operator should read about.
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


async def test_a_watch_that_gets_no_connection_is_an_outage_told_once(api, informer, caplog):
    api.on("GET", PODS, reply(pod_list(pod("a", 5), version=9)))
    api.on("WATCH", PODS, reset, reset, reset, Stream(event("ADDED", pod("b", 12))))
    with caplog.at_level(logging.INFO):
        await loaded(informer)
        await shows(informer, "ns/b", "Running")
    messages = [r.getMessage() for r in caplog.records if r.name == "test"]
    assert len([m for m in messages if "is interrupted" in m]) == 1
    assert len([m for m in messages if "is back" in m]) == 1
    assert informer.stale_since is None
    assert len(api.of("GET")) == 1


async def test_health_is_stale_during_an_outage_and_the_content_stays(api, informer):
    watch = Stream()
    api.on("GET", PODS, reply(pod_list(pod("a", 5), version=9)))
    api.on("WATCH", PODS, watch, *[refuse(503, headers={"Retry-After": "60"})] * 5)
    await loaded(informer)
    await asyncio.wait_for(watch.begun.wait(), 10)
    watch.send(event("ADDED", pod("b", 10)))
    watch.cut()
    await api.wait_requests(2, method="WATCH")
    # The refusal is written; give the client the turns to read it.
    for _ in range(1000):
        if informer.health is Health.STALE and isinstance(informer.last_error, ApiException):
            break
        await asyncio.sleep(0.001)
    assert informer.health is Health.STALE
    assert informer.stale_since is not None
    assert sorted(informer.keys()) == ["ns/a", "ns/b"]


@pytest.mark.parametrize(
    "gone",
    [
        refuse(410, "too old resource version"),
        Stream(error(410, "Expired", "too old resource version")),
        Stream(error(410, "Gone")),
        refuse(400, "resource version invalid"),
        reply(
            status(504, "Timeout", details={"causes": [{"reason": "ResourceVersionTooLarge"}]}), 504
        ),
        Stream(bookmark(3)),
        Stream(event("ADDED", pod("old", 3))),
    ],
    ids=[
        "HTTP 410",
        "ERROR 410 Expired",
        "ERROR 410 Gone",
        "refused",
        "too large",
        "bookmark back",
        "event back",
    ],
)
async def test_a_version_that_is_gone_is_listed_anew_from_the_latest_state(api, informer, gone):
    first = pod_list(pod("kept", 5), pod("changed", 6), pod("deleted", 7), version=9)
    second = pod_list(
        pod("kept", 5), pod("changed", 20, phase="Failed"), pod("new", 21), version=30
    )
    told = []
    informer.subscribe_all(lambda kind, key, item: told.append((kind, key)))
    api.on("GET", PODS, reply(first), reply(second))
    api.on("WATCH", PODS, gone)
    informer.start()
    await shows(informer, "ns/new", "Running")
    await api.wait_requests(2, method="WATCH")

    # Not from the API server's cache, which may be behind what was seen.
    assert api.of("GET")[1] == {"limit": "500"}
    assert api.of("WATCH")[1]["resourceVersion"] == "30"
    assert sorted(informer.keys()) == ["ns/changed", "ns/kept", "ns/new"]
    changes = told[3:]
    assert ("DELETED", "ns/deleted") in changes
    assert ("MODIFIED", "ns/changed") in changes
    assert ("ADDED", "ns/new") in changes
    assert ("DELETED", "ns/kept") not in changes


async def test_a_version_that_is_gone_each_time_is_asked_for_ever_more_slowly(
    api, informer, monkeypatch
):
    slept = []

    async def sleep(self, seconds):
        slept.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr("kubespawner.kube.backoff.Backoff.sleep", sleep)
    api.on("GET", PODS, *[reply(pod_list(version=9))] * 20)
    api.on("WATCH", PODS, *[Stream(error(410, "Expired")) for _ in range(12)])
    await loaded(informer)
    await api.wait_requests(13, method="WATCH")
    for attempt, seconds in enumerate(slept):
        most = min(0.1 * 2**attempt, 30)
        assert most / 2 <= seconds <= most


async def test_after_an_exchange_of_the_database_equal_versions_prove_nothing(api, informer):
    told = []
    informer.subscribe("ns/a", lambda kind, *_: told.append(kind))
    api.on(
        "GET",
        PODS,
        reply(pod_list(pod("a", 5), version=9)),
        reply(pod_list(pod("a", 5, phase="Failed"), version=6)),
    )
    api.on("WATCH", PODS, Stream(bookmark(6)))
    informer.start()
    await shows(informer, "ns/a", "Failed")
    assert told == ["ADDED", "MODIFIED"]
    await api.wait_requests(2, method="WATCH")
    assert informer.resource_version == "6"


async def test_a_relist_does_not_report_what_it_writes_differently(api, informer):
    full = {"kind": "Pod", "apiVersion": "v1", **pod("a", 10)}
    api.on(
        "GET",
        PODS,
        reply(pod_list(version=9)),
        reply(pod_list(pod("a", 10), pod("b", 11), version=12)),
    )
    api.on("WATCH", PODS, Stream(event("ADDED", full), error(410, "Expired")))
    told = []
    informer.subscribe("ns/a", lambda kind, key, item: told.append(kind))
    informer.start()
    await shows(informer, "ns/b", "Running")
    assert told == ["ADDED"]


async def test_no_reader_sees_an_empty_cache_during_a_relist(api, informer):
    release = asyncio.Event()

    async def slow(request):
        await release.wait()
        return await reply(pod_list(pod("a", 5), version=30))(request)

    api.on("GET", PODS, reply(pod_list(pod("a", 5), version=9)), slow)
    api.on("WATCH", PODS, Stream(error(410, "Expired")))
    await loaded(informer)
    await api.wait_requests(2, method="GET")
    assert informer.keys() == ["ns/a"]
    assert informer.health is Health.STALE
    release.set()
    await api.wait_requests(2, method="WATCH")
    assert informer.keys() == ["ns/a"]


async def test_an_error_event_that_is_no_410_does_not_list_again(api, informer):
    api.on("GET", PODS, reply(pod_list(version=9)))
    api.on(
        "WATCH",
        PODS,
        Stream(error(500, "InternalError", "etcd")),
        Stream(event("ADDED", pod("a", 10))),
    )
    await loaded(informer)
    await shows(informer, "ns/a", "Running")
    assert [q["resourceVersion"] for q in api.of("WATCH")] == ["9", "9"]
    assert len(api.of("GET")) == 1


async def test_a_silent_connection_is_given_up(api):
    informer = Informer(lambda: api.client, PODS, silence_seconds=0.05)
    api.on("GET", PODS, reply(pod_list(version=9)))
    api.on("WATCH", PODS, Stream(), Stream(event("ADDED", pod("a", 10))))
    await loaded(informer)
    await shows(informer, "ns/a", "Running")
    await informer.stop()
    assert [q["resourceVersion"] for q in api.of("WATCH")][:2] == ["9", "9"]
    assert len(api.of("GET")) == 1


async def test_an_event_sent_twice_is_told_once(api, informer):
    same = event("MODIFIED", pod("a", 10))
    told = []
    informer.subscribe("ns/a", lambda kind, *_: told.append(kind))
    api.on("GET", PODS, reply(pod_list(version=9)))
    api.on("WATCH", PODS, Stream(same, same, event("ADDED", pod("b", 11))))
    await loaded(informer)
    await shows(informer, "ns/b", "Running")
    assert told == ["ADDED"]


async def test_events_cut_anywhere_are_put_together(api, informer):
    data = b"".join(event("ADDED", pod(f"p{i}", 10 + i, text='ä{}"\\n')) for i in range(5))
    api.on("GET", PODS, reply(pod_list(version=9)))
    api.on("WATCH", PODS, Stream(*[data[i : i + 7] for i in range(0, len(data), 7)]))
    await loaded(informer)
    await shows(informer, "ns/p4", "Running")
    assert informer.get("ns/p3")["text"] == 'ä{}"\\n'


async def test_401_reads_the_credentials_anew(api, informer, monkeypatch):
    async def reload(configuration):
        configuration.api_key["BearerToken"] = "Bearer fresh"
        return True

    monkeypatch.setattr("kubespawner.kube.connection.reload", reload)
    api.on("GET", PODS, refuse(401), reply(pod_list(version=9)))
    await loaded(informer)
    assert "Authorization" not in api.headers[0]
    assert api.headers[1]["Authorization"] == "Bearer fresh"


async def test_nothing_that_goes_wrong_ends_the_watch(api, monkeypatch):
    mistakes = [KeyError("a mistake")]

    def client():
        if mistakes:
            raise mistakes.pop()
        return api.client

    async def reload(configuration):
        raise RuntimeError("another mistake")

    monkeypatch.setattr("kubespawner.kube.connection.reload", reload)
    informer = Informer(client, PODS)
    api.on("GET", PODS, refuse(401), reply(pod_list(pod("a", 1), version=9)))
    api.on("WATCH", PODS, Stream(b"[1]\n"))
    informer.start()
    await informer.loaded(Deadline.after(10))
    await api.wait_requests(2, method="WATCH")
    assert informer.health is not Health.NEVER_LOADED
    await informer.stop()


async def test_a_listener_that_fails_hinders_nobody(api, informer):
    def bad(*_):
        raise ZeroDivisionError

    told = []
    informer.subscribe_all(bad)
    informer.subscribe_all(lambda kind, key, item: told.append(key))
    api.on("GET", PODS, reply(pod_list(pod("a", 1), version=9)))
    await loaded(informer)
    assert told == ["ns/a"]
    assert len(api.of("GET")) == 1


# ---- content -------------------------------------------------------------------------------


async def test_what_is_handed_out_can_be_changed(api, informer):
    api.on("GET", PODS, reply(pod_list(pod("a", 1), version=9)))
    await loaded(informer)
    informer.get("ns/a")["metadata"].clear()
    informer.items_view["ns/a"]["status"]["phase"] = "Gone"
    for item in informer.items_view.values():
        item.clear()
    assert informer.get("ns/a") == informer.items_view["ns/a"] == pod("a", 1)


async def test_two_listeners_do_not_share_the_object(api, informer):
    seen = []

    def spoil(kind, key, item):
        seen.append(dict(item))
        item.clear()

    informer.subscribe("ns/a", spoil)
    informer.subscribe("ns/a", spoil)
    api.on("GET", PODS, reply(pod_list(pod("a", 1), version=9)))
    await loaded(informer)
    assert seen == [pod("a", 1)] * 2


async def test_the_view_is_a_mapping(api, informer):
    api.on("GET", PODS, reply(pod_list(pod("a", 1), version=9)))
    await loaded(informer)
    view = informer.items_view
    assert "ns/a" in view
    assert "ns/b" not in view
    assert dict(view) == {"ns/a": pod("a", 1)}
    assert len(view) == 1
    assert view.get("ns/b") is None
    with pytest.raises(KeyError):
        view["ns/b"]


async def test_what_was_created_counts_until_the_watch_has_passed_it(api, informer):
    watch = Stream()
    api.on("GET", PODS, reply(pod_list(version=9)))
    api.on("WATCH", PODS, watch)
    await loaded(informer)
    informer.note_created(pod("a", 15, phase="Pending"))
    watch.send(event("ADDED", pod("b", 14)))
    await shows(informer, "ns/b", "Running")
    assert informer.get("ns/a")["status"]["phase"] == "Pending"
    assert informer.header("ns/a").metadata.uid == "uid-a"

    # The watch is past the creation and has not shown it: it is gone.
    waiting = asyncio.create_task(shows(informer, "ns/a", None))
    watch.send(bookmark(15))
    assert await waiting is None


async def test_the_watch_takes_over_what_was_created(api, informer):
    watch = Stream()
    api.on("GET", PODS, reply(pod_list(version=9)))
    api.on("WATCH", PODS, watch)
    await loaded(informer)
    informer.note_created(pod("a", 15, phase="Pending"))
    watch.send(event("DELETED", pod("a", 13, uid="an older one")))
    watch.send(event("ADDED", pod("b", 14)))
    await shows(informer, "ns/b", "Running")
    assert informer.get("ns/a")["metadata"]["uid"] == "uid-a"
    watch.send(event("ADDED", pod("a", 15, phase="Pending")))
    watch.send(event("MODIFIED", pod("a", 16)))
    await shows(informer, "ns/a", "Running")
    watch.send(event("DELETED", pod("a", 17)))
    await shows(informer, "ns/a", None)


async def test_a_creation_that_the_watch_has_passed_already_is_not_noted(api, informer):
    api.on("GET", PODS, reply(pod_list(version=20)))
    await loaded(informer)
    informer.note_created(pod("a", 15))
    assert informer.get("ns/a") is None


# ---- waiting -------------------------------------------------------------------------------


async def test_wait_for_gives_up_at_the_deadline_and_leaves_nothing_behind(api, informer):
    api.on("GET", PODS, reply(pod_list(pod("a", 1), version=9)))
    await loaded(informer)
    with pytest.raises(TimeoutError, match="ns/a"):
        await informer.wait_for("ns/a", lambda item: False, Deadline.after(0.02))
    waiting = asyncio.create_task(informer.wait_for("ns/a", lambda item: False))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert informer._store._listeners == {}


async def test_wait_for_takes_nothing_for_gone_before_the_first_list(api, informer):
    api.on("GET", PODS, *[refuse(503)] * 50)
    informer.start()
    with pytest.raises(TimeoutError, match="503"):
        await informer.wait_for("ns/a", lambda item: item is None, Deadline.after(0.05))


async def test_wait_for_raises_what_the_predicate_raises(api, informer):
    await loaded(informer)
    with pytest.raises(ZeroDivisionError):
        await informer.wait_for("ns/a", lambda item: 1 / 0)


async def test_wait_gone_ends_when_that_object_is_deleted_or_another_has_its_name(
    api, informer, monkeypatch
):
    watch = Stream()
    api.on("GET", PODS, reply(pod_list(pod("a", 1), pod("b", 2), version=9)))
    api.on("WATCH", PODS, watch)
    await loaded(informer)
    uids = {name: informer.header(f"ns/{name}").metadata.uid for name in "ab"}
    # It does not need the object itself.
    monkeypatch.setattr(Informer, "get", None)
    gone = [
        asyncio.create_task(informer.wait_gone(f"ns/{name}", uids[name], Deadline.after(20)))
        for name in "ab"
    ]
    other = asyncio.create_task(informer.wait_gone("ns/a", "another uid", Deadline.after(20)))
    await asyncio.wait_for(other, 20)
    assert not any(task.done() for task in gone)
    successor = pod("b", 11)
    successor["metadata"]["uid"] = "successor"
    watch.send(event("DELETED", pod("a", 10)))
    watch.send(event("MODIFIED", successor))
    await asyncio.wait_for(asyncio.gather(*gone), 20)
    with pytest.raises(TimeoutError, match="ns/b"):
        await informer.wait_gone("ns/b", "successor", Deadline.after(0.02))


async def test_unsubscribe_is_safe_to_repeat(api, informer):
    told = []
    undo = [informer.subscribe("ns/a", told.append), informer.subscribe_all(told.append)]
    for call in undo + undo:
        call()
    api.on("GET", PODS, reply(pod_list(pod("a", 1), version=9)))
    await loaded(informer)
    assert told == []


# ---- life ----------------------------------------------------------------------------------


async def test_start_is_idempotent_and_stop_keeps_the_content(api, informer):
    api.on("GET", PODS, reply(pod_list(pod("a", 1), version=9)))
    await loaded(informer)
    await api.wait_requests(1, method="WATCH")
    task = informer.task
    informer.start()
    assert informer.task is task
    await informer.stop()
    await informer.stop()
    assert task.done()
    assert informer.health is Health.STALE
    assert informer.get("ns/a") == pod("a", 1)
    informer.start()
    await api.wait_requests(2, method="WATCH")
    assert len(api.of("GET")) == 1


async def test_stop_passes_on_the_cancellation_of_its_caller(api, informer):
    informer.start()
    stopping = asyncio.create_task(informer.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping])
    assert stopping.cancelled()


def test_nothing_of_a_dead_event_loop_is_used_again():
    clients = []
    informer = Informer(lambda: clients[-1], PODS)

    async def live(name):
        async with FakeApi() as api:
            clients.append(api.client)
            api.on("GET", PODS, reply(pod_list(pod(name, 1), version=9)))
            await loaded(informer)
            return informer.keys(), api.of("GET")

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(live("a")) == (["ns/a"], [{"resourceVersion": "0"}])
    # Closed with its tasks pending, as a test runner may do it.
    pending = asyncio.all_tasks(loop)
    loop.close()
    assert informer.health is Health.STALE
    assert asyncio.run(live("b")) == (["ns/b"], [{"resourceVersion": "0"}])
    asyncio.run(informer.stop())
    for task in pending:
        task._log_destroy_pending = False


def test_the_fake_writes_lists_as_the_api_server_does():
    assert json.dumps(pod_list(pod("a", 1), version=1), separators=(",", ":")).startswith(
        '{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[{"metadata"'
    )
