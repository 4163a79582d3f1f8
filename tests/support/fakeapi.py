"""A small API server whose every answer a test writes: for faults that no real one makes on demand.

``FakeApi`` listens on loopback. A test puts answers in the queue of a method and path; the next
request takes the first one. A list or watch for which none waits gets the ordinary answer.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
PODS = "/api/v1/namespaces/ns/pods"


def pod(name: str, version: int, *, uid: str = "", phase: str = "Running", **more: Any) -> dict:
    metadata = {
        "name": name,
        "namespace": "ns",
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
    }
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase}, **more}


def pod_list(*pods: dict, version: int, token: str = "") -> dict:
    metadata = {"resourceVersion": str(version), **({"continue": token} if token else {})}
    return {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": list(pods)}


def event(kind: str, obj: dict) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version)}})


def status(code: int, reason: str = "", message: str = "", **more: Any) -> dict:
    return {"kind": "Status", "code": code, "reason": reason, "message": message, **more}


def error(code: int, reason: str = "", message: str = "") -> bytes:
    return event("ERROR", status(code, reason, message))


# ---- answers -------------------------------------------------------------------------------


def reply(body: Any, code: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Answer with JSON, written without spaces as the API server does; bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=data, status=code, headers=headers, content_type="application/json"
        )

    return answer


def refuse(code: int, message: str = "", headers: dict[str, str] | None = None) -> Answer:
    return reply(status(code, message=message), code, headers)


async def reset(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


class Stream:
    """A watch that the test writes, line by line, and ends."""

    def __init__(self, *lines: bytes):
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.begun = asyncio.Event()
        for line in lines:
            self.send(line)

    def send(self, line: bytes) -> None:
        self._queue.put_nowait(line)

    def end(self) -> Stream:
        """End the watch properly, after what was sent."""
        self._queue.put_nowait(None)
        return self

    def cut(self) -> Stream:
        """Abort the connection, after what was sent."""
        self._queue.put_nowait(b"")
        return self

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self.begun.set()
        while (line := await self._queue.get()) is not None:
            if not line:
                await reset(request)
                break
            await response.write(line)
        return response


class FakeApi:
    """An async context manager: the server, and a client for it.

    Attributes:
        requests: every request so far, as (method, path, query).
        bodies: the JSON body of each request, None without one.
        headers: of each request.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], deque[Answer]] = defaultdict(deque)
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> FakeApi:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self.configuration = Configuration(host=self.url)
        self.client = ApiClient(self.configuration)
        self.core = CoreV1Api(self.client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        await self._runner.cleanup()

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """Queue ``answers``; a watch has the method WATCH."""
        self._answers[method, path].extend(answers)

    async def wait_requests(self, count: int, *, method: str = "") -> None:
        """Wait until ``count`` requests (of ``method``) came."""
        while len(self.of(method) if method else self.requests) < count:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 10)

    def of(self, method: str) -> list[dict[str, str]]:
        """Return the queries of all requests of ``method``."""
        return [query for m, _, query in self.requests if m == method]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        method = "WATCH" if query.get("watch") else request.method
        self.requests.append((method, request.path, query))
        self.bodies.append(await request.json() if request.can_read_body else None)
        self.headers.append(dict(request.headers))
        self._changed.set()
        waiting = self._answers[method, request.path]
        if waiting:
            return await waiting.popleft()(request)
        if method == "WATCH":
            return await Stream()(request)
        if method == "GET" and request.path.endswith("s"):
            return await reply(pod_list(version=1))(request)
        return await refuse(404, "not found")(request)
