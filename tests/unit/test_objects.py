"""Manifests: their exact JSON, and that all of it is valid for every Kubernetes version."""

from __future__ import annotations

import base64
import copy
import inspect
import logging
import warnings

import pytest
from kubernetes_asyncio.client.models import (
    V1Container,
    V1EnvVar,
    V1LabelSelector,
    V1LocalObjectReference,
    V1Pod,
    V1PodAntiAffinity,
    V1PodSecurityContext,
    V1Toleration,
    V1Volume,
)

from kubespawner import objects
from kubespawner.objects import (
    SERVICE_DNS_PATTERN,
    make_endpoint_slice,
    make_ingress,
    make_namespace,
    make_owner_reference,
    make_pod,
    make_pvc,
    make_secret,
    make_service,
)
from tests.support.schemas import ALL, assert_valid, problems, serialised, typed

MINIMAL = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "test", "labels": {}, "annotations": {}},
    "spec": {
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "notebook",
                "image": "quay.io/jupyterhub/singleuser:latest",
                "args": ["jupyterhub-singleuser"],
                "ports": [{"name": "notebook-port", "containerPort": 8888}],
                "env": [],
                "volumeMounts": [],
                "resources": {"limits": {}, "requests": {}},
                "securityContext": {"allowPrivilegeEscalation": False},
            }
        ],
        "restartPolicy": "OnFailure",
        "volumes": [],
    },
}


def pod(**kwargs):
    """Return the serialised pod of the minimal arguments and ``kwargs``, checked by the schemas."""
    arguments = {
        "name": "test",
        "cmd": ["jupyterhub-singleuser"],
        "port": 8888,
        "image": "quay.io/jupyterhub/singleuser:latest",
        **kwargs,
    }
    given = copy.deepcopy(arguments)
    model = make_pod(**arguments)
    assert isinstance(model, V1Pod)
    assert arguments == given, "make_pod changed its arguments"
    manifest = serialised(model)
    assert_valid(manifest)
    return manifest


def expected(spec=None, container=None, **metadata):
    """Return the minimal pod with fields added, replaced, or (None) removed."""
    manifest = copy.deepcopy(MINIMAL)
    manifest["metadata"].update(metadata)
    for target, changes in (
        (manifest["spec"], spec),
        (manifest["spec"]["containers"][0], container),
    ):
        for key, value in (changes or {}).items():
            if value is None:
                del target[key]
            else:
                target[key] = value
    return manifest


def context(**fields):
    return {"securityContext": {"allowPrivilegeEscalation": False, **fields}}


AFFINITY_TERM = {
    "labelSelector": {"matchExpressions": [{"key": "x", "operator": "In", "values": ["y"]}]},
    "topologyKey": "kubernetes.io/hostname",
}
NODE_TERM = {"matchExpressions": [{"key": "x", "operator": "Exists"}]}
WEIGHTED = {"weight": 10, "podAffinityTerm": AFFINITY_TERM}
PREFERRED = {"weight": 10, "preference": NODE_TERM}
WHEN_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
WHEN_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

