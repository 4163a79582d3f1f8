"""Strict validation of manifests against the schemas of many Kubernetes versions, offline."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

from jsonschema import Draft202012Validator
from kubernetes_asyncio.client import ApiClient
from kubernetes_validate.utils import all_versions, major_minor, schema_contents
from referencing import Registry, Resource

# Every version from 1.20 on of which kubernetes-validate has schemas, oldest first, as "1.37".
ALL = tuple(
    version
    for version in dict.fromkeys(map(major_minor, all_versions()))
    if tuple(map(int, version.split("."))) >= (1, 20)
)

_GROUPS = {"Ingress": "networking.k8s.io/v1", "EndpointSlice": "discovery.k8s.io/v1"}


class _Serialiser:
    """What ``sanitize_for_serialization`` needs of a client, without a session and a loop."""

    PRIMITIVE_TYPES = ApiClient.PRIMITIVE_TYPES
    sanitize_for_serialization = ApiClient.sanitize_for_serialization


def serialised(model: Any) -> Any:
    """Return ``model`` as the JSON that goes to the API server."""
    return _Serialiser().sanitize_for_serialization(model)


def typed(model: Any) -> dict[str, Any]:
    """Return ``model`` serialised, with the kind and apiVersion that the request's URL implies."""
    manifest = serialised(model)
    manifest.setdefault("kind", re.sub(r"^V\d+", "", type(model).__name__))
    manifest.setdefault("apiVersion", _GROUPS.get(manifest["kind"], "v1"))
    return manifest


@functools.cache
def _registry(version: str) -> Registry:
    contents = schema_contents(f"{_directory(version)}/_definitions.json", version)
    return Resource.from_contents(contents) @ Registry()


@functools.cache
def _directory(version: str) -> str:
    full = [known for known in all_versions() if major_minor(known) == version][-1]
    return f"kubernetes-json-schema/v{full}-local-strict"


@functools.cache
def _validator(version: str, kind: str, api_version: str) -> Draft202012Validator:
    # kubernetes_validate.validate() would read a megabyte of JSON for each call.
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = schema_contents(f"{_directory(version)}/{kind.lower()}-{group}.json", version)
    registry = Resource.from_contents(schema) @ _registry(version)
    return Draft202012Validator(schema, registry=registry)


def problems(manifest: dict[str, Any], versions: Iterable[str] = ALL) -> list[str]:
    """Return what is wrong with ``manifest``, each with version and path."""
    kind, api_version = manifest["kind"], manifest["apiVersion"]
    return [
        f"{version}: {'.'.join(map(str, error.absolute_path)) or '(whole)'}: {error.message}"
        for version in versions
        for error in _validator(version, kind, api_version).iter_errors(manifest)
    ]


def assert_valid(manifest: dict[str, Any], versions: Iterable[str] = ALL) -> None:
    """Fail unless ``manifest`` is valid, strictly, in all ``versions``.

    Strictly: no unknown field at any depth. ``manifest`` is the API's JSON, with kind and
    apiVersion; for a model see :func:`typed`.
    """
    found = problems(manifest, versions)
    name = (manifest.get("metadata") or {}).get("name")
    assert not found, f"{manifest['kind']} {name} is not valid:\n" + "\n".join(found)
