"""Where a failure is provoked: one namespace of a cluster, with a registry that has no images."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from kubernetes_asyncio.client import ApiException

from kubespawner.localcluster.pytest_plugin import _make

# Where a case can be provoked.
REAL = "the real cluster"
EMBEDDED = "the embedded cluster"
STAGE = "an API server without a node"

# The same for both sides: what happens from outside finds the pod by its name.
POD = "server"
NAMES = {"pod_name_template": POD, "pvc_name_template": "files"}
# The embedded cluster's containers have what this machine has, and nobody asks those there.
_ANSWER = "command -v httpd >/dev/null || exec sleep 3600; exec httpd -f -p 8888 -h /tmp"
ANSWERING = ["sh", "-c", _ANSWER]
# Beyond the classes that clusters have.
_KEPT_TYPE = "kubernetes.io/service-account-token"


class World:
    """One namespace for one case.

    Attributes:
        kind: ``REAL``, ``EMBEDDED`` or ``STAGE``.
        api: a ``CoreV1Api``.
        namespace: its name, nobody else's.
        image: one that runs a shell.
        registry: ``host:port`` of a registry that has nothing, and gives nothing to strangers.
        stage: the :class:`tests.spawner._stage.Stage`, with ``STAGE``.
    """

    def __init__(
        self,
        kind: str,
        api: Any,
        namespace: str,
        image: str,
        registry: str,
        stage: Any = None,
    ):
        self.kind, self.api, self.namespace = kind, api, namespace
        self.image, self.registry, self.stage = image, registry, stage
        self.cleanups: list[Callable[[], Any]] = []

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings of a server that would run here; understood by both sides."""
        return {
            "namespace": self.namespace,
            "image": self.image,
            "image_pull_policy": "IfNotPresent",
            "cmd": ANSWERING,
            "start_timeout": 60,
            **NAMES,
            **more,
        }

    def spawner(self, **settings: Any) -> Any:
        return _make("alice", **settings)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request; return the decoded answer.

        Raises:
            ApiException: it was refused.
        """
        response = await self.api.api_client.call_api(
            path,
            method,
            header_params={"Accept": "application/json", "Content-Type": "application/json"}
            | {name.replace("_", "-"): value for name, value in headers.items()},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
        )
        text = (await response.read()).decode()
        if response.status >= 400:
            raise ApiException(status=response.status, reason=text)
        return json.loads(text)

    def path(self, plural: str, name: str = "") -> str:
        return f"/api/v1/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    async def create(self, plural: str, body: Mapping[str, Any]) -> Any:
        return await self.call("POST", self.path(plural), body)

    async def listed(self, plural: str) -> list[dict[str, Any]]:
        return (await self.call("GET", self.path(plural)))["items"]

    async def pod(self) -> dict[str, Any]:
        """Return the server's pod as soon as there is one."""

        async def look() -> Any:
            return next(iter(await self.listed("pods")), None)

        return await until(look)

    async def running_pod(self) -> dict[str, Any]:
        async def look() -> Any:
            pod = next(iter(await self.listed("pods")), None)
            return pod if pod and pod.get("status", {}).get("phase") == "Running" else None

        return await until(look)

    async def left(self) -> list[str]:
        """Return the kinds of what a failed start left, once it had the time to be removed."""

        async def only_claims() -> bool:
            return not await self.listed("pods")

        with contextlib.suppress(asyncio.TimeoutError):
            await until(only_claims, 30)
        found = []
        for plural in ("pods", "services", "secrets", "persistentvolumeclaims"):
            for item in await self.listed(plural):
                labels = item["metadata"].get("labels") or {}
                if item.get("type") != _KEPT_TYPE and "component" in labels:
                    found.append(plural.removesuffix("s"))
        return found

    async def close(self) -> None:
        for cleanup in reversed(self.cleanups):
            result = cleanup()
            if inspect.isawaitable(result):
                await result


async def until(condition: Callable[[], Any], seconds: float = 90) -> Any:
    """Ask again until ``condition``, which may be async, returns something true; return that."""

    async def ask() -> Any:
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.1)

    return await asyncio.wait_for(ask(), seconds)


@contextlib.asynccontextmanager
async def empty_registry() -> AsyncIterator[str]:
    """Run a registry on loopback, and yield its ``host:port``.

    It has no image, and says so of all but those below ``private/``, which it refuses.
    https://distribution.github.io/distribution/spec/api/#errors
    """

    async def answer(request: web.Request) -> web.Response:
        if request.match_info["name"] == "":
            return web.json_response({})
        private = request.match_info["name"].startswith("private/")
        code = "DENIED" if private else "MANIFEST_UNKNOWN"
        body = {"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}
        return web.json_response(body, status=403 if private else 404)

    app = web.Application()
    app.router.add_route("*", "/v2/{name:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def namespaced(api: Any, kind: str, image: str, registry: str) -> AsyncIterator[World]:
    """Yield a world in a new namespace, which is deleted afterwards with all that is in it."""
    name = f"failures-{secrets.token_hex(4)}"
    await api.create_namespace({"metadata": {"name": name, "labels": {"kubespawner-test": name}}})
    world = World(kind, api, name, image, registry)
    try:

        async def has_account() -> bool:
            try:
                await api.read_namespaced_service_account("default", name)
            except ApiException as e:
                if e.status != 404:
                    raise
                return False
            return True

        await until(has_account)
        yield world
    finally:
        await world.close()
        await api.delete_namespace(name)


def kubeconfig_of_real_cluster() -> Path:
    return Path.home() / ".cache" / "kubespawner" / "cluster" / "kubeconfig"
