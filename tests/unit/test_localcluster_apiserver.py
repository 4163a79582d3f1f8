"""What only the embedded API server has: faults, restarts, limits on who may connect."""

from __future__ import annotations

import asyncio
import json
import ssl

import aiohttp
import pytest
from kubernetes_asyncio import client as kube_client
from kubernetes_asyncio import config as kube_config

from kubespawner.localcluster.apiserver import ApiServer
from kubespawner.localcluster.faults import Fault

PODS = "/api/v1/namespaces/default/pods"


def pod(name, **meta):
    spec = {"containers": [{"name": "c", "image": "a:1"}]}
    return {"metadata": {"name": name, **meta}, "spec": spec}


@pytest.fixture
async def server():
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def session(server):
    headers = {"Authorization": f"Bearer {server.token}"}
    async with aiohttp.ClientSession(server.url, headers=headers) as session:
        yield session


def test_loopback_only():
    with pytest.raises(ValueError, match="loopback only"):
        ApiServer(host="0.0.0.0")


def test_tokens_are_random():
    assert ApiServer().token != ApiServer().token


async def test_without_the_token_nothing_is_answered(server):
    async with aiohttp.ClientSession(server.url) as session:
        for path in (PODS, "/version", "/healthz", "/nowhere"):
            async with session.get(path) as response:
                assert response.status == 401


async def test_the_official_client_works_with_the_kubeconfig(server):
    configuration = kube_client.Configuration()
    await kube_config.load_kube_config_from_dict(
        server.kubeconfig(), client_configuration=configuration
    )
    async with kube_client.ApiClient(configuration) as client:
        api = kube_client.CoreV1Api(client)
        created = await api.create_namespaced_pod("default", pod("one"))
        assert created.status.phase == "Pending"
        with pytest.raises(kube_client.ApiException) as refused:
            await api.create_namespaced_pod("default", pod("one"))
        assert refused.value.status == 409
        assert json.loads(refused.value.body)["reason"] == "AlreadyExists"


async def test_the_certificate_is_checked(server):
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(server.tls_url, ssl=ssl.create_default_context())


async def test_a_status_with_retry_after(server, session):
    fault = server.faults.add(
        Fault(verb="create", resource="pods", status=429, retry_after=3, times=1)
    )
    async with session.post(PODS, json=pod("one")) as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "3"
        assert (await response.json())["code"] == 429
    async with session.post(PODS, json=pod("one")) as response:
        assert response.status == 201
    assert fault.hits == 1


@pytest.mark.parametrize(("moment", "found"), [("before", 404), ("after", 200)])
async def test_a_dropped_connection(server, session, moment, found):
    server.faults.add(Fault(verb="create", drop=moment, times=1))
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.post(PODS, json=pod("one"))
    async with session.get(f"{PODS}/one") as response:
        assert response.status == found


async def test_an_answer_that_comes_too_late_took_effect(server, session):
    server.faults.add(Fault(verb="create", delay_answer=60, times=1))
    with pytest.raises(asyncio.TimeoutError):
        await session.post(PODS, json=pod("one"), timeout=aiohttp.ClientTimeout(total=0.2))
    async with session.get(f"{PODS}/one") as response:
        assert response.status == 200


async def test_a_truncated_body(server, session):
    server.faults.add(Fault(verb="list", truncate=20, times=1))
    with pytest.raises(aiohttp.ClientPayloadError):
        async with session.get(PODS) as response:
            await response.read()


async def test_a_missing_role(server, session):
    server.faults.deny(verb="list", resource="pods", namespace="default")
    async with session.get(PODS) as response:
        assert response.status == 403
        assert (await response.json())["message"] == (
            'pods is forbidden: User "localcluster-admin" cannot list resource "pods" in API '
            'group "" in the namespace "default"'
        )
    async with session.get("/api/v1/pods") as response:
        assert response.status == 200
    server.faults.clear()
    async with session.get(PODS) as response:
        assert response.status == 200


async def test_an_access_review_knows_of_missing_roles(server, session):
    server.faults.deny(verb="create", resource="pods")
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    for verb, allowed in (("create", False), ("get", True)):
        body = {"spec": {"resourceAttributes": {"verb": verb, "resource": "pods"}}}
        async with session.post(path, json=body) as response:
            assert (await response.json())["status"]["allowed"] is allowed


async def test_a_follower_of_a_log_is_answered_before_there_is_any(session, server):
    written = asyncio.Event()

    async def reader(namespace, name, container, *, follow, **_options):
        await written.wait()
        yield b"a line\n"

    server.log_reader = reader
    async with session.post(PODS, json=pod("one")) as response:
        assert response.status == 201
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    status = {"name": "c", "image": "", "imageID": "", "ready": True, "restartCount": 0}
    body = {"status": {"containerStatuses": [{**status, "state": state}]}}
    async with session.patch(
        f"{PODS}/one/status", json=body, headers={"Content-Type": "application/merge-patch+json"}
    ) as response:
        assert response.status == 200
    async with session.get(f"{PODS}/one/log", params={"follow": "true"}) as response:
        assert response.status == 200
        written.set()
        assert await response.read() == b"a line\n"


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, 'container "c" in pod "one" is not available'),
        ({"container": "x"}, "container x is not valid for pod one"),
        ({"previous": "true"}, 'previous terminated container "c" in pod "one" not found'),
    ],
)
async def test_logs_that_cannot_be_read(server, session, params, text):
    server.log_reader = lambda *_args, **_options: None
    async with session.post(PODS, json=pod("one")) as response:
        assert response.status == 201
    async with session.get(f"{PODS}/one/log", params=params) as response:
        assert response.status == 400
        assert (await response.json())["message"] == text


