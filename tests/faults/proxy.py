"""A proxy before any API server, the embedded one or a real one, that makes its requests fail.

It takes the faults of :mod:`kubespawner.localcluster.faults` and some that only a wire can have::

    async with FaultProxy(upstream, session) as proxy:
        proxy.write_kubeconfig(path)
        proxy.faults.add(WireFault(verb="watch", resource="pods", times=1, stream="silent"))
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from kubespawner.localcluster.certificates import Certificate, self_signed
from kubespawner.localcluster.faults import Fault, Faults, cut, truncated
from kubespawner.localcluster.resources import Kinds
from kubespawner.localcluster.routing import Call, parse
from kubespawner.localcluster.store import Store

# Seconds after which an event that was held back to change places is sent all the same.
_SWAP = 0.2
_DROPPED = {"Host", "Authorization", "Content-Length", "Transfer-Encoding", "Accept-Encoding"}


@dataclass(eq=False)
class WireFault(Fault):
    """A fault that only the way between client and server can have.

    Attributes:
        act: done before anything else, such as revoking the client's token.
        stream: what is done to a watch at its first event: "ended" (properly), "reset", "cut" (in
            the middle of the event), "silent", "gone" (410); or to all its events: "twice",
            "swapped" (each two), "bookmarks" (one before and after each).
    """

    act: Callable[[], Awaitable[None]] | None = None
    stream: str = ""


class FaultProxy:
    """The proxy.

    Args:
        upstream: URL of the API server.
        session: for the requests to it, with whatever credentials it wants.
        tls: speak TLS, with a certificate that :meth:`exchange_certificate` exchanges.

    Attributes:
        token: that the client has to send.
        calls: every request so far.
    """

    def __init__(self, upstream: str, session: aiohttp.ClientSession, *, tls: bool = False):
        self._upstream = upstream
        self._session = session
        self._kinds = Kinds()
        self.faults = Faults(Store())
        self.token = "token-0"
        self.calls: list[Call] = []
        self.certificate: Certificate | None = self_signed("127.0.0.1") if tls else None
        self._port = 0
        self._connections: set[asyncio.BaseTransport] = set()
        self._kubeconfig: Path | None = None
        self._reopening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> FaultProxy:
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.faults.clear()
        if self._reopening:
            await self._reopening
        self._abort_connections()
        await self._runner.cleanup()

    async def _listen(self) -> None:
        context = self.certificate.context if self.certificate else None
        self._site = web.TCPSite(
            self._runner, "127.0.0.1", self._port, ssl_context=context, reuse_address=True
        )
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self._port}"

    def write_kubeconfig(self, path: Path) -> None:
        """Write what a client needs; kept true when token or certificate change."""
        self._kubeconfig = path
        cluster: dict[str, Any] = {"server": self.url}
        if self.certificate:
            authority = base64.b64encode(self.certificate.pem).decode()
            cluster["certificate-authority-data"] = authority
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "it", "user": {"token": self.token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        }
        path.write_text(json.dumps(content))

    def _publish(self) -> None:
        if self._kubeconfig:
            self.write_kubeconfig(self._kubeconfig)

    # ---- faults that are no answer -----------------------------------------------------

    async def renew_token(self, *, publish: bool = True) -> None:
        """Let the token that clients have be worth nothing any more.

        Args:
            publish: write the new one to the kubeconfig.
        """
        self.token = f"token-{int(self.token.split('-')[1]) + 1}"
        if publish:
            self._publish()

    def publish(self) -> None:
        """Write what is valid now to the kubeconfig."""
        self._publish()

    async def exchange_certificate(self, *, publish: bool = True) -> None:
        """Be certified by another authority from now on; open connections are reset."""
        self.certificate = self_signed("127.0.0.1")
        await self._close_for(0)
        if publish:
            self._publish()

    async def refuse_connections(self, seconds: float) -> None:
        """Reset all connections and listen again only after ``seconds``."""
        await self._close_for(seconds)

    async def _close_for(self, seconds: float) -> None:
        await self._site.stop()

        async def listen_again() -> None:
            await asyncio.sleep(seconds)
            await self._listen()

        # Not by the handler that calls this: it is cancelled with its connection.
        self._reopening = asyncio.get_running_loop().create_task(listen_again())
        self._abort_connections()

    def _abort_connections(self) -> None:
        for transport in list(self._connections):
            transport.abort()  # type: ignore[attr-defined]
        self._connections.clear()

    # ---- requests ----------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self._connections.add(request.transport)
        call = parse(request.method, request.path, dict(request.query), self._kinds)
        self.calls.append(call)
        body = await request.read()
        fault = self.faults.take(call)
        if fault is None:
            return await self._authorized(request, call, body, "")
        if isinstance(fault, WireFault) and fault.act:
            await fault.act()
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.drop == "before":
            return cut(request)
        if fault.status:
            return _refusal(fault)
        stream = fault.stream if isinstance(fault, WireFault) else ""
        response = await self._authorized(request, call, body, stream)
        if fault.drop == "after":
            return cut(request)
        if fault.delay_answer:
            await asyncio.sleep(fault.delay_answer)
        if fault.truncate is not None and isinstance(response, web.Response):
            return await truncated(request, response, fault.truncate)
        return response

    async def _authorized(
        self, request: web.Request, call: Call, body: bytes, stream: str
    ) -> web.StreamResponse:
        if request.transport is None or request.transport.is_closing():
            return cut(request)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _refusal(Fault(status=401, reason="Unauthorized", message="Unauthorized"))
        headers = {k: v for k, v in request.headers.items() if k not in _DROPPED}
        async with self._session.request(
            request.method,
            self._upstream + request.path_qs,
            data=body or None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(),
        ) as answer:
            if call.verb == "watch" and answer.status == 200:
                return await self._relay_watch(request, call, answer, stream)
            content = await answer.read()
            kept = {k: answer.headers[k] for k in ("Retry-After",) if k in answer.headers}
            return web.Response(
                status=answer.status,
                body=content,
                content_type=answer.content_type,
                headers=kept,
            )

    async def _relay_watch(
        self, request: web.Request, call: Call, answer: aiohttp.ClientResponse, stream: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watch = _Relay(call.resource)
        self.faults.watch_opened(watch)
        pump = asyncio.ensure_future(_pump(answer, response, watch, stream))
        ended = asyncio.ensure_future(watch.ended.wait())
        try:
            await asyncio.wait([pump, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.faults.watch_closed(watch)
            for task in (pump, ended):
                task.cancel()
            await asyncio.gather(pump, ended, return_exceptions=True)
        if watch.aborted:
            return cut(request)
        return response


class _Relay:
    """A watch under way; what :class:`Faults` does to one."""

    def __init__(self, resource: Any):
        self.resource = resource
        self.ended = asyncio.Event()
        self.aborted = False
        self.frozen = False

    def end(self, *, abort: bool = False) -> None:
        self.aborted = abort
        self.ended.set()

    def freeze(self) -> None:
        self.frozen = True


async def _pump(
    answer: aiohttp.ClientResponse, response: web.StreamResponse, watch: _Relay, stream: str
) -> None:
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        async for line in _spoilt(_lines(answer), watch, stream):
            if not watch.frozen:
                await response.write(line)


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    while line := await answer.content.readline():
        yield line


async def _spoilt(lines: AsyncIterator[bytes], watch: _Relay, stream: str) -> AsyncIterator[bytes]:
    """Yield ``lines`` as a wire with the fault ``stream`` delivers them."""
    if stream == "swapped":
        async for line in _swapped(lines):
            yield line
        return
    async for line in lines:
        if stream in {"ended", "reset", "cut", "gone"}:
            if stream == "cut":
                yield line[: len(line) // 2]
            elif stream == "gone":
                yield _gone_event()
            watch.end(abort=stream in {"reset", "cut"})
            return
        if stream == "silent":
            watch.freeze()
        if stream == "bookmarks":
            yield _bookmark(line, before=True)
        yield line
        if stream == "twice":
            yield line
        if stream == "bookmarks":
            yield _bookmark(line)


async def _swapped(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the second of each two lines first, unless it is long in coming."""
    while True:
        try:
            first = await anext(lines)
        except StopAsyncIteration:
            return
        coming = asyncio.ensure_future(anext(lines, b""))
        await asyncio.wait([coming], timeout=_SWAP)
        if not coming.done():
            yield first
            yield await coming
            continue
        yield coming.result()
        yield first


