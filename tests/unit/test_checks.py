"""What is wrong with a pod is said before it is created, with the setting it comes from."""

import pytest
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.client.models import V1EnvVar, V1Volume, V1VolumeMount

from kubespawner.checks import check_name, check_pod
from kubespawner.objects import make_pod


def pod(name="jupyter-ann", **overrides):
    notebook = {
        "name": "notebook",
        "image": "jupyter/base:1",
        "ports": [{"name": "notebook-port", "containerPort": 8888}],
        "env": [{"name": "JUPYTERHUB_USER", "value": "ann"}],
        "volumeMounts": [{"name": "home", "mountPath": "/home/jovyan"}],
    }
    metadata = {"name": name, "labels": {"component": "singleuser-server"}, "annotations": {}}
    notebook.update(overrides.pop("notebook", {}))
    metadata.update(overrides.pop("metadata", {}))
    volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "claim-ann"}}]
    spec = {"containers": [notebook], "volumes": volumes, **overrides}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def only(problems):
    assert len(problems) == 1, problems
    return problems[0]


def test_a_good_pod_has_no_problems():
    assert check_pod(pod()) == []
    assert check_pod(pod(), service=True) == []


def made(**settings):
    return make_pod("jupyter-ann", ["jupyterhub-singleuser"], 8888, "jupyter/base:1", **settings)


def test_models_are_read_like_dicts():
    good = {
        "env": {"A": "1", "B": {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}},
        "volumes": [{"name": "home", "emptyDir": {}}],
        "volume_mounts": [{"name": "home", "mountPath": "/home/jovyan"}],
        "cpu_limit": 2,
        "cpu_guarantee": 0.5,
        "mem_limit": "2G",
    }
    assert check_pod(made(**good)) == []
    bad = made(**{**good, "volumes": [], "cpu_guarantee": 4})
    as_dict = ApiClient.sanitize_for_serialization(ApiClient.__new__(ApiClient), bad)
    assert check_pod(bad) == check_pod(as_dict)
    assert len(check_pod(bad)) == 2


def test_models_and_dicts_may_be_mixed():
    item = made()
    item.spec.volumes = [V1Volume(name="a"), {"name": "a"}]
    item.spec.containers[0].volume_mounts = [
        V1VolumeMount(name="a", mount_path="/x"),
        {"name": "a", "mount_path": "/x"},
    ]
    item.spec.containers[0].env = [V1EnvVar(name="A=B", value="1")]
    problems = check_pod(item)
    assert "KubeSpawner.volumes has two volumes named 'a'" in problems
    assert "KubeSpawner.volume_mounts: two mounts at '/x'" in problems
    assert any("'A=B'" in p and "KubeSpawner.environment" in p for p in problems)
    assert len(problems) == 3


def test_mount_without_its_volume_names_both_settings():
    mounts = [{"name": "hom", "mountPath": "/home/jovyan"}]
    problem = only(check_pod(pod(notebook={"volumeMounts": mounts})))
    assert "KubeSpawner.volume_mounts" in problem and "KubeSpawner.volumes" in problem
    assert "'hom'" in problem and "(there: home)" in problem


