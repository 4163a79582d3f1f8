"""Replacing and patching: kinds of patches, conflicts, immutable fields, the status endpoint."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from .conftest import JSON, MERGE, STRATEGIC, claim, config_map, pod


async def test_replace_with_the_current_version(backend):
    obj = await backend.create("configmaps", config_map("one"))
    obj["data"] = {"b": "2"}
    changed = await backend.ok("PUT", backend.path("configmaps", "one"), obj)
    assert changed["data"] == {"b": "2"}
    assert changed["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]
    assert changed["metadata"]["uid"] == obj["metadata"]["uid"]


async def test_replace_with_an_old_version_is_409(backend):
    obj = await backend.create("configmaps", config_map("one"))
    await backend.patch("configmaps", "one", {"data": {"b": "2"}})
    obj["data"] = {"c": "3"}
    answer = await backend.request("PUT", backend.path("configmaps", "one"), obj)
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert answer.body["message"] == (
        'Operation cannot be fulfilled on configmaps "one": the object has been modified; please '
        "apply your changes to the latest version and try again"
    )
    assert (await backend.get("configmaps", "one"))["data"] == {"a": "1", "b": "2"}


async def test_replace_without_a_version_is_unconditional(backend):
    await backend.create("configmaps", config_map("one"))
    await backend.ok("PUT", backend.path("configmaps", "one"), config_map("one", {"z": "9"}))
    assert (await backend.get("configmaps", "one"))["data"] == {"z": "9"}


async def test_replace_with_another_uid_is_409(backend):
    obj = await backend.create("configmaps", config_map("one"))
    obj["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    answer = await backend.request("PUT", backend.path("configmaps", "one"), obj)
    assert answer.status == 409
    assert "Precondition failed: UID in precondition" in answer.body["message"]


async def test_replace_of_an_absent_object_is_404(backend):
    answer = await backend.request("PUT", backend.path("pods", "one"), pod("one"))
    assert answer.status == 404


async def test_replace_under_another_name_is_400(backend):
    await backend.create("configmaps", config_map("one"))
    answer = await backend.request("PUT", backend.path("configmaps", "one"), config_map("two"))
    assert answer.status == 400
    assert "does not match the name on the URL" in answer.body["message"]


async def test_a_change_of_nothing_keeps_the_version(backend):
    obj = await backend.create("configmaps", config_map("one"))
    same = await backend.patch("configmaps", "one", {"data": {"a": "1"}})
    assert same["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]


async def test_merge_patch_adds_and_removes(backend):
    await backend.create("configmaps", config_map("one", {"a": "1", "b": "2"}))
    changed = await backend.patch("configmaps", "one", {"data": {"a": None, "c": "3"}})
    assert changed["data"] == {"b": "2", "c": "3"}


async def test_json_patch(backend):
    await backend.create("configmaps", config_map("one", {"a": "1", "b": "2"}))
    operations = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "9"},
        {"op": "move", "from": "/data/b", "path": "/data/c"},
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {"op": "add", "path": "/metadata/annotations/example.org~1key", "value": "v"},
    ]
    changed = await backend.patch("configmaps", "one", operations, JSON)
    assert changed["data"] == {"a": "9", "c": "2"}
    assert changed["metadata"]["annotations"] == {"example.org/key": "v"}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/a", "value": "other"},
        {"op": "remove", "path": "/data/absent"},
    ],
)
async def test_a_json_patch_that_does_not_fit_is_422(backend, operation):
    await backend.create("configmaps", config_map("one"))
    answer = await backend.request(
        "PATCH", backend.path("configmaps", "one"), [operation], content_type=JSON
    )
    assert answer.status == 422
    assert (await backend.get("configmaps", "one"))["data"] == {"a": "1"}


async def test_strategic_patch_merges_lists_by_key(backend):
    await backend.create(
        "pods",
        pod("one", containers=[{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]),
    )
    body = {"spec": {"containers": [{"name": "b", "image": "b:2"}]}}
    changed = await backend.patch("pods", "one", body, STRATEGIC)
    images = {each["name"]: each["image"] for each in changed["spec"]["containers"]}
    assert images == {"a": "a:1", "b": "b:2"}


async def test_merge_patch_replaces_lists(backend):
    await backend.create("pods", pod("one"))
    body = {"spec": {"containers": [{"name": "other", "image": "b:2"}]}}
    answer = await backend.request("PATCH", backend.path("pods", "one"), body, content_type=MERGE)
    assert answer.status == 422


async def test_a_patch_with_a_version_is_conditional(backend):
    obj = await backend.create("configmaps", config_map("one"))
    await backend.patch("configmaps", "one", {"data": {"b": "2"}})
    body = {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}, "data": {"c": "3"}}
    answer = await backend.request(
        "PATCH", backend.path("configmaps", "one"), body, content_type=MERGE
    )
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")


async def test_an_unknown_kind_of_patch_is_415(backend):
    await backend.create("configmaps", config_map("one"))
    answer = await backend.request(
        "PATCH", backend.path("configmaps", "one"), {}, content_type="application/json"
    )
    assert answer.status == 415


async def test_a_patch_of_an_absent_object_is_404(backend):
    answer = await backend.request(
        "PATCH", backend.path("configmaps", "absent"), {"data": {}}, content_type=MERGE
    )
    assert answer.status == 404


async def test_the_spec_of_a_pod_is_immutable(backend):
    await backend.create("pods", pod("one"))
    body = {"spec": {"restartPolicy": "Never"}}
    answer = await backend.request("PATCH", backend.path("pods", "one"), body, content_type=MERGE)
    assert answer.status == 422
    assert "pod updates may not change fields other than" in answer.body["message"]


async def test_labels_and_annotations_of_a_pod_can_change(backend):
    await backend.create("pods", pod("one"))
    body = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}
    changed = await backend.patch("pods", "one", body)
    assert changed["metadata"]["labels"] == {"a": "b"}
    assert changed["metadata"]["annotations"] == {"c": "d"}


async def test_the_spec_of_a_claim_is_immutable(backend):
    await backend.create("persistentvolumeclaims", claim("home"))
    body = {"spec": {"accessModes": ["ReadWriteMany"]}}
    answer = await backend.request(
        "PATCH", backend.path("persistentvolumeclaims", "home"), body, content_type=MERGE
    )
    assert answer.status == 422
    assert "spec is immutable after creation" in answer.body["message"]


async def test_status_changes_by_its_endpoint_only(backend):
    created = await backend.create("pods", {**pod("one"), "status": {"phase": "Running"}})
    assert created["status"]["phase"] == "Pending"
    body = {"status": {"phase": "Running", "message": "by hand"}}
    ignored = await backend.patch("pods", "one", body)
    assert ignored["status"]["phase"] == "Pending"
    path = backend.path("pods", "one") + "/status"
    changed = await backend.ok("PATCH", path, body, content_type=STRATEGIC)
    assert changed["status"]["phase"] == "Running"
    partial = {"status": {"containerStatuses": [{"name": "notebook", "ready": False}]}}
    changed = await backend.ok("PATCH", path, partial, content_type=MERGE)
    assert changed["status"]["phase"] == "Running"
    assert changed["spec"]["containers"] == created["spec"]["containers"]


async def test_a_pod_is_bound_once(backend):
    # The real scheduler, which says so in the status when it can't, leaves it alone.
    await backend.create("pods", pod("one", schedulerName="the-test"))
    path = backend.path("pods", "one") + "/binding"
    body = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "one"},
        "target": {"kind": "Node", "name": "contract-node"},
    }
    await backend.ok("POST", path, body)
    bound = await backend.get("pods", "one")
    assert bound["spec"]["nodeName"] == "contract-node"
    conditions = {each["type"]: each["status"] for each in bound["status"]["conditions"]}
    assert conditions["PodScheduled"] == "True"
    assert (await backend.request("POST", path, body)).status == 409


# ---- claims that grow ----------------------------------------------------------------------


@asynccontextmanager
async def bound_claim(backend, *, allowed: bool):
    """Yield a claim that is bound to a volume made by hand, of a class of its own."""
    try:
        yield await _bound_claim(backend, allowed)
    finally:
        name = backend.namespace
        await backend.request("DELETE", f"/api/v1/persistentvolumes/{name}")
        await backend.request("DELETE", f"/apis/storage.k8s.io/v1/storageclasses/{name}")


async def _bound_claim(backend, allowed):
    name = backend.namespace
    classes, volumes = "/apis/storage.k8s.io/v1/storageclasses", "/api/v1/persistentvolumes"
    await backend.ok(
        "POST",
        classes,
        {
            "metadata": {"name": name},
            "provisioner": "example.com/none",
            "allowVolumeExpansion": allowed,
        },
    )
    await backend.ok(
        "POST",
        volumes,
        {
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": name,
                "claimRef": {"namespace": name, "name": "one"},
                "hostPath": {"path": "/tmp/unused"},
            },
        },
    )
    made = claim("one")
    made["spec"] |= {"storageClassName": name, "volumeName": name}
    made["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    obj = await backend.create("persistentvolumeclaims", made)
    if backend.embedded:
        await backend.ok(
            "PUT",
            backend.path("persistentvolumeclaims", "one") + "/status",
            {**obj, "status": {"phase": "Bound"}},
        )
    return await backend.eventually(
        "persistentvolumeclaims",
        "one",
        lambda obj: obj is not None and obj["status"].get("phase") == "Bound",
    )


def grown(uid=None):
    changed = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    return changed if uid is None else {**changed, "metadata": {"uid": uid}}


async def refused_growth(backend, uid=None):
    """Ask for more storage; return the HTTP status of the refusal, and its message."""
    path = backend.path("persistentvolumeclaims", "one")
    answer = await backend.request("PATCH", path, grown(uid), content_type=MERGE)
    return answer.status, answer.body["message"]


async def test_a_claim_grows_where_its_class_allows(backend):
    async with bound_claim(backend, allowed=True) as obj:
        changed = await backend.patch(
            "persistentvolumeclaims", "one", grown(obj["metadata"]["uid"])
        )
        assert changed["spec"]["resources"]["requests"]["storage"] == "2Gi"


async def test_a_claim_of_another_uid_does_not_grow(backend):
    async with bound_claim(backend, allowed=True):
        status, message = await refused_growth(backend, "00000000-0000-0000-0000-000000000000")
    assert status == 422
    assert "metadata.uid" in message
    assert "field is immutable" in message


async def test_a_claim_does_not_grow_where_its_class_does_not_allow(backend):
    async with bound_claim(backend, allowed=False):
        status, message = await refused_growth(backend)
    assert status == 403
    assert message == (
        'persistentvolumeclaims "one" is forbidden: only dynamically provisioned pvc can be '
        "resized and the storageclass that provisions the pvc must support resize"
    )


async def test_a_claim_that_is_not_bound_does_not_grow(backend):
    unbound = claim("one")
    unbound["spec"]["storageClassName"] = "none"
    unbound["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    await backend.create("persistentvolumeclaims", unbound)
    status, message = await refused_growth(backend)
    assert status == 422
    assert "is immutable after creation except resources.requests" in message
