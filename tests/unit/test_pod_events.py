"""Events of followed pods: whose they are, in which order, how many."""

import asyncio
import random
from datetime import datetime, timedelta, timezone

import pytest
from kubernetes_asyncio.client import ApiException

from kubespawner.kube.pod_events import MOST_EVENTS, PodEvents, event_time, parse_time
from kubespawner.kube.requests import ApiUnavailable, Deadline
from tests.support.fakeapi import FakeApi, Stream, error, event, pod_list, refuse, reply, reset

EVENTS = "/api/v1/namespaces/ns/events"
START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=timezone.utc)


def at(seconds):
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def happened(uid, version, *, name="a", pod_uid="u", seconds=1, kind="Pod", namespace="ns", **more):
    about = {"kind": kind, "name": name, "namespace": namespace, "uid": pod_uid}
    metadata = {
        "name": f"e-{uid}",
        "namespace": namespace,
        "uid": uid,
        "resourceVersion": str(version),
    }
    return {"metadata": metadata, "involvedObject": about, "lastTimestamp": at(seconds), **more}


@pytest.fixture
async def api():
    async with FakeApi() as api:
        yield api


@pytest.fixture
async def watch(api):
    watch = PodEvents(lambda: api.client, "ns")
    yield watch
    await watch.stop()


class Case:
    """A watch of events under way, that the test writes."""

    def __init__(self, api, watch):
        self.stream = Stream()
        self.version = 10
        api.on("GET", EVENTS, reply(pod_list(version=9)))
        api.on("WATCH", EVENTS, self.stream)
        self.watch = watch
        # Told last in every case: when its event is there, the ones before it are.
        self.last = watch.follow("ns", "last")

    async def tell(self, *events):
        for item in events:
            self.stream.send(event("ADDED", item))
        arrived = asyncio.Event()
        self.last.on_change(arrived.set)
        self.version += 1000
        self.stream.send(event("ADDED", happened(f"l{self.version}", self.version, name="last")))
        await asyncio.wait_for(arrived.wait(), 10)


@pytest.fixture
async def case(api, watch):
    return Case(api, watch)


def uids(followed):
    return [e["metadata"]["uid"] for e in followed.events]


# ---- identity ------------------------------------------------------------------------------


async def test_only_the_followed_pods_count(case, watch):
    followed = watch.follow("ns", "a")
    followed.uid = "u"
    await case.tell(
        happened("1", 10),
        happened("2", 11, name="b"),
        happened("3", 12, pod_uid="an earlier pod of that name"),
        happened("4", 13, kind="Node"),
        happened("5", 14),
    )
    assert uids(followed) == ["1", "5"]


async def test_before_the_uid_is_known_time_decides_and_then_the_uid(case, watch):
    followed = watch.follow("ns", "a", since=START)
    await case.tell(
        happened("old", 10, pod_uid="old", seconds=-60),
        happened("other", 11, pod_uid="another", seconds=1),
        happened("ours", 12, seconds=2),
    )
    assert uids(followed) == ["other", "ours"]
    followed.uid = "u"
    assert uids(followed) == ["ours"]


async def test_a_start_time_without_a_zone_is_utc(case, watch):
    followed = watch.follow("ns", "a", since=START.replace(tzinfo=None))
    await case.tell(happened("1", 10, seconds=-60), happened("2", 11))
    assert uids(followed) == ["2"]


async def test_an_event_within_the_second_of_the_start_counts(case, watch):
    followed = watch.follow("ns", "a", since=START + timedelta(seconds=0.7))
    await case.tell(happened("1", 10, seconds=0))
    assert uids(followed) == ["1"]


async def test_events_of_claims_that_the_pod_waits_for(case, watch):
    followed = watch.follow("ns", "a", since=START)
    followed.uid = "u"
    followed.claims.add("mine")
    claim = {"kind": "PersistentVolumeClaim", "pod_uid": "c"}
    await case.tell(
        happened("1", 10, name="mine", **claim),
        happened("2", 11, name="theirs", **claim),
        happened("3", 12, name="mine", seconds=-60, **claim),
    )
    assert uids(followed) == ["1"]


async def test_in_all_namespaces_the_namespace_counts(api):
    watch = PodEvents(lambda: api.client, None)
    stream = Stream(
        event("ADDED", happened("1", 10, namespace="elsewhere")), event("ADDED", happened("2", 11))
    )
    api.on("GET", "/api/v1/events", reply(pod_list(version=9)))
    api.on("WATCH", "/api/v1/events", stream)
    followed, changed = watch.follow("ns", "a"), asyncio.Event()
    followed.on_change(changed.set)
    await asyncio.wait_for(changed.wait(), 10)
    assert uids(followed) == ["2"]
    await watch.stop()


async def test_several_follow_one_pod(case, watch):
    first, second = watch.follow("ns", "a"), watch.follow("ns", "a")
    await case.tell(happened("1", 10))
    first.close()
    await case.tell(happened("2", 1200))
    assert uids(first) == ["1"]
    assert uids(second) == ["1", "2"]


# ---- order and number ----------------------------------------------------------------------


def test_the_first_timestamp_that_is_set_counts():
    stamped = {
        "series": {"lastObservedTime": at(5)},
        "lastTimestamp": at(4),
        "eventTime": at(3),
        "firstTimestamp": at(2),
        "metadata": {"creationTimestamp": at(1)},
    }
    found = []
    for name in list(stamped):
        found.append((event_time(stamped) - START).total_seconds())
        stamped[name] = None
    assert found == [5, 4, 3, 2, 1]
    never = event_time(stamped)
    assert never == event_time({}) == event_time({"lastTimestamp": ""})
    assert never < START


