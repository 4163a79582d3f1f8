"""CustomResourceDefinitions: resources that come and go with an object.

Served is the version that is stored; values are checked for their types and unknown fields, not
for patterns or by expressions. See
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/.
"""

from __future__ import annotations

from typing import Any

from kubespawner.localcluster import schema
from kubespawner.localcluster.resources import DEFINITIONS, Resource
from kubespawner.localcluster.store import Change, Store

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# What of an OpenAPI schema says what an object is made of; the rest only restricts its values.
_KEPT = ("type", "properties", "items", "additionalProperties", "required", "format", "default")


class CustomResources:
    """Has a store's custom resources follow their definitions."""

    def __init__(self, store: Store):
        self._store = store
        self._served: dict[str, Resource] = {}

    def react(self, change: Change) -> None:
        """Serve what a definition defines, from the moment that it exists."""
        if change.resource is not DEFINITIONS:
            return
        obj = change.after.obj
        name = obj["metadata"]["name"]
        before = self._served.pop(name, None) if change.type != "ADDED" else None
        if change.type == "DELETED":
            if before is not None:
                self._end(before)
            return
        found = _resource(obj)
        if before is not None and found.api_version == before.api_version:
            # Its objects stay; what they have to look like may be new.
            schema.add_definition(before.definition, _schema_of(obj))
            self._served[name] = before
            return
        schema.add_definition(found.definition, _schema_of(obj))
        self._store.kinds.add(found)
        self._served[name] = found

    def _end(self, resource: Resource) -> None:
        for record in self._store.records(resource):
            self._store.remove(resource, *record.key)
        self._store.kinds.remove(resource)


def _stored(definition: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in definition["spec"]["versions"] if each["storage"])


def _resource(definition: dict[str, Any]) -> Resource:
    spec, version = definition["spec"], _stored(definition)
    names = spec["names"]
    return Resource(
        spec["group"],
        version["name"],
        names["kind"],
        names["plural"],
        # Two servers of one process may define the same kind differently.
        f"{spec['group']}.{version['name']}.{names['kind']}-{definition['metadata']['uid']}",
        namespaced=spec.get("scope") == "Namespaced",
        short_names=tuple(names.get("shortNames", ())),
        subresources=("status",) if "status" in version.get("subresources", {}) else (),
        custom=True,
    )


def _schema_of(definition: dict[str, Any]) -> schema.Definition:
    given = _stored(definition).get("schema", {}).get("openAPIV3Schema", {})
    structure = _structure(given)
    if "properties" in structure:
        structure["properties"] |= {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": schema.definition(_META),
        }
    return structure


def _structure(given: dict[str, Any]) -> schema.Definition:
    """Return the part of an OpenAPI schema that decoding follows."""
    found = {key: given[key] for key in _KEPT if key in given}
    if given.get("x-kubernetes-preserve-unknown-fields"):
        found.pop("properties", None)
        found.pop("additionalProperties", None)
    if "properties" in found:
        found["properties"] = {k: _structure(v) for k, v in found["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _structure(found[key])
    return found
