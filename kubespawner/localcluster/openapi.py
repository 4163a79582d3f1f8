"""OpenAPI v3 documents: what ``kubectl apply`` and ``kubectl explain`` ask for.

See https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from kubespawner.localcluster import schema
from kubespawner.localcluster.resources import RESOURCES, Resource

_PREFIX = "/openapi/v3"


def document(path: str) -> bytes | None:
    """Return the JSON document at ``path``, None if there is none."""
    if path == _PREFIX:
        entries = {
            name: {"serverRelativeURL": f"{_PREFIX}/{name}?hash={schema.kubernetes_version()}"}
            for name in _group_versions()
        }
        return msgspec.json.encode({"paths": entries})
    if path.startswith(f"{_PREFIX}/"):
        return _group_version(path.removeprefix(f"{_PREFIX}/"))
    return None


def _root(resource: Resource) -> str:
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


def _group_versions() -> list[str]:
    return sorted({_root(resource) for resource in RESOURCES})


@lru_cache(maxsize=32)
def _group_version(name: str) -> bytes | None:
    resources = [resource for resource in RESOURCES if _root(resource) == name]
    if not resources:
        return None
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for resource in resources:
        scope = "namespaces/{namespace}/" if resource.namespaced else ""
        collection = f"/{name}/{scope}{resource.plural}"
        paths[collection] = {"post": _operation(resource, "post")}
        if "patch" in resource.verbs:
            paths[collection + "/{name}"] = {
                method: _operation(resource, method) for method in ("get", "put", "patch")
            }
        _add_schema(resource.definition, schemas)
        schemas[resource.definition]["x-kubernetes-group-version-kind"] = [_kind(resource)]
    return msgspec.json.encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": f"v{schema.kubernetes_version()}"},
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def _kind(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _operation(resource: Resource, method: str) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    return {
        "operationId": f"{method}{resource.kind}",
        "parameters": [] if method == "get" else parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-group-version-kind": _kind(resource),
    }


def _add_schema(name: str, schemas: dict[str, Any]) -> None:
    """Add a definition and everything that it refers to."""
    if name not in schemas:
        schemas[name] = {}
        schemas[name] = _converted(schema.resolve(schema.definition(name))[1], schemas)


def _converted(node: Any, schemas: dict[str, Any]) -> Any:
    """Return a JSON Schema as OpenAPI has it: other references, and no type null."""
    if isinstance(node, list):
        return [_converted(item, schemas) for item in node]
    if not isinstance(node, dict):
        return node
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key == "$ref":
            name = value.rsplit("/", 1)[1]
            _add_schema(name, schemas)
            result["allOf"] = [{"$ref": f"#/components/schemas/{name}"}]
        elif key == "type" and isinstance(value, list):
            result["type"] = next(each for each in value if each != "null")
        elif key == "additionalProperties" and value is False:
            continue
        else:
            result[key] = _converted(value, schemas)
    if set(result) == {"allOf"}:
        return result["allOf"][0]
    return result
