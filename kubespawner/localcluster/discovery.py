"""The documents by which clients such as kubectl learn what the server has.

See https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api.
"""

from __future__ import annotations

from typing import Any

from kubespawner.localcluster.resources import Kinds, Resource
from kubespawner.localcluster.schema import kubernetes_version

_SUBRESOURCE_VERBS = {
    "status": ["get", "patch", "update"],
    "log": ["get"],
    "binding": ["create"],
    "finalize": ["update"],
}


def document(path: str, address: str, kinds: Kinds) -> dict[str, Any] | None:
    """Return the document at ``path``, None if there is none.

    Args:
        path: without a trailing slash.
        address: host and port of this server.
        kinds: what it has.
    """
    if path == "/version":
        return version()
    if path == "/api":
        return {
            "kind": "APIVersions",
            "apiVersion": "v1",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
        }
    if path == "/apis":
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(name, versions) for name, versions in _groups(kinds).items()],
        }
    if path == "/api/v1":
        return _resource_list("", "v1", kinds)
    if path.startswith("/apis/"):
        name, _, version_ = path.removeprefix("/apis/").partition("/")
        versions = _groups(kinds).get(name, [])
        if version_ in versions:
            return _resource_list(name, version_, kinds)
        if versions and not version_:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}
    return None


def version() -> dict[str, Any]:
    """Return the ``/version`` document."""
    major, minor, _ = kubernetes_version().split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{kubernetes_version()}+kubespawner-localcluster",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    }


def _groups(kinds: Kinds) -> dict[str, list[str]]:
    """Return the versions of every group but the core one."""
    found: dict[str, set[str]] = {}
    for resource in kinds:
        if resource.group:
            found.setdefault(resource.group, set()).add(resource.version)
    # The shortest name is the most stable one: v1 comes before v1beta1.
    return {name: sorted(found[name], key=lambda v: (len(v), v)) for name in sorted(found)}


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    entries = [{"groupVersion": f"{name}/{each}", "version": each} for each in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _resource_list(group: str, version_: str, kinds: Kinds) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    for resource in kinds:
        if (resource.group, resource.version) == (group, version_):
            entries.append(_entry(resource))
            entries += [_subresource(resource, name) for name in resource.subresources]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version_}" if group else version_,
        "resources": entries,
    }


def _entry(resource: Resource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.all_category:
        entry["categories"] = ["all"]
    return entry


def _subresource(resource: Resource, name: str) -> dict[str, Any]:
    return {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": "Binding" if name == "binding" else resource.kind,
        "verbs": _SUBRESOURCE_VERBS[name],
    }
