from __future__ import annotations

import pytest

from kubespawner.localcluster.resources import EVENTS, NAMESPACES, PODS
from kubespawner.localcluster.selectors import field_predicate, label_predicate, predicate
from kubespawner.localcluster.statuses import ApiError


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ("", {}, True),
        ("a=", {"a": ""}, True),
        ("a=", {}, False),
        ("a!=b", {}, True),
        ("a notin (b)", {}, True),
        ("a in (b,c),d", {"a": "c", "d": "x"}, True),
        ("a in (b,c),d", {"a": "c"}, False),
        ("!a", {"a": ""}, False),
        ("example.org/a-b=c.d", {"example.org/a-b": "c.d"}, True),
        ("n>3", {"n": "4"}, True),
        ("n>3", {"n": "x"}, False),
        ("n<3", {}, False),
    ],
)
def test_labels(selector, labels, selected):
    assert label_predicate(selector)(labels) is selected


@pytest.mark.parametrize("selector", ["a b", "a in b", "a=(b)", "=b", "a in (b", "a=b c"])
def test_unreadable_label_selectors(selector):
    with pytest.raises(ApiError) as refused:
        label_predicate(selector)
    assert refused.value.code == 400


POD = {
    "metadata": {"name": "p", "namespace": "n"},
    "spec": {"nodeName": "x,y", "restartPolicy": "Never"},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("metadata.name=p,status.phase=Running", True),
        ("metadata.name=p,status.phase!=Running", False),
        ("spec.restartPolicy==Never", True),
        ("status.podIP=", True),
        (r"spec.nodeName=x\,y", True),
        ("spec.hostNetwork=false", True),
    ],
)
def test_fields(selector, selected):
    assert field_predicate(selector, PODS)(POD) is selected


@pytest.mark.parametrize(
    ("resource", "selector"),
    [(PODS, "spec.hostname=a"), (NAMESPACES, "metadata.namespace=a"), (PODS, "status.phase")],
)
def test_fields_that_cannot_be_selected_by(resource, selector):
    with pytest.raises(ApiError) as refused:
        field_predicate(selector, resource)
    assert refused.value.code == 400


def test_the_source_of_an_event():
    event = {"metadata": {"name": "e"}, "source": {"component": "kubelet"}}
    assert field_predicate("source=kubelet", EVENTS)(event)


def test_no_selector_is_no_predicate():
    assert predicate(PODS, "", "") is None
