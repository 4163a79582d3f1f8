"""What the tests of the proxies share: an API server that tells what was asked of it."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

from kubernetes_asyncio.client import CoreV1Api, DiscoveryV1Api, NetworkingV1Api

from kubespawner.localcluster.apiserver import ApiServer
from kubespawner.localcluster.faults import Fault
from tests.support.waiting import eventually

USER = {"user": "foo", "server_name": ""}
NAME = "jupyter--2fuser-2ffoo-2f-route"
POD = "http://10.1.2.3:8888"
ALIAS = "http://foo.elsewhere.svc.cluster.local:8888"
OWN = "http://foo-service.default.svc:8888"


class Cluster:
    """An API server, and what reached it."""

    def __init__(self, server):
        self.server = server
        self.requests = []
        self.recorder = Fault(when=self._note)
        server.faults.add(self.recorder)

    def _note(self, call):
        self.requests.append((call.verb, call.resource and call.resource.plural))
        return False

    def fault(self, **conditions):
        self.server.faults.remove(self.recorder)
        fault = self.server.faults.add(Fault(**conditions))
        self.server.faults.add(self.recorder)
        return fault

    def asked(self):
        """Return what was requested since the last call, other than watches."""
        requests, self.requests[:] = list(self.requests), []
        return [r for r in requests if r[0] not in ("watch", "list")]


@asynccontextmanager
async def running_cluster(tmp_path, monkeypatch):
    """Run a cluster that the kubeconfig of the environment names."""
    server = ApiServer()
    await server.start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(server.kubeconfig()))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    yield Cluster(server)
    await server.stop()


async def all_objects(proxy):
    """Read all objects that routes are made of, by kind and name."""
    client = proxy.core_api.api_client
    found = {}
    for kind, listing in (
        ("ingress", NetworkingV1Api(client).list_namespaced_ingress),
        ("service", CoreV1Api(client).list_namespaced_service),
        ("slice", DiscoveryV1Api(client).list_namespaced_endpoint_slice),
        ("endpoints", CoreV1Api(client).list_namespaced_endpoints),
    ):
        for item in client.sanitize_for_serialization(await listing("default"))["items"]:
            if item["metadata"]["name"] != "kubernetes":
                found[kind, item["metadata"]["name"]] = item
    return found


def kinds(found):
    """Return which kinds the objects of the usual route are of."""
    return sorted(kind for kind, name in found if name == NAME)


async def settled(proxy):
    """Wait until the watches have shown what the proxy wrote."""
    await eventually(
        lambda: not (proxy._routes._written or proxy._services._written or proxy._slices._written)
    )


async def check_converges(proxy, cluster, extra):
    """Let JupyterHub check its routes: what differs is put right once, and then left alone.

    Args:
        extra: target of a configured extra route, which the hub adds at each check.
    """
    hub = SimpleNamespace(routespec="/", host="http://10.0.0.1:8081")
    proxy.hub = hub
    proxy.app = SimpleNamespace(hub=hub, subdomain_host="")
    proxy.extra_routes = {"/extra/": extra}
    await proxy.add_route("/user/gone/", POD, {"user": "gone", "server_name": ""})
    await proxy.check_routes({}, {})
    assert set(await proxy.get_all_routes()) == {"/", "/extra/"}
    cluster.asked()
    await proxy.check_routes({}, {})
    assert cluster.asked() == []
