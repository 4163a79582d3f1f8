"""Routes as objects of an API server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

import pytest
from kubernetes_asyncio.client import ApiException
from traitlets.config import Config

from kubespawner.errors import ConfigurationError
from kubespawner.kube.informer import Health
from kubespawner.kube.requests import ApiUnavailable
from kubespawner.proxy import KubeIngressProxy
from kubespawner.proxy.base import ROUTE_FAILURES
from kubespawner.proxy.marks import APPLIED
from tests.support.schemas import assert_valid
from tests.support.waiting import eventually

from ._routes import (
    ALIAS,
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

# The Role that the documentation names.
ROLE = {
    (verb, plural)
    for plural in ("services", "endpointslices", "ingresses")
    for verb in ("get", "list", "watch", "create", "update", "patch", "delete")
} | {("get", "endpoints"), ("delete", "endpoints")}


@pytest.fixture
async def cluster(tmp_path, monkeypatch):
    async with running_cluster(tmp_path, monkeypatch) as cluster:
        yield cluster


@pytest.fixture
async def make_proxy(cluster):
    proxies = []

    def make(cls=KubeIngressProxy, **settings):
        config = Config()
        config.KubeIngressProxy = Config({"k8s_api_request_retry_timeout": 2, **settings})
        proxy = cls(config=config)
        proxies.append(proxy)
        return proxy

    yield make
    for proxy in proxies:
        await proxy.stop()


@pytest.fixture
async def proxy(make_proxy):
    proxy = make_proxy()
    await proxy.get_all_routes()
    return proxy


@pytest.fixture
def objects(cluster):
    return all_objects


# ---- what a route is made of -----------------------------------------------------------


async def test_a_pods_route_is_ingress_service_and_slice(proxy, objects):
    await proxy.add_route("/user/foo/", POD, USER)
    found = await objects(proxy)
    assert kinds(found) == ["ingress", "service", "slice"]
    for item in found.values():
        meta = item["metadata"]
        assert meta["labels"]["component"] == "singleuser-server"
        assert meta["labels"]["app.kubernetes.io/component"] == "singleuser-server"
        assert meta["labels"]["hub.jupyter.org/proxy-route"] == "true"
        assert meta["labels"]["heritage"] == "jupyterhub"
        assert meta["annotations"]["hub.jupyter.org/proxy-routespec"] == "/user/foo/"
        assert meta["annotations"]["hub.jupyter.org/proxy-target"] == POD
        assert json.loads(meta["annotations"]["hub.jupyter.org/proxy-data"]) == USER
    service = found["service", NAME]["spec"]
    assert service["type"] == "ClusterIP"
    assert "selector" not in service
    slice_ = found["slice", NAME]
    assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == NAME
    assert slice_["endpoints"][0]["addresses"] == ["10.1.2.3"]
    assert slice_["ports"][0]["port"] == 8888
    ingress = found["ingress", NAME]["spec"]
    assert "ingressClassName" not in ingress
    path = ingress["rules"][0]["http"]["paths"][0]
    assert path["path"] == "/user/foo/"
    assert path["backend"]["service"] == {"name": NAME, "port": {"number": 8888}}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (POD, ["ingress", "service", "slice"]),
        ("http://[fd00::1]:8888", ["ingress", "service", "slice"]),
        (ALIAS, ["ingress", "service"]),
        (OWN, ["ingress"]),
    ],
)
@pytest.mark.parametrize("before", [POD, ALIAS, OWN])
async def test_a_route_changes_from_each_kind_of_target_to_each(
    make_proxy, objects, before, target, expected
):
    proxy = make_proxy(reuse_existing_services=True)
    await proxy.add_route("/user/foo/", before, USER)
    await proxy.add_route("/user/foo/", target, USER)
    found = await objects(proxy)
    assert kinds(found) == expected
    backend = found["ingress", NAME]["spec"]["rules"][0]["http"]["paths"][0]["backend"]
    assert backend["service"]["name"] == (NAME if "service" in expected else "foo-service")
    if "service" in expected:
        service = found["service", NAME]["spec"]
        assert service["type"] == ("ClusterIP" if "slice" in expected else "ExternalName")
        assert (service.get("externalName") or "") == (
            "" if "slice" in expected else "foo.elsewhere.svc.cluster.local"
        )
    if "slice" in expected:
        assert found["slice", NAME]["addressType"] == ("IPv6" if "fd00" in target else "IPv4")


@pytest.mark.parametrize("target", [POD, "https://[fd00::1]", ALIAS, OWN])
async def test_manifests_are_valid_in_every_version_of_kubernetes(make_proxy, target):
    proxy = make_proxy(
        reuse_existing_services=True,
        ingress_class_name="nginx",
        ingress_specifications=[{"host": "*.example.com", "tlsSecret": "tls"}],
    )
    versions = ("discovery.k8s.io/v1", "v1", "networking.k8s.io/v1")
    for version, manifest in zip(
        versions, proxy._manifests("a.example.com/", target, USER), strict=True
    ):
        if manifest is not None:
            assert_valid({"apiVersion": version, **manifest})


async def test_target_without_port_uses_the_schemes(proxy, objects):
    await proxy.add_route("/user/foo/", "https://10.1.2.3", USER)
    found = await objects(proxy)
    assert found["slice", NAME]["ports"][0]["port"] == 443


async def test_templates_are_expanded_from_the_routes_data(make_proxy, objects):
    proxy = make_proxy(
        common_labels={"user": "{username}", "service": "{servicename}", "of": "{hubnamespace}"},
        ingress_extra_labels={"name": "{routespec}"},
        ingress_extra_annotations={
            "nginx.ingress.kubernetes.io/backend-protocol": "HTTPS",
            "x": "{unescaped_username}|{unescaped_routespec}|{servername}-",
        },
        ingress_class_name="nginx",
        ingress_specifications=[{"host": "{username}x.example.com", "tlsSecret": "tls-{username}"}],
    )
    await proxy.add_route("/user/foo/", POD, {"user": "a@b", "server_name": "lab"})
    await proxy.add_route("/services/s/", POD, {"service": "my-svc"})
    found = await objects(proxy)
    ingress = found["ingress", NAME]
    labels = ingress["metadata"]["labels"]
    assert (labels["user"], labels["service"], labels["of"]) == ("a-40b", "", "user")
    assert labels["name"] == "jupyter--2Fuser-2Ffoo-2F-route"
    annotations = ingress["metadata"]["annotations"]
    assert annotations["x"] == "a@b|/user/foo/|lab"
    assert annotations["nginx.ingress.kubernetes.io/backend-protocol"] == "HTTPS"
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["rules"][0]["host"] == "a-40bx.example.com"
    assert ingress["spec"]["tls"] == [{"hosts": ["a-40bx.example.com"], "secretName": "tls-a-40b"}]
    service = found["ingress", "jupyter--2fservices-2fs-2f-route"]
    assert service["metadata"]["labels"]["service"] == "my-2dsvc"
    assert "name" not in found["service", NAME]["metadata"]["labels"]


async def test_a_label_that_a_name_makes_invalid_is_named(make_proxy):
    proxy = make_proxy(common_labels={"user": "{unescaped_username}"})
    with pytest.raises(ConfigurationError, match=r"common_labels\['user'\].*a@b"):
        await proxy.add_route("/user/foo/", POD, {"user": "a@b"})


async def test_host_routing_has_the_host_in_the_rule_and_the_routespec_as_given(
    make_proxy, objects
):
    proxy = make_proxy(ingress_specifications=[{"host": "*.hub.example.com", "tlsSecret": "tls"}])
    spec = "foo.hub.example.com/user/foo/"
    await proxy.add_route(spec, POD, USER)
    (ingress,) = [item for (kind, _), item in (await objects(proxy)).items() if kind == "ingress"]
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] == "foo.hub.example.com"
    assert rule["http"]["paths"][0]["path"] == "/user/foo/"
    assert await proxy.get_all_routes() == {spec: {"routespec": spec, "target": POD, "data": USER}}
    await proxy.delete_route(spec)
    assert await objects(proxy) == {}


# ---- only what differs -----------------------------------------------------------------


@pytest.mark.parametrize("target", [POD, ALIAS, OWN])
async def test_an_unchanged_route_asks_nothing_of_the_cluster(make_proxy, cluster, target):
    proxy = make_proxy(
        reuse_existing_services=True,
        ingress_specifications=[{"host": "a.example.com", "tlsSecret": "tls"}],
    )
    await proxy.get_all_routes()
    await proxy.add_route("/x/", target, {"extra": True})
    cluster.asked()
    await proxy.add_route("/x/", target, {"extra": True})
    await settled(proxy)
    await proxy.add_route("/x/", target, {"extra": True})
    assert cluster.asked() == []


async def test_a_restarted_hub_writes_no_route_again(make_proxy, cluster):
    first = make_proxy()
    await first.add_route("/user/foo/", POD, USER)
    await first.stop()
    second = make_proxy()
    assert set(await second.get_all_routes()) == {"/user/foo/"}
    for reflector in second._reflectors:
        await reflector.informer.loaded()
    cluster.asked()
    await second.add_route("/user/foo/", POD, USER)
    assert cluster.asked() == []


async def test_fields_of_others_stay(proxy, objects):
    await proxy.add_route("/user/foo/", POD, USER)
    await proxy.networking_api.patch_namespaced_ingress(
        NAME,
        "default",
        {"metadata": {"annotations": {"cert-manager.io/x": "1"}, "labels": {"team": "t"}}},
    )
    await proxy.add_route("/user/foo/", "http://10.9.9.9:1", USER)
    ingress = (await objects(proxy))["ingress", NAME]
    assert ingress["metadata"]["annotations"]["cert-manager.io/x"] == "1"
    assert ingress["metadata"]["labels"]["team"] == "t"
    assert ingress["metadata"]["annotations"]["hub.jupyter.org/proxy-target"] == "http://10.9.9.9:1"


async def test_what_is_configured_no_more_is_taken_off_and_fields_of_others_stay(
    make_proxy, cluster, objects
):
    first = make_proxy(
        common_labels={"team": "t", "kept": "k"},
        ingress_extra_labels={"shown": "yes"},
        ingress_extra_annotations={"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"},
        ingress_class_name="nginx",
        ingress_specifications=[{"host": "a.example.com", "tlsSecret": "tls"}],
    )
    await first.add_route("/user/foo/", POD, USER)
    theirs = {"labels": {"theirs": "1"}, "annotations": {"cert-manager.io/x": "1"}}
    await first.networking_api.patch_namespaced_ingress(NAME, "default", {"metadata": theirs})
    await first.stop()

    second = make_proxy(common_labels={"kept": "k"})
    await second.get_all_routes()
    await second.add_route("/user/foo/", POD, USER)
    found = await objects(second)
    for kind in ("ingress", "service", "slice"):
        assert "team" not in found[kind, NAME]["metadata"]["labels"]
        assert found[kind, NAME]["metadata"]["labels"]["kept"] == "k"
    ingress = found["ingress", NAME]
    assert "shown" not in ingress["metadata"]["labels"]
    assert ingress["metadata"]["labels"]["theirs"] == "1"
    assert ingress["metadata"]["annotations"]["cert-manager.io/x"] == "1"
    assert not any("backend-protocol" in key for key in ingress["metadata"]["annotations"])
    assert "ingressClassName" not in ingress["spec"]
    assert "tls" not in ingress["spec"]
    assert "host" not in ingress["spec"]["rules"][0]
    await settled(second)
    cluster.asked()
    await second.add_route("/user/foo/", POD, USER)
    assert cluster.asked() == []


async def test_a_route_of_an_earlier_version_gets_a_record_and_keeps_what_is_on_it(
    make_proxy, objects
):
    proxy = make_proxy()
    await proxy.get_all_routes()
    await proxy.add_route("/user/foo/", POD, USER)
    mine = (await objects(proxy))["ingress", NAME]["metadata"]["annotations"]
    await proxy.networking_api.patch_namespaced_ingress(
        NAME,
        "default",
        {"metadata": {"annotations": {APPLIED: None}, "labels": {"from": "before"}}},
    )
    await eventually(
        lambda: "before" in str(proxy.ingress_reflector.ingresses[f"default/{NAME}"]["metadata"])
    )
    await proxy.add_route("/user/foo/", POD, USER)
    meta = (await objects(proxy))["ingress", NAME]["metadata"]
    assert meta["labels"]["from"] == "before"
    assert meta["annotations"] == mine


async def test_what_was_deleted_by_hand_is_made_again(proxy, objects):
    await proxy.add_route("/user/foo/", POD, USER)
    await settled(proxy)
    await proxy.core_api.delete_namespaced_service(NAME, "default")
    await eventually(lambda: not proxy.service_reflector.services)
    await proxy.add_route("/user/foo/", POD, USER)
    assert kinds(await objects(proxy)) == ["ingress", "service", "slice"]


async def test_leftover_endpoints_go_when_the_route_is_touched(proxy, objects):
    labels = {"component": "singleuser-server", "hub.jupyter.org/proxy-route": "true"}
    for name, component in ((NAME, "singleuser-server"), ("other", "singleuser-server")):
        await proxy.core_api.create_namespaced_endpoints(
            "default",
            {"metadata": {"name": name, "labels": {**labels, "component": component}}},
        )
    await proxy.add_route("/user/foo/", POD, USER)
    found = await objects(proxy)
    assert kinds(found) == ["ingress", "service", "slice"]
    assert ("endpoints", "other") in found


# ---- consistent for its caller ---------------------------------------------------------


async def test_own_changes_show_at_once_while_the_watch_is_silent(proxy, cluster):
    await proxy.add_route("/user/old/", POD, USER)
    await settled(proxy)
    cluster.server.faults.freeze_watches()
    await proxy.add_route("/user/foo/", POD, USER)
    await proxy.delete_route("/user/old/")
    assert set(await proxy.get_all_routes()) == {"/user/foo/"}
    await proxy.add_route("/user/foo/", ALIAS, USER)
    assert (await proxy.get_route("/user/foo/"))["target"] == ALIAS
    await proxy.delete_route("/user/foo/")
    assert await proxy.get_all_routes() == {}
    await proxy.add_route("/user/foo/", POD, USER)
    assert set(await proxy.get_all_routes()) == {"/user/foo/"}
    cluster.server.faults.close_watches(abort=True)
    await settled(proxy)
    assert set(await proxy.get_all_routes()) == {"/user/foo/"}


async def test_calls_for_one_route_take_turns_and_others_do_not_wait(proxy, cluster, objects):
    slow = cluster.fault(verb="create", resource="ingresses", name="", times=1, delay=1)
    first = asyncio.create_task(proxy.add_route("/user/foo/", POD, USER))
    await slow.reached.wait()
    second = asyncio.create_task(proxy.delete_route("/user/foo/"))
    await proxy.add_route("/user/bar/", POD, USER)
    assert not first.done()
    assert not second.done()
    await asyncio.gather(first, second)
    assert set(await proxy.get_all_routes()) == {"/user/bar/"}
    assert kinds(await objects(proxy)) == []


async def test_many_routes_at_once(make_proxy, objects):
    proxy = make_proxy(k8s_api_request_retry_timeout=60)
    specs = [f"/user/u{n}/" for n in range(40)]
    await asyncio.gather(*(proxy.add_route(spec, POD, {"user": spec}) for spec in specs))
    assert set(await proxy.get_all_routes()) == set(specs)
    await asyncio.gather(*(proxy.delete_route(spec) for spec in specs))
    assert await proxy.get_all_routes() == {}
    assert await objects(proxy) == {}


async def test_deleting_what_is_absent_is_fine(proxy, cluster):
    cluster.asked()
    await proxy.delete_route("/user/foo/")
    assert cluster.asked() == []


# ---- whose route -----------------------------------------------------------------------


async def test_a_damaged_ingress_is_skipped_and_told_once(proxy, caplog):
    await proxy.add_route("/user/foo/", POD, USER)
    good = proxy.ingress_reflector.label_selector
    labels = dict(pair.split("=") for pair in good.split(","))
    annotations = {
        "none": {},
        "unreadable": {
            "hub.jupyter.org/proxy-routespec": "/a/",
            "hub.jupyter.org/proxy-target": POD,
            "hub.jupyter.org/proxy-data": "{",
        },
        "copied": {
            "hub.jupyter.org/proxy-routespec": "/user/foo/",
            "hub.jupyter.org/proxy-target": "http://elsewhere:1",
            "hub.jupyter.org/proxy-data": "{}",
        },
    }
    for name, texts in annotations.items():
        await proxy.networking_api.create_namespaced_ingress(
            "default",
            {
                "metadata": {"name": name, "labels": labels, "annotations": texts},
                "spec": {"defaultBackend": {"service": {"name": "x", "port": {"number": 1}}}},
            },
        )
    await eventually(lambda: len(proxy.ingress_reflector.ingresses) == 4)
    logger = logging.getLogger("test_proxy")
    proxy.log = logger
    with caplog.at_level(logging.INFO, logger.name):
        for _ in range(2):
            routes = await proxy.get_all_routes()
            assert routes == {
                "/user/foo/": {"routespec": "/user/foo/", "target": POD, "data": USER}
            }
    for name in annotations:
        assert len([r for r in caplog.records if f"default/{name} " in r.getMessage()]) == 1


async def test_two_hubs_of_one_namespace_leave_each_others_routes_alone(make_proxy, objects):
    mine, theirs = make_proxy(), make_proxy(component_label="other-hub")
    await theirs.add_route("/user/foo/", POD, USER)
    with pytest.raises(ConfigurationError, match="component_label"):
        await mine.add_route("/user/foo/", "http://10.9.9.9:1", USER)
    assert await mine.get_all_routes() == {}
    await mine.delete_route("/user/foo/")
    assert (await theirs.get_route("/user/foo/"))["target"] == POD
    assert kinds(await objects(mine)) == ["ingress", "service", "slice"]


# ---- trouble ---------------------------------------------------------------------------


async def test_routes_are_waited_for_and_never_empty_before_they_are_known(
    make_proxy, cluster, caplog, monkeypatch
):
    first = make_proxy()
    await first.add_route("/user/foo/", POD, USER)
    monkeypatch.setattr("kubespawner.proxy.base._TELL_EVERY", 0.05)
    refusing = cluster.fault(verb="list", status=403, reason="Forbidden", message="no list")
    second = make_proxy()
    second.log = logging.getLogger("test_proxy")
    with caplog.at_level(logging.WARNING, "test_proxy"):
        asking = asyncio.create_task(second.get_all_routes())
        await eventually(lambda: "Waiting for the routes to be listed" in caplog.text)
    assert "no list" in caplog.text
    assert not asking.done()
    cluster.server.faults.remove(refusing)
    assert set(await asking) == {"/user/foo/"}


async def test_routes_that_stay_unknown_are_an_error(make_proxy, cluster):
    cluster.fault(verb="list", status=403, reason="Forbidden", message="no list")
    proxy = make_proxy(route_load_timeout=1)
    with pytest.raises(ApiUnavailable, match="no list"):
        await proxy.get_all_routes()


async def test_an_interrupted_watch_is_not_believed(proxy, cluster):
    await proxy.add_route("/user/foo/", POD, USER)
    await settled(proxy)
    broken = cluster.fault(verb="watch", status=500)
    cluster.server.faults.close_watches(abort=True)
    await eventually(lambda: proxy.ingress_reflector.health is Health.STALE)
    await proxy.networking_api.delete_namespaced_ingress(NAME, "default")
    assert NAME in "".join(proxy.ingress_reflector.ingresses)
    assert await proxy.get_all_routes() == {}
    await proxy.add_route("/user/bar/", POD, USER)
    await proxy.delete_route("/user/bar/")
    assert await proxy.get_all_routes() == {}
    cluster.server.faults.remove(broken)


async def test_failures_are_tried_again_then_raised_and_counted(proxy, cluster):
    cluster.fault(verb="create", status=503, reason="ServiceUnavailable", times=2)
    cluster.fault(verb="create", drop="after", resource="ingresses", times=1)
    await proxy.add_route("/user/foo/", POD, USER)
    assert set(await proxy.get_all_routes()) == {"/user/foo/"}
    before = ROUTE_FAILURES.labels("add")._value.get()
    cluster.server.faults.deny(verb="create", resource="ingresses")
    with pytest.raises(ConfigurationError, match="lacks the verb 'create' on ingresses"):
        await proxy.add_route("/user/bar/", POD, USER)
    assert ROUTE_FAILURES.labels("add")._value.get() == before + 1
    assert set(await proxy.get_all_routes()) == {"/user/foo/"}


async def test_a_route_on_its_way_out_is_waited_for_and_made_anew(proxy):
    await proxy.add_route("/user/foo/", POD, USER)
    held = {"metadata": {"finalizers": ["example.com/balancer"]}}
    await proxy.networking_api.patch_namespaced_ingress(NAME, "default", held)
    await proxy.delete_route("/user/foo/")
    assert await proxy.get_all_routes() == {}
    adding = asyncio.create_task(proxy.add_route("/user/foo/", POD, USER))
    await eventually(lambda: proxy.service_reflector.services)
    released = {"metadata": {"finalizers": None}}
    with contextlib.suppress(ApiException):
        await proxy.networking_api.patch_namespaced_ingress(NAME, "default", released)
    await adding
    assert set(await proxy.get_all_routes()) == {"/user/foo/"}


async def test_what_holds_up_a_deletion_is_named(make_proxy):
    proxy = make_proxy(k8s_api_request_retry_timeout=1)
    await proxy.add_route("/user/foo/", POD, USER)
    held = {"metadata": {"finalizers": ["example.com/balancer"]}}
    await proxy.networking_api.patch_namespaced_ingress(NAME, "default", held)
    await proxy.delete_route("/user/foo/")
    with pytest.raises(TimeoutError, match=r"example\.com/balancer"):
        await proxy.add_route("/user/foo/", POD, USER)


async def test_a_route_that_can_not_be_deleted_in_full_stays_visible(proxy, cluster, objects):
    await proxy.add_route("/user/foo/", POD, USER)
    cluster.server.faults.deny(verb="delete", resource="services")
    with pytest.raises(ConfigurationError, match="lacks the verb 'delete' on services"):
        await proxy.delete_route("/user/foo/")
    assert set(await proxy.get_all_routes()) == {"/user/foo/"}
    cluster.server.faults.clear()
    await proxy.delete_route("/user/foo/")
    assert await objects(proxy) == {}


async def test_a_misspelt_setting_stops_the_hub(make_proxy):
    with pytest.raises(ConfigurationError, match="did you mean 'ingress_class_name'"):
        make_proxy(ingress_clas_name="nginx")


async def test_a_missing_ingress_class_is_a_warning(make_proxy, caplog):
    proxy = make_proxy(ingress_class_name="ngnix")
    proxy.log = logging.getLogger("test_proxy")
    with caplog.at_level(logging.WARNING, "test_proxy"):
        await proxy.get_all_routes()
        await proxy.get_all_routes()
    assert caplog.text.count("no such IngressClass") == 1


async def test_reflectors_show_the_routes_objects(proxy):
    await proxy.add_route("/user/foo/", POD, USER)
    await settled(proxy)
    key = f"default/{NAME}"
    for reflector, resources in (
        (proxy.ingress_reflector, proxy.ingress_reflector.ingresses),
        (proxy.service_reflector, proxy.service_reflector.services),
        (proxy.endpoint_reflector, proxy.endpoint_reflector.endpoints),
    ):
        await reflector.first_load_future
        assert set(resources) == {key}
        assert resources[key]["metadata"]["name"] == NAME


async def test_the_documented_role_is_enough(make_proxy, cluster):
    proxy = make_proxy(reuse_existing_services=True)
    await proxy.get_all_routes()
    for target in (POD, "http://[fd00::1]:1", ALIAS, OWN):
        await proxy.add_route("/user/foo/", target, USER)
    await proxy.add_route("/user/foo/", POD, USER)
    await proxy.delete_route("/user/foo/")
    assert set(cluster.requests) <= ROLE


# ---- with JupyterHub's own code --------------------------------------------------------


async def test_the_hubs_check_of_routes_converges(make_proxy, cluster):
    await check_converges(make_proxy(), cluster, extra="http://extra.example.com:80")


async def test_a_cluster_that_lacks_a_kind_is_told_so(make_proxy, cluster, monkeypatch):
    monkeypatch.setattr("kubespawner.proxy.base._TELL_EVERY", 0.05)
    cluster.fault(verb="list", resource="endpointslices", status=404, reason="NotFound")
    with pytest.raises(ConfigurationError, match=r"no endpointslices: Kubernetes 1\.21"):
        await make_proxy().get_all_routes()
