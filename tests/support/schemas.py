"""Strict validation of manifests against the schemas of many Kubernetes versions, offline."""

from __future__ import annotations

import functools
import json
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from kubernetes_asyncio.client import ApiClient
from kubernetes_validate.utils import all_versions, major_minor, schema_contents
from referencing import Registry, Resource

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
# The first version of kinds that are younger than 1.20.
_SINCE = {"EndpointSlice": (1, 21)}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Schemas of 1.20 to 1.24, which the current kubernetes-validate has dropped: those of the kinds
# that we make, taken unchanged from its release 1.24.1 (Kubernetes' own, Apache License 2.0).
_OLDER = Path(__file__).with_name("kubernetes-1.20-1.24.tar.xz")


@functools.cache
def _older() -> dict[str, Any]:
    """Return the older schemas by directory and file name."""
    with tarfile.open(_OLDER) as archive:
        members = [member for member in archive if member.isfile()]
        return {
            member.name.removeprefix("./"): json.load(archive.extractfile(member))  # type: ignore[arg-type]
            for member in members
        }


def _full_versions() -> list[str]:
    older = dict.fromkeys(name.split("/")[0] for name in _older())
    return [
        *(directory.removeprefix("v").removesuffix("-local-strict") for directory in older),
        *(v for v in all_versions() if tuple(map(int, major_minor(v).split("."))) > (1, 24)),
    ]


# Every version from 1.20 to the newest of which kubernetes-validate has schemas, as "1.37".
ALL = tuple(dict.fromkeys(map(major_minor, _full_versions())))

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
    contents = _contents(f"{_directory(version)}/_definitions.json", version)
    return Resource.from_contents(contents) @ Registry()


@functools.cache
def _directory(version: str) -> str:
    full = [known for known in _full_versions() if major_minor(known) == version][-1]
    return f"v{full}-local-strict"


def _contents(name: str, version: str) -> Any:
    if name in _older():
        # Their dialect has no name that is known today, and they have none of their own.
        identity = {"$schema": _DIALECT, "$id": name.split("/")[1]}
        schema = {**_older()[name], **identity}
        if "definitions" in schema:
            # The servers of those versions took numbers as well; their documents did not say so.
            quantity = {_QUANTITY: {"type": ["string", "number"]}}
            schema["definitions"] = {**schema["definitions"], **quantity}
        return schema
    return schema_contents(f"kubernetes-json-schema/{name}", version)


@functools.cache
def _validator(version: str, kind: str, api_version: str) -> Draft202012Validator:
    # kubernetes_validate.validate() would read a megabyte of JSON for each call.
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = _contents(f"{_directory(version)}/{kind.lower()}-{group}.json", version)
    registry = Resource.from_contents(schema) @ _registry(version)
    return Draft202012Validator(schema, registry=registry)


def problems(manifest: dict[str, Any], versions: Iterable[str] = ALL) -> list[str]:
    """Return what is wrong with ``manifest``, each with version and path."""
    kind, api_version = manifest["kind"], manifest["apiVersion"]
    return [
        f"{version}: {'.'.join(map(str, error.absolute_path)) or '(whole)'}: {error.message}"
        for version in versions
        if tuple(map(int, version.split("."))) >= _SINCE.get(kind, (1, 20))
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
