"""Decoding by schema: what is no field of an object, or of the wrong type, is refused.

The schemas are those of the newest Kubernetes version that the package ``kubernetes-validate``
carries. They are read once per process and walked directly, which is far cheaper than a general
JSON Schema validator.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from kubespawner.localcluster.quantities import parse_quantity
from kubespawner.localcluster.statuses import Cause, required

Definition = dict[str, Any]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


@lru_cache(maxsize=1)
def _schemas() -> Path:
    # Looked up without importing the package, which would import a JSON Schema validator.
    spec = find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "the embedded cluster needs kubernetes-validate: "
            "pip install 'jupyterhub-kubespawner[local]'"
        )
    return Path(spec.origin).parent / "kubernetes-json-schema"


@lru_cache(maxsize=1)
def kubernetes_version() -> str:
    """Return the version whose schemas are used, e.g. ``1.37.0``.

    Raises:
        ModuleNotFoundError: the extra ``local`` is not installed.
    """
    versions = [
        match.group(1)
        for entry in _schemas().iterdir()
        if (match := re.fullmatch(r"v([\d.]+)-local-strict", entry.name))
    ]
    return max(versions, key=lambda text: tuple(int(part) for part in text.split(".")))


@lru_cache(maxsize=1)
def _definitions() -> dict[str, Definition]:
    path = _schemas() / f"v{kubernetes_version()}-local-strict" / "_definitions.json"
    document = msgspec.json.decode(path.read_bytes())
    return document.get("$defs") or document["definitions"]


def resolve(schema: Definition) -> tuple[str, Definition]:
    """Follow a reference; return the definition's name ("" if inline) and the definition."""
    reference = schema.get("$ref")
    if not reference:
        return "", schema
    name = reference.rsplit("/", 1)[1]
    return name, _definitions()[name]


def definition(name: str) -> Definition:
    """Return a schema that refers to the definition ``name``."""
    return {"$ref": f"#/$defs/{name}"}


def add_definition(name: str, schema: Definition) -> None:
    """Know ``schema`` as a definition, beside those of Kubernetes itself."""
    _definitions()[name] = schema


class DecodeError(ValueError):
    """A value has a type that its field cannot hold."""


class Decoded:
    """The outcome of decoding: the cleaned object and what was wrong with it.

    Attributes:
        value: without nulls, unknown fields, and empty lists and maps.
        unknown: paths of fields that don't exist.
        missing: fields that must be present.
    """

    def __init__(self) -> None:
        self.value: Any = None
        self.unknown: list[str] = []
        self.missing: list[Cause] = []


def decode(value: Any, definition_name: str) -> Decoded:
    """Check ``value`` against a definition.

    Raises:
        DecodeError: a value of a wrong type.
    """
    decoded = Decoded()
    decoded.value = _walk(value, definition(definition_name), "", decoded)
    return decoded


def _walk(value: Any, schema: Definition, path: str, out: Decoded) -> Any:
    name, schema = resolve(schema)
    if "oneOf" in schema:
        return _check_any(value, schema["oneOf"], name, path)
    kind = _kind(schema)
    if kind:
        _check_type(value, kind, name, path)
    if kind == "object" or "properties" in schema:
        return _walk_object(value, schema, path, out)
    if kind == "array":
        items = schema.get("items", {})
        return [_walk(item, items, f"{path}[{i}]", out) for i, item in enumerate(value)]
    if kind == "string":
        _check_format(value, schema.get("format"), path)
    return value


def _kind(schema: Definition) -> str:
    kind = schema.get("type", "")
    if isinstance(kind, list):
        return next(each for each in kind if each != "null")
    return kind


def _check_type(value: Any, kind: str, name: str, path: str) -> None:
    allowed = _TYPES[kind]
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind != "boolean"):
        raise DecodeError(_mismatch(value, kind, name, path))


def _mismatch(value: Any, kind: str, name: str, path: str) -> str:
    found = {str: "string", bool: "bool", dict: "object", list: "array"}.get(type(value), "number")
    plain = re.sub(r"\[\d+\]", "", path)
    target = name.rsplit(".", 1)[-1] or kind
    return f"json: cannot unmarshal {found} into Go struct field {plain} of type {target}"


def _check_any(value: Any, options: list[Definition], name: str, path: str) -> Any:
    kinds = {_kind(option) for option in options}
    if not any(
        isinstance(value, _TYPES[kind]) and not isinstance(value, bool)
        for kind in kinds
        if kind in _TYPES
    ):
        raise DecodeError(_mismatch(value, "string", name, path))
    if not name.endswith("Quantity"):
        return value
    try:
        parse_quantity(str(value))
    except ValueError as e:
        raise DecodeError(str(e)) from e
    return str(value)


def _check_format(value: str, format_: str | None, path: str) -> None:
    if format_ == "date-time" and not _TIME.fullmatch(value):
        raise DecodeError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00" ({path})')
    if format_ == "byte":
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as e:
            raise DecodeError(f"illegal base64 data at {path}: {e}") from e


def _walk_object(value: dict[str, Any], schema: Definition, path: str, out: Decoded) -> Any:
    properties = schema.get("properties")
    extra = schema.get("additionalProperties")
    if properties is None:
        if not isinstance(extra, dict):
            return value
        return {k: _walk(v, extra, f"{path}.{k}" if path else k, out) for k, v in value.items()}
    result: dict[str, Any] = {}
    for key, item in value.items():
        below = f"{path}.{key}" if path else key
        if key not in properties:
            out.unknown.append(below)
        elif item is not None:
            found = _walk(item, properties[key], below, out)
            if not _omitted(found, properties[key]):
                result[key] = found
    for key in schema.get("required", ()):
        if key not in result and key not in _MAY_BE_ABSENT:
            out.missing.append(required(f"{path}.{key}" if path else key))
    return result


# Required by the schema, yet filled in or accepted as empty by the server.
_MAY_BE_ABSENT = frozenset({"addresses", "backend", "metadata", "ports", "endpoints", "value"})


def _omitted(value: Any, schema: Definition) -> bool:
    """Tell whether the server drops this value: an empty list, or an empty map of free keys."""
    if value == []:
        return True
    return value == {} and isinstance(resolve(schema)[1].get("additionalProperties"), dict)