POD_CASES = {
    "nothing": ({}, expected()),
    "no command": ({"cmd": None}, expected(container={"args": None})),
    "pull policy": (
        {"image_pull_policy": "Always"},
        expected(container={"imagePullPolicy": "Always"}),
    ),
    "pull secrets": (
        {"image_pull_secrets": ["a", {"name": "b"}, V1LocalObjectReference(name="c")]},
        expected({"imagePullSecrets": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
    ),
    "one pull secret": (
        {"image_pull_secrets": "secret"},
        expected({"imagePullSecrets": [{"name": "secret"}]}),
    ),
    "empty pull secrets": ({"image_pull_secrets": []}, expected({"imagePullSecrets": []})),
    "node selector": (
        {"node_selector": {"disk": "ssd"}},
        expected({"nodeSelector": {"disk": "ssd"}}),
    ),
    "no node selector": ({"node_selector": {}}, expected()),
    "labels": (
        {"labels": {"a": "b"}, "annotations": {"c": "d"}},
        expected(labels={"a": "b"}, annotations={"c": "d"}),
    ),
    "working directory": (
        {"working_dir": "/home/jovyan"},
        expected(container={"workingDir": "/home/jovyan"}),
    ),
    "empty working directory": ({"working_dir": ""}, expected(container={"workingDir": ""})),
    "resources": (
        {
            "cpu_limit": 2,
            "cpu_guarantee": 0.5,
            "mem_limit": 1073741824,
            "mem_guarantee": "512Mi",
            "extra_resource_limits": {"nvidia.com/gpu": "1", "cpu": "3"},
            "extra_resource_guarantees": {"nvidia.com/gpu": "1"},
        },
        expected(
            container={
                "resources": {
                    "limits": {"cpu": "3", "memory": 1073741824, "nvidia.com/gpu": "1"},
                    "requests": {"cpu": 0.5, "memory": "512Mi", "nvidia.com/gpu": "1"},
                }
            }
        ),
    ),
    "resources of nothing": (
        {"cpu_limit": 0, "mem_limit": None, "extra_resource_limits": {}},
        expected(),
    ),
    "lifecycle hooks": (
        {"lifecycle_hooks": {"preStop": {"exec": {"command": ["/bin/true"]}}}},
        expected(container={"lifecycle": {"preStop": {"exec": {"command": ["/bin/true"]}}}}),
    ),
    "lifecycle hooks in snake_case": (
        {"lifecycle_hooks": {"post_start": {"exec": {"command": ["/bin/true"]}}}},
        expected(container={"lifecycle": {"postStart": {"exec": {"command": ["/bin/true"]}}}}),
    ),
    "no lifecycle hooks": ({"lifecycle_hooks": {}}, expected()),
    "init containers": (
        {
            "init_containers": [
                {"name": "b", "image": "busybox", "volume_mounts": []},
                V1Container(name="a", image="busybox"),
            ]
        },
        expected(
            {
                "initContainers": [
                    {"name": "b", "image": "busybox", "volumeMounts": []},
                    {"name": "a", "image": "busybox"},
                ]
            }
        ),
    ),
    "no init containers": ({"init_containers": []}, expected()),
    "extra containers": (
        {
            "extra_containers": [
                {"name": "crontab", "image": "supercronic", "imagePullPolicy": "Never"}
            ]
        },
        expected(
            {
                "containers": [
                    MINIMAL["spec"]["containers"][0],
                    {"name": "crontab", "image": "supercronic", "imagePullPolicy": "Never"},
                ]
            }
        ),
    ),
    "volumes": (
        {
            "volumes": [
                {"name": "home", "persistentVolumeClaim": {"claimName": "claim-a"}},
                {"name": "scratch", "empty_dir": {}},
            ],
            "volume_mounts": [
                {"name": "home", "mountPath": "/home"},
                {"name": "scratch", "mount_path": "/scratch", "readOnly": True},
            ],
        },
        expected(
            {
                "volumes": [
                    {"name": "home", "persistentVolumeClaim": {"claimName": "claim-a"}},
                    {"name": "scratch", "emptyDir": {}},
                ]
            },
            {
                "volumeMounts": [
                    {"name": "home", "mountPath": "/home"},
                    {"name": "scratch", "mountPath": "/scratch", "readOnly": True},
                ]
            },
        ),
    ),
    "scheduling": (
        {
            "scheduler_name": "my-scheduler",
            "priority_class_name": "high",
            "tolerations": [
                {"key": "a", "operator": "Exists", "effect": "NoSchedule"},
                V1Toleration(key="b", toleration_seconds=3, effect="NoExecute"),
            ],
        },
        expected(
            {
                "schedulerName": "my-scheduler",
                "priorityClassName": "high",
                "tolerations": [
                    {"key": "a", "operator": "Exists", "effect": "NoSchedule"},
                    {"key": "b", "tolerationSeconds": 3, "effect": "NoExecute"},
                ],
            }
        ),
    ),
    "scheduling by nothing": (
        {"scheduler_name": "", "priority_class_name": "", "tolerations": []},
        expected(),
    ),
    # Service account and its token.
    "token": (
        {"automount_service_account_token": True},
        expected({"automountServiceAccountToken": True}),
    ),
    "empty service account": ({"service_account": ""}, expected()),
    "service account": (
        {"service_account": "sa"},
        expected({"serviceAccountName": "sa", "automountServiceAccountToken": None}),
    ),
    "service account with token": (
        {"service_account": "sa", "automount_service_account_token": True},
        expected({"serviceAccountName": "sa", "automountServiceAccountToken": True}),
    ),
    "service account without token": (
        {"service_account": "sa", "automount_service_account_token": False},
        expected({"serviceAccountName": "sa", "automountServiceAccountToken": False}),
    ),
    # Security contexts.
    "root": ({"uid": 0, "gid": 0}, expected(container=context(runAsUser=0, runAsGroup=0))),
    "user and file group": (
        {"uid": 1000, "fs_gid": 0},
        expected({"securityContext": {"fsGroup": 0}}, context(runAsUser=1000)),
    ),
    "supplemental groups": (
        {"supplemental_gids": [100]},
        expected({"securityContext": {"supplementalGroups": [100]}}),
    ),
    "privileged": ({"privileged": True}, expected(container=context(privileged=True))),
    "escalation left to the cluster": (
        {"allow_privilege_escalation": None},
        expected(container={"securityContext": None}),
    ),
    "escalation": (
        {"allow_privilege_escalation": True},
        expected(container={"securityContext": {"allowPrivilegeEscalation": True}}),
    ),
    "pod context wins": (
        {
            "fs_gid": 1,
            "supplemental_gids": [2],
            "pod_security_context": {"fsGroup": 3, "supplementalGroups": [4], "runAsNonRoot": True},
        },
        expected(
            {"securityContext": {"fsGroup": 3, "supplementalGroups": [4], "runAsNonRoot": True}}
        ),
    ),
    "container context wins": (
        {
            "uid": 1,
            "gid": 2,
            "privileged": True,
            "allow_privilege_escalation": True,
            "container_security_context": {
                "runAsUser": 3,
                "runAsGroup": 4,
                "privileged": False,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        },
        expected(
            container=context(
                runAsUser=3, runAsGroup=4, privileged=False, capabilities={"drop": ["ALL"]}
            )
        ),
    ),
    # Affinity.
    "node affinity": (
        {"node_affinity_preferred": [PREFERRED], "node_affinity_required": [NODE_TERM]},
        expected(
            {
                "affinity": {
                    "nodeAffinity": {
                        WHEN_PREFERRED: [PREFERRED],
                        WHEN_REQUIRED: {"nodeSelectorTerms": [NODE_TERM]},
                    }
                }
            }
        ),
    ),
    "preferred pod affinity": (
        {"pod_affinity_preferred": [WEIGHTED]},
        expected({"affinity": {"podAffinity": {WHEN_PREFERRED: [WEIGHTED]}}}),
    ),
    "pod affinity both ways": (
        {"pod_affinity_required": [AFFINITY_TERM], "pod_anti_affinity_preferred": [WEIGHTED]},
        expected(
            {
                "affinity": {
                    "podAffinity": {WHEN_REQUIRED: [AFFINITY_TERM]},
                    "podAntiAffinity": {WHEN_PREFERRED: [WEIGHTED]},
                }
            }
        ),
    ),
    "required pod anti-affinity": (
        {"pod_anti_affinity_required": [AFFINITY_TERM]},
        expected({"affinity": {"podAntiAffinity": {WHEN_REQUIRED: [AFFINITY_TERM]}}}),
    ),
    # What replaces fields of the finished container and pod.
    "extra container config": (
        {
            "extra_container_config": {
                "envFrom": [{"configMapRef": {"name": "special-config"}}],
                "resources": {"limits": {"cpu": 1}},
            },
            "cpu_guarantee": 1,
        },
        expected(
            container={
                "envFrom": [{"configMapRef": {"name": "special-config"}}],
                "resources": {"limits": {"cpu": 1}},
            }
        ),
    ),
    "extra pod config": (
        {
            "tolerations": [{"key": "old"}],
            "extra_pod_config": {
                "dns_policy": "ClusterFirstWithHostNet",
                "restartPolicy": "Always",
                "tolerations": [{"key": "new", "operator": "Exists"}],
                "volumes": None,
            },
        },
        expected(
            {
                "dnsPolicy": "ClusterFirstWithHostNet",
                "restartPolicy": "Always",
                "tolerations": [{"key": "new", "operator": "Exists"}],
                "volumes": None,
            }
        ),
    ),
}


@pytest.mark.parametrize("case", POD_CASES)
def test_pod(case):
    arguments, manifest = POD_CASES[case]
    assert pod(**arguments) == manifest


def test_signature_of_make_pod_for_positional_callers():
    assert list(inspect.signature(make_pod).parameters)[:11] == [
        "name",
        "cmd",
        "port",
        "image",
        "image_pull_policy",
        "image_pull_secrets",
        "node_selector",
        "uid",
        "gid",
        "fs_gid",
        "supplemental_gids",
    ]
    model = make_pod("a", ["b"], 1, "c", "Never", "secret", {"n": "1"}, 5, 6, 7)
    assert model.spec.security_context == {"fsGroup": 7}
    assert model.spec.containers[0].security_context["runAsGroup"] == 6
    with pytest.raises(TypeError, match="image"):
        make_pod("a", ["b"], 1)


def test_anti_affinity_is_of_its_own_class():
    model = make_pod("a", [], 1, "c", pod_anti_affinity_required=[AFFINITY_TERM])
    assert isinstance(model.spec.affinity.pod_anti_affinity, V1PodAntiAffinity)


class TestOldKeywords:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ({"image_spec": "i:1"}, {"image": "i:1"}),
            (
                {"image_spec": "i:1", "image_pull_secret": "s"},
                {"image": "i:1", "image_pull_secrets": ["s"]},
            ),
            ({"image_spec": "i:1", "image_pull_secret": None}, {"image": "i:1"}),
            ({"image_spec": "i:1", "run_as_uid": 0}, {"image": "i:1", "uid": 0}),
            ({"image_spec": "i:1", "run_privileged": True}, {"image": "i:1", "privileged": True}),
        ],
    )
    def test_mean_the_new_ones(self, old, new):
        with pytest.deprecated_call() as caught:
            model = make_pod(name="a", cmd=["b"], port=1, **old)
        assert serialised(model) == serialised(make_pod(name="a", cmd=["b"], port=1, **new))
        assert {w.filename for w in caught} == {__file__}
        for warning, name in zip(caught, old, strict=True):
            assert name in str(warning.message)

    def test_the_new_one_wins(self):
        with pytest.deprecated_call():
            by_keyword = make_pod("a", [], 1, image="new", image_spec="old")
        with pytest.deprecated_call():
            by_position = make_pod("a", [], 1, "new", image_spec="old")
        assert by_keyword.spec.containers[0].image == "new"
        assert by_position.spec.containers[0].image == "new"

    def test_no_warning_without_them(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make_pod("a", [], 1, "new", uid=1)


class TestErrors:
    @pytest.mark.parametrize("parameter", ["pod_security_context", "container_security_context"])
    def test_snake_case_in_a_security_context(self, parameter):
        with pytest.raises(ValueError, match=f"{parameter}.*run_as_user"):
            pod(**{parameter: {"run_as_user": 1}})

    @pytest.mark.parametrize(
        "arguments",
        [
            {"extra_pod_config": {"tolerationss": []}},
            {"extra_container_config": {"envfrom": []}},
            {"lifecycle_hooks": {"onStop": {}}},
            {"volumes": [{"name": "a", "emptyDirectory": {}}]},
            {"init_containers": [{"name": "a", "img": "b"}]},
            {"tolerations": [{"keys": "a"}]},
            {"env": {"A": {"from": "b"}}},
        ],
    )
    def test_unknown_key(self, arguments):
        with pytest.raises(ValueError, match="did not have an attribute matching"):
            pod(**arguments)

    def test_missing_name(self):
        with pytest.raises(ValueError, match="name"):
            pod(volumes=[{"emptyDir": {}}])


def test_replaced_values_are_logged(caplog):
    caplog.set_level(logging.INFO)
    make_pod(
        "a",
        ["b"],
        1,
        "image",
        extra_container_config={"image": "other", "stdin": True},
        extra_pod_config={"restart_policy": "Never"},
        logger=logging.getLogger("test"),
    )
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert (
        "'notebook_container.image' current value: 'image' is overridden with 'other', "
        "which is the value of 'extra_container_config.image'"
    ) in messages[0]
    assert (
        "'pod.spec.restart_policy' current value: 'OnFailure' is overridden with 'Never', "
        "which is the value of 'extra_pod_config.restart_policy'"
    ) in messages[1]


def test_a_hook_that_changes_the_pod_changes_no_argument():
    arguments = {
        "cmd": ["a"],
        "labels": {},
        "annotations": {},
        "node_selector": {"a": "b"},
        "env": {"A": V1EnvVar(name="A", value="1")},
        "volumes": [{"name": "a", "hostPath": {"path": "/"}}],
        "container_security_context": {"capabilities": {"drop": []}},
        "extra_container_config": {"envFrom": [{}]},
        "extra_pod_config": {"hostAliases": []},
    }
    given = copy.deepcopy(arguments)
    model = make_pod("a", port=1, image="b", **arguments)
    container = model.spec.containers[0]
    container.args.append("--debug")
    model.metadata.labels["x"] = model.metadata.annotations["x"] = "y"
    model.spec.node_selector["x"] = "y"
    container.env[0].value = "2"
    model.spec.volumes[0].host_path["path"] = "/etc"
    container.security_context["capabilities"]["drop"].append("ALL")
    container.env_from.append({})
    model.spec.host_aliases.append({})
    assert arguments == given


class TestEnvironment:
    @staticmethod
    def order(env):
        return [entry["name"] for entry in TestEnvironment.env(env)]

    @staticmethod
    def env(env):
        return pod(env=env)["spec"]["containers"][0]["env"]

    def test_values_of_all_kinds(self):
        field = {"fieldRef": {"fieldPath": "metadata.name"}}
        assert self.env(
            {
                "A_TEXT": "a",
                "B_EMPTY": "",
                "C_NONE": None,
                "D_NUMBER": 4,
                "E_TRUE": True,
                "F_FIELD": {"valueFrom": field},
                "G_FIELD": {"value_from": field},
                "H_NUMBER": {"value": 1.5},
                "I_OTHER": {"name": "RENAMED", "value": "x"},
                "J_MODEL": V1EnvVar(name="MODEL", value="m"),
            }
        ) == [
            {"name": "A_TEXT", "value": "a"},
            {"name": "B_EMPTY", "value": ""},
            {"name": "C_NONE"},
            {"name": "D_NUMBER", "value": "4"},
            {"name": "E_TRUE", "value": "True"},
            {"name": "F_FIELD", "valueFrom": field},
            {"name": "G_FIELD", "valueFrom": field},
            {"name": "H_NUMBER", "value": "1.5"},
            {"name": "RENAMED", "value": "x"},
            {"name": "MODEL", "value": "m"},
        ]

    def test_the_later_of_two_entries_of_one_name_wins(self):
        env = {"B": {"name": "X", "value": "first"}, "A": {"name": "X", "value": "second"}}
        assert self.env(env) == [{"name": "X", "value": "second"}]

    def test_independent_entries_are_sorted_by_key(self):
        env = {
            "NAME_1": {"value": "1"},
            "NAME_2": {"value": "2"},
            "NAME_3": {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            "IGNORED_NAME_1": {"name": "NAME_4", "value": "4"},
            "IGNORED_NAME_2": {
                "name": "NAME_5",
                "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}},
            },
        }
        assert self.order(env) == ["NAME_4", "NAME_5", "NAME_1", "NAME_2", "NAME_3"]

    def test_references_come_behind_what_they_refer_to(self):
        env = {
            "NAME_SELF_REF": "$(NAME_SELF_REF)",
            "NAME_1B": "$(NAME_2)",
            "NAME_1A": "$(NAME_2)",
            "NAME_1C": {"name": "NAME_0", "value": "$(NAME_2)"},
            "NAME_2": "$(NAME_3A)",
            "NAME_3B": "3B",
            "NAME_3A": "3A",
            "NAME_CIRCLE_A": "$(NAME_CIRCLE_B)",
            "NAME_CIRCLE_B": "$(NAME_CIRCLE_A)",
        }
        assert self.order(env) == [
            "NAME_3A",
            "NAME_3B",
            "NAME_SELF_REF",
            "NAME_2",
            "NAME_1A",
            "NAME_1B",
            "NAME_0",
            "NAME_CIRCLE_A",
            "NAME_CIRCLE_B",
        ]

    def test_an_undefined_reference_holds_nothing_up(self):
        assert self.order({"A": "$(B)", "B": "$(UNDEFINED)"}) == ["B", "A"]

    def test_an_escaped_reference_is_none(self):
        assert self.order({"A": "$$(B)", "B": "b"}) == ["A", "B"]
        assert self.order({"A": "$$$(B)", "B": "b"}) == ["B", "A"]


class TestInternalTLS:
    def tls(self, **kwargs):
        return pod(ssl_secret_name="tls", ssl_secret_mount_path="/etc/jupyterhub/ssl/", **kwargs)

    def mode(self, **kwargs):
        [volume] = self.tls(**kwargs)["spec"]["volumes"]
        return volume["secret"]["defaultMode"]

    def test_volume_mount_and_environment(self):
        manifest = self.tls(
            env={"JUPYTERHUB_SSL_KEYFILE": "/tmp/key", "OTHER": "x"},
            volumes=[V1Volume(name="a", empty_dir={})],
            volume_mounts=[{"name": "a", "mountPath": "/a"}],
        )
        volume = {
            "name": "jupyterhub-internal-certs",
            "secret": {"secretName": "tls", "defaultMode": 0o444},
        }
        assert manifest["spec"]["volumes"] == [{"name": "a", "emptyDir": {}}, volume]
        container = manifest["spec"]["containers"][0]
        assert container["volumeMounts"][1] == {
            "name": "jupyterhub-internal-certs",
            "mountPath": "/etc/jupyterhub/ssl/",
        }
        assert {entry["name"]: entry["value"] for entry in container["env"]} == {
            "JUPYTERHUB_SSL_KEYFILE": "/etc/jupyterhub/ssl/ssl.key",
            "JUPYTERHUB_SSL_CERTFILE": "/etc/jupyterhub/ssl/ssl.crt",
            "JUPYTERHUB_SSL_CLIENT_CA": "/etc/jupyterhub/ssl/notebooks-ca_trust.crt",
            "OTHER": "x",
        }

    def test_no_entry_of_another_key_replaces_a_path(self):
        env = {"JUPYTERHUB_SSL_KEYFILE": "x", "Z": {"name": "JUPYTERHUB_SSL_KEYFILE", "value": "y"}}
        found = self.tls(env=env)["spec"]["containers"][0]["env"]
        assert {"name": "JUPYTERHUB_SSL_KEYFILE", "value": "/etc/jupyterhub/ssl/ssl.key"} in found
        assert len(found) == 3

    def test_a_missing_slash_is_put_in(self):
        manifest = pod(ssl_secret_name="tls", ssl_secret_mount_path="/ssl", env=None)
        values = {e["value"] for e in manifest["spec"]["containers"][0]["env"]}
        assert values == {"/ssl/ssl.key", "/ssl/ssl.crt", "/ssl/notebooks-ca_trust.crt"}

    @pytest.mark.parametrize(
        ("arguments", "mode"),
        [
            ({}, 0o444),
            ({"uid": 1000}, 0o444),
            ({"uid": 0}, 0o400),
            ({"uid": 0, "fs_gid": 0}, 0o440),
            ({"uid": 1000, "fs_gid": 100}, 0o440),
            ({"pod_security_context": {"fsGroup": 100}}, 0o440),
            ({"pod_security_context": {"runAsUser": 0}}, 0o400),
            ({"pod_security_context": {"runAsUser": 0}, "uid": 1000}, 0o444),
            ({"uid": 0, "container_security_context": {"runAsUser": 1000}}, 0o444),
            # What replaces a whole context decides.
            ({"fs_gid": 100, "extra_pod_config": {"securityContext": {}}}, 0o444),
            (
                {
                    "extra_pod_config": {
                        "security_context": V1PodSecurityContext(fs_group=100),
                    }
                },
                0o440,
            ),
            ({"uid": 0, "extra_container_config": {"securityContext": {"runAsUser": 5}}}, 0o444),
        ],
    )
    def test_the_tightest_mode_that_the_server_can_read(self, arguments, mode):
        assert self.mode(**arguments) == mode
        assert mode & 0o333 == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            {"ssl_secret_name": "tls"},
            {"ssl_secret_mount_path": "/ssl/"},
            {"ssl_secret_name": "", "ssl_secret_mount_path": "/ssl/"},
        ],
    )
    def test_needs_both_name_and_path(self, arguments):
        assert pod(**arguments) == MINIMAL


def claim(*args, **kwargs):
    return serialised(make_pvc(*args, **kwargs))


def test_claim():
    given = {"matchLabels": {"content": "jupyter"}}
    model = make_pvc("test", None, ["ReadWriteOnce"], given, "10Gi", {"a": "b"}, {"c": "d"})
    assert serialised(model) == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "test", "labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "10Gi"}},
            "selector": {"matchLabels": {"content": "jupyter"}},
        },
    }
    model.spec.selector["matchLabels"]["content"] = "other"
    assert given == {"matchLabels": {"content": "jupyter"}}
    assert_valid(serialised(model))


