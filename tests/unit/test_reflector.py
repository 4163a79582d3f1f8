"""The public reflector names."""

import asyncio

import pytest
from kubernetes_asyncio.client import ApiException, NetworkingV1Api

from kubespawner import reflector as module
from kubespawner.kube.informer import Health
from kubespawner.reflector import (
    EventReflector,
    MultiNamespaceResourceReflector,
    NamespacedResourceReflector,
    PodReflector,
    ResourceReflector,
)
from tests.support.fakeapi import PODS, FakeApi, Stream, error, event, pod, pod_list, refuse, reply


@pytest.fixture
async def api(monkeypatch):
    async with FakeApi() as api:
        kinds = {"CoreV1Api": api.core, "NetworkingV1Api": NetworkingV1Api(api.client)}
        monkeypatch.setattr(module, "shared_client", lambda kind: kinds.get(kind, api.core))
        yield api


@pytest.fixture
async def pods(api):
    reflector = PodReflector(namespace="ns", labels={"component": "x"})
    yield reflector
    await reflector.stop()


async def test_defaults(api):
    reflector = PodReflector(namespace="ns")
    assert (reflector.request_timeout, reflector.timeout_seconds, reflector.restart_seconds) == (
        60,
        10,
        30,
    )
    assert reflector.kind == "pods"
    assert reflector.labels == reflector.fields == {}
    assert reflector.on_failure is None
    assert reflector.watch_task is None
    assert dict(reflector.resources) == {}
    assert not reflector.first_load_future.done()
    assert reflector.api is api.core
    assert not api.requests


@pytest.mark.parametrize(
    ("kind", "namespaced", "everywhere"),
    [
        ("pods", "list_namespaced_pod", "list_pod_for_all_namespaces"),
        ("events", "list_namespaced_event", "list_event_for_all_namespaces"),
        ("services", "list_namespaced_service", "list_service_for_all_namespaces"),
        ("endpoints", "list_namespaced_endpoints", "list_endpoints_for_all_namespaces"),
    ],
)
async def test_the_list_method_is_derived_from_the_kind(api, kind, namespaced, everywhere):
    one = NamespacedResourceReflector(kind=kind, namespace="ns")
    every = MultiNamespaceResourceReflector(kind=kind)
    assert (one.omit_namespace, one.list_method_name) == (False, namespaced)
    assert (every.omit_namespace, every.list_method_name) == (True, everywhere)


@pytest.mark.parametrize(
    ("keywords", "path"),
    [
        ({"kind": "pods", "namespace": "ns"}, "/api/v1/namespaces/ns/pods"),
        ({"kind": "pods", "omit_namespace": True}, "/api/v1/pods"),
        (
            {"kind": "ingresses", "namespace": "ns", "api_group_name": "NetworkingV1Api"},
            "/apis/networking.k8s.io/v1/namespaces/ns/ingresses",
        ),
        (
            {
                "kind": "claims",
                "namespace": "ns",
                "list_method_name": "list_namespaced_persistent_volume_claim",
            },
            "/api/v1/namespaces/ns/persistentvolumeclaims",
        ),
        ({"kind": "nodes", "list_method_name": "list_node"}, "/api/v1/nodes"),
        (
            {
                "kind": "slices",
                "namespace": "ns",
                "api_group_name": "DiscoveryV1Api",
                "list_method_name": "list_namespaced_endpoint_slice",
            },
            "/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices",
        ),
    ],
)
async def test_asks_for_the_path_of_its_list_method(api, keywords, path):
    reflector = ResourceReflector(**keywords)
    await reflector.start()
    await reflector.stop()
    assert api.requests[0][:2] == ("GET", path)


@pytest.mark.parametrize(
    "keywords",
    [
        {"kind": ""},
        {"kind": "unicorns"},
        {},
        {"kind": "pods", "list_method_name": "list_namespaced_unicorn"},
        {"kind": "pods", "api_group_name": "NoSuchApi"},
        {"kind": "ingresses"},
    ],
)
async def test_a_method_that_is_not_there_is_an_error(api, keywords):
    with pytest.raises(RuntimeError):
        ResourceReflector(namespace="ns", **keywords)


