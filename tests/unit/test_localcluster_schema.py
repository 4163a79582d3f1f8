from __future__ import annotations

import pytest

from kubespawner.localcluster.schema import DecodeError, decode, kubernetes_version

POD = "io.k8s.api.core.v1.Pod"


def container(**fields):
    return {"spec": {"containers": [{"name": "c", "image": "i", **fields}]}}


def test_the_newest_version_is_used():
    assert tuple(map(int, kubernetes_version().split("."))) >= (1, 29, 0)


def test_every_unknown_field_is_named():
    body = {**container(imge="x"), "sepc": {}}
    body["spec"]["volumes"] = [{"name": "v", "hostPath": {"pth": "/"}}]
    assert sorted(decode(body, POD).unknown) == [
        "sepc",
        "spec.containers[0].imge",
        "spec.volumes[0].hostPath.pth",
    ]


def test_missing_fields_are_named():
    decoded = decode({"spec": {"containers": [{"image": "i"}]}}, POD)
    assert [str(cause) for cause in decoded.missing] == ["spec.containers[0].name: Required value"]


def test_nulls_and_empty_lists_and_maps_are_dropped_but_empty_objects_kept():
    body = container(args=None, env=[], securityContext={}, resources={"limits": {}})
    body["metadata"] = {"labels": {}, "annotations": {"a": ""}}
    value = decode(body, POD).value
    assert value["metadata"] == {"annotations": {"a": ""}}
    assert value["spec"]["containers"] == [
        {"name": "c", "image": "i", "securityContext": {}, "resources": {}}
    ]


def test_quantities_may_be_numbers_and_are_text_afterwards():
    value = decode(container(resources={"limits": {"cpu": 2, "memory": "1Gi"}}), POD).value
    limits = value["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "2", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (container(env=[{"name": "A", "value": 1}]), "number into Go struct field spec.containers"),
        (container(tty="yes"), "string into Go struct field spec.containers.tty of type boolean"),
        (container(ports=[{"containerPort": "80"}]), "spec.containers.ports.containerPort"),
        (container(ports=[{"containerPort": True}]), "cannot unmarshal bool"),
        (container(resources={"limits": {"cpu": []}}), "spec.containers.resources.limits.cpu"),
        (container(resources={"limits": {"cpu": "much"}}), "quantities must match"),
        ({"spec": []}, "array into Go struct field spec of type PodSpec"),
        ({"metadata": {"labels": {"a": 1}}}, "metadata.labels.a"),
        ({"metadata": {"creationTimestamp": "today"}}, 'parsing time "today"'),
    ],
)
def test_wrong_types(body, text):
    with pytest.raises(DecodeError) as refused:
        decode(body, POD)
    assert text in str(refused.value)


def test_secret_data_is_base64():
    with pytest.raises(DecodeError, match=r"illegal base64 data at data\.key"):
        decode({"data": {"key": "not base64!"}}, "io.k8s.api.core.v1.Secret")


def test_what_is_sent_is_not_changed():
    body = container(args=None)
    decode(body, POD)
    assert body == container(args=None)