@pytest.mark.parametrize("storage_class", ["gce-standard-storage", ""])
def test_claim_with_a_storage_class(storage_class):
    manifest = claim(
        name="test", storage_class=storage_class, access_modes=[], selector=None, storage="1Gi"
    )
    assert manifest["spec"] == {
        "accessModes": [],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": storage_class,
    }
    assert manifest["metadata"]["annotations"] == {
        "volume.beta.kubernetes.io/storage-class": storage_class
    }
    assert_valid(manifest)


def test_claim_without_a_size_is_what_the_api_server_refuses():
    manifest = claim("test", None, [], None, None)
    assert manifest["spec"]["resources"] == {"requests": {"storage": None}}
    assert manifest["metadata"] == {"name": "test", "labels": {}, "annotations": {}}
    assert len(problems(manifest)) == len(ALL)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (({"a": "b"}, {"c": "d"}), {}),
        (({"a": "b"},), {"annotations": {"c": "d"}}),
        ((), {"labels": {"a": "b"}, "annotations": {"c": "d"}}),
    ],
)
def test_claim_in_the_order_of_the_0_8_documentation(args, kwargs):
    today = claim("test", "fast", ["RWO"], None, "1Gi", {"a": "b"}, {"c": "d"})
    assert claim("test", "fast", ["RWO"], "1Gi", *args, **kwargs) == today


