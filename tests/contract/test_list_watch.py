"""Lists and watches: selectors, pages, resource versions, bookmarks, what is too old."""

from __future__ import annotations

import asyncio

import pytest

from .conftest import config_map, needs_kubernetes, pod


async def take(events, count, seconds=30):
    """Return the next events."""

    async def collect():
        return [await anext(events) for _ in range(count)]

    return await asyncio.wait_for(collect(), seconds)


def short(event):
    return event["type"], event["object"]["metadata"]["name"]


async def labelled(backend):
    for name, labels in {
        "a": {"app": "hub", "tier": "1"},
        "b": {"app": "hub", "tier": "2"},
        "c": {"app": "other"},
        "d": {},
    }.items():
        await backend.create("configmaps", config_map(name, labels={"test": "yes", **labels}))


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=hub", ["a", "b"]),
        ("app==hub,tier=2", ["b"]),
        ("app!=hub", ["c", "d"]),
        ("app in (hub, other)", ["a", "b", "c"]),
        ("app notin (hub)", ["c", "d"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c", "d"]),
        ("tier>1", ["b"]),
    ],
)
async def test_label_selectors(backend, selector, names):
    await labelled(backend)
    assert await backend.names("configmaps", labelSelector=f"test=yes,{selector}") == names


@pytest.mark.parametrize("selector", ["a b", "app in hub", "=x", "app=(x)"])
async def test_an_unreadable_label_selector_is_400(backend, selector):
    answer = await backend.request("GET", backend.path("pods"), labelSelector=selector)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_field_selectors(backend):
    await backend.create("pods", pod("a"))
    await backend.create("pods", pod("b", nodeName="contract-node"))
    assert await backend.names("pods", fieldSelector="metadata.name=a") == ["a"]
    assert await backend.names("pods", fieldSelector="metadata.name!=a") == ["b"]
    assert await backend.names("pods", fieldSelector="spec.nodeName=") == ["a"]
    assert await backend.names("pods", fieldSelector="spec.nodeName=contract-node") == ["b"]
    both = "status.phase=Pending,metadata.name=b"
    assert await backend.names("pods", fieldSelector=both) == ["b"]


async def test_an_unsupported_field_selector_is_400(backend):
    answer = await backend.request("GET", backend.path("pods"), fieldSelector="spec.hostname=a")
    assert answer.status == 400
    assert "field label not supported: spec.hostname" in answer.body["message"]


async def test_a_list_has_a_kind_and_a_version(backend):
    found = await backend.list("pods")
    assert (found["kind"], found["apiVersion"], found["items"]) == ("PodList", "v1", [])
    assert found["metadata"]["resourceVersion"].isdecimal()


async def test_pages_are_consistent(backend):
    """An object that comes while the pages are read is not in them."""
    for i in range(5):
        await backend.create("configmaps", config_map(f"m{i}", labels={"page": "yes"}))
    query = {"labelSelector": "page=yes", "limit": 2}
    first = await backend.list("configmaps", **query)
    await backend.create("configmaps", config_map("m2a", labels={"page": "yes"}))
    await backend.ok("DELETE", backend.path("configmaps", "m3"))
    names = [item["metadata"]["name"] for item in first["items"]]
    assert len(names) == 2
    token = first["metadata"]["continue"]
    while token:
        page = await backend.list("configmaps", **query, **{"continue": token})
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
    assert names == ["m0", "m1", "m2", "m3", "m4"]


async def test_remaining_items_are_counted_without_a_selector(backend):
    # Not of secrets: the service account's may come meanwhile.
    for i in range(5):
        ports = {"ports": [{"port": 80}], "clusterIP": "None"}
        await backend.create("services", {"metadata": {"name": f"s{i}"}, "spec": ports})
    page = await backend.list("services", limit=2)
    assert page["metadata"]["remainingItemCount"] == 3


async def test_a_continue_token_that_is_none_is_400(backend):
    answer = await backend.request("GET", backend.path("pods"), limit=1, continue_="nonsense")
    assert answer.status == 400


async def test_an_exact_version_is_listed_as_it_was(backend):
    created = await backend.create("configmaps", config_map("one", labels={"exact": "yes"}))
    version = created["metadata"]["resourceVersion"]
    await backend.patch("configmaps", "one", {"data": {"a": "2"}})
    await backend.create("configmaps", config_map("two", labels={"exact": "yes"}))
    found = await backend.list(
        "configmaps",
        labelSelector="exact=yes",
        resourceVersion=version,
        resourceVersionMatch="Exact",
    )
    assert [item["data"] for item in found["items"]] == [{"a": "1"}]
    assert found["metadata"]["resourceVersion"] == version


async def test_a_match_without_a_version_is_422(backend):
    answer = await backend.request("GET", backend.path("pods"), resourceVersionMatch="NotOlderThan")
    assert answer.status == 422
    assert "resourceVersionMatch" in answer.body["message"]


async def test_a_watch_tells_what_happens_in_order(backend):
    start = (await backend.list("configmaps"))["metadata"]["resourceVersion"]
    async with backend.watch("configmaps", resourceVersion=start) as events:
        await backend.create("configmaps", config_map("one"))
        await backend.patch("configmaps", "one", {"data": {"a": "2"}})
        await backend.ok("DELETE", backend.path("configmaps", "one"))
        seen = await take(events, 3)
    assert [short(event) for event in seen] == [
        ("ADDED", "one"),
        ("MODIFIED", "one"),
        ("DELETED", "one"),
    ]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert versions == sorted(set(versions))


