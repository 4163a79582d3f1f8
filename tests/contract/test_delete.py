"""Deleting: preconditions, grace, finalizers, owners, claims in use, namespaces."""

from __future__ import annotations

import pytest

from .conftest import claim, config_map, pod


async def test_deleting_a_config_map_answers_with_a_status(backend):
    created = await backend.create("configmaps", config_map("one"))
    body = await backend.ok("DELETE", backend.path("configmaps", "one"))
    assert (body["kind"], body["status"]) == ("Status", "Success")
    assert body["details"] == {
        "name": "one",
        "kind": "configmaps",
        "uid": created["metadata"]["uid"],
    }
    assert (await backend.request("DELETE", backend.path("configmaps", "one"))).status == 404


async def test_a_pod_without_a_node_goes_at_once(backend):
    await backend.create("pods", pod("one"))
    body = await backend.ok("DELETE", backend.path("pods", "one"))
    assert body["kind"] == "Pod"
    assert (await backend.request("GET", backend.path("pods", "one"))).status == 404


async def test_a_pod_on_a_node_is_given_its_grace(backend):
    await backend.create(
        "pods", pod("one", nodeName="contract-node", terminationGracePeriodSeconds=300)
    )
    await backend.ok("DELETE", backend.path("pods", "one"))
    leaving = await backend.get("pods", "one")
    assert leaving["metadata"]["deletionTimestamp"]
    assert leaving["metadata"]["deletionGracePeriodSeconds"] == 300
    await backend.ok("DELETE", backend.path("pods", "one"), gracePeriodSeconds=60)
    hurried = await backend.get("pods", "one")
    assert hurried["metadata"]["deletionGracePeriodSeconds"] == 60
    await backend.ok("DELETE", backend.path("pods", "one"), gracePeriodSeconds=200)
    assert (await backend.get("pods", "one"))["metadata"]["deletionGracePeriodSeconds"] == 60
    await backend.ok("DELETE", backend.path("pods", "one"), gracePeriodSeconds=0)
    assert (await backend.request("GET", backend.path("pods", "one"))).status == 404


async def test_grace_in_the_body(backend):
    await backend.create("pods", pod("one", nodeName="contract-node"))
    body = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 7}
    await backend.ok("DELETE", backend.path("pods", "one"), body)
    found = await backend.get("pods", "one")
    assert found["metadata"]["deletionGracePeriodSeconds"] == 7
    await backend.ok("DELETE", backend.path("pods", "one"), gracePeriodSeconds=0)


async def test_a_finished_pod_needs_no_grace(backend):
    await backend.create("pods", pod("one", nodeName="contract-node"))
    status = {"status": {"phase": "Succeeded"}}
    path = backend.path("pods", "one")
    await backend.ok("PATCH", f"{path}/status", status, content_type="application/merge-patch+json")
    await backend.ok("DELETE", path)
    assert (await backend.request("GET", path)).status == 404


@pytest.mark.parametrize("precondition", ["uid", "resourceVersion"])
async def test_a_failed_precondition_is_409_and_deletes_nothing(backend, precondition):
    created = await backend.create("configmaps", config_map("one"))
    wrong = {"uid": "00000000-0000-0000-0000-000000000000", "resourceVersion": "1"}
    path = backend.path("configmaps", "one")
    body = {"preconditions": {precondition: wrong[precondition]}}
    answer = await backend.request("DELETE", path, body)
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    title = "UID" if precondition == "uid" else "ResourceVersion"
    expected = f"the {title} in the precondition ({wrong[precondition]}) does not match the {title}"
    assert expected in answer.body["message"]
    await backend.get("configmaps", "one")
    body = {"preconditions": {precondition: created["metadata"][precondition]}}
    await backend.ok("DELETE", path, body)
    assert (await backend.request("GET", path)).status == 404


async def test_a_finalizer_holds_an_object(backend):
    await backend.create("configmaps", config_map("one", finalizers=["example.org/hold"]))
    await backend.ok("DELETE", backend.path("configmaps", "one"))
    held = await backend.get("configmaps", "one")
    assert held["metadata"]["deletionTimestamp"]
    await backend.patch("configmaps", "one", {"metadata": {"finalizers": None}})
    answer = await backend.request("GET", backend.path("configmaps", "one"))
    assert answer.status == 404