def test_claim_in_the_old_order_without_labels():
    manifest = claim("test", None, [], "1Gi", None, {"c": "d"})
    assert manifest["metadata"] == {"name": "test", "labels": {}, "annotations": {"c": "d"}}
    assert manifest["spec"]["resources"] == {"requests": {"storage": "1Gi"}}


def test_claim_by_keywords_of_the_0_8_documentation():
    manifest = claim(
        name="test", storage_class=None, access_modes=[], storage="1Gi", labels={"a": "b"}
    )
    assert manifest["metadata"]["labels"] == {"a": "b"}
    assert "selector" not in manifest["spec"]


def test_claim_with_a_selector_model():
    model = make_pvc("a", None, [], V1LabelSelector(match_labels={"a": "b"}), "1Gi")
    assert serialised(model)["spec"]["selector"] == {"matchLabels": {"a": "b"}}
    assert_valid(serialised(model))


def test_secret(tmp_path):
    files = {
        "keyfile": b"key\n",
        "certfile": b"certificate\n",
        "cafile": b"\n\nnotebook authority\n\n",
        "hub": b"hub authority\r\n\n",
    }
    paths = {}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        paths[name] = str(tmp_path / name)
    model = make_secret(
        "test",
        "user",
        paths,
        paths["hub"],
        [make_owner_reference("pod", "1234")],
        {"a": "b"},
    )
    manifest = serialised(model)
    assert_valid(manifest)
    assert {key: base64.b64decode(text) for key, text in manifest.pop("data").items()} == {
        "ssl.key": b"key\n",
        "ssl.crt": b"certificate\n",
        "notebooks-ca_trust.crt": b"notebook authority\nhub authority\r\n\n",
    }
    assert manifest == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "test",
            "labels": {"a": "b"},
            "annotations": {},
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": "pod",
                    "uid": "1234",
                    "blockOwnerDeletion": True,
                    "controller": False,
                }
            ],
        },
    }


