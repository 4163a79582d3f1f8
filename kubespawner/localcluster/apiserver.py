"""A small Kubernetes API server on loopback.

It speaks the wire protocol that clients, kubectl included, rely on; objects live in memory. See
https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import random
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from kubespawner.localcluster import discovery, lifecycle, openapi
from kubespawner.localcluster.certificates import Certificate, self_signed
from kubespawner.localcluster.controllers import Controllers
from kubespawner.localcluster.customresources import CustomResources
from kubespawner.localcluster.faults import Fault, Faults, cut, truncated
from kubespawner.localcluster.handlers import PATCH_TYPES, Handlers
from kubespawner.localcluster.listing import list_body, list_page
from kubespawner.localcluster.logs import LogReader, log_response
from kubespawner.localcluster.quotas import Quotas
from kubespawner.localcluster.resources import NAMESPACES, PRIORITY_CLASSES, Resource
from kubespawner.localcluster.routing import Call, parse
from kubespawner.localcluster.statuses import (
    ApiError,
    bad_request,
    forbidden,
    method_not_allowed,
    not_acceptable,
    unauthorized,
    unknown_path,
    unsupported_media_type,
)
from kubespawner.localcluster.store import Record, Store
from kubespawner.localcluster.tables import TableEncoder, wants_table
from kubespawner.localcluster.watches import Watch, encode_event

log = logging.getLogger(__name__)

_USER = "localcluster-admin"
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_BODY_TYPES = ("application/json", "application/yaml")
# The real server ends a watch after 30 to 60 minutes where the client names no time.
_WATCH_SECONDS = 1800


class ApiServer:
    """The embedded cluster's API server.

    Args:
        host: address to listen on; anything but loopback is refused.
        port: 0 = any free port.
        token: bearer token that every request must carry; random by default.
        log_reader: serves ``GET pods/NAME/log``; see :mod:`kubespawner.localcluster.logs`.
        history_limit: changes kept per resource for watches; older versions are answered with 410.
        bookmark_interval: seconds between the bookmarks of a watch that asked for them.
        field_validation: what happens to unknown fields where a request does not say: Strict
            (400; the real server's default is Warn), Warn or Ignore.

    Raises:
        ValueError: ``host`` is not a loopback address.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        log_reader: LogReader | None = None,
        history_limit: int = 10_000,
        bookmark_interval: float = 60.0,
        field_validation: str = "Strict",
    ):
        if not (host.startswith("127.") or host in {"localhost", "::1"}):
            raise ValueError(f"the embedded API server listens on loopback only, not on {host}")
        self.host = host
        self.port = port
        self.token = token or secrets.token_urlsafe(32)
        self.log_reader = log_reader
        self.store = Store(history_limit=history_limit)
        self.faults = Faults(self.store)
        self._bookmark_interval = bookmark_interval
        quotas = Quotas(self.store)
        self._handlers = Handlers(
            self.store, quotas, self.faults, field_validation=field_validation
        )
        self._controllers = Controllers(self.store, quotas)
        self.store.subscribe(CustomResources(self.store).react)
        self._runner: web.AppRunner | None = None
        self._certificate: Certificate | None = None
        self._tls_port = 0

    @property
    def url(self) -> str:
        """``http://host:port``; the port is known once the server has started."""
        return f"http://{self._address}:{self.port}"

    @property
    def tls_url(self) -> str:
        """The same server over TLS, on a port of its own; known once the server has started."""
        return f"https://{self._address}:{self._tls_port}"

    @property
    def ca_certificate(self) -> bytes:
        """The certificate (PEM) that proves :attr:`tls_url`. Raises RuntimeError before start."""
        if self._certificate is None:
            raise RuntimeError("the API server has not been started")
        return self._certificate.pem

    @property
    def _address(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def kubeconfig(self) -> dict[str, Any]:
        """Return a kubeconfig with this server as its only, current context.

        It names the TLS address: kubectl sends its token nowhere else. Raises RuntimeError
        before :meth:`start`.
        """
        name = "localcluster"
        authority = base64.b64encode(self.ca_certificate).decode()
        cluster = {"server": self.tls_url, "certificate-authority-data": authority}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": self.token}}],
            "contexts": [
                {"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}
            ],
            "current-context": name,
        }

    async def start(self) -> None:
        """Listen, and create the namespaces and classes that every cluster has.

        After :meth:`stop` it may be started again: same addresses, same objects.

        Raises:
            OSError: the address cannot be listened on.
        """
        first = self._certificate is None
        self._controllers.start()
        for namespace in _NAMESPACES:
            if self.store.record(NAMESPACES, "", namespace) is None:
                lifecycle.create(self.store, NAMESPACES, {"metadata": {"name": namespace}})
        for name, value in (
            ("system-cluster-critical", 2000000000),
            ("system-node-critical", 2000001000),
        ):
            if self.store.record(PRIORITY_CLASSES, "", name) is None:
                obj = {"metadata": {"name": name}, "value": value}
                lifecycle.create(self.store, PRIORITY_CLASSES, obj)
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True
        )
        await self._runner.setup()
        self._certificate = self._certificate or self_signed(self.host)
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]
        context = self._certificate.context
        await web.TCPSite(self._runner, self.host, self._tls_port, ssl_context=context).start()
        self._tls_port = self._runner.addresses[1][1]
        # Namespaces get their service accounts before the first request can be sent.
        await asyncio.sleep(0)
        if first:
            # As on a cluster that has run for a while, its first versions are long forgotten.
            self.store.compact()

    async def stop(self) -> None:
        """End all watches and stop listening."""
        self.faults.close_watches()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None
        await self._controllers.stop()

    # One request

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ApiError as e:
            return _json(e.code, e.status(), e.headers)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as e:
            log.exception("%s %s", request.method, request.path_qs)
            status = ApiError(500, "InternalError", f"Internal error occurred: {e!r}")
            return _json(500, status.status())

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            token.strip().encode(), self.token.encode()
        ):
            raise unauthorized()
        call = parse(request.method, request.path, dict(request.query), self.store.kinds)
        fault = self.faults.take(call)
        if fault:
            return await self._with_fault(fault, request, call)
        return await self._dispatch(request, call)

    async def _with_fault(
        self, fault: Fault, request: web.Request, call: Call
    ) -> web.StreamResponse:
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.drop == "before":
            return cut(request)
        if fault.status:
            headers = {}
            if fault.retry_after is not None:
                headers["Retry-After"] = str(fault.retry_after)
            raise ApiError(fault.status, fault.reason, fault.message, headers=headers)
        if fault.drop == "after":
            # A refusal is not sent either: the client learns nothing.
            try:
                await self._dispatch(request, call)
            except ApiError as e:
                log.info("not sent: %s", e)
            return cut(request)
        response = await self._dispatch(request, call)
        if fault.delay_answer:
            await asyncio.sleep(fault.delay_answer)
        if fault.truncate is not None and isinstance(response, web.Response):
            return await truncated(request, response, fault.truncate)
        return response

    async def _dispatch(self, request: web.Request, call: Call) -> web.StreamResponse:
        if call.resource is None:
            if request.method == "GET":
                return self._document(request, call.path)
            raise unknown_path()
        _check_accept(request)
        self._authorize(call)
        if call.verb in {"get", "list", "watch"}:
            return await self._read(request, call)
        status, result = await self._change(request, call)
        headers: dict[str, str] = {}
        if isinstance(result, Record):
            return _raw(status, result.raw)
        return _json(status, result, headers)

    def _document(self, request: web.Request, path: str) -> web.Response:
        if path in {"/healthz", "/livez", "/readyz"}:
            return web.Response(text="ok")
        schemas = openapi.document(path)
        if schemas is not None:
            return _raw(200, schemas)
        address = f"{self.host}:{self.port}"
        found = discovery.document(path.rstrip("/"), address, self.store.kinds)
        if found is None:
            raise unknown_path()
        return _json(200, found)

    def _authorize(self, call: Call) -> None:
        resource = _resource(call)
        plural = resource.plural + (f"/{call.subresource}" if call.subresource else "")
        if not self.faults.denied(call.verb, plural, call.namespace):
            return
        scope = (
            f' in the namespace "{call.namespace}"' if call.namespace else " at the cluster scope"
        )
        raise forbidden(
            resource,
            call.name,
            f'User "{_USER}" cannot {call.verb} resource "{plural}" in API group '
            f'"{resource.group}"{scope}',
        )

    async def _read(self, request: web.Request, call: Call) -> web.StreamResponse:
        resource = _resource(call)
        if call.subresource == "log" and "log" in resource.subresources:
            return await log_response(request, call, self.store, self.log_reader)
        if call.verb not in resource.verbs or not _readable(resource, call.subresource):
            raise method_not_allowed() if not call.subresource else unknown_path()
        table = TableEncoder(resource, call.query) if wants_table(request) else None
        if call.verb == "get":
            _, record = self._handlers.get(call)
            assert isinstance(record, Record)
            return _raw(200, table.one(record) if table else record.raw)
        if call.verb == "watch":
            if call.name:
                call = _watch_of_one(call)
            return await self._watch(request, call, table.event if table else encode_event)
        page = list_page(self.store, resource, call.namespace, call.query)
        return _raw(200, table.page(page) if table else list_body(resource, page))

    async def _watch(
        self, request: web.Request, call: Call, encode: Callable[[str, Record], bytes]
    ) -> web.StreamResponse:
        watch = Watch(self.store, self.faults, _resource(call), call.namespace, call.query, encode)
        asked = call.query.get("timeoutSeconds", "") or "0"
        if not asked.isdecimal():
            raise bad_request(f'strconv.ParseInt: parsing "{asked}": invalid syntax')
        seconds = float(asked) or _WATCH_SECONDS * (1 + random.random())
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        lines = watch.lines(seconds, self._bookmark_interval)
        try:
            async for batch in lines:
                if batch:
                    await response.write(batch)
        except ConnectionError:
            log.debug("a watch of %s was closed by its client", call.path)
        finally:
            await lines.aclose()
        if watch.aborted and request.transport:
            request.transport.abort()
        return response

    async def _change(self, request: web.Request, call: Call) -> tuple[int, Any]:
        resource = _resource(call)
        if call.verb not in resource.verbs:
            raise method_not_allowed()
        content_type = request.content_type
        raw = await request.read()
        if call.verb == "patch":
            if content_type not in PATCH_TYPES:
                raise unsupported_media_type(", ".join(PATCH_TYPES))
            return self._handlers.patch(call, _decode(raw, content_type), content_type)
        if raw and content_type not in {*_BODY_TYPES, "application/octet-stream"}:
            raise unsupported_media_type(", ".join(_BODY_TYPES))
        body = _decode(raw, content_type) if raw else None
        if call.verb == "create":
            return self._handlers.create(call, body)
        if call.verb == "update":
            return self._handlers.update(call, body)
        if call.verb == "delete":
            return self._handlers.delete(call, body)
        return self._handlers.delete_collection(call, body)


def _resource(call: Call) -> Resource:
    assert call.resource is not None
    return call.resource


def _readable(resource: Resource, subresource: str) -> bool:
    return not subresource or (subresource == "status" and resource.has_status)


def _watch_of_one(call: Call) -> Call:
    query = {**call.query, "fieldSelector": f"metadata.name={call.name}"}
    return Call(
        call.method, call.path, query, call.resource, call.namespace, "", call.subresource, "watch"
    )


def _check_accept(request: web.Request) -> None:
    accepted = request.headers.get("Accept", "*/*")
    if not any(kind in accepted for kind in ("json", "*/*", "application/*", "text/")):
        raise not_acceptable("application/json")


def _decode(raw: bytes, content_type: str) -> Any:
    if content_type.endswith("yaml"):
        import yaml

        try:
            return yaml.safe_load(raw)
        except yaml.YAMLError as e:
            raise bad_request(f"the object provided is no YAML: {e}") from e
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise bad_request(f"the object provided is unrecognized (must be JSON): {e}") from e


def _json(status: int, body: Any, headers: dict[str, str] | None = None) -> web.Response:
    return _raw(status, msgspec.json.encode(body), headers)


def _raw(status: int, body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
