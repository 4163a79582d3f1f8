"""Label and field selectors.

See https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors and
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from kubespawner.localcluster.resources import Resource
from kubespawner.localcluster.statuses import bad_request

Labels = Mapping[str, str]

_KEY = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)?"
_IN = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_NUMBER = re.compile(rf"({_KEY})\s*([<>])\s*(-?\d+)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_TERM = re.compile(r"(?:[^,()]|\([^()]*\))+")
# A field selector's value may contain ',', '=' and '\' behind a backslash.
_FIELD_SPLIT = re.compile(r"(?<!\\),")
_FIELD = re.compile(r"([^=!]+)(==|=|!=)(.*)", re.DOTALL)


@lru_cache(maxsize=1024)
def label_predicate(selector: str) -> Callable[[Labels], bool]:
    """Return the test that a label selector makes of an object's labels.

    Raises:
        ApiError: 400, the selector cannot be parsed.
    """
    terms = [term.strip() for term in _TERM.findall(selector)]
    if selector.strip() and (not terms or re.sub(_TERM, "", selector).strip(", ")):
        raise bad_request(f"unable to parse requirement: unbalanced selector {selector!r}")
    tests = [_label_term(term) for term in terms]
    return lambda labels: all(test(labels) for test in tests)


def _label_term(term: str) -> Callable[[Labels], bool]:
    if match := _IN.fullmatch(term):
        key, operator, listed = match.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUAL.fullmatch(term):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _NUMBER.fullmatch(term):
        key, operator, limit = match.groups()
        return lambda labels: _compare(labels.get(key, ""), operator, int(limit))
    if match := _EXISTS.fullmatch(term):
        negated, key = match.groups()
        return lambda labels: (key in labels) != bool(negated)
    raise bad_request(f"unable to parse requirement: found '{term}', expected: a label requirement")


def _compare(text: str, operator: str, limit: int) -> bool:
    if not re.fullmatch(r"-?\d+", text):
        return False
    return int(text) > limit if operator == ">" else int(text) < limit


@lru_cache(maxsize=1024)
def field_predicate(selector: str, resource: Resource) -> Callable[[dict[str, Any]], bool]:
    """Return the test that a field selector makes of an object of ``resource``.

    Raises:
        ApiError: 400, the selector cannot be parsed or names a field that can't be selected by.
    """
    tests: list[tuple[tuple[str, ...], str, bool]] = []
    for term in filter(None, _FIELD_SPLIT.split(selector)):
        match = _FIELD.fullmatch(term)
        if not match:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{term}'")
        name, operator, value = (part.strip() for part in match.groups())
        allowed = name in resource.fields or name == "metadata.name"
        if not allowed and not (resource.namespaced and name == "metadata.namespace"):
            raise bad_request(
                f'Unable to find "{resource.group}/{resource.version}, '
                f'Resource={resource.plural}" that match label selector "", '
                f'field selector "{selector}": field label not supported: {name}'
            )
        value = re.sub(r"\\(.)", r"\1", value)
        tests.append((tuple(name.split(".")), value, operator != "!="))
    return lambda obj: all((_field(obj, path) == value) == same for path, value, same in tests)


def _field(obj: Any, path: tuple[str, ...]) -> str:
    if path == ("source",):
        return str(obj.get("source", {}).get("component") or obj.get("reportingComponent", ""))
    for part in path:
        obj = obj.get(part) if isinstance(obj, dict) else None
    if isinstance(obj, bool):
        return str(obj).lower()
    if obj is None:
        return "false" if path[-1] in {"hostNetwork", "unschedulable"} else ""
    return str(obj)


Predicate = Callable[[dict[str, Any]], bool]


def predicate(resource: Resource, labels: str, fields: str) -> Predicate | None:
    """Return the test of both selectors, None if everything is selected."""
    if not labels and not fields:
        return None
    by_label = label_predicate(labels)
    by_field = field_predicate(fields, resource)
    return lambda obj: by_label(obj["metadata"].get("labels") or {}) and by_field(obj)