def test_secret_of_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        make_secret("a", "b", {"cafile": str(tmp_path / "none")}, "", [])


def test_service():
    selector = {"a": "b"}
    model = make_service("test", 8888, selector, [make_owner_reference("pod", "1")], {"c": "d"})
    assert serialised(model) == {
        "kind": "Service",
        "metadata": {
            "name": "test",
            "labels": {"c": "d"},
            "annotations": {},
            "ownerReferences": [serialised(make_owner_reference("pod", "1"))],
        },
        "spec": {
            "type": "ClusterIP",
            "ports": [{"name": "http", "port": 8888, "targetPort": 8888}],
            "selector": {"a": "b"},
        },
    }
    assert_valid(typed(model))
    model.spec.selector["a"] = "c"
    assert selector == {"a": "b"}


def test_namespace():
    assert serialised(make_namespace("test")) == {
        "metadata": {"name": "test", "labels": {}, "annotations": {}}
    }
    model = make_namespace("test", labels={"a": "b"}, annotations={"c": "d"})
    assert serialised(model) == {
        "metadata": {"name": "test", "labels": {"a": "b"}, "annotations": {"c": "d"}}
    }
    assert_valid(typed(model))


# ---- routes ----------------------------------------------------------------------------


def route(routespec="/user/x/", target="http://192.168.1.10:9000", **kwargs):
    """Return the serialised endpoints, Service and Ingress, checked by the schemas."""
    models = make_ingress("jupyter-x", routespec, target, {"user": "x"}, "ns", **kwargs)
    for model in models:
        if model is not None:
            assert_valid(typed(model))
    return tuple(serialised(model) for model in models)


