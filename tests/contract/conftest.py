"""One suite, two API servers: the embedded one, or with KUBESPAWNER_TEST_CLUSTER=current the one
of the current kubeconfig. Every test has a namespace of its own, removed afterwards."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio import client as kube_client
from kubernetes_asyncio import config as kube_config

from kubespawner.localcluster.apiserver import ApiServer

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any


class Api:
    """Raw requests to the API server under test, in one namespace.

    ``stranger`` is a session that has no credentials.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        namespace: str,
        stranger: aiohttp.ClientSession | None = None,
        embedded: bool = True,
    ):
        self.session = session
        self.stranger = stranger
        # No controller runs there: what one would do, a test does itself.
        self.embedded = embedded
        self.url = url
        self.namespace = namespace

    def path(self, plural: str, name: str = "", group: str = "") -> str:
        root = f"/apis/{group}/v1" if group else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        sent = {"Accept": "application/json", **(headers or {})}
        if data is not None:
            sent["Content-Type"] = content_type
        parameters = {key.rstrip("_"): str(value) for key, value in query.items()}
        async with self.session.request(
            method, self.url + path, data=data, headers=sent, params=parameters
        ) as response:
            raw = await response.read()
            body = _parsed(response.content_type, raw)
            return Answer(response.status, body, response.headers)

    async def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Make a request that must succeed and return its body."""
        answer = await self.request(method, path, body, **options)
        assert answer.status in {200, 201, 202}, answer.body
        return answer.body

    async def create(self, plural: str, obj: dict[str, Any], **query: Any) -> dict[str, Any]:
        return await self.ok("POST", self.path(plural), obj, **query)

    async def get(self, plural: str, name: str) -> dict[str, Any]:
        return await self.ok("GET", self.path(plural, name))

    async def patch(self, plural: str, name: str, body: Any, kind: str = MERGE) -> dict[str, Any]:
        return await self.ok("PATCH", self.path(plural, name), body, content_type=kind)

    async def list(self, plural: str, **query: Any) -> dict[str, Any]:
        return await self.ok("GET", self.path(plural), **query)

    async def names(self, plural: str, **query: Any) -> list[str]:
        found = await self.list(plural, **query)
        return [item["metadata"]["name"] for item in found["items"]]

    @asynccontextmanager
    async def watch(self, plural: str, **query: Any) -> AsyncIterator[AsyncIterator[dict]]:
        """Watch; the events end when the server ends the watch."""
        parameters = {key: str(value) for key, value in {"watch": "1", **query}.items()}
        async with self.session.get(
            self.url + self.path(plural), params=parameters, headers={"Accept": "application/json"}
        ) as response:
            assert response.status == 200, await response.text()
            yield _events(response)

    async def eventually(
        self, plural: str, name: str, predicate: Callable[[dict | None], bool], seconds: float = 60
    ) -> dict | None:
        """Wait, by a watch, until the object (None = gone) satisfies ``predicate``."""

        async def follow() -> dict | None:
            selector = f"metadata.name={name}"
            found = await self.list(plural, fieldSelector=selector)
            obj = found["items"][0] if found["items"] else None
            if predicate(obj):
                return obj
            version = found["metadata"]["resourceVersion"]
            async with self.watch(
                plural, fieldSelector=selector, resourceVersion=version
            ) as events:
                async for event in events:
                    obj = None if event["type"] == "DELETED" else event["object"]
                    if predicate(obj):
                        return obj
            raise AssertionError(f"the watch of {plural}/{name} ended early")

        return await asyncio.wait_for(follow(), seconds)


def _parsed(content_type: str, raw: bytes) -> Any:
    """Return a body as JSON if it is one object; a watch's lines stay bytes."""
    if content_type != "application/json" or raw.strip().count(b"\n"):
        return raw
    return json.loads(raw) if raw else None


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[dict]:
    async for line in response.content:
        yield json.loads(line)


@asynccontextmanager
async def _current() -> AsyncIterator[tuple[aiohttp.ClientSession, aiohttp.ClientSession, str]]:
    configuration = kube_client.Configuration()
    await kube_config.load_kube_config(client_configuration=configuration)
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    stranger = aiohttp.TCPConnector(
        ssl=ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    )
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    settings = configuration.auth_settings()
    if inspect.isawaitable(settings):  # a coroutine in newer clients
        settings = await settings
    headers = {
        setting["key"]: setting["value"]
        for setting in settings.values()
        if setting["in"] == "header" and setting["value"]
    }
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        aiohttp.ClientSession(connector=stranger) as other,
    ):
        yield session, other, configuration.host


@asynccontextmanager
async def _embedded() -> AsyncIterator[tuple[aiohttp.ClientSession, aiohttp.ClientSession, str]]:
    server = ApiServer()
    await server.start()
    headers = {"Authorization": f"Bearer {server.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        aiohttp.ClientSession() as other,
    ):
        yield session, other, server.url
    await server.stop()


@pytest.fixture
async def backend() -> AsyncIterator[Api]:
    """The API server under test, with a fresh namespace whose service account exists."""
    current = os.environ.get("KUBESPAWNER_TEST_CLUSTER") == "current"
    async with (_current if current else _embedded)() as (session, stranger, url):
        api = Api(session, url, f"contract-{secrets.token_hex(4)}", stranger, not current)
        await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": api.namespace}})
        await api.eventually("serviceaccounts", "default", lambda obj: obj is not None)
        # So that it does not turn up in the middle of a test that watches.
        await api.eventually("configmaps", "kube-root-ca.crt", lambda obj: obj is not None)
        yield api
        await api.request("DELETE", f"/api/v1/namespaces/{api.namespace}")


def pod(name: str = "", **changes: Any) -> dict[str, Any]:
    """A pod that no scheduler can place; ``changes`` are of its spec."""
    spec: dict[str, Any] = {
        "containers": [{"name": "notebook", "image": "registry.k8s.io/pause:3.9"}],
        "nodeSelector": {"contract-tests": "nowhere"},
        "automountServiceAccountToken": False,
        **changes,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def config_map(name: str, data: dict[str, str] | None = None, **meta: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **meta},
        "data": data or {"a": "1"},
    }


def claim(name: str, size: str = "1Gi") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "contract-tests-none",
            "resources": {"requests": {"storage": size}},
        },
    }


async def needs_kubernetes(backend: Api, minor: int) -> None:
    """Skip a case about what an older API server does not have."""
    version = (await backend.request("GET", "/version")).body
    if isinstance(version, bytes):
        version = json.loads(version)
    if int(re.match(r"\d+", version["minor"])[0]) < minor:
        pytest.skip(f"Kubernetes 1.{minor} or newer has this; here is {version['gitVersion']}")
