"""What of the Gateway API the tests need: two kinds, as their real definitions describe them.

https://gateway-api.sigs.k8s.io/reference/spec/
"""

from __future__ import annotations

from typing import Any

GROUP = "gateway.networking.k8s.io"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def _text(**more: Any) -> dict[str, Any]:
    return {"type": "string", **more}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        **({"required": list(required)} if required else {}),
    }


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_PARENT = _object(
    {
        "group": _text(default=GROUP),
        "kind": _text(default="Gateway"),
        "name": _text(),
        "namespace": _text(),
        "sectionName": _text(),
        "port": {"type": "integer"},
    },
    "name",
)
_BACKEND = _object(
    {
        "group": _text(),
        "kind": _text(default="Service"),
        "name": _text(),
        "namespace": _text(),
        "port": {"type": "integer"},
        "weight": {"type": "integer", "default": 1},
        "filters": _array(_FREE),
    },
    "name",
)
_PATH = _object({"type": _text(default="PathPrefix"), "value": _text(default="/")})
_RULE = _object(
    {
        "name": _text(),
        "matches": _array(_object({"path": _PATH, "headers": _array(_FREE), "method": _text()})),
        "backendRefs": _array(_BACKEND),
        "filters": _array(_FREE),
        "timeouts": _object({"request": _text(), "backendRequest": _text()}),
    }
)
_HTTP_ROUTE = _object(
    {
        "spec": _object(
            {"parentRefs": _array(_PARENT), "hostnames": _array(_text()), "rules": _array(_RULE)}
        ),
        "status": _object({"parents": _array(_FREE)}),
    },
    "spec",
)
_GRANT = _object(
    {
        "spec": _object(
            {
                "from": _array(
                    _object({key: _text() for key in ("group", "kind", "namespace")}, "kind")
                ),
                # The core group's name is empty, which Kubernetes 1.20 takes for null.
                "to": _array(_FREE),
            },
            "from",
            "to",
        )
    }
)


def _definition(kind: str, plural: str, version: str, schema: Any, status: bool) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            # Definitions in groups of Kubernetes itself have to say who approved them.
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    **({"subresources": {"status": {}}} if status else {}),
                }
            ],
        },
    }


CUSTOM_RESOURCES = (
    _definition("HTTPRoute", "httproutes", "v1", _HTTP_ROUTE, True),
    _definition("ReferenceGrant", "referencegrants", "v1beta1", _GRANT, False),
)


def answer(
    route: dict[str, Any],
    *,
    accepted: str = "Accepted",
    resolved: str = "ResolvedRefs",
    generation: int | None = None,
    parents: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the status with which a Gateway's controller answers ``route``.

    Args:
        accepted, resolved: reason of the condition; another one than its name makes it False.
        generation: that was seen; default: the present one.
        parents: those answered for; default: all.
    """
    seen = route["metadata"]["generation"] if generation is None else generation

    def condition(kind: str, reason: str) -> dict[str, Any]:
        return {
            "type": kind,
            "status": "True" if reason == kind else "False",
            "reason": reason,
            "message": f"said of {kind}",
            "observedGeneration": seen,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }

    return {
        "parents": [
            {
                "parentRef": ref,
                "controllerName": "tests.example.com/gateway",
                "conditions": [
                    condition("Accepted", accepted),
                    condition("ResolvedRefs", resolved),
                ],
            }
            for ref in (route["spec"]["parentRefs"] if parents is None else parents)
        ]
    }
