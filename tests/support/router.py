"""A small ingress controller and Gateway: it forwards as the cluster's objects say.

Longest path first, by HTTPRoute or Ingress to Service to EndpointSlice. Of hosts, filters and TLS it
knows nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aiohttp
from aiohttp import web

from .gateway import GROUP, answer

_ROUTES = {
    "gateway": f"/apis/{GROUP}/v1/namespaces/default/httproutes",
    "ingress": "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
}
# Of one connection, not of what is sent over it.
_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade"}


class Router:
    """Serves on ``port`` what the routes of one kind say.

    Args:
        kind: ``gateway`` or ``ingress``.
        cluster: a LocalCluster.
    """

    def __init__(self, kind: str, cluster: Any, port: int):
        self.kind = kind
        self._cluster = cluster
        self._port = port

    async def __aenter__(self) -> Router:
        headers = {"Authorization": f"Bearer {self._cluster.token}"}
        self._api = aiohttp.ClientSession(self._cluster.url, headers=headers)
        self._client = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._answering = asyncio.create_task(self._answer_routes())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._answering.cancel()
        await asyncio.gather(self._answering, return_exceptions=True)
        await self._runner.cleanup()
        await self._client.close()
        await self._api.close()

    async def _get(self, path: str) -> Any:
        async with self._api.get(path) as response:
            return await response.json() if response.status == 200 else None

    async def routes(self) -> dict[str, tuple[str, int]]:
        """Return path prefix -> Service and port."""
        found = {}
        for item in ((await self._get(_ROUTES[self.kind])) or {"items": []})["items"]:
            for rule in item["spec"]["rules"]:
                if self.kind == "gateway":
                    (ref,) = rule["backendRefs"]
                    found[rule["matches"][0]["path"]["value"]] = (ref["name"], ref["port"])
                else:
                    for path in rule["http"]["paths"]:
                        service = path["backend"]["service"]
                        found[path["path"]] = (service["name"], service["port"]["number"])
        return found

    async def _answer_routes(self) -> None:
        """Accept every HTTPRoute, as a Gateway's controller does."""
        while self.kind == "gateway":
            for route in ((await self._get(_ROUTES["gateway"])) or {"items": []})["items"]:
                status = answer(route)
                if route.get("status") != status:
                    await self._api.patch(
                        f"{_ROUTES['gateway']}/{route['metadata']['name']}/status",
                        json={"status": status},
                        headers={"Content-Type": "application/merge-patch+json"},
                    )
            await asyncio.sleep(0.1)

    async def _backend(self, path: str) -> str | None:
        matching = [
            (len(prefix), backend)
            for prefix, backend in (await self.routes()).items()
            if f"{path.rstrip('/')}/".startswith(f"{prefix.rstrip('/')}/")
        ]
        if not matching:
            return None
        service, port = max(matching)[1]
        slices = await self._get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices")
        for each in slices["items"]:
            if each["metadata"]["labels"].get("kubernetes.io/service-name") == service:
                return f"{each['endpoints'][0]['addresses'][0]}:{port}"
        return None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        backend = await self._backend(request.path)
        if backend is None:
            return web.Response(status=503, text=f"no route for {request.path}")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request, f"http://{backend}{request.raw_path}")
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _HOP]
        async with self._client.request(
            request.method,
            f"http://{backend}{request.raw_path}",
            headers=headers,
            data=await request.read(),
            allow_redirects=False,
        ) as upstream:
            response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
            for key, value in upstream.headers.items():
                if key.lower() not in _HOP:
                    response.headers.add(key, value)
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
        return response

    async def _websocket(self, request: web.Request, url: str) -> web.WebSocketResponse:
        headers = {
            key: value
            for key, value in request.headers.items()
            if key.lower() in ("cookie", "host", "origin", "authorization", "user-agent")
        }
        down = web.WebSocketResponse()
        async with self._client.ws_connect(url, headers=headers) as up:
            await down.prepare(request)

            async def pump(source: Any, target: Any) -> None:
                async for message in source:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        await target.send_str(message.data)
                    elif message.type is aiohttp.WSMsgType.BINARY:
                        await target.send_bytes(message.data)

            pumps = [asyncio.create_task(pump(up, down)), asyncio.create_task(pump(down, up))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for task in pumps:
                task.cancel()
            with contextlib.suppress(ConnectionError):
                await down.close()
        return down
