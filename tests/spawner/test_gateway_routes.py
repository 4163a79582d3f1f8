"""Routes as HTTPRoutes; each test is the Gateway's controller itself, or has one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

import pytest
from kubernetes_asyncio.client import ApiException, ApiextensionsV1Api, CoreV1Api, CustomObjectsApi
from traitlets.config import Config

from kubespawner.errors import ConfigurationError
from kubespawner.proxy import KubeGatewayProxy
from kubespawner.proxy.base import ROUTE_FAILURES
from tests.support.gateway import CUSTOM_RESOURCES, GROUP, answer
from tests.support.waiting import eventually

from ._routes import (
    NAME,
    OWN,
    POD,
    USER,
    all_objects,
    check_converges,
    kinds,
    running_cluster,
    settled,
)

ELSEWHERE = "http://lab.elsewhere.svc.cluster.local:8888"
GATEWAY = {"name": "web", "namespace": "gateways"}
# The Role that the documentation names, in the hub's namespace.
ROLE = {
    (verb, plural)
    for plural in ("services", "endpointslices", "httproutes")
    for verb in ("get", "list", "watch", "create", "patch", "delete")
} | {("get", "endpoints"), ("delete", "endpoints")}


@pytest.fixture
async def bare_cluster(tmp_path, monkeypatch):
    async with running_cluster(tmp_path, monkeypatch) as cluster:
        yield cluster


@pytest.fixture
async def cluster(bare_cluster, make_proxy):
    """A cluster that knows the Gateway API."""
    client = make_proxy.client()
    for definition in CUSTOM_RESOURCES:
        await ApiextensionsV1Api(client).create_custom_resource_definition(definition)
    await CoreV1Api(client).create_namespace({"metadata": {"name": "elsewhere"}})
    return bare_cluster


@pytest.fixture
async def make_proxy(bare_cluster):
    class Make:
        def __init__(self):
            self.proxies = []

        def __call__(self, **settings):
            config = Config()
            config.KubeGatewayProxy = Config(
                {
                    "k8s_api_request_retry_timeout": 20,
                    "route_status_timeout": 0,
                    "gateway_parent_refs": [GATEWAY],
                    **settings,
                }
            )
            proxy = KubeGatewayProxy(config=config)
            self.proxies.append(proxy)
            return proxy

        @staticmethod
        def client():
            from kubespawner.clients import load_config, shared_client

            load_config()
            return shared_client("CoreV1Api").api_client

    make = Make()
    yield make
    for proxy in make.proxies:
        await proxy.stop()


class Controller:
    """What a Gateway's controller does: answers for every route in a state that is new to it.

    Args:
        answers: keywords of ``answer``, one after the other; the last one is for all that follow.
    """

    def __init__(self, client, *answers):
        self.api = CustomObjectsApi(client)
        self.answers = list(answers or [{}])
        self.last = {}
        self.task = asyncio.create_task(self._run())

    async def routes(self):
        found = await self.api.list_namespaced_custom_object(GROUP, "v1", "default", "httproutes")
        return {item["metadata"]["name"]: item for item in found["items"]}

    async def say(self, name, **words):
        route = (await self.routes())[name]
        await self.api.patch_namespaced_custom_object_status(
            GROUP,
            "v1",
            "default",
            "httproutes",
            name,
            {"status": answer(route, **words)},
            _content_type="application/merge-patch+json",
        )

    async def _run(self):
        said = set()
        while True:
            for name, route in (await self.routes()).items():
                seen = (name, route["metadata"]["generation"])
                if self.answers or seen not in said:
                    said.add(seen)
                    self.last = self.answers.pop(0) if self.answers else self.last
                    # Deleted meanwhile.
                    with contextlib.suppress(ApiException, KeyError):
                        await self.say(name, **self.last)
            await asyncio.sleep(0.05)

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def controller(cluster, make_proxy):
    running = []

    def start(*answers):
        running.append(Controller(make_proxy.client(), *answers))
        return running[-1]

    yield start
    for each in running:
        await each.stop()


@pytest.fixture
async def proxy(cluster, make_proxy):
    proxy = make_proxy()
    await proxy.get_all_routes()
    return proxy


async def objects(proxy):
    found = await all_objects(proxy)
    api = CustomObjectsApi(proxy.core_api.api_client)
    for kind, version, plural in (
        ("route", "v1", "httproutes"),
        ("grant", "v1beta1", "referencegrants"),
    ):
        listed = await api.list_cluster_custom_object(GROUP, version, plural)
        found |= {(kind, item["metadata"]["name"]): item for item in listed["items"]}
    return found


# ---- what a route is made of -----------------------------------------------------------


async def test_a_pods_route_is_http_route_service_and_slice(proxy):
    await proxy.add_route("/user/foo/", POD, USER)
    found = await objects(proxy)
    assert kinds(found) == ["route", "service", "slice"]
    for item in found.values():
        meta = item["metadata"]
        assert meta["labels"]["component"] == "singleuser-server"
        assert meta["labels"]["hub.jupyter.org/proxy-route"] == "true"
        assert meta["annotations"]["hub.jupyter.org/proxy-routespec"] == "/user/foo/"
        assert json.loads(meta["annotations"]["hub.jupyter.org/proxy-data"]) == USER
    assert found["service", NAME]["spec"]["type"] == "ClusterIP"
    assert found["slice", NAME]["endpoints"][0]["addresses"] == ["10.1.2.3"]
    spec = found["route", NAME]["spec"]
    assert spec["parentRefs"] == [{"group": GROUP, "kind": "Gateway", **GATEWAY}]
    assert "hostnames" not in spec
    (rule,) = spec["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/user/foo/"}}]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert "filters" not in rule
    (backend,) = rule["backendRefs"]
    assert (backend["kind"], backend["name"], backend["port"]) == ("Service", NAME, 8888)
    assert "namespace" not in backend
    assert await proxy.get_all_routes() == {
        "/user/foo/": {"routespec": "/user/foo/", "target": POD, "data": USER}
    }
    await proxy.delete_route("/user/foo/")
    assert await objects(proxy) == {}
    assert await proxy.get_all_routes() == {}


async def test_a_service_is_led_to_directly(proxy):
    await proxy.add_route("/user/foo/", OWN, USER)
    found = await objects(proxy)
    assert kinds(found) == ["route"]
    (backend,) = found["route", NAME]["spec"]["rules"][0]["backendRefs"]
    assert (backend["name"], backend["port"]) == ("foo-service", 8888)


@pytest.mark.parametrize("target", [POD, "http://[fd00::1]:8888", OWN, ELSEWHERE])
@pytest.mark.parametrize("before", [POD, OWN, ELSEWHERE])
async def test_a_route_changes_from_each_kind_of_target_to_each(proxy, before, target):
    await proxy.add_route("/user/foo/", before, USER)
    await proxy.add_route("/user/foo/", target, USER)
    found = await objects(proxy)
    expected = ["route"] if target in (OWN, ELSEWHERE) else ["route", "service", "slice"]
    assert kinds(found) == expected
    (backend,) = found["route", NAME]["spec"]["rules"][0]["backendRefs"]
    names = {OWN: "foo-service", ELSEWHERE: "lab"}
    assert backend["name"] == names.get(target, NAME)
    assert backend.get("namespace") == ("elsewhere" if target == ELSEWHERE else None)


async def test_what_is_outside_of_the_cluster_is_refused(proxy):
    with pytest.raises(ConfigurationError, match=r"/x/.*jupyter\.example\.com"):
        await proxy.add_route("/x/", "https://www.jupyter.example.com", {"extra": True})
    assert await objects(proxy) == {}


async def test_settings_reach_the_route(cluster, make_proxy):
    parents = [{**GATEWAY, "sectionName": "https"}, {"name": "second", "port": 8443}]
    filters = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}]
    proxy = make_proxy(
        gateway_parent_refs=parents,
        gateway_hostnames=["hub.example.com", "{username}.example.com"],
        route_extra_labels={"of": "{username}"},
        route_extra_annotations={"note": "{unescaped_username}"},
        route_timeouts=None,
        route_filters=filters,
        service_app_protocol="kubernetes.io/ws",
    )
    await proxy.add_route("/user/foo/", POD, {"user": "a@b"})
    found = await objects(proxy)
    route = found["route", NAME]
    assert [
        {k: v for k, v in ref.items() if k not in ("group", "kind")}
        for ref in route["spec"]["parentRefs"]
    ] == parents
    assert route["spec"]["hostnames"] == ["hub.example.com", "a-40b.example.com"]
    assert route["metadata"]["labels"]["of"] == "a-40b"
    assert route["metadata"]["annotations"]["note"] == "a@b"
    assert "of" not in found["service", NAME]["metadata"]["labels"]
    (rule,) = route["spec"]["rules"]
    assert "timeouts" not in rule
    assert rule["filters"] == filters
    assert found["service", NAME]["spec"]["ports"][0]["appProtocol"] == "kubernetes.io/ws"


async def test_host_routing_serves_the_routes_own_host(cluster, make_proxy):
    proxy = make_proxy(gateway_hostnames=["*.hub.example.com", "hub.example.com"])
    spec = "foo.hub.example.com/user/foo/"
    await proxy.add_route(spec, POD, USER)
    (route,) = [item for (kind, _), item in (await objects(proxy)).items() if kind == "route"]
    assert route["spec"]["hostnames"] == ["foo.hub.example.com"]
    assert route["spec"]["rules"][0]["matches"][0]["path"]["value"] == "/user/foo/"
    assert set(await proxy.get_all_routes()) == {spec}


@pytest.mark.parametrize(
    ("decoded", "routespec", "path"),
    [
        (False, "/user/a%40b/", "/user/a%40b/"),
        (True, "/user/a%40b/", "/user/a@b/"),
        (True, "/user/a%20b/", "/user/a%20b/"),
        (True, "/user/%C3%A9/", "/user/%C3%A9/"),
    ],
)
async def test_paths_are_as_the_controller_compares_them(
    cluster, make_proxy, decoded, routespec, path
):
    proxy = make_proxy(route_decoded_paths=decoded)
    await proxy.add_route(routespec, POD, USER)
    (route,) = [item for (kind, _), item in (await objects(proxy)).items() if kind == "route"]
    assert route["spec"]["rules"][0]["matches"][0]["path"]["value"] == path
    assert set(await proxy.get_all_routes()) == {routespec}


# ---- only what differs -----------------------------------------------------------------


@pytest.mark.parametrize("target", [POD, OWN, ELSEWHERE])
async def test_an_unchanged_route_asks_nothing_of_the_cluster(cluster, make_proxy, target):
    proxy = make_proxy(gateway_hostnames=["a.example.com"])
    await proxy.get_all_routes()
    await proxy.add_route("/user/foo/", target, USER)
    await settled(proxy)
    cluster.asked()
    await proxy.add_route("/user/foo/", target, USER)
    assert cluster.asked() == []


async def test_what_is_configured_no_more_is_taken_off(cluster, make_proxy):
    first = make_proxy(
        gateway_hostnames=["a.example.com"],
        route_extra_labels={"shown": "yes"},
        route_extra_annotations={"note": "x"},
        route_filters=[{"type": "RequestHeaderModifier", "requestHeaderModifier": {}}],
        service_app_protocol="kubernetes.io/ws",
    )
    await first.add_route("/user/foo/", POD, USER)
    theirs = {"metadata": {"labels": {"theirs": "1"}, "annotations": {"theirs": "1"}}}
    await first.gateway_api.patch_namespaced_http_route(
        name=NAME,
        namespace="default",
        body=theirs,
        _content_type="application/merge-patch+json",
    )
    await first.stop()
    second = make_proxy(route_timeouts=None)
    await second.get_all_routes()
    await second.add_route("/user/foo/", POD, USER)
    found = await objects(second)
    route = found["route", NAME]
    assert "shown" not in route["metadata"]["labels"]
    assert "note" not in route["metadata"]["annotations"]
    assert route["metadata"]["labels"]["theirs"] == "1"
    assert route["metadata"]["annotations"]["theirs"] == "1"
    assert "hostnames" not in route["spec"]
    assert {"filters", "timeouts"}.isdisjoint(route["spec"]["rules"][0])
    assert "appProtocol" not in found["service", NAME]["spec"]["ports"][0]
    await settled(second)
    cluster.asked()
    await second.add_route("/user/foo/", POD, USER)
    assert cluster.asked() == []


# ---- what the controllers say ----------------------------------------------------------


async def test_a_route_that_is_accepted_returns_at_once(cluster, make_proxy, controller):
    controller()
    proxy = make_proxy(route_status_timeout=600)
    await proxy.add_route("/user/foo/", POD, USER)
    await proxy.add_route("/user/foo/", "http://10.1.2.4:8888", USER)
    assert (await proxy.get_route("/user/foo/"))["target"] == "http://10.1.2.4:8888"


async def test_an_answer_to_an_earlier_state_does_not_count(cluster, make_proxy, controller):
    late = controller({"generation": 0}, {"generation": 0, "accepted": "NoMatchingParent"}, {})
    proxy = make_proxy(route_status_timeout=600)
    await proxy.add_route("/user/foo/", POD, USER)
    assert late.answers == []


async def test_a_refusal_that_is_taken_back_in_time_is_none(cluster, make_proxy, controller):
    controller({"resolved": "BackendNotFound"}, {})
    proxy = make_proxy(route_status_timeout=600)
    await proxy.add_route("/user/foo/", POD, USER)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"accepted": "NotAllowedByListeners"}, "do not admit routes of this namespace"),
        ({"accepted": "NoMatchingListenerHostname"}, "no listener .* serves the route's host"),
        ({"resolved": "BackendNotFound"}, "the Service does not exist"),
        ({"resolved": "RefNotPermitted"}, "no ReferenceGrant"),
        ({"accepted": "Odd"}, r"Accepted is False \(Odd: said of Accepted\)"),
    ],
)
async def test_a_refusal_is_raised_in_words_and_counted(
    cluster, make_proxy, controller, words, told
):
    controller(words)
    proxy = make_proxy(route_status_timeout=1)
    before = ROUTE_FAILURES.labels("add")._value.get()
    with pytest.raises(ConfigurationError, match=told) as error:
        await proxy.add_route("/user/foo/", POD, USER)
    assert "Gateway gateways/web" in str(error.value)
    assert ROUTE_FAILURES.labels("add")._value.get() == before + 1
    # And again, without a request, while it lasts.
    await settled(proxy)
    cluster.asked()
    with pytest.raises(ConfigurationError, match=told):
        await proxy.add_route("/user/foo/", POD, USER)
    assert [r for r in cluster.asked() if r[0] == "create"] == []


async def test_every_gateway_has_to_accept(cluster, make_proxy, controller):
    both = [GATEWAY, {"name": "second"}]
    one = controller({"parents": [GATEWAY]})
    proxy = make_proxy(gateway_parent_refs=both, route_status_timeout=600)
    adding = asyncio.create_task(proxy.add_route("/user/foo/", POD, USER))
    await eventually(lambda: "conditions" in str(dict(proxy.http_route_reflector.routes)))
    assert not adding.done()
    await one.say(NAME, parents=both)
    await adding


async def test_no_answer_at_all_is_a_warning_and_later_routes_do_not_wait(
    cluster, make_proxy, controller, caplog
):
    proxy = make_proxy(route_status_timeout=1)
    proxy.log = logging.getLogger("test_gateway")
    with caplog.at_level(logging.WARNING, "test_gateway"):
        await proxy.add_route("/user/foo/", POD, USER)
        await proxy.add_route("/user/bar/", POD, USER)
    assert caplog.text.count("is there a controller that serves web?") == 1
    assert proxy._nobody_answers
    controller()
    await eventually(lambda: not proxy._nobody_answers)


# ---- Services of other namespaces ------------------------------------------------------


async def test_a_service_of_another_namespace_gets_a_grant_while_a_route_leads_to_it(proxy):
    await proxy.add_route("/user/foo/", ELSEWHERE, USER)
    await proxy.add_route("/user/bar/", ELSEWHERE, USER)
    ((_, grant),) = [(k, item) for (k, _), item in (await objects(proxy)).items() if k == "grant"]
    assert grant["metadata"]["namespace"] == "elsewhere"
    assert grant["spec"] == {
        "from": [{"group": GROUP, "kind": "HTTPRoute", "namespace": "default"}],
        "to": [{"group": "", "kind": "Service", "name": "lab"}],
    }
    await proxy.delete_route("/user/foo/")
    assert "grant" in {kind for kind, _ in await objects(proxy)}
    await proxy.delete_route("/user/bar/")
    assert await objects(proxy) == {}
    await proxy.add_route("/user/foo/", ELSEWHERE, USER)
    assert "grant" in {kind for kind, _ in await objects(proxy)}


async def test_two_hubs_have_a_grant_each(proxy, make_proxy):
    theirs = make_proxy(component_label="Other_hub")
    await proxy.add_route("/user/foo/", ELSEWHERE, USER)
    await theirs.add_route("/user/bar/", ELSEWHERE, USER)
    await proxy.delete_route("/user/foo/")
    assert [kind for kind, _ in await objects(proxy)] == ["route", "grant"]


async def test_a_grant_that_may_not_be_made_is_told(proxy, cluster):
    cluster.server.faults.deny(verb="create", resource="referencegrants")
    with pytest.raises(
        ConfigurationError, match=r"lab of the namespace elsewhere.*referencegrants"
    ):
        await proxy.add_route("/user/foo/", ELSEWHERE, USER)
    assert await proxy.get_all_routes() == {}


async def test_a_grant_that_may_not_be_deleted_is_kept(proxy, cluster):
    await proxy.add_route("/user/foo/", ELSEWHERE, USER)
    cluster.server.faults.deny(verb="delete", resource="referencegrants")
    await proxy.delete_route("/user/foo/")
    assert {kind for kind, _ in await objects(proxy)} == {"grant"}


async def test_a_namespace_that_does_not_exist_is_told(proxy):
    with pytest.raises(ConfigurationError, match="nowhere"):
        await proxy.add_route("/user/foo/", "http://lab.nowhere:80", USER)


async def test_a_missing_grant_is_made_again(cluster, make_proxy, controller):
    said = controller()
    proxy = make_proxy(route_status_timeout=60)
    await proxy.add_route("/user/foo/", ELSEWHERE, USER)
    (grant,) = [name for kind, name in await objects(proxy) if kind == "grant"]
    await CustomObjectsApi(proxy.core_api.api_client).delete_namespaced_custom_object(
        GROUP, "v1beta1", "elsewhere", "referencegrants", grant
    )
    await said.say(NAME, resolved="RefNotPermitted")
    await eventually(lambda: "RefNotPermitted" in str(dict(proxy.http_route_reflector.routes)))
    with pytest.raises(ConfigurationError, match="ReferenceGrant"):
        await proxy.add_route("/user/foo/", ELSEWHERE, USER)
    await proxy.add_route("/user/foo/", OWN, USER)
    await proxy.add_route("/user/foo/", ELSEWHERE, USER)
    assert ("grant", grant) in await objects(proxy)


# ---- trouble ---------------------------------------------------------------------------


async def test_a_cluster_without_the_gateway_api_is_told_so(bare_cluster, make_proxy, monkeypatch):
    monkeypatch.setattr("kubespawner.proxy.base._TELL_EVERY", 0.05)
    proxy = make_proxy()
    with pytest.raises(ConfigurationError, match=r"no httproutes.*gateway\.networking\.k8s\.io/v1"):
        await proxy.get_all_routes()


async def test_a_proxy_without_a_gateway_is_refused(cluster, make_proxy):
    with pytest.raises(ConfigurationError, match="gateway_parent_refs is empty"):
        make_proxy(gateway_parent_refs=[])


async def test_a_misspelt_setting_stops_the_hub(cluster, make_proxy):
    with pytest.raises(ConfigurationError, match="did you mean 'gateway_hostnames'"):
        make_proxy(gateway_hostname=["x"])


async def test_two_hubs_of_one_namespace_leave_each_others_routes_alone(cluster, make_proxy):
    mine, theirs = make_proxy(), make_proxy(component_label="other-hub")
    await theirs.add_route("/user/foo/", POD, USER)
    with pytest.raises(ConfigurationError, match=r"KubeGatewayProxy\.component_label"):
        await mine.add_route("/user/foo/", "http://10.9.9.9:1", USER)
    assert await mine.get_all_routes() == {}
    await mine.delete_route("/user/foo/")
    assert kinds(await objects(mine)) == ["route", "service", "slice"]


async def test_a_damaged_route_is_skipped(proxy, caplog):
    await proxy.add_route("/user/foo/", POD, USER)
    await proxy.gateway_api.create_namespaced_http_route(
        namespace="default",
        body={
            "apiVersion": f"{GROUP}/v1",
            "kind": "HTTPRoute",
            "metadata": {
                "name": "damaged",
                "labels": dict(
                    pair.split("=") for pair in proxy.http_route_reflector.label_selector.split(",")
                ),
            },
            "spec": {},
        },
    )
    await eventually(lambda: len(proxy.http_route_reflector.routes) == 2)
    proxy.log = logging.getLogger("test_gateway")
    with caplog.at_level(logging.WARNING, "test_gateway"):
        assert set(await proxy.get_all_routes()) == {"/user/foo/"}
    assert "HTTPRoute default/damaged is no route" in caplog.text


async def test_the_documented_role_is_enough(cluster, make_proxy, controller):
    proxy = make_proxy()
    await proxy.get_all_routes()
    cluster.requests.clear()
    for target in (POD, "http://[fd00::1]:1", OWN, POD):
        await proxy.add_route("/user/foo/", target, USER)
    await proxy.delete_route("/user/foo/")
    assert set(cluster.requests) <= ROLE
    await proxy.add_route("/user/foo/", ELSEWHERE, USER)
    await proxy.delete_route("/user/foo/")
    assert set(cluster.requests) - ROLE == {
        ("create", "referencegrants"),
        ("delete", "referencegrants"),
    }


async def test_the_hubs_check_of_routes_converges(cluster, make_proxy):
    await check_converges(make_proxy(), cluster, extra="http://extra.default.svc:80")
