"""Helpers for Kubernetes models, nested dicts and hosts; names that hooks import."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any


def generate_hashed_slug(slug: str, limit: int = 63, hash_length: int = 6) -> str:
    """Return ``slug`` if it is short, else its beginning and a hash, ``limit`` characters long."""
    if len(slug) < limit - hash_length:
        return slug
    digest = hashlib.sha256(slug.encode()).hexdigest()[:hash_length]
    return f"{slug[: limit - hash_length - 1]}-{digest}".lower()


def _get_k8s_model_attribute(model_type: Any, field_name: str) -> str:
    """Return the attribute of ``model_type`` for a camelCase or snake_case field name.

    Raises:
        ValueError: there is none.
    """
    attributes: Mapping[str, str] = model_type.attribute_map
    if field_name in attributes:
        return field_name
    for attribute, field in attributes.items():
        if field == field_name:
            return attribute
    raise ValueError(f"'{model_type.__name__}' did not have an attribute matching '{field_name}'")


def _map_dict_keys_to_model_attributes(
    model_type: Any, model_dict: Mapping[str, Any]
) -> dict[str, Any]:
    return {_get_k8s_model_attribute(model_type, key): value for key, value in model_dict.items()}


def _get_k8s_model_dict(model_type: Any, model: Any) -> dict[str, Any]:
    """Return attributes and values of a model (its truthy ones) or of a dict (all)."""
    if isinstance(model, model_type):
        values = {name: getattr(model, name) for name in model_type.attribute_map}
        return {name: value for name, value in values.items() if value}
    if isinstance(model, dict):
        return _map_dict_keys_to_model_attributes(model_type, model)
    raise AttributeError(
        f"expected a {model_type.__name__} or a dict, not {type(model).__name__}: {model!r}"
    )


def get_k8s_model(model_type: Any, model_dict: Any) -> Any:
    """Return a ``model_type`` made of a dict with camelCase or snake_case keys.

    Works on a deep copy; nested values stay as they are. An instance is returned as its copy.

    Raises:
        ValueError: unknown key, or a required field is missing.
        AttributeError: neither a dict nor an instance.
    """
    model = copy.deepcopy(model_dict)
    if isinstance(model, model_type):
        return model
    return model_type(**_get_k8s_model_dict(model_type, model))


def update_k8s_model(
    target: Any,
    changes: Any,
    logger: Any = None,
    target_name: str | None = None,
    changes_name: str | None = None,
) -> Any:
    """Set attributes of the model ``target`` and return it.

    Args:
        changes: a dict, all of whose keys are set, or a model, whose truthy attributes are.
            Values are copied, so that later changes of ``target`` leave ``changes`` alone.
        logger: told about every truthy value that is replaced, if ``changes_name`` is given.

    Raises:
        ValueError: unknown key.
        AttributeError: ``target`` is no model, or ``changes`` neither a dict nor one.
    """
    model_type = type(target)
    if not hasattr(target, "attribute_map"):
        raise AttributeError(f"{model_type.__name__} is not a Kubernetes model")
    for attribute, value in _get_k8s_model_dict(model_type, changes).items():
        current = getattr(target, attribute)
        if current and current != value and logger and changes_name:
            logger.info(
                f"'{target_name}.{attribute}' current value: '{current}' is overridden with "
                f"'{value}', which is the value of '{changes_name}.{attribute}'."
            )
        setattr(target, attribute, copy.deepcopy(value))
    return target


def plain(value: Any) -> Any:
    """Return client models at any depth as plain dicts in camelCase, without what is None."""
    if hasattr(value, "attribute_map"):
        fields = ((field, getattr(value, name)) for name, field in value.attribute_map.items())
        return {field: plain(item) for field, item in fields if item is not None}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def loggable(pod: Any) -> str:
    """Return a pod as JSON for a log: without values of variables, some of which are secret."""
    shown = plain(pod)
    spec = shown.get("spec") or {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        for variable in container.get("env") or ():
            if "value" in variable:
                variable["value"] = "***"
    return json.dumps(shown, default=str)


def host_matching(host: str, wildcard: str) -> bool:
    """Whether ``host`` equals ``wildcard``, or ``*.`` stands for its first label."""
    if not wildcard.startswith("*."):
        return host == wildcard
    return host.partition(".")[2] == wildcard[2:]


def recursive_update(target: dict[Any, Any], new: Mapping[Any, Any]) -> None:
    """Merge ``new`` into ``target`` in place: None removes a key, lists are replaced."""
    for key, value in new.items():
        if isinstance(value, dict):
            if not isinstance(target.get(key), dict):
                target[key] = {}
            recursive_update(target[key], value)
        elif value is None:
            target.pop(key, None)
        else:
            target[key] = value


class IgnoreMissing(dict):
    """A dict whose missing keys render as ``{key}`` in ``str.format_map``."""

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


# A doubled brace, or a field: name, what is taken of its value, conversion, format.
_FORMAT_FIELD = re.compile(
    r"\{\{|\}\}|\{(?P<name>\w+)(?P<rest>(?:[.\[][^{}!:]*)?(?:![rsa])?(?::[^{}]*)?)\}"
)


def _format_text(text: str, values: Mapping[str, Any]) -> str:
    # Not str.format: text such as a JSON snippet has braces that are no fields.
    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return match[0][0]
        if name not in values:
            return match[0]
        return f"{{0{match['rest']}}}".format(values[name])

    return _FORMAT_FIELD.sub(fill, text)


def recursive_format(format_object: Any, **kwargs: Any) -> Any:
    """Fill ``kwargs`` into strings at any depth: list and set items, dict keys and values.

    Unknown names and single braces stay as they are; doubled braces collapse.
    """
    if isinstance(format_object, str):
        return _format_text(format_object, kwargs)
    if isinstance(format_object, list):
        return [recursive_format(item, **kwargs) for item in format_object]
    if isinstance(format_object, set):
        return {recursive_format(item, **kwargs) for item in format_object}
    if isinstance(format_object, dict):
        return {
            recursive_format(key, **kwargs): recursive_format(value, **kwargs)
            for key, value in format_object.items()
        }
    return format_object
