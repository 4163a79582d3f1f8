"""A cache kept through fifty broken connections and restarts of a real API server.

Takes about two minutes and needs the binaries of ``make cluster``; runs with
``make test-long``, on an API server of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from kubernetes_asyncio import config as kube_config
from kubernetes_asyncio.client import ApiClient, Configuration

from bench.apiserver import ApiServer
from bench.children import Child
from bench.objects import pod, user_name
from kubespawner.kube.informer import Informer
from kubespawner.kube.requests import Deadline
from realcluster.api import Api, ApiError

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.environ.get("KUBESPAWNER_TEST_CLUSTER") != "current",
        reason="needs the binaries of `make cluster` (make test-long)",
    ),
]

PODS = 2_000
CUTS = 40
RESTARTS = 10
NAMESPACE = "long"
PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"
SELECTOR = "component=singleuser-server"
MARKER = "jupyter-marker"
_MERGE = "application/merge-patch+json"
# The machine may be busy with other things, and an API server starts for some seconds.
PATIENCE = 120.0


@pytest.fixture
def api_server(tmp_path: Path):
    with ApiServer(tmp_path) as server:
        yield server


@pytest.fixture
def wire(api_server: ApiServer, tmp_path: Path):
    argv = [sys.executable, "-m", "bench.wire", str(api_server.port)]
    with Child(argv, log=tmp_path / "wire.log") as child:
        yield child


@pytest.fixture
async def informer(api_server: ApiServer, wire: Child) -> AsyncIterator[Informer]:
    kubeconfig = api_server.kubeconfig("ours", wire.ask("open")["port"])
    configuration = Configuration()
    await kube_config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    async with ApiClient(configuration) as client:
        informer = Informer(
            lambda: client, PATH, label_selector=SELECTOR, log=logging.getLogger("informer")
        )
        informer.start()
        yield informer
        await informer.stop()


class Cluster:
    """What happens in the cluster meanwhile: pods change, come, go, and leave the selection."""

    def __init__(self, api: Api):
        self._api = api
        self._random = random.Random(50)
        self._next = PODS
        self.changes = 0

    async def insist(self, *request: Any) -> None:
        """Repeat a request until the API server, which may be down, has answered it."""
        while True:
            try:
                await self._api.request(*request)
            except ApiError as error:
                if error.status not in (404, 409, 422, 429) and error.status < 500:
                    raise
                if error.status in (404, 409, 422):
                    return  # the answer to a repetition of what had been done
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError):
                await asyncio.sleep(0.2)
            else:
                return

    async def make(self, number: int) -> None:
        await self.insist("POST", PATH, pod(user_name(number), NAMESPACE, "bench-node"))

    async def mark(self, number: int) -> None:
        body = {"metadata": {"annotations": {"marker": str(number)}}}
        await self.insist("PATCH", f"{PATH}/{MARKER}", body, _MERGE)

    async def go_on(self) -> None:
        """Change pods until cancelled."""
        while True:
            name = f"jupyter-{user_name(self._random.randrange(self._next))}"
            what = self._random.random()
            if what < 0.05:
                self._next += 1
                await self.make(self._next - 1)
            elif what < 0.1:
                options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
                await self.insist("DELETE", f"{PATH}/{name}", options)
            elif what < 0.13:
                label = self._random.choice(["singleuser-server", "elsewhere"])
                body: dict[str, Any] = {"metadata": {"labels": {"component": label}}}
                await self.insist("PATCH", f"{PATH}/{name}", body, _MERGE)
            else:
                body = {"status": {"message": f"change {self.changes}"}}
                await self.insist("PATCH", f"{PATH}/{name}/status", body, _MERGE)
            self.changes += 1


def lists(api_server: ApiServer) -> list[str]:
    """The lists that the informer asked for and got, by the audit log; a list in pages is one."""
    found = []
    for line in (api_server.folder / "audit.log").read_text().splitlines():
        event = json.loads(line)
        answered = event.get("responseStatus", {}).get("code") == 200
        uri = event["requestURI"]
        if event["verb"] == "list" and answered and "continue=" not in uri:
            found.append(uri)
    return found


def canonical(item: dict[str, Any]) -> bytes:
    """An object's JSON, without what a list leaves out and what the cache does not keep."""
    item = {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    return msgspec.json.encode({**item, "metadata": metadata}, order="sorted")


def shows(number: int) -> Callable[[Any], bool]:
    return lambda item: bool(
        item and item["metadata"].get("annotations", {}).get("marker") == str(number)
    )


async def disturb(number: int, api_server: ApiServer, wire: Child) -> None:
    """Break what is between informer and API server, in turn in every way there is."""
    if number <= CUTS:
        if number % 4 == 0:
            wire.ask("refuse", on=True)
        assert wire.ask("cut")["connections"] > 0, "there was no connection to cut"
        if number % 4 == 0:
            await asyncio.sleep(0.5)
            wire.ask("refuse", on=False)
        return
    sig = signal.SIGTERM if number % 2 else signal.SIGKILL
    await asyncio.to_thread(api_server.stop_server, sig)
    await asyncio.to_thread(api_server.start_server)


async def test_fifty_interruptions_cost_no_list_that_410_did_not_force(
    api_server, wire, informer, caplog
):
    caplog.set_level(logging.INFO, logger="informer")
    async with Api(api_server.kubeconfig("admin")) as api:
        cluster = Cluster(api)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await api.request("POST", "/api/v1/namespaces", body)
        for first in range(0, PODS, 20):
            await asyncio.gather(*(cluster.make(n) for n in range(first, first + 20)))
        await cluster.insist("POST", PATH, pod("marker", NAMESPACE, "bench-node"))
        await informer.loaded(Deadline.after(PATIENCE))

        changing = [asyncio.ensure_future(cluster.go_on()) for _ in range(4)]
        for number in range(1, CUTS + RESTARTS + 1):
            await disturb(number, api_server, wire)
            # Seen through the watch that followed: it has been resumed.
            await cluster.mark(number)
            key = f"{NAMESPACE}/{MARKER}"
            await informer.wait_for(key, shows(number), Deadline.after(PATIENCE))
            if number == CUTS:
                assert len(lists(api_server)) == 1, "a broken connection is no reason to list"
        for task in changing:
            task.cancel()
        results = await asyncio.gather(*changing, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results

        await cluster.mark(0)
        await informer.wait_for(key, shows(0), Deadline.after(PATIENCE))
        listed = await api.request("GET", f"{PATH}?labelSelector={SELECTOR}")

    fresh = {f"{NAMESPACE}/{item['metadata']['name']}": item for item in listed["items"]}
    assert set(informer.keys()) == set(fresh)
    assert [k for k, i in fresh.items() if canonical(informer.get(k)) != canonical(i)] == []
    forced = [r for r in caplog.records if "is listed again" in r.getMessage()]
    assert informer.list_count == len(lists(api_server)) == 1 + len(forced)
    print(
        f"{cluster.changes} changes, {informer.watch_count} watches, "
        f"{informer.list_count} lists, {len(forced)} of them forced by 410"
    )
