"""An API server without a node, and spawners whose pods are created there and never run."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from jupyterhub.objects import Hub
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api
from traitlets.config import Config

from kubespawner import KubeSpawner, clients
from kubespawner.legacy import resolve_name
from kubespawner.localcluster.apiserver import ApiServer
from kubespawner.localcluster.faults import Fault
from kubespawner.localcluster.pytest_plugin import build_spawner
from tests.support.schemas import assert_valid
from tests.support.waiting import eventually

from ._cases import Case

_NAMESPACES = {"default", "kube-system", "kube-public", "kube-node-lease", "elsewhere"}
_COLLECTIONS = ("pods", "persistentvolumeclaims", "services", "secrets")
# Of one spawn, or of the client's writing.
_VOLATILE = {"hub.jupyter.org/spawn-id", "uid", "resourceVersion", "creationTimestamp"}


class Stage:
    """One API server, and what reached it.

    Attributes:
        created: bodies of the create requests, as sent, oldest first.
        requests: (verb, plural, namespace) of every request.
    """

    def __init__(self, **server: Any) -> None:
        self.server = ApiServer(**server)
        self.created: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, str]] = []
        self._valid: set[str] = set()

    async def start(self) -> None:
        await self.server.start()
        configuration = Configuration()
        configuration.host = self.server.url
        configuration.api_key = {"BearerToken": f"Bearer {self.server.token}"}
        self.client = ApiClient(configuration)
        self.api = CoreV1Api(self.client)
        handlers: Any = self.server._handlers
        self._create = handlers.create
        handlers.create = self._recording_create
        self.server.faults.add(Fault(when=self._note))

    async def stop(self) -> None:
        await KubeSpawner._stop_all_reflectors()
        await self.client.close()
        await self.server.stop()

    def write_kubeconfig(self, path: Any, content: Mapping[str, Any]) -> None:
        path.write_text(json.dumps(content))
        # Configurations are kept by path.
        clients._configurations.clear()
        clients._default.clear()

    def _note(self, call: Any) -> bool:
        self.requests.append((call.verb, call.resource and call.resource.plural, call.namespace))
        return False

    def _recording_create(self, call: Any, body: Any) -> Any:
        manifest = copy.deepcopy(body)
        manifest.setdefault("kind", call.resource.kind)
        manifest.setdefault("apiVersion", call.resource.api_version)
        self.created.append(manifest)
        return self._create(call, body)

    # ---- the cluster -------------------------------------------------------------------

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request with the API client; return the decoded answer."""
        response = await self.client.call_api(
            path,
            method,
            header_params={"Accept": "application/json", "Content-Type": "application/json"}
            | headers,
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
        )
        return json.loads(await response.read())

    async def objects(self, plural: str) -> list[dict[str, Any]]:
        """Return all objects of one kind, of the namespaces that matter."""
        items = (await self.request("GET", f"/api/v1/{plural}"))["items"]
        return [i for i in items if i["metadata"]["namespace"] != "kube-system"]

    async def pods(self) -> list[dict[str, Any]]:
        return await self.objects("pods")

    async def set_status(self, pod: Mapping[str, Any], **status: Any) -> None:
        """Say about ``pod`` what a kubelet would."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        await self.request(
            "PATCH",
            f"/api/v1/namespaces/{namespace}/pods/{name}/status",
            {"status": status},
            **{"Content-Type": "application/merge-patch+json"},
        )

    async def run(self, pod: Mapping[str, Any], ready: bool = True, **more: Any) -> None:
        """Say that the notebook container of ``pod`` runs; other containers are never ready."""
        statuses = [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": ready and container["name"] == "notebook",
                "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            }
            for container in pod["spec"]["containers"]
        ]
        status = {"phase": "Running", "podIP": "10.1.2.3", "containerStatuses": statuses}
        await self.set_status(pod, **{**status, **more})

    async def reach(self) -> dict[str, Any]:
        """Return the objects there are: kind in lower case to API JSON."""
        found = {}
        for plural in _COLLECTIONS:
            for item in await self.objects(plural):
                found[plural.removesuffix("s")] = item
        for item in (await self.request("GET", "/api/v1/namespaces"))["items"]:
            if item["metadata"]["name"] not in _NAMESPACES:
                found["namespace"] = item
        return found

    async def clear(self) -> None:
        """Delete everything that spawns made."""
        for plural in _COLLECTIONS:
            for item in await self.objects(plural):
                meta = item["metadata"]
                path = f"/api/v1/namespaces/{meta['namespace']}/{plural}/{meta['name']}"
                await self.request("DELETE", path, {"gracePeriodSeconds": 0})
        for item in (await self.request("GET", "/api/v1/namespaces"))["items"]:
            if item["metadata"]["name"] not in _NAMESPACES:
                await self.request("DELETE", f"/api/v1/namespaces/{item['metadata']['name']}")
        await eventually(self._is_clear)

    async def _is_clear(self) -> bool:
        return not await self.reach()

    # ---- spawners ----------------------------------------------------------------------

    def spawner(
        self,
        username: str = "alice",
        servername: str = "",
        cls: type[KubeSpawner] = KubeSpawner,
        **settings: Any,
    ) -> Any:
        """Return a spawner with ``settings`` in the section KubeSpawner of its configuration."""
        return build_spawner(
            Config({"KubeSpawner": Config(settings)}),
            username,
            servername,
            spawner_class=cls,
            hub=Hub(ip="127.0.0.1", port=8081, base_url="/hub/"),
        )

    @contextlib.asynccontextmanager
    async def starting(self, spawner: Any) -> AsyncIterator[asyncio.Future[str]]:
        """Start, wait until everything is created and the pod is waited for; cancel at the end."""
        future = spawner.start()
        await eventually(
            lambda: future.done() or getattr(spawner._current_spawn, "phase", "") == "ready"
        )
        if future.done():
            future.result()
        try:
            yield future
        finally:
            future.cancel()
            await asyncio.gather(future, return_exceptions=True)

    async def result_of(
        self, case: Case, name: str | None = None, way: str = "config", tls: Any = None
    ) -> dict[str, Any]:
        """Return the objects of a spawn with the setting ``name`` given in ``way``.

        Everything that was sent is checked against the schemas.

        Args:
            name: None: without the setting.
            tls: directory with certificates, used where the case needs them.
        """
        settings = dict(case.beside)
        if name:
            settings.pop(resolve_name(name), None)
        if way == "override" and name:
            value = case.value
            # A callable in an override is asked for the value.
            given = (lambda spawner: value) if callable(value) else value
            profile = {"display_name": "it", "kubespawner_override": {name: given}}
            settings["profile_list"] = [profile]
        elif way == "config" and name:
            settings[name] = case.value
        spawner = self.spawner(case.username, case.servername, **settings)
        if way == "attribute" and name:
            setattr(spawner, name, case.value)
        if name:
            assert getattr(spawner, name) == getattr(spawner, resolve_name(name))
        if case.tls:
            with_certificates(spawner, tls)
        self.created.clear()
        async with self.starting(spawner):
            objects = await self.reach()
        for manifest in self.created:
            # The three ways to give a setting lead to the same manifests.
            content = json.dumps(settled(manifest), sort_keys=True)
            if content not in self._valid:
                assert_valid(manifest)
                self._valid.add(content)
        await self.clear()
        return objects


@contextlib.asynccontextmanager
async def staged(directory: Any) -> AsyncIterator[Stage]:
    """Run a stage to which spawners made meanwhile are connected, by a kubeconfig."""
    stage = Stage()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(directory / "kubeconfig"))
        patch.setenv("KEPT_FOR_SERVERS", "kept")
        await stage.start()
        stage.write_kubeconfig(directory / "kubeconfig", stage.server.kubeconfig())
        try:
            yield stage
        finally:
            await stage.stop()


async def started(stage: Stage, **settings: Any) -> tuple[Any, Any]:
    """Return a spawner whose server runs, and its pod."""
    spawner = stage.spawner(**settings)
    async with stage.starting(spawner) as future:
        (pod,) = await stage.pods()
        await stage.run(pod)
        await asyncio.wait_for(future, 20)
    return spawner, pod


def with_certificates(spawner: Any, directory: Any) -> None:
    """Let ``spawner`` have certificates, as with JupyterHub's internal_ssl."""
    spawner.internal_ssl = True
    names = {key: str(directory / key) for key in ("keyfile", "certfile", "cafile")}
    for key, path in names.items():
        with open(path, "w") as file:
            file.write(f"{key} of the server")
    (directory / "hub-ca").write_text("the hub's CA")
    spawner.cert_paths = names
    spawner.internal_trust_bundles = {"hub-ca": str(directory / "hub-ca")}


def settled(obj: Any) -> Any:
    """Return ``obj`` without what differs between two equal spawns."""
    if isinstance(obj, dict):
        return {key: settled(value) for key, value in obj.items() if key not in _VOLATILE}
    if isinstance(obj, list):
        return [settled(item) for item in obj]
    return obj
