"""Quotas: what exceeds one is refused with its numbers."""

from __future__ import annotations

from .conftest import claim, pod


async def quota(backend, hard):
    body = {"metadata": {"name": "limits"}, "spec": {"hard": hard}}
    await backend.create("resourcequotas", body)
    # The real server refuses everything until the usage has been counted once.
    await backend.eventually(
        "resourcequotas", "limits", lambda obj: obj and "used" in obj.get("status", {})
    )


async def test_too_many_pods(backend):
    await quota(backend, {"pods": "1"})
    await backend.create("pods", pod("one"))
    answer = await backend.request("POST", backend.path("pods"), pod("two"))
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    assert answer.body["message"] == (
        'pods "two" is forbidden: exceeded quota: limits, requested: pods=1, used: pods=1, '
        "limited: pods=1"
    )
    assert answer.body["details"] == {"name": "two", "kind": "pods"}


async def test_the_quota_is_checked_before_the_name(backend):
    await quota(backend, {"persistentvolumeclaims": "1"})
    await backend.create("persistentvolumeclaims", claim("home"))
    answer = await backend.request("POST", backend.path("persistentvolumeclaims"), claim("home"))
    assert answer.status == 403
    assert "exceeded quota: limits" in answer.body["message"]


async def test_requested_storage(backend):
    await quota(backend, {"requests.storage": "3Gi"})
    await backend.create("persistentvolumeclaims", claim("one", "2Gi"))
    answer = await backend.request(
        "POST", backend.path("persistentvolumeclaims"), claim("two", "2Gi")
    )
    assert answer.status == 403
    assert answer.body["message"] == (
        'persistentvolumeclaims "two" is forbidden: exceeded quota: limits, requested: '
        "requests.storage=2Gi, used: requests.storage=2Gi, limited: requests.storage=3Gi"
    )


def with_memory(name, request, limit):
    resources = {"requests": {"memory": request}, "limits": {"memory": limit}}
    return pod(name, containers=[{"name": "c", "image": "a:1", "resources": resources}])


async def test_requests_and_limits(backend):
    await quota(backend, {"requests.memory": "1Gi", "limits.memory": "2Gi"})
    await backend.create("pods", with_memory("one", "512Mi", "1Gi"))
    answer = await backend.request("POST", backend.path("pods"), with_memory("two", "1Gi", "1Gi"))
    assert answer.status == 403
    assert answer.body["message"] == (
        'pods "two" is forbidden: exceeded quota: limits, requested: requests.memory=1Gi, '
        "used: requests.memory=512Mi, limited: requests.memory=1Gi"
    )
    await backend.create("pods", with_memory("three", "512Mi", "1Gi"))


async def test_a_pod_must_state_what_a_quota_limits(backend):
    await quota(backend, {"limits.memory": "2Gi"})
    answer = await backend.request("POST", backend.path("pods"), pod("one"))
    assert answer.status == 403
    assert "failed quota: limits: must specify limits.memory" in answer.body["message"]


async def test_what_is_deleted_counts_no_more(backend):
    await quota(backend, {"pods": "1"})
    await backend.create("pods", pod("one"))
    await backend.ok("DELETE", backend.path("pods", "one"))
    await backend.eventually(
        "resourcequotas", "limits", lambda obj: obj["status"]["used"]["pods"] == "0"
    )
    await backend.create("pods", pod("two"))
