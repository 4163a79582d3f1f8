"""Helpers for models, nested dicts and hosts."""

from __future__ import annotations

import logging

import pytest
from kubernetes_asyncio.client.models import (
    V1Container,
    V1EnvVar,
    V1Lifecycle,
    V1PodSpec,
    V1SecurityContext,
)

from kubespawner.utils import (
    IgnoreMissing,
    _get_k8s_model_attribute,
    generate_hashed_slug,
    get_k8s_model,
    host_matching,
    recursive_format,
    recursive_update,
    update_k8s_model,
)
from tests.support.schemas import serialised


@pytest.mark.parametrize(
    ("slug", "hashed"),
    [
        ("Caps", "Caps"),
        ("x" * 56, "x" * 56),
        ("x" * 57, "x" * 56 + "-ae14a2"),
        ("x" * 63, "x" * 56 + "-75220b"),
        ("X" * 60, "x" * 56 + "-9aaf85"),
        ("a" * 55 + "-" + "b" * 20, "a" * 55 + "--9e0e23"),
    ],
)
def test_generate_hashed_slug(slug, hashed):
    assert generate_hashed_slug(slug) == hashed


@pytest.mark.parametrize(
    ("slug", "hashed"),
    [
        ("abcdefghijklmnop", "abcdefg-f39d"),
        ("abcdefg", "abcdefg"),
        ("abcdefgh", "abcdefg-9c56"),
    ],
)
def test_generate_hashed_slug_with_limits(slug, hashed):
    assert generate_hashed_slug(slug, limit=12, hash_length=4) == hashed


class TestGetModel:
    def test_of_a_dict_in_either_spelling(self):
        for key in ("imagePullPolicy", "image_pull_policy"):
            container = get_k8s_model(V1Container, {"name": "a", key: "Always"})
            assert serialised(container) == {"name": "a", "imagePullPolicy": "Always"}

    def test_copies_the_dict_and_leaves_what_is_nested(self):
        given = {"name": "a", "env": [{"name": "X", "valueFrom": {"fieldRef": {}}}]}
        container = get_k8s_model(V1Container, given)
        container.env.append("more")
        assert given["env"] == [{"name": "X", "valueFrom": {"fieldRef": {}}}]
        assert serialised(container)["env"][0] == given["env"][0]

    def test_of_a_model_is_its_copy(self):
        given = V1Container(name="a", env=[])
        container = get_k8s_model(V1Container, given)
        container.env.append("more")
        assert container.name == "a"
        assert given.env == []

    def test_unknown_key(self):
        with pytest.raises(
            ValueError, match="'V1Container' did not have an attribute matching 'imgae'"
        ):
            get_k8s_model(V1Container, {"name": "a", "imgae": "b"})

    def test_missing_required_field(self):
        with pytest.raises(ValueError, match="name"):
            get_k8s_model(V1Container, {"image": "b"})

    @pytest.mark.parametrize("value", [None, "text", 3, ["a"], V1EnvVar(name="x")])
    def test_of_anything_else(self, value):
        with pytest.raises(AttributeError):
            get_k8s_model(V1Container, value)


class TestUpdateModel:
    def test_sets_every_key_of_a_dict_also_to_nothing(self):
        target = V1Container(name="a", image="b", args=["c"], env=[V1EnvVar(name="X")])
        changes = {"image": None, "args": [], "workingDir": "/w", "image_pull_policy": "Never"}
        assert update_k8s_model(target, changes) is target
        assert serialised(target) == {
            "name": "a",
            "args": [],
            "env": [{"name": "X"}],
            "workingDir": "/w",
            "imagePullPolicy": "Never",
        }

    def test_copies_only_truthy_attributes_of_a_model(self):
        target = V1Container(name="a", image="b", args=["c"])
        update_k8s_model(target, V1Container(name="n", args=[], working_dir="/w"))
        assert serialised(target) == {"name": "n", "image": "b", "args": ["c"], "workingDir": "/w"}

    def test_nested_models_still_serialise(self):
        target = V1Container(name="a")
        changes = V1Container(
            name="a",
            security_context=V1SecurityContext(run_as_user=1),
            lifecycle=V1Lifecycle(pre_stop={"exec": {"command": ["x"]}}),
        )
        update_k8s_model(target, changes)
        assert serialised(target)["securityContext"] == {"runAsUser": 1}
        assert serialised(target)["lifecycle"] == {"preStop": {"exec": {"command": ["x"]}}}

    def test_leaves_the_changes_alone_when_the_target_is_changed_later(self):
        changes = {"tolerations": [{"key": "a"}]}
        target = update_k8s_model(V1PodSpec(containers=[]), changes)
        target.tolerations.append({"key": "b"})
        assert changes == {"tolerations": [{"key": "a"}]}

    def test_unknown_key(self):
        with pytest.raises(ValueError, match="'V1Container' did not have"):
            update_k8s_model(V1Container(name="a"), {"nmae": "b"})

    @pytest.mark.parametrize(
        ("target", "changes"),
        [
            ({"name": "a"}, {"name": "b"}),
            (V1Container(name="a"), V1EnvVar(name="b")),
            (V1Container(name="a"), [("name", "b")]),
            (V1Container(name="a"), None),
        ],
    )
    def test_wrong_types(self, target, changes):
        with pytest.raises(AttributeError):
            update_k8s_model(target, changes)

    def test_tells_what_is_replaced(self, caplog):
        caplog.set_level(logging.INFO)
        update_k8s_model(
            V1Container(name="a", image="old", working_dir=""),
            {"image": "new", "working_dir": "/w"},
            logger=logging.getLogger("test"),
            target_name="notebook_container",
            changes_name="extra_container_config",
        )
        [record] = caplog.records
        assert record.levelno == logging.INFO
        assert (
            "'notebook_container.image' current value: 'old' is overridden with 'new', which is "
            "the value of 'extra_container_config.image'"
        ) in record.getMessage()

    def test_says_nothing_without_a_name_of_the_changes(self, caplog):
        caplog.set_level(logging.INFO)
        update_k8s_model(
            V1Container(name="a"), {"name": "b"}, logger=logging.getLogger("test"), target_name="c"
        )
        assert not caplog.records


