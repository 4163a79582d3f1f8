"""Spawners before an API server, embedded or real, behind a proxy that makes requests fail.

What is asserted is read from the API server itself, past the proxy. Pods are never scheduled: a
kubelet of our own says that they run, so that a real API server needs no node.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from traitlets.config import Config

from kubespawner import KubeSpawner, clients
from kubespawner import spawner as spawner_module
from kubespawner.kube import collection
from kubespawner.kube.informer import Informer
from kubespawner.localcluster.apiserver import ApiServer
from kubespawner.localcluster.pytest_plugin import build_spawner
from tests.support.field import Impatient
from tests.support.waiting import eventually

from .proxy import FaultProxy, WireFault, trusting

_HOME = [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}]
# Cluster-wide, so that a user's own namespace is seen as well.
_WATCHED = {"pods": "/api/v1/pods", "claims": "/api/v1/persistentvolumeclaims"}


class Ground:
    """One API server, the proxy before it, and the spawners of one hub.

    Attributes:
        runs: whether new pods become ready at once.
        patience: seconds that one request of the hub may take.
        history: (type, kind, object) of all changes of this hub's pods and claims, oldest first.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, proxy: FaultProxy, hub: str):
        self._url = url
        self._session = session
        self.proxy = proxy
        self.hub = hub
        self.namespace = "default"
        self.runs = True
        self.patience = 0.4
        self.history: list[tuple[str, str, dict[str, Any]]] = []
        # Set by who makes it jump.
        self.clock: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._taken_up: set[str] = set()
        # Of a length of its own, so that no name is the beginning of another case's.
        self.user = f"user{secrets.token_hex(4)}"

    # ---- the API server, past the proxy ------------------------------------------------

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request past the proxy; return the decoded answer, whatever it is."""
        async with self._session.request(
            method,
            self._url + path,
            json=body,
            headers={"Content-Type": "application/json", **headers},
        ) as response:
            return await response.json(content_type=None)

    async def objects(self, plural: str) -> list[dict[str, Any]]:
        """Return the objects of this case's users, wherever they are."""
        found = (await self.request("GET", f"/api/v1/{plural}"))["items"]
        return [item for item in found if self._is_ours(item)]

    async def pods_of(self, spawner: Any) -> list[dict[str, Any]]:
        pods = await self.objects("pods")
        return [p for p in pods if p["metadata"]["name"] == spawner.pod_name]

    async def leftovers(self, spawner: Any) -> list[str]:
        """Return what there is of a server except its claim."""
        names = {spawner.pod_name, spawner.secret_name}
        return [
            f"{plural}/{item['metadata']['name']}"
            for plural in ("pods", "secrets", "services")
            for item in await self.objects(plural)
            if item["metadata"]["name"] in names and not item["metadata"].get("deletionTimestamp")
        ]

    def _is_ours(self, item: dict[str, Any]) -> bool:
        return self.user in item["metadata"]["name"]

    async def delete(self, plural: str, meta: dict[str, Any]) -> None:
        """Delete an object, at once, behind the hub's back."""
        await self.request("DELETE", _path(meta, plural), {"gracePeriodSeconds": 0})

    async def touch_pods(self) -> None:
        """Change something of the pods that nobody minds."""
        for pod in await self.objects("pods"):
            await self.request(
                "PATCH",
                _path(pod["metadata"]),
                {"metadata": {"annotations": {"touched": secrets.token_hex(4)}}},
                **{"Content-Type": "application/merge-patch+json"},
            )

    async def follow(self) -> None:
        """Begin to note changes and to run pods."""
        for kind, path in _WATCHED.items():
            version = (await self.request("GET", path + "?limit=1"))["metadata"]["resourceVersion"]
            self._tasks.append(asyncio.create_task(self._follow(kind, path, version)))

    async def _follow(self, kind: str, path: str, version: str) -> None:
        query = f"?watch=1&resourceVersion={version}"
        async with self._session.get(
            self._url + path + query, timeout=aiohttp.ClientTimeout()
        ) as response:
            while line := await response.content.readline():
                event = json.loads(line)
                if self._is_ours(event["object"]):
                    self.history.append((event["type"], kind, event["object"]))
                    if kind == "pods" and event["type"] != "DELETED" and self.runs:
                        await self.run(event["object"])

    async def settle(self) -> None:
        """Wait until all that has happened so far is in the history."""
        marker = {"metadata": {"name": f"{self.user}-marker-{len(self.history)}"}}
        path = f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims"
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}},
        }
        await self.request("POST", path, {**marker, "spec": spec})
        pod = {"containers": [{"name": "c", "image": "none"}], "schedulerName": "nobody"}
        pods = path.replace("persistentvolumeclaims", "pods")
        await self.request("POST", pods, {**marker, "spec": pod})
        name = marker["metadata"]["name"]
        await self.until(
            lambda: sum(n["metadata"]["name"] == name for _, _, n in self._of("ADDED")) == 2
        )
        await self.request("DELETE", f"{path}/{name}")
        await self.request("DELETE", f"{pods}/{name}", {"gracePeriodSeconds": 0})

    def _of(self, type_: str) -> list[tuple[str, str, dict[str, Any]]]:
        return [change for change in self.history if change[0] == type_]

    def uids(self, type_: str, kind: str, name: str = "") -> list[str]:
        """Return the UIDs of all objects of this case that were ``ADDED`` or ``DELETED``."""
        return [
            item["metadata"]["uid"]
            for _, changed, item in self._of(type_)
            if changed == kind
            and "-marker-" not in item["metadata"]["name"]
            and name in ("", item["metadata"]["name"])
        ]

    async def run(self, pod: dict[str, Any]) -> None:
        """Let a pod become ready, in as many steps as a kubelet takes."""
        meta = pod["metadata"]
        if meta["uid"] in self._taken_up or meta.get("deletionTimestamp"):
            return
        self._taken_up.add(meta["uid"])
        for message in ("Container image is present", "Created container", "Started container"):
            await self._report(meta, message)
        waiting = {"waiting": {"reason": "ContainerCreating"}}
        running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        await self._set_status(pod, "Pending", waiting)
        await self._set_status(pod, "Running", running)

    async def _set_status(self, pod: dict[str, Any], phase: str, state: dict[str, Any]) -> None:
        statuses = [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": phase == "Running",
                "restartCount": 0,
                "state": state,
            }
            for container in pod["spec"]["containers"]
        ]
        status = {"phase": phase, "podIP": "10.1.2.3", "containerStatuses": statuses}
        await self.request(
            "PATCH",
            f"{_path(pod['metadata'])}/status",
            {"status": status},
            **{"Content-Type": "application/merge-patch+json"},
        )

    async def _report(self, meta: dict[str, Any], message: str) -> None:
        event = {
            "metadata": {"generateName": f"{meta['name']}."},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                **{key: meta[key] for key in ("name", "namespace", "uid")},
            },
            "type": "Normal",
            "reason": "Test",
            "message": message,
            "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": "2026-01-01T00:00:00Z",
        }
        await self.request("POST", f"/api/v1/namespaces/{meta['namespace']}/events", event)

    async def until(self, condition: Callable[[], Any], seconds: float = 20) -> Any:
        """Return what ``condition()`` (may be async) returns once it is true."""
        return await eventually(condition, seconds)

    # ---- the hub -----------------------------------------------------------------------

    def spawner(self, name: str = "", **settings: Any) -> Any:
        """Return a spawner of this case's user ``name``."""
        defaults = {
            "cmd": ["serve"],
            "image": "kubespawner/busybox:test",
            "namespace": self.namespace,
            "component_label": self.hub,
            "extra_pod_config": {"schedulerName": "nobody"},
            "start_timeout": 300,
            "k8s_api_request_timeout": self.patience,
            "k8s_api_request_retry_timeout": 15 * self.patience,
            "volumes": _HOME if settings.get("storage_pvc_ensure") else [],
        }
        config = Config({"KubeSpawner": Config({**defaults, **settings})})
        return build_spawner(config, f"{self.user}{name}", spawner_class=Impatient)

    def fail(self, **fault: Any) -> WireFault:
        """Begin to inject a fault."""
        injected = WireFault(**fault)
        self.proxy.faults.add(injected)
        return injected

    async def clear(self) -> None:
        """Delete what this case made."""
        await KubeSpawner._stop_all_reflectors()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for plural in ("pods", "persistentvolumeclaims", "secrets", "services"):
            for item in await self.objects(plural):
                meta = item["metadata"]
                await self.delete(plural, meta)
        for item in await self.objects("namespaces"):
            await self.request("DELETE", f"/api/v1/namespaces/{item['metadata']['name']}")


