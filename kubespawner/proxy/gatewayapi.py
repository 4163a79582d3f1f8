"""The Gateway API as a client, and what its controllers say of a route. Pure but for the client.

https://gateway-api.sigs.k8s.io/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

GROUP = "gateway.networking.k8s.io"

# Kind, as in the names of a client's methods -> version and plural.
_KINDS = {"http_route": ("v1", "httproutes"), "reference_grant": ("v1beta1", "referencegrants")}
_VERBS = {"read": "get", "list": "list", "create": "create", "patch": "patch", "delete": "delete"}

# What has to be true of a route before it works.
_CONDITIONS = ("Accepted", "ResolvedRefs")
_WORDS = {
    "NotAllowedByListeners": "the Gateway's listeners do not admit routes of this namespace",
    "NoMatchingListenerHostname": "no listener of the Gateway serves the route's host",
    "NoMatchingParent": "the Gateway has no listener of that sectionName or port",
    "BackendNotFound": "the Service does not exist",
    "RefNotPermitted": "the Service's namespace has no ReferenceGrant for it",
    "InvalidKind": "the controller does not know such a backend",
    "UnsupportedValue": "the controller does not support a field of the route",
    "UnsupportedProtocol": "the controller does not support the Service's appProtocol",
    "IncompatibleFilters": "the controller can't apply all filters together",
}


def custom_resource(kind: str) -> dict[str, str]:
    """Return what a client of custom objects has to be told of a kind."""
    version, plural = _KINDS[kind]
    return {"group": GROUP, "version": version, "plural": plural}


class GatewayApi:
    """HTTPRoutes and ReferenceGrants, by methods named as those of generated clients.

    Args:
        api: a ``CustomObjectsApi``.
    """

    def __init__(self, api: Any):
        self.api_client = api.api_client
        for kind in _KINDS:
            for verb, custom in _VERBS.items():
                method = getattr(api, f"{custom}_namespaced_custom_object")
                setattr(self, f"{verb}_namespaced_{kind}", partial(method, **custom_resource(kind)))


def refusals(route: Mapping[str, Any]) -> list[str]:
    """Return in words why the route does not work; empty as far as nothing says so."""
    return [
        f"{_described(parent)}: {_worded(condition)}"
        for parent in route["spec"].get("parentRefs") or ()
        for condition in _conditions(route, parent)
        if condition.get("status") == "False"
    ]


def is_answered(route: Mapping[str, Any]) -> bool:
    """Whether every Gateway's controller has said whether it accepts the route as it is now."""
    return all(
        {c["type"] for c in _conditions(route, parent) if c.get("status") in ("True", "False")}
        >= set(_CONDITIONS)
        for parent in route["spec"].get("parentRefs") or ()
    )


def _conditions(route: Mapping[str, Any], parent: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what counts of what is said about the route's present state and ``parent``."""
    meta = route["metadata"]
    wanted = _identity(parent, meta.get("namespace"))
    for status in (route.get("status") or {}).get("parents") or ():
        if _identity(status.get("parentRef") or {}, meta.get("namespace")) != wanted:
            continue
        for condition in status.get("conditions") or ():
            seen = condition.get("observedGeneration", meta.get("generation"))
            if condition.get("type") in _CONDITIONS and seen == meta.get("generation"):
                yield condition


def _identity(ref: Mapping[str, Any], namespace: str | None) -> tuple[Any, ...]:
    return (
        ref.get("group", GROUP),
        ref.get("kind", "Gateway"),
        ref.get("namespace") or namespace,
        ref.get("name"),
        ref.get("sectionName"),
        ref.get("port"),
    )


def _described(ref: Mapping[str, Any]) -> str:
    namespace = f"{ref['namespace']}/" if ref.get("namespace") else ""
    section = f", listener {ref['sectionName']}" if ref.get("sectionName") else ""
    return f"{ref.get('kind', 'Gateway')} {namespace}{ref['name']}{section}"


def _worded(condition: Mapping[str, Any]) -> str:
    reason, said = condition.get("reason") or condition["type"], condition.get("message")
    words = _WORDS.get(reason, f"{condition['type']} is False")
    return f"{words} ({reason}: {said})" if said else f"{words} ({reason})"
