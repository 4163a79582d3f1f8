"""What the cache leaves out of an object, whatever order its fields are in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespawner.kube.summary import without_managed_fields

MANAGED = [
    {"manager": "kubelet", "fieldsV1": {"f:spec": {'k:{"name":"x"}': {".": {}}, "v:[1]": {}}}},
    {"manager": 'odd ]},"spec": name', "fieldsV1": {}},
]
POD = {
    "kind": "Pod",
    "metadata": {"name": "x", "annotations": {"a": ',"managedFields":[]},"spec":'}},
    "spec": {"containers": [{"name": "c"}]},
    "status": {"phase": "Running"},
}
TEMPLATE = {"metadata": {"name": "t", "managedFields": []}, "spec": {}}


def compact(item) -> bytes:
    return json.dumps(item, separators=(",", ":")).encode()


def with_managed(item, position: int):
    fields = list(item["metadata"].items())
    fields.insert(position, ("managedFields", MANAGED))
    return {**item, "metadata": dict(fields)}


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(
    "fields",
    [("kind", "metadata", "spec", "status"), ("spec", "metadata", "status"), ("metadata",)],
    ids=" ".join,
)
def test_only_the_managed_fields_of_the_object_itself_go(position, fields):
    item = with_managed(POD, position)
    item = {field: item[field] for field in fields}
    expected = {field: POD[field] for field in fields}
    assert json.loads(without_managed_fields(compact(item))) == expected


@pytest.mark.parametrize("managed", [True, False])
def test_those_of_a_template_within_stay(managed):
    inner = {**POD, "spec": {"volumes": [{"ephemeral": {"volumeClaimTemplate": TEMPLATE}}]}}
    item = with_managed(inner, 2) if managed else inner
    assert json.loads(without_managed_fields(compact(item))) == inner


def test_without_any_the_bytes_stay_as_they_are():
    data = compact({**POD, "metadata": {"name": "x"}})
    assert without_managed_fields(data) is data


_text = st.text(
    alphabet=st.sampled_from(['"', "]", "}", ",", "{", "[", "\\", "a", ":"]), max_size=8
)
_json = st.recursive(
    _text | st.none() | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(_json, max_size=3), st.dictionaries(_text, _json, max_size=3), _json)
def test_whatever_they_hold(managed, annotations, spec):
    metadata = {"name": "x", "annotations": annotations}
    item = {"metadata": {**metadata, "managedFields": managed}, "spec": spec, "status": {}}
    expected = {"metadata": metadata, "spec": spec, "status": {}}
    assert json.loads(without_managed_fields(compact(item))) == expected