async def version(session):
    async with session.get(PODS) as response:
        return (await response.json())["metadata"]["resourceVersion"]


async def test_watches_can_be_closed(server, session):
    params = {"watch": "1", "resourceVersion": await version(session)}
    async with session.get(PODS, params=params) as response:
        assert server.faults.close_watches("secrets") == 0
        assert server.faults.close_watches("pods") == 1
        assert await response.read() == b""


async def test_watches_can_be_aborted(server, session):
    params = {"watch": "1", "resourceVersion": await version(session)}
    async with session.get(PODS, params=params) as response:
        server.faults.close_watches("pods", abort=True)
        with pytest.raises(aiohttp.ClientError):
            await response.read()


async def test_compaction_is_410_for_whoever_resumes(server, session):
    params = {"watch": "1", "resourceVersion": await version(session)}
    server.faults.compact("pods")
    async with session.get(PODS, params=params) as response:
        event = json.loads(await response.content.readline())
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_a_frozen_watch_says_nothing(server, session):
    params = {"watch": "1", "resourceVersion": await version(session), "timeoutSeconds": "1"}
    async with session.get(PODS, params=params) as response:
        assert server.faults.freeze_watches() == 1
        async with session.post(PODS, json=pod("one")) as created:
            assert created.status == 201
        assert await response.read() == b""


async def test_a_client_that_leaves_takes_its_watch_along(server, session):
    params = {"watch": "1"}
    async with session.get(PODS, params=params):
        assert len(server.faults._watches) == 1
    for _ in range(100):
        if not server.faults._watches:
            break
        await asyncio.sleep(0.02)
    assert server.faults.close_watches() == 0


async def test_stopped_and_started_again_it_has_the_same_objects_and_addresses(server, session):
    async with session.post(PODS, json=pod("one")) as response:
        assert response.status == 201
    before, kubeconfig = await version(session), server.kubeconfig()
    await server.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.get(PODS)
    await server.start()
    assert server.kubeconfig() == kubeconfig
    params = {"watch": "1", "resourceVersion": before, "timeoutSeconds": "5"}
    async with session.get(PODS, params=params) as response:
        async with session.delete(f"{PODS}/one") as deleted:
            assert deleted.status == 200
        event = json.loads(await response.content.readline())
    assert event["type"] == "DELETED"


async def test_an_owner_of_an_unknown_kind_is_not_thought_gone(server, session):
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "hub", "uid": "u"}
    async with session.post(PODS, json=pod("one", ownerReferences=[owner])) as response:
        assert response.status == 201
    # The collector works through changes in order: once the second one is gone it saw the first.
    gone = {"apiVersion": "v1", "kind": "Pod", "name": "none", "uid": "u"}
    async with session.post(PODS, json=pod("two", ownerReferences=[gone])) as response:
        assert response.status == 201
    async with session.get(PODS) as response:
        left = [item["metadata"]["name"] for item in (await response.json())["items"]]
    assert left == ["one"]


async def test_replacing_a_service_keeps_its_address(server, session):
    path = "/api/v1/namespaces/default/services"
    body = {"metadata": {"name": "one"}, "spec": {"ports": [{"port": 80}]}}
    async with session.post(path, json=body) as response:
        address = (await response.json())["spec"]["clusterIP"]
    body["spec"]["ports"][0]["port"] = 81
    async with session.put(f"{path}/one", json=body) as response:
        changed = await response.json()
    assert response.status == 200
    assert changed["spec"]["clusterIP"] == address
    assert changed["spec"]["ports"][0]["port"] == 81


async def test_two_thousand_pods(server, session):
    """Created, listed, watched and deleted with their namespace, none lost."""
    async with session.post("/api/v1/namespaces", json={"metadata": {"name": "many"}}) as response:
        assert response.status == 201
    path = "/api/v1/namespaces/many/pods"

    async def create(start):
        for i in range(start, 2000, 10):
            async with session.post(path, json=pod(f"p{i}")) as response:
                assert response.status == 201

    params = {"watch": "1", "resourceVersion": await version(session)}
    async with session.get(path, params=params, read_bufsize=2**22) as watch:
        await asyncio.gather(*(create(i) for i in range(10)))
        seen = {
            json.loads(await watch.content.readline())["object"]["metadata"]["name"]
            for _ in range(2000)
        }
        assert len(seen) == 2000
        async with session.get(path) as response:
            assert len((await response.json())["items"]) == 2000
        async with session.delete("/api/v1/namespaces/many") as response:
            assert response.status == 200
        gone = {json.loads(await watch.content.readline())["type"] for _ in range(2000)}
    assert gone == {"DELETED"}
