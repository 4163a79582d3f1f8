"""Requests: what is retried, what is an answer, and what is said when there is none."""

import asyncio
import json
import time
from email.utils import formatdate

import msgspec
import pytest
from kubernetes_asyncio.client import ApiException, V1ObjectMeta, V1Pod

from kubespawner.kube.requests import (
    ApiUnavailable,
    Deadline,
    Requests,
    retry_after,
    status_of,
    told,
)
from kubespawner.kube.timing import within
from tests.support.fakeapi import PODS, FakeApi, pod, pod_list, refuse, reply, reset, status

A = f"{PODS}/a"


@pytest.fixture
async def api():
    async with FakeApi() as api:
        yield api


@pytest.fixture
async def requests():
    return Requests(request_timeout=2, retry_timeout=10)


# ---- verbs ---------------------------------------------------------------------------------


async def test_read(api, requests):
    api.on("GET", A, reply(pod("a", 1)))
    assert await requests.read(api.core, "pod", "a", "ns") == pod("a", 1)
    assert await requests.read(api.core, "pod", "b", "ns") is None


async def test_read_of_what_has_no_namespace(api, requests):
    api.on("GET", "/api/v1/namespaces/x", reply({"metadata": {"name": "x"}}))
    assert await requests.read(api.core, "namespace", "x", None) == {"metadata": {"name": "x"}}


@pytest.mark.parametrize(
    "manifest", [V1Pod(metadata=V1ObjectMeta(name="a")), {"metadata": {"name": "a"}}]
)
async def test_create_takes_models_and_dicts(api, requests, manifest):
    api.on("POST", PODS, reply(pod("a", 4), 201))
    assert await requests.create(api.core, "pod", manifest, "ns") == pod("a", 4)
    assert api.bodies == [{"metadata": {"name": "a"}}]


async def test_replace_and_patch(api, requests):
    api.on("PUT", A, reply(pod("a", 2)))
    api.on("PATCH", A, reply(pod("a", 3)))
    manifest = {"metadata": {"name": "a", "resourceVersion": "1"}}
    assert await requests.replace(api.core, "pod", "a", manifest, "ns") == pod("a", 2)
    body = {"metadata": {"labels": {"x": None}}}
    assert await requests.patch(api.core, "pod", "a", body, "ns") == pod("a", 3)
    assert api.bodies == [manifest, body]
    assert api.headers[1]["Content-Type"] == "application/merge-patch+json"


async def test_list(api, requests):
    api.on("GET", PODS, reply(pod_list(pod("a", 1), version=1)), reply(pod_list(version=1)))
    assert await requests.list(api.core, "pod", "ns", label_selector="x=y") == [pod("a", 1)]
    assert await requests.list(api.core, "pod", "ns") == []
    assert api.of("GET") == [{"labelSelector": "x=y"}, {}]


