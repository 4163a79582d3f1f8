"""From what was chosen to settings of the spawner."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..naming import TEMPLATE_FIELDS, escape_braces
from .choices import Selection
from .shape import copied

# A doubled brace, the user's input, another field, a stray brace.
_PART = re.compile(r"\{\{|\}\}|\{value\}|\{(?P<field>\w+)[^{}]*\}|[{}]")


class Filled(str):
    """A text with a user's input in it, where the setting is expanded as a template later on.

    Reads as one expects of a single filling: doubled braces are single. Expanding that would
    take them for fields, so what is to be expanded is :attr:`template`.
    """

    template: str

    def __new__(cls, text: str, template: str) -> Filled:
        filled = super().__new__(cls, text)
        filled.template = template
        return filled


def as_template(value: Any) -> Any:
    """Return ``value`` with each :class:`Filled` in it replaced by what is to be expanded."""
    if isinstance(value, Filled):
        return value.template
    if isinstance(value, list):
        return [as_template(item) for item in value]
    if isinstance(value, dict):
        return {key: as_template(item) for key, item in value.items()}
    return value


def overrides_of(selection: Selection, is_expanded: Callable[[str], bool]) -> dict[str, Any]:
    """Return the overrides of what was chosen, with ``{value}`` replaced by the user's input.

    The input is data: where the setting is expanded as a template later on, its braces are
    doubled, so that it comes out as it was typed. A string that is nothing but ``{value}``
    becomes the number itself where the input is a number.

    Args:
        is_expanded: whether the values of the setting of that name are templates.
    """
    if selection.input is None:
        return copied(dict(selection.overrides))
    return {
        name: _filled(value, selection.input, is_expanded(name))
        for name, value in selection.overrides.items()
    }


def _filled(value: Any, given: str | int | float, expanded: bool) -> Any:
    """Replace ``{value}`` at any depth; doubled braces collapse, other fields stay."""
    if isinstance(value, str):
        if value == "{value}" and not isinstance(given, str):
            return given
        return _filled_text(value, str(given), expanded)
    if isinstance(value, list):
        return [_filled(item, given, expanded) for item in value]
    if isinstance(value, set):
        return {_filled(item, given, False) for item in value}
    if isinstance(value, dict):
        # Keys are never expanded, so braces in them stay single.
        return {
            _filled(key, str(given), False): _filled(item, given, expanded)
            for key, item in value.items()
        }
    return value


def _filled_text(text: str, given: str, expanded: bool) -> str:
    shown = escape_braces(given) if expanded else given

    def fill(match: re.Match[str]) -> str:
        part = match[0]
        if part == "{value}":
            return shown
        return part[0] if part in ("{{", "}}") else part

    def keep(match: re.Match[str]) -> str:
        part = match[0]
        if part == "{value}":
            return shown
        if part in ("{{", "}}") or match["field"] in TEMPLATE_FIELDS:
            return part
        return escape_braces(part)

    # Each in one pass: what is inserted is not looked at again.
    filled = _PART.sub(fill, text)
    if not expanded:
        return filled
    template = _PART.sub(keep, text)
    return filled if filled == template else Filled(filled, template)
