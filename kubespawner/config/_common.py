"""What the settings of all subjects share: trait types, and the checks of their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from traitlets import Dict, HasTraits, List, TraitError, Union

from .. import naming
from ..slugs import is_valid_label

_QUANTITY = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_LABEL_KEY = re.compile(
    r"(?:(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?",
    re.ASCII,
)


def _sorted_dict_values(x: Any) -> Any:
    """Return a list as it is, and of a dict the values in the order of their sorted keys."""
    if isinstance(x, dict):
        return [x[key] for key in sorted(x)]
    return x


def list_or_dict(help: str, **kwargs: Any) -> Union:
    """Return a trait that is a list, or a dict whose values (by sorted key) form the list."""
    return Union(
        [List(), Dict()],
        config=True,
        help=f"""{help}

        A list, or a dict whose values form the list, in the order of its sorted keys; the keys
        themselves are not sent to Kubernetes. With a dict, profiles and further configuration
        files can change single entries.
        """,
        **kwargs,
    )


def fail(owner: HasTraits, trait: str, value: Any, expected: str) -> TraitError:
    """Return the error for a wrong value, naming the setting, the value and what would be right."""
    return TraitError(f"{type(owner).__name__}.{trait} is {value!r}; {expected}")


def check_template(owner: HasTraits, trait: str, value: Any, allowed: Any = None) -> Any:
    """Check every template in ``value``, at any depth."""
    if isinstance(value, str):
        try:
            naming.check_template(value, allowed)
        except naming.TemplateError as e:
            raise fail(owner, trait, value, str(e)) from e
    elif isinstance(value, list):
        for item in value:
            check_template(owner, trait, item, allowed)
    elif isinstance(value, dict):
        for key, item in value.items():
            check_template(owner, f"{trait}[{key!r}]", item, allowed)
    return value


def check_quantity(owner: HasTraits, trait: str, value: Any) -> Any:
    """Check a quantity: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return value
    raise fail(owner, trait, value, "it must be a quantity such as '10Gi', '500m' or 2")


def check_quantities(owner: HasTraits, trait: str, value: Mapping[str, Any]) -> Any:
    for key, quantity in value.items():
        check_quantity(owner, f"{trait}[{key!r}]", quantity)
    return value


def check_labels(owner: HasTraits, trait: str, value: Mapping[str, Any], *, values: bool) -> Any:
    """Check keys, and values that are no templates, of labels (or keys only, of annotations)."""
    for key, text in value.items():
        if not isinstance(key, str) or not _LABEL_KEY.fullmatch(key):
            raise fail(owner, f"{trait} key", key, "it must look like 'example.com/name' or 'name'")
        if not isinstance(text, str):
            raise fail(owner, f"{trait}[{key!r}]", text, "it must be a text")
        if values and "{" not in text and not is_valid_label(text):
            raise fail(
                owner,
                f"{trait}[{key!r}]",
                text,
                "it must be at most 63 of letters, digits, '-', '_', '.', "
                "beginning and ending with a letter or digit",
            )
    return value


def check_objects(owner: HasTraits, trait: str, value: Any, model: Any) -> Any:
    """Check that each item is an object of ``model``: no unknown keys, nothing but objects."""
    if isinstance(value, dict) and value and not all(_is_object(v) for v in value.values()):
        raise fail(
            owner,
            trait,
            value,
            f"as a dict its values must be {model.__name__[2:]} objects; "
            "a single object goes into a list: [{...}]",
        )
    for item in _sorted_dict_values(value):
        if not _is_object(item):
            raise fail(owner, trait, item, f"each item must be a {model.__name__[2:]} object")
        if isinstance(item, dict):
            check_keys(owner, trait, item, model)
    return value


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) or hasattr(value, "attribute_map")


def check_keys(owner: HasTraits, trait: str, value: Mapping[str, Any], model: Any) -> None:
    known = {*model.attribute_map, *model.attribute_map.values()}
    for key in value:
        if key not in known:
            raise fail(
                owner,
                f"{trait} key",
                key,
                f"{model.__name__[2:]} has no such field{nearest(key, model.attribute_map.values())}",
            )


def nearest(name: Any, names: Iterable[str]) -> str:
    """Return "; did you mean …?" if one of ``names`` is near ``name``, else ''."""
    found = get_close_matches(str(name), list(names), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def check_context(owner: HasTraits, trait: str, value: Any) -> Any:
    for key in value if isinstance(value, dict) else ():
        if "_" in key:
            raise fail(owner, f"{trait} key", key, "keys must be camelCase, as in runAsUser")
    return value


def check_not_negative(owner: HasTraits, trait: str, value: Any) -> Any:
    if value is not None and value < 0:
        raise fail(owner, trait, value, "it must not be negative")
    return value
