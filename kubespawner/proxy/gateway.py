"""Routes as HTTPRoutes of the Gateway API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyterhub.proxy import Proxy
from kubernetes_asyncio.client import ApiException

from ..clients import shared_client
from ..errors import ConfigurationError
from ..failures import explained
from ..kube.informer import Health
from ..kube.requests import Deadline
from ..ownership import uid_of
from ..routes import make_http_route
from ..slugs import safe_slug
from .base import RouteProxy
from .gatewayapi import GROUP, GatewayApi, is_answered, refusals
from .marks import COMPONENT, ROUTESPEC
from .objects import Item, RouteObjects
from .reflectors import HTTPRouteReflector
from .settings import GatewayConfig, expand

# A Service of another namespace that a route leads to: namespace and name.
Backend = tuple[str, str]


class KubeGatewayProxy(GatewayConfig, RouteProxy, Proxy):
    """A JupyterHub proxy whose routes are HTTPRoutes of the Gateway API, for any spawner.

    Construct inside a running event loop; its watches start there.

    Raises:
        traitlets.TraitError, ConfigurationError: a setting is wrong, missing, or does not exist.
    """

    _route_kind = "HTTPRoute"

    def _check_settings(self) -> None:
        if not self.gateway_parent_refs:
            raise ConfigurationError(
                f"{type(self).__name__}.gateway_parent_refs is empty: name the Gateway that serves "
                "the routes, as [{'name': 'my-gateway'}]"
            )

    def _make_routes(self) -> RouteObjects:
        self.gateway_api = GatewayApi(shared_client("CustomObjectsApi"))
        self.http_route_reflector = self._reflector(HTTPRouteReflector)
        self.http_route_reflector.informer.subscribe_all(self._note_answer)
        # Services of other namespaces that are known to have a grant.
        self._granted: set[Backend] = set()
        # Whether there was no answer last time, so that it is not waited for route by route.
        self._nobody_answers = False
        return self._objects("http_route", self.gateway_api, self.http_route_reflector)

    def _manifests(
        self, routespec: str, target: str, data: Mapping[str, Any]
    ) -> tuple[Item | None, Item | None, Item]:
        fields = self._fields(routespec, data)
        try:
            service, route = make_http_route(
                fields["routespec"].lower(),
                self._url(routespec),
                target,
                data,
                self.namespace,
                parent_refs=self.gateway_parent_refs,
                hostnames=expand(self.gateway_hostnames, fields),
                common_labels=self._labels(fields),
                extra_labels=self._expanded("route_extra_labels", fields),
                extra_annotations=expand(self.route_extra_annotations, fields),
                timeouts=self.route_timeouts,
                filters=self.route_filters,
                decoded_path=self.route_decoded_paths,
                app_protocol=self.service_app_protocol,
            )
        except ValueError as e:
            raise ConfigurationError(
                f"The route {routespec} can't be an HTTPRoute: {e}. A Gateway forwards to nothing "
                "outside of the cluster.",
                reason="NoService",
            ) from e
        route["metadata"]["annotations"][ROUTESPEC] = routespec
        slice_ = None
        if service is not None:
            service.metadata.annotations[ROUTESPEC] = routespec
            slice_ = self._slice_of(service, target)
        return slice_, self._plain(service), route

    # ---- Services of other namespaces --------------------------------------------------

    async def _prepare(self, name: str, manifest: Item, deadline: Deadline) -> None:
        """See to it that the route may lead to a Service of another namespace."""
        backend = _foreign_backend(manifest)
        if backend is None or backend in self._granted:
            return
        namespace, service = backend
        try:
            await self._requests.create(
                self.gateway_api,
                "reference_grant",
                self._grant(service),
                namespace,
                deadline=deadline,
            )
        except ApiException as e:
            if e.status in (403, 404):
                raise ConfigurationError(
                    f"The route {name} leads to the Service {service} of the namespace {namespace}, "
                    f"which needs a ReferenceGrant there for HTTPRoutes of {self.namespace}; it "
                    f"can't be created: {explained(e)}",
                    reason="NoReferenceGrant",
                ) from e
            if e.status != 409:
                raise
        self._granted.add(backend)

    def _grant(self, service: str) -> Item:
        """Return the grant by which routes of our namespace may lead to ``service``.

        https://gateway-api.sigs.k8s.io/api-types/referencegrant/
        """
        return {
            "apiVersion": f"{GROUP}/v1beta1",
            "kind": "ReferenceGrant",
            "metadata": {
                "name": self._grant_name(service),
                "labels": {
                    COMPONENT: self.component_label,
                    "app.kubernetes.io/component": self.component_label,
                },
            },
            "spec": {
                "from": [{"group": GROUP, "kind": "HTTPRoute", "namespace": self.namespace}],
                "to": [{"group": "", "kind": "Service", "name": service}],
            },
        }

    def _grant_name(self, service: str) -> str:
        # Two hubs of one namespace have a grant each, so that neither takes away the other's.
        return safe_slug(f"{self.namespace}-{self.component_label}-to-{service}", max_length=63)

    async def _clear(self, route: Item, deadline: Deadline) -> None:
        """Delete the grant of a Service that no route leads to any more."""
        backend = _foreign_backend(route)
        if backend is None:
            return
        selector = self.http_route_reflector.label_selector
        if any(
            _foreign_backend(other) == backend
            for other in await self._routes.all(selector, deadline)
        ):
            return
        namespace, service = backend
        self._granted.discard(backend)
        try:
            await self._requests.delete(
                self.gateway_api,
                "reference_grant",
                self._grant_name(service),
                namespace,
                deadline=deadline,
            )
        except ApiException as e:
            if e.status != 403:
                raise
            self.log.warning("The grant for %s/%s is kept: %s", namespace, service, explained(e))

    # ---- what the controllers say ------------------------------------------------------

    def _note_answer(self, event: str, key: str, item: Item | None) -> None:
        if self._nobody_answers and item is not None and is_answered(item):
            self._nobody_answers = False

    async def _confirm(self, name: str, written: bool) -> None:
        """Wait until every Gateway accepts the route; raise in words if one does not.

        What is refused at first may be accepted a moment later, when the controller has seen
        the Service, so that a refusal only counts at the end of the time.
        """
        route = self._routes.known(f"{self.namespace}/{name}")
        if route is None:
            return
        if written and self.route_status_timeout and not self._nobody_answers:
            route = await self._answer(name, route)
        if refused := refusals(route):
            self._granted.discard(_foreign_backend(route) or ("", ""))
            raise ConfigurationError(
                f"The route {name} does not work. {'; '.join(refused)}", reason="RouteRefused"
            )

    async def _answer(self, name: str, route: Item) -> Item:
        """Return the route once it is accepted, or as it is when the time is up."""
        key = f"{self.namespace}/{name}"
        informer = self.http_route_reflector.informer

        def accepted(item: Item | None) -> bool:
            return (
                item is not None
                and uid_of(item) == uid_of(route)
                and item["metadata"].get("generation", 0) >= route["metadata"].get("generation", 0)
                and is_answered(item)
                and not refusals(item)
            )

        try:
            found = await informer.wait_for(
                key, accepted, Deadline.after(self.route_status_timeout)
            )
        except TimeoutError:
            found = self._routes.known(key) or route
            if informer.health is Health.FRESH and not is_answered(found) and not refusals(found):
                self._nobody_answers = True
                self.log.warning(
                    "Nothing has answered for HTTPRoute %s within %g s: is there a controller "
                    "that serves %s? Later routes are not waited for until one answers.",
                    key,
                    self.route_status_timeout,
                    ", ".join(str(ref["name"]) for ref in self.gateway_parent_refs),
                )
        return found or route


def _foreign_backend(route: Item) -> Backend | None:
    """Return the Service that the route leads to, if it is of another namespace."""
    for rule in (route.get("spec") or {}).get("rules") or ():
        for ref in rule.get("backendRefs") or ():
            if ref.get("namespace"):
                return ref["namespace"], ref["name"]
    return None