@pytest.mark.parametrize(
    ("notebook", "words"),
    [
        ({"image": ""}, ["KubeSpawner.image", "empty"]),
        ({"image": None}, ["KubeSpawner.image", "empty"]),
        ({"image": " jupyter/base:1"}, ["KubeSpawner.image", "spaces"]),
        ({"name": "Notebook"}, ["KubeSpawner.extra_container_config", "'Notebook'"]),
        ({"ports": [{"containerPort": 0}]}, ["KubeSpawner.port", "0", "65535"]),
        ({"ports": [{"containerPort": 65536}]}, ["KubeSpawner.port", "65536"]),
        ({"ports": [{"containerPort": "8888"}]}, ["KubeSpawner.port", "'8888'"]),
        (
            {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
            ["two ports are named 'a'"],
        ),
        ({"ports": [{"containerPort": 1, "name": "much-too-long-name"}]}, ["much-too-long-name"]),
        ({"ports": [{"containerPort": 1, "name": "123"}]}, ["'123'", "letter"]),
        ({"env": [{"name": ""}]}, ["KubeSpawner.environment", "''"]),
        ({"env": [{"name": "A=B", "value": ""}]}, ["'A=B'", "'='"]),
        ({"env": [{"name": "Ä", "value": ""}]}, ["'Ä'"]),
        ({"env": [{"name": "A", "value": 1}]}, ["KubeSpawner.environment['A'] is 1"]),
        ({"env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {}}}]}, ["both"]),
        ({"volumeMounts": [{"name": "home", "mountPath": ""}]}, ["mount path ''"]),
        ({"volumeMounts": [{"name": "home", "mountPath": "/a:b"}]}, ["'/a:b'"]),
        (
            {"volumeMounts": [{"name": "home", "mountPath": "/a", "subPath": "../b"}]},
            ["subPath '../b'"],
        ),
        (
            {"volumeMounts": [{"name": "home", "mountPath": "/a", "subPath": "/b"}]},
            ["subPath '/b'"],
        ),
        (
            {"volumeMounts": [{"name": "home", "mountPath": "/a", "subPath": 3}]},
            ["KubeSpawner.volume_mounts", "subPath 3"],
        ),
    ],
)
def test_container_mistakes(notebook, words):
    problem = only(check_pod(pod(notebook=notebook)))
    assert all(word in problem for word in words), problem


def test_env_names_that_only_newer_clusters_take_are_left_to_the_cluster():
    assert check_pod(pod(notebook={"env": [{"name": "1 a.b-c", "value": "x"}]})) == []


@pytest.mark.parametrize(
    ("limits", "requests", "words"),
    [
        ({"cpu": "1"}, {"cpu": "1500m"}, ["cpu_guarantee", "cpu_limit", "1500m"]),
        ({"memory": "1G"}, {"memory": "1Gi"}, ["mem_guarantee", "mem_limit"]),
        ({"memory": 1024}, {"memory": "2Ki"}, ["mem_guarantee", "mem_limit"]),
        ({"memory": "1GB"}, {}, ["KubeSpawner.mem_limit", "'1GB'"]),
        ({}, {"memory": "much"}, ["KubeSpawner.mem_guarantee", "'much'"]),
        ({"cpu": True}, {}, ["KubeSpawner.cpu_limit", "True"]),
        ({"cpu": "-1"}, {}, ["KubeSpawner.cpu_limit", "'-1'"]),
        ({"nvidia.com/gpu": "one"}, {}, ["KubeSpawner.extra_resource_limits", "nvidia.com/gpu"]),
        ({"nvidia.com/gpu": 2}, {"nvidia.com/gpu": 1}, ["extra_resource_guarantees", "equal"]),
    ],
)
def test_resource_mistakes(limits, requests, words):
    resources = {"limits": limits, "requests": requests}
    problem = only(check_pod(pod(notebook={"resources": resources})))
    assert all(word in problem for word in words), problem


@pytest.mark.parametrize(
    ("limit", "request_"),
    [("1Gi", "1024Mi"), ("1", "1000m"), ("1e3", "1k"), (0.5, "500m"), ("2G", 2000000000)],
)
def test_equal_amounts_in_other_words_are_fine(limit, request_):
    resources = {"limits": {"memory": limit}, "requests": {"memory": request_}}
    assert check_pod(pod(notebook={"resources": resources})) == []


def test_volume_and_container_names():
    volumes = [{"name": "home"}, {"name": "home"}, {"name": "My Data"}]
    extra = {"name": "notebook", "image": "x"}
    notebook = pod()["spec"]["containers"][0]
    problems = check_pod(pod(volumes=volumes, containers=[notebook, extra]))
    assert any("two volumes named 'home'" in p for p in problems)
    assert any("'My Data'" in p and "KubeSpawner.volumes" in p for p in problems)
    assert any("two containers are named 'notebook'" in p for p in problems)
    assert len(problems) == 3


def test_other_containers_are_named_with_their_setting():
    init = {"name": "git", "image": ""}
    extra = {"name": "proxy", "image": "x", "volumeMounts": [{"name": "no", "mountPath": "/y"}]}
    notebook = pod()["spec"]["containers"][0]
    problems = check_pod(pod(containers=[notebook, extra], initContainers=[init]))
    assert any(p.startswith("KubeSpawner.init_containers, container 'git'") for p in problems)
    assert any(p.startswith("KubeSpawner.extra_containers, container 'proxy'") for p in problems)
    assert len(problems) == 2


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"labels": {"a b": "x"}}, ["label key 'a b'", "extra_labels"]),
        ({"labels": {"Example.com/a": "x"}}, ["label key 'Example.com/a'"]),
        ({"labels": {"/a": "x"}}, ["label key '/a'"]),
        ({"labels": {"a": "x y"}}, ["'x y'", "extra_labels"]),
        ({"labels": {"a": "x" * 64}}, ["at most 63"]),
        ({"labels": {"a": 1}}, ["1", "must be a text"]),
        ({"annotations": {"a b": "x"}}, ["extra_annotations", "'a b'"]),
        ({"annotations": {"a": None}}, ["extra_annotations['a'] is None"]),
        ({"annotations": {"a": "x" * 262144}}, ["262145 bytes"]),
    ],
)
def test_metadata_mistakes(metadata, words):
    problem = only(check_pod(pod(metadata=metadata)))
    assert all(word in problem for word in words), problem


