"""From a URL to what it asks for.

See https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubespawner.localcluster.resources import Kinds, Resource

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        method: HTTP method.
        path: of the URL.
        query: the last value of every query parameter.
        resource: None if the path names none.
        namespace: "" for cluster-scoped requests.
        name: "" for collections.
        subresource: "" for the object itself.
        verb: as in RBAC rules.
    """

    method: str
    path: str
    query: Mapping[str, str]
    resource: Resource | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    verb: str = ""


def parse(method: str, path: str, query: Mapping[str, str], kinds: Kinds) -> Call:
    """Return what a request asks for; ``resource`` is None where the path is not of an object.

    Args:
        kinds: what the server has.
    """
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return Call(method, path, query)
    watching = query.get("watch", "") in {"1", "true", "True"}
    if rest[0] == "watch" and len(rest) > 1:
        watching, rest = True, rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
        namespace, rest = rest[1], rest[2:]
    resource = kinds.at(group, version, rest[0])
    if resource is None or len(rest) > 3:
        return Call(method, path, query)
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    verb = _verb(method, bool(name), watching)
    return Call(method, path, query, resource, namespace, name, subresource, verb)


def _verb(method: str, named: bool, watching: bool) -> str:
    if method == "DELETE":
        return "delete" if named else "deletecollection"
    if method in _VERBS:
        return _VERBS[method]
    if watching:
        return "watch"
    return "get" if named else "list"
