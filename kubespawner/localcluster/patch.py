"""The kinds of patches, as pure functions on decoded JSON.

See https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/,
RFC 6902 (JSON patch) and RFC 7386 (merge patch).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from kubespawner.localcluster.schema import Definition, resolve


class PatchError(ValueError):
    """The patch itself is malformed (400)."""


class PatchNotApplicable(ValueError):
    """The patch is well formed but does not fit the object (422)."""


def merge_patch(target: Any, patch: Any) -> Any:
    """Return ``target`` with an RFC 7386 patch applied; null removes a key."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: Any, operations: Any) -> Any:
    """Return ``target`` with an RFC 6902 patch applied.

    Raises:
        PatchError: not a list of operations.
        PatchNotApplicable: a path that does not exist, or a failed test.
    """
    if not isinstance(operations, list):
        raise PatchError("a JSON patch is a list of operations")
    document = copy.deepcopy(target)
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise PatchError("every operation of a JSON patch has an op and a path")
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    op, path = operation.get("op"), _pointer(operation["path"])
    if op in {"add", "replace", "test"} and "value" not in operation:
        raise PatchError(f"operation {op} needs a value")
    if op == "add":
        return _add(document, path, copy.deepcopy(operation["value"]))
    if op == "remove":
        return _remove(document, path)[0]
    if op == "replace":
        _get(document, path)
        if path:
            document, _ = _remove(document, path)
        return _add(document, path, copy.deepcopy(operation["value"]))
    if op in {"move", "copy"}:
        origin = _pointer(str(operation.get("from", "")))
        value = copy.deepcopy(_get(document, origin))
        if op == "move":
            document, _ = _remove(document, origin)
        return _add(document, path, value)
    if op == "test":
        if _get(document, path) != operation["value"]:
            raise PatchNotApplicable(f"testing value {operation['path']} failed: test failed")
        return document
    raise PatchError(f"unknown operation: {op}")


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    if not text.startswith("/"):
        raise PatchError(f"JSON pointer must start with '/': {text}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _index(holder: list[Any], part: str, *, end: bool) -> int:
    if end and part == "-":
        return len(holder)
    if not part.isdecimal() or int(part) > len(holder) - (0 if end else 1):
        raise PatchNotApplicable(f"Unable to access invalid index: {part}")
    return int(part)


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, list):
            document = document[_index(document, part, end=False)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            raise PatchNotApplicable(f"Unable to find nonexistent key: {part}: missing value")
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    holder = _get(document, path[:-1])
    if isinstance(holder, list):
        holder.insert(_index(holder, path[-1], end=True), value)
    elif isinstance(holder, dict):
        holder[path[-1]] = value
    else:
        raise PatchNotApplicable(f"add operation does not apply: {'/'.join(path)}")
    return document


def _remove(document: Any, path: list[str]) -> tuple[Any, Any]:
    if not path:
        raise PatchNotApplicable("the whole document cannot be removed")
    value = _get(document, path)
    holder = _get(document, path[:-1])
    if isinstance(holder, list):
        del holder[int(path[-1])]
    else:
        del holder[path[-1]]
    return document, value


def strategic_merge(target: Any, patch: dict[str, Any], schema: Definition) -> Any:
    """Return ``target`` with a strategic merge patch applied.

    Lists are merged by the key that the schema names (``x-kubernetes-patch-merge-key``), else
    replaced. Directives: ``$patch``, ``$retainKeys``, ``$deleteFromPrimitiveList/…``,
    ``$setElementOrder/…``.

    Raises:
        PatchError: a directive or a list element that makes no sense.
    """
    _, schema = resolve(schema)
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    if directive == "replace":
        return {key: copy.deepcopy(v) for key, v in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        result = {key: v for key, v in result.items() if key in patch["$retainKeys"]}
    fields = schema.get("properties", {})
    free = schema.get("additionalProperties")
    for key, value in patch.items():
        below = fields.get(key) or (free if isinstance(free, dict) else {})
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.split("/", 1)[1]
            result[name] = [item for item in result.get(name, ()) if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = strategic_merge(result.get(key), value, below)
        elif isinstance(value, list):
            result[key] = _merge_list(result.get(key) or [], value, below)
        else:
            result[key] = value
    _reorder(result, patch, fields)
    return result


def _merge_list(target: list[Any], patch: list[Any], schema: Definition) -> list[Any]:
    if "merge" not in schema.get("x-kubernetes-patch-strategy", ""):
        return copy.deepcopy(patch)
    merge_key = schema.get("x-kubernetes-patch-merge-key")
    if not merge_key:
        return list(target) + [item for item in patch if item not in target]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if item.get("$patch") != "replace"]
    result = list(target)
    for item in patch:
        if not isinstance(item, dict) or merge_key not in item:
            raise PatchError(f"map: {item} does not contain declared merge key: {merge_key}")
        place = next(
            (i for i, old in enumerate(result) if old.get(merge_key) == item[merge_key]), None
        )
        if item.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(strategic_merge({}, item, schema.get("items", {})))
        else:
            result[place] = strategic_merge(result[place], item, schema.get("items", {}))
    return result


def _reorder(result: dict[str, Any], patch: dict[str, Any], fields: dict[str, Definition]) -> None:
    for directive, order in patch.items():
        if not directive.startswith("$setElementOrder/"):
            continue
        name = directive.split("/", 1)[1]
        merge_key = fields.get(name, {}).get("x-kubernetes-patch-merge-key")

        def identity(item: Any, merge_key: str | None = merge_key) -> Any:
            return item.get(merge_key) if merge_key and isinstance(item, dict) else item

        wanted = [identity(item) for item in order]
        items = result.get(name)
        if items:
            result[name] = sorted(items, key=_rank(wanted, identity))


def _rank(wanted: list[Any], identity: Callable[[Any], Any]) -> Callable[[Any], int]:
    def rank(item: Any) -> int:
        found = identity(item)
        return wanted.index(found) if found in wanted else len(wanted)

    return rank
