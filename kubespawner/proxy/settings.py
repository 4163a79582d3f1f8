"""Settings of the proxy, and the template fields of a route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