def _bookmark(line: bytes, *, before: bool = False) -> bytes:
    """Return a bookmark that says that all up to the event ``line`` has been sent.

    Args:
        before: all but ``line`` itself.
    """
    item = json.loads(line)["object"]
    version = str(int(item["metadata"]["resourceVersion"]) - before)
    metadata = {"resourceVersion": version, "creationTimestamp": None}
    bookmark = {"kind": item.get("kind"), "apiVersion": "v1", "metadata": metadata}
    return json.dumps({"type": "BOOKMARK", "object": bookmark}).encode() + b"\n"


def _gone_event() -> bytes:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "too old resource version: 1 (2)",
        "reason": "Expired",
        "code": 410,
    }
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


def _refusal(fault: Fault) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": fault.message,
        "reason": fault.reason,
        "code": fault.status,
    }
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return web.json_response(status, status=fault.status or 500, headers=headers)


def trusting(path: Path) -> tuple[str, ssl.SSLContext, dict[str, str]]:
    """Return URL, TLS context and headers of the current context of the kubeconfig ``path``."""
    import yaml

    config = yaml.safe_load(path.read_text())
    names = {c["name"]: c["context"] for c in config["contexts"]}[config["current-context"]]
    cluster = {c["name"]: c["cluster"] for c in config["clusters"]}[names["cluster"]]
    user = {u["name"]: u["user"] for u in config["users"]}[names["user"]]
    data = cluster.get("certificate-authority-data")
    context = ssl.create_default_context(
        cafile=cluster.get("certificate-authority"),
        cadata=base64.b64decode(data).decode() if data else None,
    )
    return cluster["server"], context, {"Authorization": f"Bearer {user['token']}"}
