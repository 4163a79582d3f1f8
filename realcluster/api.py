"""A small client of the Kubernetes API, independent of the package under test."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

Object = dict[str, Any]
#: A watch is asked to end by itself after this many seconds, and begun again.
_WATCH_SECONDS = 600
_RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class ApiError(Exception):
    """A definite answer of the API server that isn't a success."""

    def __init__(self, status: int, body: str):
        super().__init__(f"{status}: {body}")
        self.status = status


class Api:
    """One session with the API server of a kubeconfig; an async context manager."""

    def __init__(self, kubeconfig: Path):
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server: str = cluster["server"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        self._headers = {"Authorization": f"Bearer {user['token']}"}

    async def __aenter__(self) -> Api:
        connector = aiohttp.TCPConnector(ssl=self._tls)
        self._session = aiohttp.ClientSession(
            self.server, connector=connector, headers=self._headers
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()

    async def request(
        self, method: str, path: str, body: Object | None = None, content: str = "application/json"
    ) -> Object:
        """One request; raises :class:`ApiError` for every status from 400."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content}
        timeout = aiohttp.ClientTimeout(total=30)
        async with self._session.request(
            method, path, data=data, headers=headers, timeout=timeout
        ) as response:
            text = await response.text()
            if response.status >= 400:
                raise ApiError(response.status, text)
            return json.loads(text)

    async def ensure(self, collection: str, manifest: Object) -> Object:
        """Create an object, or bring the existing one to what the manifest says."""
        path = f"{collection}/{manifest['metadata']['name']}"
        try:
            # Not the other way round: a service's address counts as taken before its name does.
            return await self.request("PATCH", path, manifest, "application/merge-patch+json")
        except ApiError as error:
            if error.status != 404:
                raise
        return await self.request("POST", collection, manifest)

    async def delete(self, path: str) -> None:
        """Delete an object; fine when it is gone."""
        try:
            await self.request("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise

    async def watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Events of a collection after a resource version, until the server ends the watch."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_WATCH_SECONDS + 30)
        async with self._session.get(
            path, params=query, timeout=timeout, read_bufsize=1 << 22
        ) as response:
            if response.status >= 400:
                raise ApiError(response.status, await response.text())
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError(event["object"].get("code", 500), str(event["object"]))
                yield event["type"], event["object"]

    async def follow(
        self, path: str, on_change: Callable[[dict[str, Object]], Awaitable[None]]
    ) -> None:
        """Keep a collection by "namespace/name" and call ``on_change`` after each change, for ever.

        Starts over from a list whenever the watch is lost.
        """
        while True:
            try:
                listed = await self.request("GET", path)
                items = {key(item): item for item in listed["items"]}
                await on_change(items)
                async for kind, item in self.watch(path, listed["metadata"]["resourceVersion"]):
                    if kind == "DELETED":
                        items.pop(key(item), None)
                    else:
                        items[key(item)] = item
                    await on_change(items)
            except (aiohttp.ClientError, ApiError, asyncio.TimeoutError, OSError) as error:
                log.warning("%s: %s; starting over", path, error)
                await asyncio.sleep(_RETRY_SECONDS)


def key(item: Object) -> str:
    """ "namespace/name" of an object; without a namespace the name alone."""
    metadata = item["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else metadata["name"]