def route_metadata(routespec="/user/x/", target="http://192.168.1.10:9000"):
    return {
        "name": "jupyter-x",
        "labels": {"hub.jupyter.org/proxy-route": "true"},
        "annotations": {
            "hub.jupyter.org/proxy-data": '{"user": "x"}',
            "hub.jupyter.org/proxy-routespec": routespec,
            "hub.jupyter.org/proxy-target": target,
        },
    }


def rule(host=None, service="jupyter-x", port=9000, path="/user/x/"):
    backend = {"service": {"name": service, "port": {"number": port}}}
    http = {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}
    return {"host": host, "http": http} if host else {"http": http}


def test_route_to_an_address():
    endpoints, service, ingress = route()
    assert endpoints == {
        "kind": "Endpoints",
        "metadata": route_metadata(),
        "subsets": [{"addresses": [{"ip": "192.168.1.10"}], "ports": [{"port": 9000}]}],
    }
    assert service == {
        "kind": "Service",
        "metadata": route_metadata(),
        "spec": {
            "type": "ClusterIP",
            "externalName": "",
            "ports": [{"port": 9000, "targetPort": 9000}],
        },
    }
    assert ingress == {
        "kind": "Ingress",
        "metadata": route_metadata(),
        "spec": {"rules": [rule()]},
    }


