"""Where the embedded cluster's scheduler puts pods, and what it says if it can't."""

import copy

import pytest

from kubespawner.localcluster.placement import refusal, requests_of

NODE = {
    "metadata": {"name": "local", "labels": {"kubernetes.io/hostname": "local", "size": "3"}},
    "spec": {},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}},
}


def pod(name="one", *, labels=None, ports=(), requests=None, **spec):
    container = {
        "name": "main",
        "ports": [{"containerPort": port} for port in ports],
        "resources": {"requests": requests or {}},
    }
    return {
        "metadata": {"name": name, "namespace": "default", "labels": labels or {}},
        "spec": {"containers": [container], **spec},
    }


def node(**spec):
    changed = copy.deepcopy(NODE)
    changed["spec"] = spec
    return changed


def why(pod_, node_=NODE, others=(), claims=None, **options):
    return refusal(pod_, node_, list(others), claims or {}, **options)


def affinity(*expressions):
    terms = [{"matchExpressions": list(expressions)}]
    required = {"nodeSelectorTerms": terms}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def near(kind, **match):
    term = {
        "labelSelector": {"matchLabels": match},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_a_plain_pod_is_placed():
    assert why(pod()) == ""


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": "size", "operator": "In", "values": ["2", "3"]}, True),
        ({"key": "size", "operator": "In", "values": ["4"]}, False),
        ({"key": "size", "operator": "NotIn", "values": ["3"]}, False),
        ({"key": "gpu", "operator": "NotIn", "values": ["3"]}, True),
        ({"key": "size", "operator": "Exists"}, True),
        ({"key": "size", "operator": "DoesNotExist"}, False),
        ({"key": "size", "operator": "Gt", "values": ["2"]}, True),
        ({"key": "size", "operator": "Lt", "values": ["2"]}, False),
        ({"key": "gpu", "operator": "Lt", "values": ["2"]}, False),
    ],
)
def test_node_affinity(expression, fits):
    message = why(pod(affinity=affinity(expression)))
    assert (message == "") == fits
    if not fits:
        assert "1 node(s) didn't match Pod's node affinity/selector" in message


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({}, False),
        ({"key": "user", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"key": "user", "value": "no"}, False),
        ({"key": "user", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "user", "value": "yes", "effect": "NoExecute"}, False),
    ],
)
def test_taints(toleration, fits):
    tainted = node(taints=[{"key": "user", "value": "yes", "effect": "NoSchedule"}])
    message = why(pod(tolerations=[toleration] if toleration else []), tainted)
    assert (message == "") == fits
    if not fits:
        assert "untolerated taint {user: yes}" in message
    assert why(pod(), node(taints=[{"key": "x", "effect": "PreferNoSchedule"}])) == ""


def test_a_cordoned_node():
    assert "1 node(s) were unschedulable" in why(pod(), node(unschedulable=True))


def test_pods_keep_together_and_apart():
    user, hub = pod("user", labels={"app": "user"}), pod("hub", labels={"app": "hub"})
    together = pod(labels={"app": "user"}, affinity=near("podAffinity", app="hub"))
    assert "didn't match pod affinity rules" in why(together, others=[user])
    assert why(together, others=[hub]) == ""
    first = pod(labels={"app": "user"}, affinity=near("podAffinity", app="user"))
    assert why(first) == ""

    apart = pod(labels={"app": "user"}, affinity=near("podAntiAffinity", app="user"))
    assert "didn't match pod anti-affinity rules" in why(apart, others=[user])
    assert "didn't match pod anti-affinity rules" in why(user, others=[apart])
    assert why(apart, others=[hub]) == ""
    elsewhere = copy.deepcopy(user)
    elsewhere["metadata"]["namespace"] = "other"
    assert why(apart, others=[elsewhere]) == ""


def test_resources_are_those_of_all_pods_together():
    half = pod(requests={"cpu": "1", "memory": "600Mi"})
    assert why(half) == ""
    message = why(half, others=[half])
    assert message == "0/1 nodes are available: 1 Insufficient memory."
    three = pod(requests={"cpu": "3", "example.com/gpu": "1"})
    assert why(three).count("1 Insufficient") == 2
    assert "1 Too many pods" in why(pod(), others=[pod()] * 3)


def test_requests_are_the_containers_together_or_the_greediest_init_container():
    spec = {
        "containers": [
            {"resources": {"requests": {"cpu": "200m"}}},
            {"resources": {"limits": {"cpu": "300m"}}},
        ],
        "initContainers": [{"resources": {"requests": {"cpu": "1", "memory": "1k"}}}],
    }
    assert {name: float(amount) for name, amount in requests_of(spec).items()} == {
        "cpu": 1.0,
        "memory": 1000.0,
    }
    spec["initContainers"] = []
    assert float(requests_of(spec)["cpu"]) == 0.5


def test_claims():
    claim = {"metadata": {}, "status": {"phase": "Bound"}}
    assert why(pod(), claims={"home": claim}) == ""
    assert 'persistentvolumeclaim "home" not found' in why(pod(), claims={"home": None})
    pending = {"metadata": {}, "status": {"phase": "Pending"}}
    assert "unbound immediate PersistentVolumeClaims" in why(pod(), claims={"home": pending})
    going = {"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Bound"}}
    assert "is being deleted" in why(pod(), claims={"home": going})


def test_ports_are_scarce_where_pods_share_an_address():
    one, two = pod(ports=[8888]), pod("two", ports=[8888])
    assert why(one, others=[two]) == ""
    message = why(one, others=[two], ports_are_shared=True)
    assert "didn't have free ports for the requested pod ports" in message
    assert why(one, others=[pod("two", ports=[8889])], ports_are_shared=True) == ""