@contextlib.asynccontextmanager
async def ground(directory: Path, cluster: str = "", *, tls: bool = False) -> AsyncIterator[Ground]:
    """Run a ground to which spawners made meanwhile are connected.

    Args:
        cluster: kubeconfig of a real cluster; "" = an embedded API server.
        tls: let the proxy have a certificate.
    """
    with pytest.MonkeyPatch.context() as patch:
        _shorten(patch)
        async with contextlib.AsyncExitStack() as stack:
            if cluster:
                url, context, headers = trusting(Path(cluster))
            else:
                server = ApiServer()
                server._bookmark_interval = 5
                await server.start()
                stack.push_async_callback(server.stop)
                url, context = server.url, None
                headers = {"Authorization": f"Bearer {server.token}"}
            connector = aiohttp.TCPConnector(ssl=context) if context else None
            session = await stack.enter_async_context(
                aiohttp.ClientSession(connector=connector, headers=headers, read_bufsize=2**21)
            )
            proxy = await stack.enter_async_context(FaultProxy(url, session, tls=tls))
            proxy.write_kubeconfig(directory / "kubeconfig")
            patch.setenv("KUBECONFIG", str(directory / "kubeconfig"))
            # Configurations are kept by path.
            clients._configurations.clear()
            clients._default.clear()
            it = Ground(url, session, proxy, f"hub-{secrets.token_hex(3)}")
            if cluster:
                # Time passes as it does, and the machine may be busy.
                it.patience = 2.0
            await it.follow()
            try:
                yield it
            finally:
                proxy.faults.clear()
                await it.clear()


def _shorten(patch: pytest.MonkeyPatch) -> None:
    """Let silence be noticed, and cleaning up given up, within seconds."""
    defaults = {**(Informer.__init__.__kwdefaults__ or {}), "silence_seconds": 8.0}
    patch.setattr(Informer.__init__, "__kwdefaults__", defaults)
    patch.setattr(collection, "_HEADERS_TIMEOUT", 2.0)
    patch.setattr(spawner_module, "_CLEANUP_SECONDS", 2.0)


def _path(meta: dict[str, Any], plural: str = "pods") -> str:
    return f"/api/v1/namespaces/{meta['namespace']}/{plural}/{meta['name']}"


def real_cluster() -> str:
    """Return the kubeconfig of the cluster to test on; "" = the embedded one."""
    if os.environ.get("KUBESPAWNER_TEST_CLUSTER") != "current":
        return ""
    return os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
