from __future__ import annotations

import pytest

from kubespawner.localcluster.listing import list_page
from kubespawner.localcluster.resources import CONFIG_MAPS, PODS, SECRETS
from kubespawner.localcluster.statuses import ApiError
from kubespawner.localcluster.store import Store


def obj(name, **fields):
    return {"metadata": {"name": name, "namespace": "n"}, **fields}


def names(records):
    return [record.obj["metadata"]["name"] for record in records]


@pytest.fixture
def store():
    return Store(history_limit=5)


def test_every_write_is_a_new_version(store):
    first = store.add(PODS, obj("a"))
    second = store.update(PODS, obj("a", x=1))
    third = store.remove(PODS, "n", "a")
    assert first.revision < second.revision < third.revision == store.revision
    assert third.obj["metadata"]["resourceVersion"] == str(third.revision)


def test_writing_the_same_is_no_write(store):
    first = store.add(PODS, obj("a"))
    assert store.update(PODS, obj("a")) is first


def test_an_earlier_state_can_be_listed(store):
    store.add(PODS, obj("a", x=1))
    then = store.add(PODS, obj("b")).revision
    store.update(PODS, obj("a", x=2))
    store.remove(PODS, "n", "b")
    store.add(PODS, obj("c"))
    records = store.records(PODS, at=then)
    assert names(records) == ["a", "b"]
    assert records[0].obj["x"] == 1
    assert names(store.records(PODS)) == ["a", "c"]


def test_a_bounded_history_makes_old_versions_expire(store):
    start = store.revision
    for i in range(5):
        store.add(PODS, obj(f"p{i}"))
    assert len(store.changes_since(PODS, start)) == 5
    store.add(PODS, obj("p5"))
    with pytest.raises(ApiError) as refused:
        store.changes_since(PODS, start)
    assert (refused.value.code, refused.value.reason) == (410, "Expired")
    assert len(store.changes_since(PODS, start + 1)) == 5


def test_one_resource_does_not_use_up_the_history_of_another(store):
    start = store.add(SECRETS, obj("s")).revision
    for i in range(20):
        store.add(PODS, obj(f"p{i}"))
    assert store.changes_since(SECRETS, start) == []


def test_compaction_covers_resources_without_objects(store):
    version = store.revision
    store.compact()
    with pytest.raises(ApiError):
        store.changes_since(CONFIG_MAPS, version)
    assert store.changes_since(CONFIG_MAPS, store.revision) == []


def test_what_is_read_can_be_changed_freely(store):
    store.add(PODS, obj("a", x=[1]))
    store.get(PODS, "n", "a")["x"].append(2)
    assert store.get(PODS, "n", "a")["x"] == [1]


def test_a_page_whose_version_is_forgotten_is_410(store):
    for i in range(4):
        store.add(PODS, obj(f"p{i}"))
    page = list_page(store, PODS, "n", {"limit": "2"})
    store.compact()
    with pytest.raises(ApiError) as refused:
        list_page(store, PODS, "n", {"limit": "2", "continue": page.continue_token})
    assert refused.value.code == 410
    assert "continue parameter is too old" in refused.value.message


def test_a_version_of_the_future_is_504(store):
    with pytest.raises(ApiError) as refused:
        list_page(store, PODS, "n", {"resourceVersion": "999"})
    assert refused.value.code == 504
    assert refused.value.details["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_version_zero_ignores_the_limit(store):
    for i in range(4):
        store.add(PODS, obj(f"p{i}"))
    page = list_page(store, PODS, "n", {"limit": "2", "resourceVersion": "0"})
    assert len(page.records) == 4
