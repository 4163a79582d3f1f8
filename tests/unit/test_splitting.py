"""Lists and streams cut at any byte come out whole."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespawner.kube.splitting import LineSplitter, ListSplitter
from kubespawner.kube.store import Entry
from kubespawner.kube.summary import without_managed_fields

TEXT = st.text(alphabet='a"\\,{}[]: é\n')
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.just("metadata"), inner, max_size=3)
    ),
    max_leaves=8,
)
ITEMS = st.lists(
    st.fixed_dictionaries({"metadata": st.fixed_dictionaries({"name": TEXT}), "x": VALUES}),
    max_size=8,
)


def split(data, piece, chunk):
    splitter = ListSplitter(piece)
    items, cuts = [], 0
    for start in range(0, len(data), chunk):
        for found in splitter.feed(data[start : start + chunk]):
            items += found
            cuts += bool(found)
    page = splitter.finish()
    return [json.loads(bytes(i)) for i in [*items, *(page.items or [])]], page.metadata, cuts


@given(ITEMS, st.integers(1, 80), st.integers(1, 200), st.booleans())
def test_every_list_comes_out_whole(items, piece, chunk, spaced):
    whole = {"metadata": {"resourceVersion": "7", "continue": "t"}, "items": items}
    data = json.dumps(whole, separators=(", ", ": ") if spaced else (",", ":")).encode()
    found, head, _ = split(data, piece, chunk)
    assert found == items
    assert (head.resource_version, head.continue_) == ("7", "t")


def test_a_list_as_the_api_server_writes_it_is_cut():
    items = [
        {"metadata": {"name": f"p{i}"}, "spec": {"x": [{}, {"metadata": {}}]}} for i in range(99)
    ]
    whole = {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": items}
    found, _, cuts = split(json.dumps(whole, separators=(",", ":")).encode(), 500, 700)
    assert found == items
    assert cuts > 5


def test_metadata_may_come_last():
    items = [{"metadata": {"name": f"p{i}"}} for i in range(50)]
    data = json.dumps({"items": items, "metadata": {"resourceVersion": "9"}}, separators=(",", ":"))
    found, head, cuts = split(data.encode(), 100, 100)
    assert (found, head.resource_version) == (items, "9")
    assert cuts > 1


@pytest.mark.parametrize("lost", [1, 2, 30, 400])
def test_a_truncated_list_is_refused(lost):
    items = [{"metadata": {"name": f"p{i}"}} for i in range(50)]
    data = json.dumps({"metadata": {}, "items": items}, separators=(",", ":")).encode()
    with pytest.raises(msgspec.DecodeError):
        split(data[:-lost], 100, 64)


@given(
    st.lists(st.binary(max_size=9).map(lambda b: b.replace(b"\n", b".")), max_size=9),
    st.integers(1, 12),
)
def test_lines_come_out_whole(lines, chunk):
    data = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter()
    found = []
    for start in range(0, len(data), chunk):
        found += splitter.feed(data[start : start + chunk])
    assert found == [line for line in lines if line.strip()]
    assert not splitter.unfinished
    assert splitter.feed(b"rest") == []
    assert splitter.unfinished


@given(VALUES, st.booleans())
def test_managed_fields_are_cut_out_and_nothing_else(value, first):
    rest = {"name": "a", "labels": value}
    metadata = {"managedFields": [value], **rest} if first else {**rest, "managedFields": [value]}
    raw = json.dumps(
        {"kind": "Pod", "metadata": metadata, "spec": {"managedFields": value}}
    ).encode()
    assert json.loads(without_managed_fields(raw)) == {
        "kind": "Pod",
        "metadata": rest,
        "spec": {"managedFields": value},
    }


def test_what_is_no_object_is_no_entry():
    for raw in (b"1", b"{}", b'{"metadata": 3}', b'{"managedFields": 1}'):
        with pytest.raises(msgspec.DecodeError):
            Entry.of(raw)