@pytest.mark.parametrize("reuse", [True, False])
def test_route_to_an_ipv6_address(reuse):
    target = "http://[2001:db8:0:0::1]:9000"
    endpoints, service, _ = route(target=target, reuse_existing_services=reuse)
    assert endpoints["subsets"][0]["addresses"] == [{"ip": "2001:db8::1"}]
    assert service["spec"]["type"] == "ClusterIP"


def test_route_to_a_dns_name():
    target = "http://my-pod-id.example.com:9000"
    endpoints, service, ingress = route(target=target)
    assert endpoints is None
    assert service == {
        "kind": "Service",
        "metadata": route_metadata(target=target),
        "spec": {
            "type": "ExternalName",
            "externalName": "my-pod-id.example.com",
            "clusterIP": "",
            "ports": [{"port": 9000, "targetPort": 9000}],
        },
    }
    assert ingress["spec"]["rules"] == [rule()]


@pytest.mark.parametrize(
    "host",
    [
        "my-service",
        "my-service.ns",
        "my-service.ns.svc",
        "my-service.ns.svc.cluster",
        "my-service.ns.svc.cluster.local",
    ],
)
def test_route_to_a_service_of_the_same_namespace(host):
    target = f"http://{host}:9000"
    endpoints, service, ingress = route(target=target, reuse_existing_services=True)
    assert (endpoints, service) == (None, None)
    assert ingress["spec"]["rules"] == [rule(service="my-service")]
    _, made, ingress = route(target=target)
    assert made["spec"]["externalName"] == host
    assert ingress["spec"]["rules"] == [rule()]


@pytest.mark.parametrize(
    "host",
    ["svc.other", "svc.other.svc.cluster.local", "svc.ns.example.com", "svc.ns.svc.cluster.locals"],
)
def test_route_to_what_is_no_service_of_the_same_namespace(host):
    _, service, ingress = route(target=f"http://{host}:9000", reuse_existing_services=True)
    assert service["spec"]["externalName"] == host
    assert ingress["spec"]["rules"] == [rule()]