async def test_delete_carries_uid_and_grace_period(api, requests):
    api.on("DELETE", A, reply(status(200)), reply(pod("a", 1)))
    assert await requests.delete(api.core, "pod", "a", "ns", uid="u", grace_seconds=0) is True
    assert await requests.delete(api.core, "pod", "a", "ns") is True
    assert api.bodies[0] == {"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}}
    assert api.of("DELETE") == [{"gracePeriodSeconds": "0"}, {}]
    assert not api.bodies[1]


async def test_delete_of_what_is_gone_or_another_one_is_done(api, requests):
    api.on("DELETE", A, refuse(404), refuse(409, "the UID in the precondition"), refuse(409))
    assert await requests.delete(api.core, "pod", "a", "ns") is False
    assert await requests.delete(api.core, "pod", "a", "ns", uid="u") is False
    with pytest.raises(ApiException) as caught:
        await requests.delete(api.core, "pod", "a", "ns")
    assert caught.value.status == 409


# ---- answers and failures ------------------------------------------------------------------


@pytest.mark.parametrize("code", [400, 403, 405, 409, 413, 422])
async def test_an_answer_is_raised_at_once_and_whole(api, requests, code):
    api.on("POST", PODS, refuse(code, "exceeded quota"))
    with pytest.raises(ApiException) as caught:
        await requests.create(api.core, "pod", {}, "ns")
    assert caught.value.status == code
    assert caught.value.reason
    assert status_of(caught.value)["message"] == "exceeded quota"
    assert len(api.requests) == 1


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
async def test_an_overloaded_server_is_asked_again(api, requests, code):
    api.on("POST", PODS, refuse(code), reply(pod("a", 1), 201))
    assert await requests.create(api.core, "pod", {}, "ns") == pod("a", 1)
    assert len(api.requests) == 2


@pytest.mark.parametrize("body", [b"", b'{"metadata": {"na', b"<html>proxy</html>"])
async def test_a_body_that_cant_be_decoded_is_no_answer(api, requests, body):
    api.on("GET", A, reply(body), reply(pod("a", 1)))
    assert await requests.read(api.core, "pod", "a", "ns") == pod("a", 1)


async def test_a_reset_after_the_commit_is_asked_again_and_the_echo_is_shown(api, requests):
    api.on("POST", PODS, reset, refuse(409, "already exists"))
    with pytest.raises(ApiException) as caught:
        await requests.create(api.core, "pod", {}, "ns")
    assert caught.value.status == 409
    assert len(api.requests) == 2


async def test_retry_after_is_waited_for(api, requests, monkeypatch):
    slept = []

    async def sleep(self, seconds):
        slept.append(seconds)

    monkeypatch.setattr("kubespawner.kube.backoff.Backoff.sleep", sleep)
    api.on("GET", A, refuse(429, headers={"Retry-After": "7"}), refuse(503), reply(pod("a", 1)))
    await requests.read(api.core, "pod", "a", "ns")
    assert 7 <= slept[0] <= 7.7
    assert slept[1] <= 0.2


async def test_a_retry_after_beyond_the_deadline_is_not_waited_for(api, requests):
    api.on("GET", A, refuse(429, "slow down", headers={"Retry-After": "60"}))
    with pytest.raises(ApiUnavailable, match="slow down") as caught:
        await requests.read(api.core, "pod", "a", "ns", deadline=Deadline.after(30))
    assert caught.value.__cause__.status == 429


async def test_pauses_grow_with_jitter_up_to_a_cap(api, monkeypatch):
    slept = []

    async def sleep(self, seconds):
        slept.append(seconds)

    monkeypatch.setattr("kubespawner.kube.backoff.Backoff.sleep", sleep)
    api.on("GET", A, *[refuse(503)] * 12, reply(pod("a", 1)))
    await Requests(retry_timeout=1000).read(api.core, "pod", "a", "ns")
    for attempt, seconds in enumerate(slept):
        most = min(0.1 * 2**attempt, 5.0)
        assert most / 2 <= seconds <= most


async def test_a_slow_response_is_an_attempt_that_failed(api):
    async def never(request):
        await asyncio.Event().wait()

    api.on("GET", A, never, reply(pod("a", 1)))
    requests = Requests(request_timeout=0.05, retry_timeout=10)
    assert await requests.read(api.core, "pod", "a", "ns") == pod("a", 1)


async def test_without_an_answer_address_and_last_error_are_told(api, requests):
    api.on("GET", A, *[refuse(503, "etcd is away")] * 50)
    with pytest.raises(ApiUnavailable) as caught:
        await requests.read(api.core, "pod", "a", "ns", deadline=Deadline.after(0.3))
    assert "read pod a" in str(caught.value)
    assert api.url in str(caught.value)
    # Not "timeout", though the deadline may have cut off the last attempt.
    assert "HTTP 503 etcd is away" in str(caught.value)
    assert len(api.requests) > 1


async def test_a_server_that_is_not_there(api, requests):
    api.configuration.host = "http://127.0.0.1:1"
    with pytest.raises(ApiUnavailable, match=r"127\.0\.0\.1:1"):
        await requests.read(api.core, "pod", "a", "ns", deadline=Deadline.after(0.1))


async def test_an_expired_deadline_asks_nothing(api, requests):
    with pytest.raises(ApiUnavailable):
        await requests.read(api.core, "pod", "a", "ns", deadline=Deadline.after(0))


async def test_settings_may_be_callables(api):
    seconds = 0.1
    requests = Requests(request_timeout=lambda: 1, retry_timeout=lambda: seconds)
    api.on("GET", A, *[refuse(503)] * 50)
    with pytest.raises(ApiUnavailable):
        await requests.read(api.core, "pod", "a", "ns")


# ---- credentials ---------------------------------------------------------------------------


async def test_401_reloads_the_credentials_and_retries_once(api, requests, monkeypatch):
    reloads = []

    async def reload(configuration):
        reloads.append(configuration)
        configuration.api_key["BearerToken"] = "Bearer fresh"
        return True

    monkeypatch.setattr("kubespawner.kube.connection.reload", reload)
    api.on("GET", A, refuse(401, "Unauthorized"), reply(pod("a", 1)))
    assert await requests.read(api.core, "pod", "a", "ns") == pod("a", 1)
    assert api.headers[1]["Authorization"] == "Bearer fresh"
    assert reloads == [api.configuration]

    api.on("GET", A, *[refuse(401, "Unauthorized")] * 3)
    with pytest.raises(ApiException) as caught:
        await requests.read(api.core, "pod", "a", "ns")
    assert caught.value.status == 401
    message = status_of(caught.value)["message"]
    assert "credentials" in message
    assert api.url in message
    assert "Unauthorized" in message
    assert len(api.requests) == 4


async def test_401_without_a_source_of_credentials_is_an_answer(api, requests):
    api.on("GET", A, refuse(401))
    with pytest.raises(ApiException, match="401"):
        await requests.read(api.core, "pod", "a", "ns")
    assert len(api.requests) == 1


async def test_401_whose_reload_fails_is_still_the_401(api, requests, monkeypatch):
    async def reload(configuration):
        raise OSError("disk")

    monkeypatch.setattr("kubespawner.kube.connection.reload", reload)
    api.on("GET", A, refuse(401))
    with pytest.raises(ApiException, match="401"):
        await requests.read(api.core, "pod", "a", "ns")


# ---- concurrency and cancellation ----------------------------------------------------------


async def test_requests_under_way_are_bounded(api):
    under_way = most = 0

    async def slow(request):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return await reply(pod("a", 1))(request)

    api.on("GET", A, *[slow] * 12)
    requests = Requests(concurrency=3)
    await asyncio.gather(*(requests.read(api.core, "pod", "a", "ns") for _ in range(12)))
    assert most == 3


async def test_what_is_to_be_sent_is_not_made_while_many_wait_to_be_sent(api):
    go_on = asyncio.Event()

    async def blocked(request):
        await go_on.wait()
        return await reply(pod("a", 1))(request)

    api.on("GET", A, *[blocked] * 9)
    requests = Requests(request_timeout=20, concurrency=2)
    await requests.makers.mine()
    reading = [asyncio.create_task(requests.read(api.core, "pod", "a", "ns")) for _ in range(9)]
    await api.wait_requests(2)
    making = asyncio.create_task(within(requests.makers.mine(), 20))
    # Who gives up makes room like one who is answered.
    for task in reading[4:]:
        task.cancel()
    await asyncio.gather(*reading[4:], return_exceptions=True)
    assert not making.done()
    go_on.set()
    await asyncio.wait([making, *reading])
    assert making.exception() is None
    assert await asyncio.gather(*reading[:4]) == [pod("a", 1)] * 4
    await within(requests.makers.mine(), 20)


async def test_a_pause_holds_no_slot(api):
    requests = Requests(concurrency=1)
    api.on("GET", A, refuse(503, headers={"Retry-After": "5"}))
    api.on("GET", f"{PODS}/b", reply(pod("b", 1)))
    waiting = asyncio.create_task(requests.read(api.core, "pod", "a", "ns"))
    await api.wait_requests(1)
    assert await requests.read(api.core, "pod", "b", "ns", deadline=Deadline.after(3))
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_cancellation_frees_the_slot(api):
    async def never(request):
        await asyncio.Event().wait()

    api.on("GET", A, never, reply(pod("a", 1)))
    requests = Requests(concurrency=1)
    waiting = asyncio.create_task(requests.read(api.core, "pod", "a", "ns"))
    await api.wait_requests(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await requests.read(api.core, "pod", "a", "ns") == pod("a", 1)


# ---- small parts ---------------------------------------------------------------------------


async def test_deadline():
    never = Deadline.after(None)
    assert never.remaining() == float("inf")
    assert not never.expired
    assert 0 < never.sooner(5).remaining() <= 5
    soon = Deadline.after(2)
    assert soon.sooner(5).remaining() <= 2
    assert soon.sooner(1).remaining() <= 1
    past = Deadline.after(-1)
    assert past.expired
    assert past.remaining() == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3), (" 12 ", 12), ("", 0), ("soon", 0), ("Mon, nonsense", 0), ("-3", 0)],
)
def test_retry_after(value, seconds):
    assert retry_after({"Retry-After": value}) == seconds


def test_retry_after_as_date():
    now = time.time()
    in_a_minute = formatdate(now + 60, usegmt=True)
    assert retry_after({"Retry-After": in_a_minute}, now=lambda: now) == pytest.approx(60, abs=1)
    assert retry_after({"Retry-After": formatdate(now - 60, usegmt=True)}, now=lambda: now) == 0
    assert retry_after({}) == retry_after(None) == 0


@pytest.mark.parametrize("body", [None, "", "<html>", "[]", '{"kind": "Pod"}'])
def test_status_of_a_body_that_is_none(body):
    error = ApiException(status=502, reason="Bad Gateway")
    error.body = body
    found = status_of(error)
    assert found["code"] == 502
    assert "Bad Gateway" in found["message"]


def test_status_of_bytes_and_text():
    error = ApiException(status=403, reason="Forbidden")
    for body in (
        json.dumps(status(403, "Forbidden", "no")),
        msgspec.json.encode(status(403, "Forbidden", "no")),
    ):
        error.body = body
        assert status_of(error)["message"] == "no"
        assert told(error) == "HTTP 403 no"