async def test_a_watch_resumes_without_loss_or_repetition(backend):
    await backend.create("secrets", {"metadata": {"name": "s0"}})
    first = await backend.create("secrets", {"metadata": {"name": "s1"}})
    await backend.create("secrets", {"metadata": {"name": "s2"}})
    await backend.ok("DELETE", backend.path("secrets", "s0"))
    version = first["metadata"]["resourceVersion"]
    async with backend.watch("secrets", resourceVersion=version) as events:
        seen = await take(events, 2)
    assert [short(event) for event in seen] == [("ADDED", "s2"), ("DELETED", "s0")]


async def test_a_watch_without_a_version_begins_with_what_is_there(backend):
    await backend.create("secrets", {"metadata": {"name": "s0"}})
    async with backend.watch("secrets") as events:
        assert short((await take(events, 1))[0]) == ("ADDED", "s0")
        await backend.create("secrets", {"metadata": {"name": "s1"}})
        assert short((await take(events, 1))[0]) == ("ADDED", "s1")


async def test_a_selector_turns_changes_into_comings_and_goings(backend):
    await backend.create("configmaps", config_map("one", labels={"sel": "no"}))
    start = (await backend.list("configmaps"))["metadata"]["resourceVersion"]
    async with backend.watch(
        "configmaps", resourceVersion=start, labelSelector="sel=yes"
    ) as events:
        await backend.patch("configmaps", "one", {"metadata": {"labels": {"sel": "yes"}}})
        await backend.patch("configmaps", "one", {"data": {"a": "2"}})
        await backend.patch("configmaps", "one", {"metadata": {"labels": {"sel": "no"}}})
        await backend.patch("configmaps", "one", {"data": {"a": "3"}})
        await backend.create("configmaps", config_map("two", labels={"sel": "yes"}))
        seen = await take(events, 4)
    assert [short(event) for event in seen] == [
        ("ADDED", "one"),
        ("MODIFIED", "one"),
        ("DELETED", "one"),
        ("ADDED", "two"),
    ]
    assert seen[2]["object"]["metadata"]["labels"]["sel"] == "yes"


async def test_a_watch_stays_in_its_namespace(backend):
    start = (await backend.list("configmaps"))["metadata"]["resourceVersion"]
    elsewhere = config_map(f"of-{backend.namespace}")
    async with backend.watch("configmaps", resourceVersion=start) as events:
        path = "/api/v1/namespaces/default/configmaps"
        await backend.ok("POST", path, elsewhere)
        await backend.ok("DELETE", f"{path}/{elsewhere['metadata']['name']}")
        await backend.create("configmaps", config_map("here"))
        assert short((await take(events, 1))[0]) == ("ADDED", "here")


async def test_a_forgotten_version_is_410(backend):
    async with backend.watch("pods", resourceVersion="1") as events:
        try:
            event = (await take(events, 1))[0]
        except (TimeoutError, asyncio.TimeoutError):
            pytest.skip("this API server is so new that it still knows its first version")
    assert event["type"] == "ERROR"
    status = event["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert "too old resource version" in status["message"]


async def test_a_watch_ends_after_its_time_with_a_bookmark(backend):
    # Not secrets or config maps: the real server makes some of its own in a new namespace.
    created = await backend.create(
        "services", {"metadata": {"name": "s0"}, "spec": {"ports": [{"port": 80}]}}
    )
    version = created["metadata"]["resourceVersion"]
    async with backend.watch(
        "services",
        resourceVersion=version,
        allowWatchBookmarks="true",
        timeoutSeconds=6,
        fieldSelector="metadata.name=s0",
    ) as events:
        # Something has to move the version, of which this watch is told in no other way.
        await backend.create(
            "services", {"metadata": {"name": "s1"}, "spec": {"ports": [{"port": 80}]}}
        )

        async def rest():
            return [event async for event in events]

        seen = await asyncio.wait_for(rest(), 30)
    assert seen and {event["type"] for event in seen} == {"BOOKMARK"}
    marked = seen[-1]["object"]
    assert marked["kind"] == "Service"
    assert int(marked["metadata"]["resourceVersion"]) >= int(version)


async def test_a_streaming_list_needs_its_match(backend):
    await needs_kubernetes(backend, 27)
    answer = await backend.request(
        "GET", backend.path("secrets"), watch=1, sendInitialEvents="true", timeoutSeconds=1
    )
    assert answer.status == 422


async def test_no_bookmark_unless_asked_for(backend):
    version = (await backend.list("services"))["metadata"]["resourceVersion"]
    async with backend.watch("services", resourceVersion=version, timeoutSeconds=2) as events:
        assert [event async for event in events] == []


async def test_a_streaming_list_marks_its_end(backend):
    await needs_kubernetes(backend, 27)
    await backend.create("secrets", {"metadata": {"name": "s0"}})
    query = {
        "sendInitialEvents": "true",
        "allowWatchBookmarks": "true",
        "resourceVersionMatch": "NotOlderThan",
    }
    probe = await backend.request(
        "GET", backend.path("secrets"), watch=1, timeoutSeconds=1, **query
    )
    if probe.status == 422 and "WatchList feature gate" in str(probe.body):
        pytest.skip("this API server has streaming lists switched off (feature gate WatchList)")
    async with backend.watch("secrets", **query) as events:
        seen = await take(events, 2)
    assert short(seen[0]) == ("ADDED", "s0")
    assert seen[1]["type"] == "BOOKMARK"
    annotations = seen[1]["object"]["metadata"]["annotations"]
    assert annotations == {"k8s.io/initial-events-end": "true"}