def test_service_dns_pattern():
    match = SERVICE_DNS_PATTERN.match("svc.ns.svc.cluster")
    assert match.groupdict() == {"service": "svc", "namespace": "ns", "rest": ".svc.cluster"}
    assert SERVICE_DNS_PATTERN.match("svc").group("namespace") is None
    assert not SERVICE_DNS_PATTERN.match("svc.ns.example.com")


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_route_to_a_target_without_a_port(scheme, port):
    _, service, ingress = route(target=f"{scheme}://10.0.0.1")
    assert service["spec"]["ports"] == [{"port": port, "targetPort": port}]
    assert ingress["spec"]["rules"] == [rule(port=port)]


def test_labels_annotations_and_class_of_a_route():
    endpoints, service, ingress = route(
        common_labels={"app": "hub", "hub.jupyter.org/proxy-route": "no"},
        ingress_extra_labels={"app": "ingress"},
        ingress_extra_annotations={"hub.jupyter.org/proxy-target": "hidden", "a": "b"},
        ingress_class_name="nginx",
    )
    labels = {"app": "hub", "hub.jupyter.org/proxy-route": "true"}
    assert endpoints["metadata"] == service["metadata"] == {**route_metadata(), "labels": labels}
    assert ingress["metadata"]["labels"] == {**labels, "app": "ingress"}
    assert ingress["metadata"]["annotations"] == {
        **route_metadata()["annotations"],
        "hub.jupyter.org/proxy-target": "hidden",
        "a": "b",
    }
    assert ingress["spec"]["ingressClassName"] == "nginx"


@pytest.mark.parametrize(
    "routespec", ["https://myuser.example.com/user/x/", "//myuser.example.com/user/x/"]
)
@pytest.mark.parametrize(
    ("configured", "hosts"),
    [
        ([], ["myuser.example.com"]),
        (["myuser.example.com"], ["myuser.example.com"]),
        (["*.example.com"], ["myuser.example.com"]),
        (["example.com"], ["myuser.example.com", "example.com"]),
        (["wrong.example.com"], ["myuser.example.com", "wrong.example.com"]),
        (["*.wrong.com"], ["myuser.example.com", "*.wrong.com"]),
        (["*.myuser.example.com"], ["myuser.example.com", "*.myuser.example.com"]),
        (
            ["other.com", "*.example.com", "last.com", "myuser.example.com"],
            ["other.com", "myuser.example.com", "last.com"],
        ),
    ],
)
def test_hosts_of_a_route_with_a_host(routespec, configured, hosts):
    _, _, ingress = route(
        routespec, ingress_specifications=[{"host": h, "tlsSecret": "tls"} for h in configured]
    )
    assert ingress["spec"]["rules"] == [rule(host) for host in hosts]
    # The configured host, wildcard included: that is what the certificate is for.
    tls = [{"hosts": [host], "secretName": "tls"} for host in configured]
    assert ingress["spec"].get("tls", []) == tls


@pytest.mark.parametrize("target", ["http://192.168.1.10:9000", "http://pod.example.com:9000"])
def test_hosts_of_a_route_without_a_host(target):
    _, _, ingress = route(
        target=target,
        ingress_specifications=[
            {"host": "host1.domain.com"},
            {"host": "*.host2.domain.com", "tlsSecret": "domain-secret"},
            {"host": "host1.domain.com"},
        ],
    )
    assert ingress["spec"] == {
        "rules": [rule("host1.domain.com"), rule("*.host2.domain.com")],
        "tls": [{"hosts": ["*.host2.domain.com"], "secretName": "domain-secret"}],
    }


@pytest.mark.parametrize(
    ("address", "kind", "written"),
    [
        ("10.0.0.1", "IPv4", "10.0.0.1"),
        ("2001:db8:0:0::1", "IPv6", "2001:db8::1"),
    ],
)
def test_endpoint_slice(address, kind, written):
    model = make_endpoint_slice(
        "jupyter-x", address, 9000, {"a": "b", "kubernetes.io/service-name": "c"}, {"d": "e"}
    )
    assert serialised(model) == {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "jupyter-x",
            "labels": {"a": "b", "kubernetes.io/service-name": "jupyter-x"},
            "annotations": {"d": "e"},
        },
        "addressType": kind,
        "endpoints": [{"addresses": [written]}],
        "ports": [{"port": 9000}],
    }
    assert_valid(serialised(model))


def test_endpoint_slice_of_what_is_no_address():
    with pytest.raises(ValueError, match=r"example\.com"):
        make_endpoint_slice("a", "example.com", 1)


def test_models_of_the_client_are_importable_from_here():
    from kubernetes_asyncio.client import models

    for name in ("V1Pod", "V1EnvVar", "V1Affinity", "V1Endpoints", "V1Ingress"):
        assert getattr(objects, name) is getattr(models, name)
    with pytest.raises(AttributeError):
        objects.V1Nothing
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        objects.nothing
