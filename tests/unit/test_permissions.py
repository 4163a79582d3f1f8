"""The one list of permissions, and what is made from it."""

import itertools

import pytest

from kubespawner import permissions
from kubespawner.config import SpawnerConfig
from kubespawner.leftovers import KINDS
from kubespawner.permissions import FEATURES, NEEDS, SETTINGS, needs, roles, rules
from tests.support.schemas import assert_valid

# What schemas.py has of RBAC: unchanged since 1.8.
VERSIONS = ("1.25", "1.29", "1.33")


def allowed(manifests, kind="Role"):
    return {
        (group, resource, verb)
        for manifest in manifests
        if manifest["kind"] == kind
        for rule in manifest["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_a_hub_with_defaults_needs_pods_and_events_only():
    given = roles({"events_enabled": True, "delete_pvc": True}, namespace="jupyter")
    assert allowed(given) == {
        *(("", "pods", verb) for verb in ("get", "list", "watch", "create", "delete")),
        ("", "pods/log", "get"),
        ("", "events", "list"),
        ("", "events", "watch"),
    }
    assert [m["kind"] for m in given] == ["Role", "RoleBinding"]
    assert all(m["metadata"] == {"name": "hub", "namespace": "jupyter"} for m in given)
    assert given[1]["subjects"] == [
        {"kind": "ServiceAccount", "name": "hub", "namespace": "jupyter"}
    ]


def test_each_setting_adds_only_what_it_needs():
    base = allowed(roles({}, namespace="x"))
    added = {
        "storage_pvc_ensure": {"persistentvolumeclaims"},
        "services_enabled": {"services"},
        "internal_ssl": {"services", "secrets"},
        "ingress_proxy": {"ingresses", "services", "endpointslices", "endpoints"},
        "gateway_proxy": {"httproutes", "services", "endpointslices", "endpoints"},
        "delete_pvc": set(),
        "storage_expand": set(),
        "ingress_class_name": set(),
    }
    for setting, resources in added.items():
        found = allowed(roles({setting: True}, namespace="x"))
        assert found >= base
        assert {resource for _, resource, _ in found - base} == resources, setting


def test_claims_are_deletable_only_where_they_are_deleted():
    claim = ("", "persistentvolumeclaims", "delete")
    assert claim not in allowed(roles({"storage_pvc_ensure": True}, namespace="x"))
    both = {"storage_pvc_ensure": True, "delete_pvc": True}
    assert claim in allowed(roles(both, namespace="x"))


def test_user_namespaces_make_the_spawners_part_a_cluster_role():
    settings = {"enable_user_namespaces": True, "ingress_proxy": True}
    given = roles(settings, namespace="x")
    everywhere = allowed(given, "ClusterRole")
    assert {("", "pods", "create"), ("", "namespaces", "create")} <= everywhere
    assert not any(resource == "ingresses" for _, resource, _ in everywhere)
    assert ("networking.k8s.io", "ingresses", "create") in allowed(given)
    assert ("", "pods", "create") not in allowed(given)
    names = {m["metadata"]["name"] for m in given if m["kind"].startswith("Cluster")}
    assert names == {"x-hub"}
    assert all("namespace" not in m["metadata"] for m in given if m["kind"].startswith("Cluster"))


def test_one_need_can_be_left_out():
    full = allowed(roles({}, namespace="x"))
    for need in needs({}):
        reduced = allowed(roles({}, namespace="x", without=need.__eq__))
        assert full - reduced == {(need.group, need.resource, need.verb)}


@pytest.mark.parametrize("count", range(len(SETTINGS) + 1))
def test_every_role_is_valid(count):
    for names in itertools.islice(itertools.combinations(SETTINGS, count), 6):
        for manifest in roles(dict.fromkeys(names, True), namespace="x"):
            assert_valid(manifest, VERSIONS)


def test_rules_never_say_more_than_was_asked():
    for rule in rules(NEEDS):
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]


def test_settings_are_settings():
    others = {"internal_ssl", "ingress_proxy", "gateway_proxy", "ingress_class_name"}
    others.add("owner_references_enforced")
    others |= {f"leftovers_delete_{kind}" for kind in KINDS}
    assert set(SETTINGS) <= {*SpawnerConfig.class_trait_names(), *others}
    with pytest.raises(ValueError, match="enable_events"):
        needs({"enable_events": True})


def test_every_feature_and_need_is_used_once():
    assert {need.feature for need in NEEDS} == set(FEATURES)
    keys = [(n.feature, n.group, n.resource, n.verb) for n in NEEDS]
    assert len(keys) == len(set(keys))


def test_table_has_a_row_per_need():
    lines = permissions.table().splitlines()
    assert len(lines) == 2 + len(NEEDS)
    assert all(line.count("|") == lines[0].count("|") for line in lines)