async def test_start_lists_and_watches(api, pods):
    watch = Stream()
    api.on("GET", PODS, reply(pod_list(pod("a", 5), version=9)))
    api.on("WATCH", PODS, watch)
    await pods.start()
    assert pods.pods == pods.resources == {"ns/a": pod("a", 5)}
    assert pods.first_load_future.result() is None
    assert pods.health is Health.FRESH
    assert api.of("GET")[0]["labelSelector"] == "component=x"
    watch.send(event("ADDED", pod("b", 10)))
    await pods.informer.wait_for("ns/b", bool)
    assert sorted(pods.pods) == ["ns/a", "ns/b"]


async def test_selectors(api):
    reflector = PodReflector(namespace="ns", labels={"a": "b", "c": "d"}, fields={"e.f": "g"})
    assert reflector.label_selector == "a=b,c=d"
    assert reflector.field_selector == "e.f=g"
    await reflector.start()
    await reflector.stop()
    assert api.of("GET")[0]["fieldSelector"] == "e.f=g"


async def test_the_old_timeouts_cause_no_lists(api):
    reflector = PodReflector(namespace="ns", timeout_seconds=1, restart_seconds=1)
    await reflector.start()
    await api.wait_requests(1, method="WATCH")
    await reflector.stop()
    assert int(api.of("WATCH")[0]["timeoutSeconds"]) >= 300
    assert len(api.of("GET")) == 1


async def test_a_failed_first_list_raises_and_another_start_may_succeed(api, pods):
    told = []
    pods.on_failure = lambda: told.append(1)
    api.on("GET", PODS, refuse(403, "forbidden"), reply(pod_list(pod("a", 5), version=9)))
    with pytest.raises(ApiException, match="403"):
        await pods.start()
    assert isinstance(pods.first_load_future.exception(), ApiException)
    assert told == [1]
    assert pods.health is Health.NEVER_LOADED
    assert pods.watch_task is None

    await pods.start()
    assert pods.first_load_future.result() is None
    assert list(pods.pods) == ["ns/a"]


async def test_the_first_load_is_known_however_the_watch_was_started(api, pods):
    pods.informer.start()
    assert await asyncio.wait_for(pods.first_load_future, 10) is None


async def test_it_does_not_start_twice(api, pods):
    await pods.start()
    with pytest.raises(RuntimeError):
        await pods.start()
    await pods.stop()
    assert pods.watch_task is None
    await pods.stop()
    await pods.start()


async def test_a_relist_leaves_the_first_load_as_it_was(api, pods):
    api.on("GET", PODS, reply(pod_list(version=9)), reply(pod_list(pod("a", 20), version=20)))
    api.on("WATCH", PODS, Stream(error(410, "Expired")))
    await pods.start()
    await pods.informer.wait_for("ns/a", bool)
    assert pods.first_load_future.result() is None


async def test_a_cancelled_start_leaves_nothing_running(api, pods):
    async def never(request):
        await asyncio.Event().wait()

    api.on("GET", PODS, never)
    starting = asyncio.create_task(pods.start())
    await api.wait_requests(1)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert pods.watch_task is None


async def test_events_oldest_first_whatever_their_timestamps(api):
    def told(name, **stamps):
        return {
            "metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "1"},
            **stamps,
        }

    listed = pod_list(
        told("c", lastTimestamp="2026-01-01T00:00:03Z"),
        told("a", lastTimestamp=None, eventTime=None),
        told("b", lastTimestamp=None, eventTime="2026-01-01T00:00:02.5Z"),
        version=9,
    )
    api.on("GET", "/api/v1/namespaces/ns/events", reply(listed))
    reflector = EventReflector(namespace="ns")
    await reflector.start()
    assert [e["metadata"]["name"] for e in reflector.events] == ["a", "b", "c"]
    await reflector.stop()


def test_both_classes_are_in_both_modules():
    from kubespawner import spawner

    assert spawner.PodReflector is PodReflector
    assert spawner.EventReflector is EventReflector
