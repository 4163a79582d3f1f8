from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespawner.localcluster.patch import (
    PatchError,
    PatchNotApplicable,
    json_patch,
    merge_patch,
    strategic_merge,
)
from kubespawner.localcluster.schema import definition

POD = definition("io.k8s.api.core.v1.Pod")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        # The examples of RFC 7386, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target, patch, result):
    assert merge_patch(target, patch) == result


@given(json_values, json_values)
def test_merge_patch_changes_neither_argument_and_is_idempotent(target, patch):
    before = copy.deepcopy((target, patch))
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert (target, patch) == before


@pytest.mark.parametrize(
    ("target", "operation", "result"),
    [
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a": 1}, {"op": "add", "path": "", "value": 5}, 5),
        ({"a": 1}, {"op": "replace", "path": "/a", "value": None}, {"a": None}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"a": [1, 2]}, {"op": "replace", "path": "/a/0", "value": 9}, {"a": [9, 2]}),
        ({"a": 1}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": 1, "b": 1}),
        ({"a/b": 1, "~": 2}, {"op": "move", "from": "/a~1b", "path": "/~0"}, {"~": 1}),
    ],
)
def test_json_patch(target, operation, result):
    before = copy.deepcopy(target)
    assert json_patch(target, [operation]) == result
    assert target == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b", "value": 1},
        {"op": "add", "path": "/l/7", "value": 1},
        {"op": "add", "path": "/b/c", "value": 1},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/l/-"},
    ],
)
def test_json_patches_that_do_not_fit(operation):
    with pytest.raises(PatchNotApplicable):
        json_patch({"a": 1, "l": []}, [operation])


@pytest.mark.parametrize(
    "operations",
    [
        {"op": "add"},
        [{"op": "add", "path": "/a"}],
        [{"op": "fly", "path": "/a"}],
        [{"op": "test", "path": "a", "value": 1}],
        [{"op": "remove"}],
    ],
)
def test_json_patches_that_are_none(operations):
    with pytest.raises(PatchError):
        json_patch({"a": 1}, operations)


def pod(*containers):
    return {"spec": {"containers": list(containers)}}


def test_strategic_merge_of_containers_and_their_lists():
    target = pod({"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"})
    patch = pod({"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "3"}]})
    merged = strategic_merge(target, patch, POD)
    assert merged == pod(
        {
            "name": "a",
            "image": "1",
            "env": [{"name": "X", "value": "3"}, {"name": "Y", "value": "2"}],
        },
        {"name": "b"},
    )
    assert target["spec"]["containers"][0]["env"] == [{"name": "X", "value": "1"}]


def test_strategic_delete_and_order():
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "containers": [{"name": "b", "$patch": "delete"}, {"name": "c", "image": "2"}],
        }
    }
    merged = strategic_merge(pod({"name": "a"}, {"name": "b"}), patch, POD)
    assert merged == pod({"name": "c", "image": "2"}, {"name": "a"})


def test_strategic_replace_of_a_list_and_of_a_map():
    merged = strategic_merge(
        pod({"name": "a"}, {"name": "b"}), pod({"$patch": "replace"}, {"name": "c"}), POD
    )
    assert merged == pod({"name": "c"})
    labels = {"metadata": {"labels": {"$patch": "replace", "b": "2"}}}
    assert strategic_merge({"metadata": {"labels": {"a": "1"}}}, labels, POD) == {
        "metadata": {"labels": {"b": "2"}}
    }


def test_strategic_merge_replaces_lists_without_a_key():
    merged = strategic_merge(
        pod({"name": "a", "args": ["1", "2"]}), pod({"name": "a", "args": ["3"]}), POD
    )
    assert merged == pod({"name": "a", "args": ["3"]})


def test_strategic_lists_of_primitives():
    target = {"metadata": {"finalizers": ["a", "b"]}}
    added = strategic_merge(target, {"metadata": {"finalizers": ["b", "c"]}}, POD)
    assert added["metadata"]["finalizers"] == ["a", "b", "c"]
    removed = strategic_merge(
        target, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, POD
    )
    assert removed["metadata"]["finalizers"] == ["b"]


def test_strategic_retain_keys():
    volume = {"name": "v", "emptyDir": {}}
    patch = {"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}
    merged = strategic_merge({"spec": {"volumes": [volume]}}, {"spec": {"volumes": [patch]}}, POD)
    assert merged["spec"]["volumes"] == [{"name": "v", "secret": {"secretName": "s"}}]


def test_a_list_element_without_its_key_is_an_error():
    with pytest.raises(PatchError, match="merge key: name"):
        strategic_merge(pod({"name": "a"}), pod({"image": "1"}), POD)
