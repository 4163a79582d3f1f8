"""Settings of the proxy, and the template fields of a route."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import traitlets
from traitlets import HasTraits, default

from .. import naming
from ..config import _checks as checks
from ..config._section import traits_of_section
from ..config._types import Bool, Dict, Integer, List, Unicode
from ..config.connection import ConnectionConfig
from ..hubplace import hub_namespace
from .marks import APPLIED, COMPONENT, DATA, PROXY_ROUTE, ROUTESPEC, TARGET

# Without these a route would be lost from sight, and be made again and again.
_RESERVED = frozenset({COMPONENT, PROXY_ROUTE, ROUTESPEC, TARGET, DATA, APPLIED})

_NAMES = ("username", "servername", "servicename", "routespec")
_FIELDS = frozenset({*_NAMES, *(f"unescaped_{name}" for name in _NAMES), "hubnamespace"})


def expand(value: Any, fields: Mapping[str, str]) -> Any:
    """Expand every string in ``value``: list items and dict values in depth."""
    if isinstance(value, str):
        return naming.expand(value, fields, join=False).rstrip("-")
    if isinstance(value, list):
        return [expand(item, fields) for item in value]
    if isinstance(value, dict):
        return {key: expand(item, fields) for key, item in value.items()}
    return value


def _expanded_labels(value: Mapping[Any, Any]) -> Any:
    """Check labels as they will be: for a route that has every name, and for one that has none."""
    checks.annotation_texts(value)
    for sample in ("x", ""):
        checks.labels(expand(dict(value), dict.fromkeys(_FIELDS, sample)))
    return value


def _not_reserved(value: Mapping[Any, Any]) -> Any:
    for key in value:
        if key in _RESERVED:
            raise checks.Wrong("routes are found by it; it can't be replaced", " key", (key,))
    return value


_PARENT_KEYS = ("name", "namespace", "sectionName", "port", "group", "kind")
# Of the Gateway API: https://gateway-api.sigs.k8s.io/geps/gep-2257/
_DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
_TIMEOUTS = ("request", "backendRequest")


def _parent_refs(value: list[Any]) -> Any:
    for index, item in enumerate(value):
        where = f"[{index}]"
        if not isinstance(item, dict):
            raise checks.Wrong("it must be a dict {'name': …, 'namespace': …}", where, (item,))
        for key in item:
            if key not in _PARENT_KEYS:
                hint = checks.nearest(key, _PARENT_KEYS)
                keys = ", ".join(repr(each) for each in _PARENT_KEYS)
                raise checks.Wrong(f"its keys are {keys}{hint}", where, (key,))
        if not isinstance(item.get("name"), str) or not item["name"]:
            raise checks.Wrong("the key 'name', the Gateway's, is missing", where, (item,))
    return value


def _timeouts(value: Mapping[Any, Any] | None) -> Any:
    for key, text in (value or {}).items():
        if key not in _TIMEOUTS:
            raise checks.Wrong("the keys are 'request' and 'backendRequest'", " key", (key,))
        if not isinstance(text, str) or not _DURATION.fullmatch(text):
            raise checks.Wrong(
                "it must be a duration such as '30s' or '1h30m'", f"[{key!r}]", (text,)
            )
    return value


def _filters(value: list[Any]) -> Any:
    for index, item in enumerate(value):
        if not isinstance(item, dict) or not item.get("type"):
            raise checks.Wrong("it must be a dict with the key 'type'", f"[{index}]", (item,))
    return value


def _specifications(value: list[Any]) -> Any:
    for index, item in enumerate(value):
        where = f"[{index}]"
        if not isinstance(item, dict):
            raise checks.Wrong("it must be a dict {'host': …, 'tlsSecret': …}", where, (item,))
        for key, text in item.items():
            if key not in ("host", "tlsSecret"):
                hint = checks.nearest(key, ("host", "tlsSecret"))
                raise checks.Wrong(f"its keys are 'host' and 'tlsSecret'{hint}", where, (key,))
            if not isinstance(text, str) or not text:
                raise checks.Wrong("it must be a text", f"{where}[{key!r}]", (text,))
        if "host" not in item:
            raise checks.Wrong("the key 'host' is missing", where, (item,))
    return value


class ProxyConfig(ConnectionConfig):
    """What an operator sets about routes of any kind."""

    class_own_traits = classmethod(traits_of_section)

    namespace = Unicode(
        check=checks.not_empty,
        help="""Namespace of the routes' objects.

        Default: that of the hub's service account, else `default`.
        """,
    )
    component_label = Unicode(
        "singleuser-server",
        check=checks.label_value,
        help="""Value of the labels `component` and `app.kubernetes.io/component` of all objects.

        Routes are found by it: hubs that share a namespace need different values.
        """,
    )
    common_labels = Dict(
        default_value={
            "app.kubernetes.io/name": "jupyterhub",
            "app.kubernetes.io/managed-by": "kubespawner",
            "app": "jupyterhub",
            "heritage": "jupyterhub",
        },
        check=_expanded_labels,
        expanded=_FIELDS,
        help="""Labels of all objects. Values are expanded.

        Fields: `{username}`, `{servername}`, `{servicename}`, `{routespec}` (escaped), the same
        with `unescaped_` in front, and `{hubnamespace}`. A name that a route does not have is
        empty. Dashes at the end are dropped.
        """,
    )
    route_load_timeout = Integer(
        300,
        check=checks.positive,
        help="""Seconds that the hub waits for the list of its routes, at its start above all.

        Then the question fails, and a hub that starts ends with an error. An empty answer would
        let it take every route for missing.
        """,
    )

    @default("namespace")
    def _default_namespace(self) -> str:
        return hub_namespace()


class IngressConfig(HasTraits):
    """What an operator sets about routes that are Ingresses."""

    ingress_extra_labels = Dict(
        check=checks.all_of(_expanded_labels, _not_reserved),
        expanded=_FIELDS,
        help="""Further labels of the Ingress; they win. Values are expanded, see `common_labels`.""",
    )
    ingress_extra_annotations = Dict(
        check=checks.all_of(checks.annotation_texts, _not_reserved),
        expanded=_FIELDS,
        help="""Annotations of the Ingress, most of them for its controller. Values are expanded.

        With JupyterHub's `internal_ssl` targets are `https`, which has to be said to the
        controller; to ingress-nginx by::

            c.KubeIngressProxy.ingress_extra_annotations = {
                "nginx.ingress.kubernetes.io/backend-protocol": "HTTPS",
            }

        See `common_labels` for the fields.
        """,
    )
    ingress_class_name = Unicode(
        "",
        help="""Name of the IngressClass. Empty (the default): the cluster's default class.

        https://kubernetes.io/docs/concepts/services-networking/ingress/#ingress-class
        """,
    )
    ingress_specifications = List(
        check=_specifications,
        expanded=_FIELDS,
        help="""Hosts to serve, each with the secret of its certificate, if any. Expanded.

        Empty (the default): every host, without TLS. Example::

            c.KubeIngressProxy.ingress_specifications = [
                {"host": "hub.example.com", "tlsSecret": "hub-tls"},
            ]
        """,
    )
    reuse_existing_services = Bool(
        False,
        help="""Whether a route to a Service of the same namespace needs no Service of its own.

        For spawners with `services_enabled`, and for the hub's own Service.
        """,
    )


class GatewayConfig(HasTraits):
    """What an operator sets about routes that are HTTPRoutes."""

    gateway_parent_refs = List(
        check=_parent_refs,
        help="""The Gateways that serve the routes. Required. Example::

            c.KubeGatewayProxy.gateway_parent_refs = [
                {"name": "web", "namespace": "gateways", "sectionName": "https"},
            ]

        `namespace` (default: that of the routes), `sectionName` (one listener; default: all) and
        `port` are optional. Certificates and listeners are the Gateway's; its listeners must
        admit routes of the hub's namespace (`allowedRoutes`).
        https://gateway-api.sigs.k8s.io/reference/spec/#parentreference
        """,
    )
    gateway_hostnames = List(
        traitlets.Unicode(),
        expanded=_FIELDS,
        help="""Hosts to serve. Expanded, see `common_labels`. Empty (the default): every host that
        the Gateway serves.

        With JupyterHub's `subdomain_host` a route has a host of its own, which is used instead.
        """,
    )
    route_extra_labels = Dict(
        check=checks.all_of(_expanded_labels, _not_reserved),
        expanded=_FIELDS,
        help="""Further labels of the HTTPRoute; they win. Values are expanded, see `common_labels`.""",
    )
    route_extra_annotations = Dict(
        check=checks.all_of(checks.annotation_texts, _not_reserved),
        expanded=_FIELDS,
        help="""Annotations of the HTTPRoute. Values are expanded, see `common_labels`.""",
    )
    route_timeouts = Dict(
        default_value={"request": "0s", "backendRequest": "0s"},
        allow_none=True,
        check=_timeouts,
        help="""Time limits of a request, `request` and `backendRequest`; `0s`: none (the default).

        Kernels talk over websockets that stay open for days. `None` leaves the limits to the
        controller, for one that does not support them, and for definitions of the Gateway API
        before version 1.2.
        https://gateway-api.sigs.k8s.io/guides/http-timeouts/
        """,
    )
    route_filters = List(
        check=_filters,
        help="""Filters of the HTTPRoute's rule, as the API has them. Not expanded.

        https://gateway-api.sigs.k8s.io/reference/spec/#httproutefilter
        """,
    )
    route_decoded_paths = Bool(
        False,
        help="""Whether paths are written without percent-encoding: `/user/a@b/`, not `/user/a%40b/`.

        For controllers that decode a request's path before they compare it.
        """,
    )
    route_status_timeout = Integer(
        10,
        check=checks.not_negative,
        help="""Seconds that a new route waits for the controller to accept it; 0: it does not.

        A route that is refused is an error. When nothing answers at all, that is a warning.
        """,
    )
    service_app_protocol = Unicode(
        "",
        help="""`appProtocol` of the port of routes' Services, such as `kubernetes.io/ws`.

        For controllers that have to be told of websockets. Empty (the default): none.
        https://gateway-api.sigs.k8s.io/guides/backend-protocol/
        """,
    )