def test_model_attribute_of_a_field():
    assert _get_k8s_model_attribute(V1PodSpec, "serviceAccount") == "service_account"
    assert _get_k8s_model_attribute(V1PodSpec, "service_account") == "service_account"
    with pytest.raises(ValueError, match="'V1PodSpec' did not have an attribute matching 'x'"):
        _get_k8s_model_attribute(V1PodSpec, "x")


@pytest.mark.parametrize(
    ("host", "wildcard", "matches"),
    [
        ("a.b.com", "a.b.com", True),
        ("A.b.com", "a.b.com", False),
        ("a.b.com", "*.b.com", True),
        ("b.com", "*.b.com", False),
        ("x.a.b.com", "*.b.com", False),
        ("a.b.com", "*.com", False),
        ("a.b.com", "b.com", False),
        ("*.b.com", "*.b.com", True),
    ],
)
def test_host_matching(host, wildcard, matches):
    assert host_matching(host, wildcard) is matches


def test_recursive_update():
    target = {"a": {"x": 1, "y": 2}, "l": [1], "n": 1}
    new = {
        "a": {"x": None, "z": {"q": None, "r": 2}},
        "l": [2],
        "n": None,
        "new": {"k": None},
        "missing": None,
    }
    assert recursive_update(target, new) is None
    assert target == {"a": {"y": 2, "z": {"r": 2}}, "l": [2], "new": {}}


@pytest.mark.parametrize("present", [1, "text", [1], None])
def test_recursive_update_replaces_what_is_no_dict(present):
    target = {"a": present}
    recursive_update(target, {"a": {"b": 1}})
    assert target == {"a": {"b": 1}}


def test_recursive_update_shares_no_dict():
    new = {"a": {"b": {"c": 1}}}
    target: dict = {}
    recursive_update(target, new)
    target["a"]["b"]["c"] = 2
    assert new == {"a": {"b": {"c": 1}}}


@pytest.mark.parametrize(
    ("template", "formatted"),
    [
        ("{v}", "5"),
        ("{a}", "{a}"),
        ("{{a}}", "{a}"),
        ("{{v}}", "{v}"),
        ("{{{v}}}", "{5}"),
        ("${J}", "${J}"),
        ("${{J}}", "${J}"),
        ("{v:03d}", "005"),
        ("{v!r}", "5"),
        ("{v.real}", "5"),
        ({"{v}": {"k": "{v}"}}, {"5": {"k": "5"}}),
        (["{v}", {"{v}"}], ["5", {"5"}]),
        (("{v}",), ("{v}",)),
        (None, None),
        (7, 7),
        # What is no field stays as it is.
        ("{a.b}", "{a.b}"),
        ("{a[0]}", "{a[0]}"),
        ("{", "{"),
        ("{}", "{}"),
        ("{0}", "{0}"),
        ('{"x": 1, "y": "{v}"}', '{"x": 1, "y": "5"}'),
    ],
)
def test_recursive_format(template, formatted):
    assert recursive_format(template, v=5) == formatted


def test_recursive_format_does_not_look_into_values():
    assert recursive_format("{v}", v="{v} {{x}} {") == "{v} {{x}} {"


def test_ignore_missing():
    assert "{a} {b}".format_map(IgnoreMissing(a=1)) == "1 {b}"