def test_annotation_values_and_key_case_are_free():
    assert check_pod(pod(metadata={"annotations": {"Example.com/A": "any Ü text"}})) == []


def test_node_selector_follows_the_rules_of_labels():
    problem = only(check_pod(pod(nodeSelector={"pool": "big one"})))
    assert "KubeSpawner.node_selector" in problem and "'big one'" in problem


@pytest.mark.parametrize(
    ("name", "service", "word"),
    [
        ("", False, "empty"),
        ("Ann", False, "not valid"),
        ("-ann", False, "not valid"),
        ("ann.", False, "not valid"),
        ("x" * 254, False, "too long"),
        ("x" * 64, True, "too long"),
        ("a.b", True, "services_enabled"),
        ("1ann", True, "begin with a letter"),
    ],
)
def test_bad_pod_names(name, service, word):
    problem = only(check_pod(pod(name), service=service))
    assert "KubeSpawner.pod_name_template" in problem and word in problem


@pytest.mark.parametrize("name", ["1ann", "a.b", "x" * 64, "x" * 253])
def test_names_that_only_a_service_may_not_have(name):
    assert check_pod(pod(name)) == []


def test_pod_without_containers():
    assert "no containers" in only(check_pod({"metadata": {"name": "a"}, "spec": None}))


def test_check_name_names_the_template():
    assert check_name("claim", "claim-ann", "pvc_name_template", "claim-{username}") is None
    assert check_name("claim", "x" * 253, "pvc_name_template", "t") is None
    problem = check_name("namespace", "x" * 64, "user_namespace_template", "{hubnamespace}-{u}")
    assert "KubeSpawner.user_namespace_template = '{hubnamespace}-{u}'" in problem
    assert "namespace name" in problem and "too long" in problem and "63" in problem
    assert "is empty" in check_name("pod", "", "pod_name_template", "{servername}")
    assert check_name("namespace", "a.b", "user_namespace_template", "t")
    assert check_name("service", "1a", "pod_name_template", "t")
    assert check_name("pod", "1a", "pod_name_template", "t") is None