async def test_delete_collection_deletes_what_is_selected(backend):
    for name, value in (("a", "yes"), ("b", "yes"), ("c", "no")):
        await backend.create("configmaps", config_map(name, labels={"gone": value}))
    await backend.ok("DELETE", backend.path("configmaps"), labelSelector="gone=yes")
    assert await backend.names("configmaps", labelSelector="gone") == ["c"]


def owned(name, owner, **meta):
    reference = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {"metadata": {"name": name, "ownerReferences": [reference], **meta}}


async def test_what_a_pod_owns_goes_with_it(backend):
    owner = await backend.create("pods", pod("owner"))
    await backend.create("secrets", owned("mine", owner))
    service = {**owned("mine", owner), "spec": {"ports": [{"port": 80}]}}
    await backend.create("services", service)
    await backend.create("secrets", {"metadata": {"name": "free"}})
    await backend.ok("DELETE", backend.path("pods", "owner"))
    await backend.eventually("secrets", "mine", lambda obj: obj is None)
    await backend.eventually("services", "mine", lambda obj: obj is None)
    await backend.get("secrets", "free")


async def test_what_names_an_owner_that_is_gone_goes(backend):
    owner = await backend.create("pods", pod("owner"))
    await backend.ok("DELETE", backend.path("pods", "owner"))
    # Another pod of that name is not the owner.
    await backend.create("pods", pod("owner"))
    await backend.create("secrets", owned("late", owner))
    await backend.eventually("secrets", "late", lambda obj: obj is None)


async def test_orphans_stay(backend):
    owner = await backend.create("pods", pod("owner"))
    await backend.create("secrets", owned("mine", owner))
    body = {"propagationPolicy": "Orphan"}
    await backend.ok("DELETE", backend.path("pods", "owner"), body)
    kept = await backend.eventually(
        "secrets", "mine", lambda obj: not obj["metadata"].get("ownerReferences")
    )
    assert kept["metadata"]["name"] == "mine"
    await backend.eventually("pods", "owner", lambda obj: obj is None)


async def test_a_claim_in_use_waits_for_its_pod(backend):
    await backend.create("persistentvolumeclaims", claim("home"))
    volume = {"name": "home", "persistentVolumeClaim": {"claimName": "home"}}
    await backend.create("pods", pod("one", nodeName="contract-node", volumes=[volume]))
    deleted = await backend.ok("DELETE", backend.path("persistentvolumeclaims", "home"))
    assert deleted["kind"] == "PersistentVolumeClaim"
    held = await backend.get("persistentvolumeclaims", "home")
    assert held["metadata"]["deletionTimestamp"]
    assert held["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    await backend.ok("DELETE", backend.path("pods", "one"), gracePeriodSeconds=0)
    await backend.eventually("persistentvolumeclaims", "home", lambda obj: obj is None)


async def test_a_claim_without_pods_goes(backend):
    await backend.create("persistentvolumeclaims", claim("home"))
    await backend.ok("DELETE", backend.path("persistentvolumeclaims", "home"))
    await backend.eventually("persistentvolumeclaims", "home", lambda obj: obj is None)


async def test_a_namespace_takes_what_is_in_it_and_refuses_more(backend):
    await backend.create("configmaps", config_map("held", finalizers=["example.org/hold"]))
    await backend.create("secrets", {"metadata": {"name": "s0"}})
    path = f"/api/v1/namespaces/{backend.namespace}"
    body = await backend.ok("DELETE", path)
    assert body["kind"] == "Namespace"
    assert body["status"]["phase"] == "Terminating"
    answer = await backend.request("POST", backend.path("configmaps"), config_map("late"))
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    assert answer.body["message"] == (
        f'configmaps "late" is forbidden: unable to create new content in namespace '
        f"{backend.namespace} because it is being terminated"
    )
    assert answer.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    await backend.eventually("secrets", "s0", lambda obj: obj is None)
    await backend.get("configmaps", "held")
    await backend.patch("configmaps", "held", {"metadata": {"finalizers": None}})
    await gone(backend)


async def gone(backend):
    """Wait until the namespace itself is removed."""
    query = {"fieldSelector": f"metadata.name={backend.namespace}"}
    found = await backend.ok("GET", "/api/v1/namespaces", **query)
    if not found["items"]:
        return
    version = found["metadata"]["resourceVersion"]
    parameters = {**query, "watch": "1", "resourceVersion": version, "timeoutSeconds": "60"}
    async with backend.session.get(
        f"{backend.url}/api/v1/namespaces", params=parameters
    ) as response:
        async for line in response.content:
            if b'"type":"DELETED"' in line:
                return
    raise AssertionError("the namespace is still there")
