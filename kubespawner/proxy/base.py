"""What all proxies have in common: a route as Kubernetes objects, and how they are kept."""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlparse

from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.client.models import V1Service
from prometheus_client import Counter
from traitlets import Bool

from ..clients import load_config, shared_client
from ..config import _checks as checks
from ..config import check_config_names
from ..errors import ConfigurationError
from ..failures import raise_for_permission
from ..hubplace import hub_namespace
from ..kube.informer import Health, Informer
from ..kube.requests import CONCURRENCY, ApiUnavailable, Deadline, Requests
from ..ownership import annotations_of, labels_of, uid_of
from ..routes import make_endpoint_slice
from ..slugs import escape_slug
from ..utils import generate_hashed_slug
from .marks import COMPONENT, DATA, PROXY_ROUTE, ROUTESPEC, TARGET
from .objects import Item, RouteObjects, change, with_record
from .reflectors import EndpointsReflector, ServiceReflector
from .settings import ProxyConfig, expand

# Seconds between two log lines about what is waited for.
_TELL_EVERY = 10.0

ROUTE_FAILURES = Counter(
    "kubespawner_proxy_route_failures",
    "Routes that could not be written or deleted",
    ["action"],
)


class RouteProxy(ProxyConfig):
    """Mixin of a JupyterHub proxy whose routes are objects of one kind.

    Each may have a Service and an EndpointSlice of the same name. A subclass says what a route
    is made of (:meth:`_make_routes`, :meth:`_manifests`). No ``Configurable``: the settings
    belong to the section of the proxy's class.
    """

    # JupyterHub's Proxy has these.
    config: Any
    log: Any

    # The hub neither starts nor stops what serves the routes.
    should_start = Bool(False)

    # What a route is, for messages.
    _route_kind = "Route"

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        check_config_names(type(self), self.config)
        self._check_settings()
        load_config(
            host=self.k8s_api_host or None,
            ssl_ca_cert=self.k8s_api_ssl_ca_cert or None,
            verify_ssl=self.k8s_api_verify_ssl,
        )
        self.core_api = shared_client("CoreV1Api")
        self.discovery_api = shared_client("DiscoveryV1Api")
        self._requests = Requests(
            request_timeout=lambda: self.k8s_api_request_timeout,
            retry_timeout=lambda: self.k8s_api_request_retry_timeout,
            log=self.log,
        )
        self._reflectors: list[Any] = []
        self._routes = self._make_routes()
        self.service_reflector = self._reflector(ServiceReflector)
        self.endpoint_reflector = self._reflector(EndpointsReflector)
        self._services = self._objects("service", self.core_api, self.service_reflector)
        self._slices = self._objects(
            "endpoint_slice", self.discovery_api, self.endpoint_reflector, fixed="addressType"
        )
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        # Few enough routes at once that none waits long for its requests, its time running.
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._told_damaged: set[tuple[str, str]] = set()
        self.start_watching()

    # ---- what a kind of route adds -----------------------------------------------------

    def _check_settings(self) -> None:
        """Raise ConfigurationError for settings that do not go together."""

    def _make_routes(self) -> RouteObjects:
        """Return the objects that the routes are."""
        raise NotImplementedError

    def _manifests(
        self, routespec: str, target: str, data: Mapping[str, Any]
    ) -> tuple[Item | None, Item | None, Item]:
        """Return EndpointSlice, Service and object of a route; None for what it does not need."""
        raise NotImplementedError

    async def _check_cluster(self) -> None:
        """Tell, once, what the cluster lacks. The routes are known."""

    async def _prepare(self, name: str, manifest: Item, deadline: Deadline) -> None:
        """Do what has to be done before the route ``manifest`` is written."""

    async def _confirm(self, name: str, written: bool) -> None:
        """Look whether the route works; ``written`` tells whether it was changed just now."""

    async def _clear(self, route: Item, deadline: Deadline) -> None:
        """Clear up what :meth:`_prepare` did for ``route``, which is deleted."""

    # ---- watching ----------------------------------------------------------------------

    def _reflector(self, cls: type[Any]) -> Any:
        reflector = cls(
            parent=self,
            namespace=self.namespace,
            labels={COMPONENT: self.component_label, PROXY_ROUTE: "true"},
        )
        reflector.informer.on_load(self._note_loaded)
        self._reflectors.append(reflector)
        return reflector

    def _objects(self, kind: str, api: Any, reflector: Any, fixed: str = "") -> RouteObjects:
        return RouteObjects(
            kind,
            api,
            reflector.informer,
            self._requests,
            self.namespace,
            self._is_ours,
            fixed,
            setting=f"{type(self).__name__}.component_label",
        )

    def _is_ours(self, item: Mapping[str, Any]) -> bool:
        labels = labels_of(item)
        return labels.get(COMPONENT) == self.component_label and labels.get(PROXY_ROUTE) == "true"

    def start_watching(self) -> None:
        """Begin to watch the routes' objects; nothing for what is watched already."""
        for reflector in self._reflectors:
            reflector.informer.start()

    def _note_loaded(self) -> None:
        for reflector in self._reflectors:
            future = reflector.first_load_future
            if reflector.health is not Health.NEVER_LOADED and not future.done():
                future.set_result(None)

    async def stop(self) -> None:
        """End the watches. The routes stay as they are."""
        await asyncio.gather(*(reflector.stop() for reflector in self._reflectors))

    # ---- names and manifests -----------------------------------------------------------

    @staticmethod
    def _name_of(routespec: str) -> str:
        """Return the name of the route's objects, in its own case."""
        escaped = "".join(
            part if len(part) == 1 else part.upper() for part in map(escape_slug, routespec)
        )
        return generate_hashed_slug(f"jupyter-{escaped}-route")

    def _fields(self, routespec: str, data: Mapping[str, Any]) -> dict[str, str]:
        raw = {
            "username": data.get("user") or "",
            "servername": data.get("server_name") or "",
            "servicename": data.get("service") or data.get("services") or "",
        }
        namespace = hub_namespace()
        return {
            **{name: escape_slug(text) for name, text in raw.items()},
            **{f"unescaped_{name}": text for name, text in raw.items()},
            "routespec": self._name_of(routespec),
            "unescaped_routespec": routespec,
            "hubnamespace": "user" if namespace == "default" else namespace,
        }

    def _labels(self, fields: Mapping[str, str]) -> dict[str, str]:
        """Return the labels of all objects of a route."""
        return {
            **self._expanded("common_labels", fields),
            COMPONENT: self.component_label,
            "app.kubernetes.io/component": self.component_label,
        }

    def _expanded(self, setting: str, fields: Mapping[str, str]) -> dict[str, str]:
        labels = expand(getattr(self, setting), fields)
        try:
            return checks.labels(labels)
        except checks.Wrong as e:
            raise ConfigurationError(
                f"{type(self).__name__}.{setting}{e.where} is {e.part and e.part[0]!r} for the "
                f"route {fields['unescaped_routespec']}: {e.expected}"
            ) from e

    @staticmethod
    def _url(routespec: str) -> str:
        # Without the slashes a host would be taken for a part of the path.
        return routespec if routespec.startswith("/") else f"//{routespec}"

    def _plain(self, model: Any) -> Any:
        return self.core_api.api_client.sanitize_for_serialization(model)

    def _slice_of(self, service: V1Service, target: str) -> Item:
        """Return the slice that leads ``service`` to the IP address of ``target``."""
        return self._plain(
            make_endpoint_slice(
                service.metadata.name,
                urlparse(target).hostname or "",
                service.spec.ports[0].port,
                {
                    **service.metadata.labels,
                    "endpointslice.kubernetes.io/managed-by": "kubespawner",
                },
                service.metadata.annotations,
            )
        )

    # ---- what the hub calls ------------------------------------------------------------

    @asynccontextmanager
    async def _turn(self, action: str, name: str) -> AsyncIterator[Deadline]:
        """Let calls for one route take turns; count those that fail."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        try:
            async with lock, self._slots:
                yield Deadline.after(self.k8s_api_request_retry_timeout)
        except Exception as e:
            ROUTE_FAILURES.labels(action).inc()
            raise_for_permission(e)
            raise

    async def add_route(self, routespec: str, target: str, data: Mapping[str, Any]) -> None:
        """Create or change the route; known to :meth:`get_all_routes` on return.

        Nothing is requested for a route that is as it should be.

        Args:
            routespec: ``[host]/path/``, as JupyterHub has it.
            target: URL of the backend; without a port, that of its scheme.
            data: kept with the route.

        Raises:
            ConfigurationError: an object of another owner has the route's name, a label is not
                valid, or the Role lacks a permission.
            ApiException: the API server refuses.
            ApiUnavailable: no answer within ``k8s_api_request_retry_timeout``.
            TimeoutError: an earlier object of the name does not finish its deletion.
        """
        name = self._name_of(routespec).lower()
        async with self._turn("add", name) as deadline:
            manifests = [
                manifest and with_record(manifest)
                for manifest in self._manifests(routespec, target, data)
            ]
            # The route comes last: one that is shown works.
            kinds = (self._slices, self._services, self._routes)
            written = await self._put(name, list(zip(kinds, manifests, strict=True)), deadline)
            await self._confirm(name, written)

    async def _put(
        self, name: str, wanted: list[tuple[RouteObjects, Item | None]], deadline: Deadline
    ) -> bool:
        """Write what is not as it should be; return whether anything was not."""
        steps = []
        for objects, manifest in wanted:
            present = await objects.present(name, deadline)
            if manifest is None and present is None:
                continue
            if manifest is None or present is None or change(manifest, present):
                steps.append((objects, manifest, present))
        if not steps:
            return False
        # First, so that a route that looks complete has none left.
        await self._delete_legacy_endpoints(name, deadline)
        await self._prepare(name, wanted[-1][1] or {}, deadline)
        for objects, manifest, present in steps:
            if manifest is not None:
                await objects.put(manifest, present, deadline)
        for objects, manifest, present in steps:
            if manifest is None:
                await objects.delete(present, deadline)
        return True

    async def _delete_legacy_endpoints(self, name: str, deadline: Deadline) -> None:
        """Delete the Endpoints that earlier versions made.

        Kubernetes mirrors it to a slice, which would keep sending traffic to the old address.
        """
        present = await self._requests.read(
            self.core_api, "endpoints", name, self.namespace, deadline=deadline
        )
        if present is not None and self._is_ours(present):
            await self._requests.delete(
                self.core_api,
                "endpoints",
                name,
                self.namespace,
                uid=uid_of(present),
                deadline=deadline,
            )

    async def delete_route(self, routespec: str) -> None:
        """Delete the route; absent is fine. :meth:`get_all_routes` lacks it on return.

        Raises:
            ConfigurationError, ApiException, ApiUnavailable: the Role lacks a permission;
                refused; no answer. The route is still there.
        """
        name = self._name_of(routespec).lower()
        async with self._turn("delete", name) as deadline:
            present = [
                (objects, await objects.present(name, deadline))
                for objects in (self._services, self._slices, self._routes)
            ]
            if all(item is None for _, item in present):
                return
            await self._delete_legacy_endpoints(name, deadline)
            # The route goes last: if something can't be deleted, the hub still sees a route
            # that it does not want, and tries again.
            for objects, item in present:
                await objects.delete(item, deadline)
            route = present[-1][1]
            if route is not None:
                await self._clear(route, deadline)

    async def get_all_routes(self) -> dict[str, dict[str, Any]]:
        """Return this hub's routes: routespec -> ``{"routespec", "target", "data"}``.

        Waits until they are known; the answer is never that of an interrupted watch.

        Raises:
            ConfigurationError: the Role does not allow to list or watch them.
            ApiUnavailable: they were not known within ``route_load_timeout``.
            ApiException: the API server refuses to list them.
        """
        deadline = Deadline.after(self.route_load_timeout)
        await self._loaded(deadline)
        await self._check_cluster()
        selector = self._reflectors[0].label_selector
        routes = {}
        for item in await self._routes.all(selector, deadline):
            route = self._route_of(item)
            if route is not None:
                routes[route["routespec"]] = route
        return routes

    @staticmethod
    def _check_known(reflector: Any, error: BaseException | None) -> None:
        """Raise ConfigurationError if ``error`` says that the cluster has no such kind."""
        if isinstance(error, ApiException) and error.status == 404:
            raise ConfigurationError(
                f"The cluster has no {reflector.kind}: {reflector.needs}", reason="NoSuchKind"
            ) from error

    async def _loaded(self, deadline: Deadline) -> None:
        """Wait until all objects are known: what is not would be asked for route by route."""
        self.start_watching()
        for reflector in self._reflectors:
            while True:
                try:
                    await self._under_way(reflector.informer, deadline.sooner(_TELL_EVERY))
                    break
                except ApiUnavailable as e:
                    self._check_known(reflector, e.__cause__)
                    if deadline.expired:
                        raise
                    self.log.warning("Waiting for the routes to be listed: %s", e)

    @staticmethod
    async def _under_way(informer: Informer, deadline: Deadline) -> None:
        try:
            await informer.under_way(deadline)
        except ApiException as e:
            # For good if the Role lacks it, else perhaps only for now.
            raise_for_permission(e)
            await informer.loaded(deadline)

    def _route_of(self, item: Item) -> dict[str, Any] | None:
        """Return the route that ``item`` is; None, with a log line once, if it is none."""
        annotations = annotations_of(item)
        name = item["metadata"]["name"]
        try:
            route = {
                "routespec": annotations[ROUTESPEC],
                "target": annotations[TARGET],
                "data": json.loads(annotations[DATA]),
            }
            if not isinstance(route["data"], dict):
                raise ValueError(f"the annotation {DATA} is no object")
            if name != self._name_of(route["routespec"]).lower():
                raise ValueError(f"the route {route['routespec']} has another name")
        except (KeyError, ValueError) as e:
            why = f"no annotation {e}" if isinstance(e, KeyError) else str(e)
            if (name, why) not in self._told_damaged:
                self._told_damaged.add((name, why))
                self.log.warning(
                    "%s %s/%s is no route: %s", self._route_kind, self.namespace, name, why
                )
            return None
        return route