def test_every_mixture_of_timestamps_has_an_order():
    stamps = [
        {},
        {"lastTimestamp": None, "eventTime": None},
        {"lastTimestamp": at(-5)},
        {"eventTime": "2026-01-01T12:00:00.123456Z"},
        {"firstTimestamp": "2026-01-01T12:00:01.5+00:00"},
        {"series": None, "metadata": {"creationTimestamp": at(9)}},
    ]
    mixed = stamps[:]
    random.Random(3).shuffle(mixed)
    assert sorted(mixed, key=event_time)[2:] == stamps[2:]


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-01-01T12:00:00Z", 0),
        ("2026-01-01T12:00:00", 0),
        ("2026-01-01T12:00:00.5Z", 500_000),
        ("2026-01-01T12:00:00.123456789Z", 123_456),
        ("2026-01-01T14:00:00.000001+02:00", 1),
    ],
)
def test_timestamps(text, microseconds):
    assert parse_time(text) == START + timedelta(microseconds=microseconds)


@pytest.mark.parametrize("text", [None, "", "yesterday", 5, "2026-13-01T00:00:00Z", "2026-01-01"])
def test_what_is_no_timestamp(text):
    assert parse_time(text) is None


async def test_events_are_in_order_of_time(case, watch):
    followed = watch.follow("ns", "a")
    await case.tell(
        happened("late", 10, seconds=9),
        happened("early", 11, seconds=1),
        happened("mid", 12, seconds=5),
    )
    assert uids(followed) == ["early", "mid", "late"]


async def test_a_repeated_event_stands_once_at_its_last_time(case, watch):
    followed = watch.follow("ns", "a")
    await case.tell(
        happened("1", 10, seconds=1, count=1),
        happened("2", 11, seconds=2),
        happened("1", 12, seconds=3, count=7),
    )
    assert uids(followed) == ["2", "1"]
    assert followed.events[1]["count"] == 7


async def test_events_of_one_pod_are_bounded(case, watch):
    followed = watch.follow("ns", "a")
    await case.tell(*(happened(str(i), 10 + i, seconds=i) for i in range(MOST_EVENTS + 20)))
    assert len(followed.events) == MOST_EVENTS
    assert uids(followed)[0] == "20"


async def test_an_event_without_message_and_type_is_fine(case, watch):
    followed = watch.follow("ns", "a")
    await case.tell(happened("1", 10, message=None))
    assert uids(followed) == ["1"]


# ---- life ----------------------------------------------------------------------------------


async def test_watches_only_while_somebody_follows_and_reads_no_history(api, watch):
    assert not watch.running
    with watch.follow("ns", "a"), watch.follow("ns", "b"):
        await watch.ready(Deadline.after(10))
        await api.wait_requests(1, method="WATCH")
        assert watch.running
    assert not watch.running
    assert api.of("GET") == [{"limit": "1"}]
    await watch.stop()

    with watch.follow("ns", "c"):
        await watch.ready(Deadline.after(10))
        await api.wait_requests(2, method="WATCH")
    assert not watch.running


async def test_after_closing_the_events_stay_and_nobody_is_told(case, watch):
    told = []
    with watch.follow("ns", "a") as followed:
        followed.on_change(lambda: told.append(1))
        await case.tell(happened("1", 10))
    followed.close()
    await case.tell(happened("2", 1200))
    assert told == [1]
    assert uids(followed) == ["1"]


async def test_resumes_after_a_break_and_after_an_expired_version(api, watch):
    api.on("GET", EVENTS, reply(pod_list(version=9)), reply(pod_list(version=50)))
    api.on(
        "WATCH",
        EVENTS,
        Stream(event("ADDED", happened("1", 10))).cut(),
        Stream(error(410, "Expired")),
        Stream(event("ADDED", happened("2", 60))),
    )
    followed, changed = watch.follow("ns", "a"), asyncio.Event()
    followed.on_change(changed.set)
    while len(followed.events) < 2:
        changed.clear()
        await asyncio.wait_for(changed.wait(), 10)
    assert [q["resourceVersion"] for q in api.of("WATCH")] == ["9", "10", "50"]


async def test_an_event_that_expires_is_not_taken_away(case, watch):
    followed = watch.follow("ns", "a")
    await case.tell(happened("1", 10))
    case.stream.send(event("DELETED", happened("1", 1200)))
    await case.tell()
    assert uids(followed) == ["1"]


async def test_ready_without_permission_says_so(api, watch):
    api.on("GET", EVENTS, refuse(403, "events is forbidden"))
    watch.follow("ns", "a")
    with pytest.raises(ApiException, match="403"):
        await watch.ready(Deadline.after(10))


@pytest.mark.parametrize("fault", [reset, refuse(503)])
async def test_ready_outlasts_a_failure(api, watch, fault):
    api.on("GET", EVENTS, fault)
    watch.follow("ns", "a")
    await watch.ready(Deadline.after(10))
    assert len(api.of("GET")) == 2


async def test_ready_ends_at_the_deadline(api, watch):
    api.on("GET", EVENTS, *[refuse(503)] * 20)
    watch.follow("ns", "a")
    with pytest.raises(ApiUnavailable):
        await watch.ready(Deadline.after(0.05))


async def test_ready_with_nobody_to_follow(watch):
    await watch.ready(Deadline.after(0))


def test_closing_after_the_loop_has_ended():
    async def follow():
        async with FakeApi() as api:
            return PodEvents(lambda: api.client, "ns").follow("ns", "a")

    asyncio.run(follow()).close()
