"""HTTPRoutes on a real API server, as on the embedded one; the test is the Gateway's controller."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets

import pytest
from kubernetes_asyncio.client import (
    ApiException,
    ApiextensionsV1Api,
    CoreV1Api,
    CustomObjectsApi,
    VersionApi,
)
from traitlets.config import Config

from kubespawner.clients import load_config, shared_client
from kubespawner.errors import ConfigurationError
from kubespawner.localcluster.apiserver import ApiServer
from kubespawner.proxy import EndpointsReflector, KubeGatewayProxy
from tests.support.gateway import CUSTOM_RESOURCES, GROUP, answer
from tests.support.waiting import eventually

LAB = "http://lab:8888"
USER = {"user": "foo", "server_name": ""}
NAME = "jupyter--2fuser-2ffoo-2f-route"


@pytest.fixture
async def api(tmp_path, monkeypatch):
    """The client of the cluster under test."""
    if os.environ.get("KUBESPAWNER_TEST_CLUSTER") == "current":
        load_config()
        yield shared_client("CoreV1Api").api_client
        return
    server = ApiServer()
    await server.start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(server.kubeconfig()))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    load_config()
    yield shared_client("CoreV1Api").api_client
    await server.stop()


@pytest.fixture
async def namespaces(api):
    """Two namespaces of a cluster that knows the Gateway API; those of routes and of a Service."""
    made = []
    for definition in CUSTOM_RESOURCES:
        try:
            await ApiextensionsV1Api(api).create_custom_resource_definition(definition)
        except ApiException as e:
            if e.status != 409:
                raise
        else:
            made.append(definition["metadata"]["name"])
    names = [f"routes-{secrets.token_hex(3)}", f"servers-{secrets.token_hex(3)}"]
    for name in names:
        await CoreV1Api(api).create_namespace({"metadata": {"name": name}})
    for kind in ("httproutes", "referencegrants"):
        await served(api, names[0], kind)
    yield names
    for name in names:
        await CoreV1Api(api).delete_namespace(name)
    for name in made:
        await ApiextensionsV1Api(api).delete_custom_resource_definition(name)
        await gone(api, name)


async def gone(api, definition):
    """Wait until a definition that is being deleted is gone."""
    with contextlib.suppress(ApiException):
        for _ in range(600):
            await ApiextensionsV1Api(api).read_custom_resource_definition(definition)
            await asyncio.sleep(0.1)


async def served(api, namespace, plural):
    """Wait until the cluster serves a kind that was just defined."""
    version = "v1" if plural == "httproutes" else "v1beta1"

    async def listed():
        try:
            await CustomObjectsApi(api).list_namespaced_custom_object(
                GROUP, version, namespace, plural
            )
        except ApiException as e:
            if e.status != 404:
                raise
            return False
        return True

    for _ in range(600):
        if await listed():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{plural} are not served")


@pytest.fixture
async def proxy(namespaces, api, monkeypatch):
    version = await VersionApi(api).get_code()
    if int(re.match(r"\d+", version.minor)[0]) < 21:
        # Its slices are of another version; the routes here lead to Services and need none.
        older = {"group": "discovery.k8s.io", "version": "v1beta1", "plural": "endpointslices"}
        monkeypatch.setattr(EndpointsReflector, "api_group_name", "CustomObjectsApi")
        monkeypatch.setattr(EndpointsReflector, "list_method_name", "list_namespaced_custom_object")
        monkeypatch.setattr(EndpointsReflector, "list_arguments", older)
    config = Config()
    config.KubeGatewayProxy = Config(
        {
            "namespace": namespaces[0],
            "gateway_parent_refs": [{"name": "web", "namespace": "gateways"}],
            "route_status_timeout": 0,
        }
    )
    proxy = KubeGatewayProxy(config=config)
    await proxy.get_all_routes()
    yield proxy
    await proxy.stop()


async def route_of(proxy, name=NAME):
    return await CustomObjectsApi(proxy.core_api.api_client).get_namespaced_custom_object(
        GROUP, "v1", proxy.namespace, "httproutes", name
    )


async def report(proxy, **words):
    """Answer for the route as a controller does."""
    await CustomObjectsApi(proxy.core_api.api_client).patch_namespaced_custom_object_status(
        GROUP,
        "v1",
        proxy.namespace,
        "httproutes",
        NAME,
        {"status": answer(await route_of(proxy), **words)},
        _content_type="application/merge-patch+json",
    )


async def test_a_route_comes_changes_and_goes(proxy):
    await proxy.add_route("/user/foo/", LAB, USER)
    made = await route_of(proxy)
    assert made["metadata"]["generation"] == 1
    (rule,) = made["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/user/foo/"}}]
    await proxy.add_route("/user/foo/", LAB, USER)
    assert (await route_of(proxy))["metadata"] == made["metadata"]
    proxy.gateway_hostnames = ["hub.example.com"]
    await proxy.add_route("/user/foo/", LAB, USER)
    changed = await route_of(proxy)
    assert changed["metadata"]["generation"] == 2
    assert changed["spec"]["hostnames"] == ["hub.example.com"]
    proxy.gateway_hostnames, proxy.route_timeouts = [], None
    await proxy.add_route("/user/foo/", LAB, USER)
    bare = await route_of(proxy)
    assert "hostnames" not in bare["spec"]
    assert "timeouts" not in bare["spec"]["rules"][0]
    assert set(await proxy.get_all_routes()) == {"/user/foo/"}
    await proxy.delete_route("/user/foo/")
    assert await proxy.get_all_routes() == {}
    with pytest.raises(ApiException, match="404"):
        await route_of(proxy)


async def test_answers_arrive_and_count_for_the_generation_they_are_about(proxy):
    await proxy.add_route("/user/foo/", LAB, USER)
    await report(proxy, accepted="NotAllowedByListeners")
    await eventually(lambda: "NotAllowed" in str(dict(proxy.http_route_reflector.routes)))
    assert (await route_of(proxy))["metadata"]["generation"] == 1
    with pytest.raises(ConfigurationError, match="do not admit routes of this namespace"):
        await proxy.add_route("/user/foo/", LAB, USER)
    # A new state of the route, about which nobody has said anything.
    await proxy.add_route("/user/foo/", "http://foo-service:80", USER)
    await report(proxy)
    proxy.route_status_timeout = 120
    await proxy.add_route("/user/foo/", "http://foo-service:80", USER)


async def test_a_grant_lives_in_the_services_namespace(proxy, namespaces, api):
    await proxy.add_route("/user/foo/", f"http://lab.{namespaces[1]}.svc:80", USER)
    objects = CustomObjectsApi(api)

    async def grants():
        found = await objects.list_namespaced_custom_object(
            GROUP, "v1beta1", namespaces[1], "referencegrants"
        )
        return found["items"]

    (grant,) = await grants()
    assert grant["spec"]["from"][0]["namespace"] == namespaces[0]
    assert grant["spec"]["to"][0]["name"] == "lab"
    await proxy.delete_route("/user/foo/")
    assert await grants() == []
