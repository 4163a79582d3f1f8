"""What an administrator got wrong in a list of profiles: everything at once, with its path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import regex

from . import numbers
from .shape import UNLISTED, Profile, slug_of

IsSetting = Callable[[Any], "str | None"]

_RESTRICTIONS = {"allowed_groups", "allowed"}
_PROFILE_KEYS = _RESTRICTIONS | {
    "display_name",
    "description",
    "slug",
    "default",
    "kubespawner_override",
    "profile_options",
}
_OPTION_KEYS = _RESTRICTIONS | {
    "display_name",
    "description",
    "choices",
    "unlisted_choice",
    "number",
    "show_if",
}
_CHOICE_KEYS = _RESTRICTIONS | {"display_name", "default", "kubespawner_override"}
_UNLISTED_KEYS = _RESTRICTIONS | {
    "enabled",
    "display_name",
    "display_name_in_choices",
    "validation_regex",
    "validation_message",
    "kubespawner_override",
    "default",
}
_NUMBER_KEYS = {"min", "max", "step", "default", "unit", "kubespawner_override"}

# `{value}` with anything behind the name: attribute, index, conversion, format.
_VALUE_ACCESS = re.compile(r"(?<!\{)\{value[^}\w][^}]*\}")


def mistakes(profiles: list[Profile], is_setting: IsSetting) -> list[str]:
    """Return a sentence for every mistake, beginning with its path.

    Args:
        profiles: as from :func:`~kubespawner.profiles.as_list`; anything may be inside.
        is_setting: returns None for the name of a setting, else what is wrong with it.
    """
    return list(_mistakes(profiles, is_setting))


def _mistakes(profiles: list[Profile], is_setting: IsSetting) -> Iterator[str]:
    slugs: dict[str, str] = {}
    defaults = []
    for index, profile in enumerate(profiles):
        path = f"profile_list[{index}]"
        yield from _names(path, profile)
        slug = slug_of(profile)
        if isinstance(slug, str) and slug:
            if slug in slugs:
                yield f"{path}: its slug {slug!r} is also that of {slugs[slug]}"
            slugs.setdefault(slug, path)
        if profile.get("default"):
            defaults.append(path)
        yield from _restrictions(path, profile)
        yield from _overrides(path, profile, is_setting)
        options = profile.get("profile_options")
        if options is not None and not isinstance(options, dict):
            yield f"{path}.profile_options: it must be a dict of options"
            continue
        earlier: dict[Any, Any] = {}
        for key, option in (options or {}).items():
            yield from _option(f"{path}.profile_options.{key}", key, option, earlier, is_setting)
            earlier[key] = option
    if len(defaults) > 1:
        yield f"{' and '.join(defaults)}: only one profile can be the default"


def _names(path: str, profile: Mapping[str, Any]) -> Iterator[str]:
    name, slug = profile.get("display_name"), slug_of(profile)
    if not name and not profile.get("slug"):
        yield f"{path}: display_name is missing"
    elif not isinstance(slug, str):
        yield f"{path}: the slug {slug!r} must be a text"
    elif not slug:
        yield f"{path}: {name!r} has no letters to make a slug of; give it a 'slug'"
    elif "--" in slug or slug.endswith("-"):
        yield f"{path}: the slug {slug!r} must not contain '--' or end with '-'"


def _option(
    path: str, key: Any, option: Any, earlier: Mapping[Any, Any], is_setting: IsSetting
) -> Iterator[str]:
    if not isinstance(key, str) or not key:
        yield f"{path}: the option key {key!r} must be a text"
    elif key == "profile" or "--" in key or key.startswith("-"):
        yield f"{path}: the option key {key!r} must not be 'profile', contain '--' or begin with '-'"
    if not isinstance(option, dict):
        yield f"{path}: it must be a dict with 'choices', 'unlisted_choice' or 'number'"
        return
    yield from _restrictions(path, option)
    yield from _show_if(f"{path}.show_if", option.get("show_if"), earlier)
    choices, unlisted, number = (option.get(k) for k in ("choices", "unlisted_choice", "number"))
    if number is not None:
        if choices or (isinstance(unlisted, dict) and unlisted.get("enabled")):
            yield f"{path}: it has 'number' beside choices; make it two options"
        yield from _number(f"{path}.number", number, is_setting)
    elif not choices and not (isinstance(unlisted, dict) and unlisted.get("enabled")):
        yield f"{path}: it has neither choices nor an enabled unlisted_choice"
    yield from _choices(f"{path}.choices", choices, is_setting)
    if unlisted is not None:
        yield from _unlisted(f"{path}.unlisted_choice", unlisted, is_setting)


def _choices(path: str, choices: Any, is_setting: IsSetting) -> Iterator[str]:
    if not choices:
        return
    if not isinstance(choices, dict):
        yield f"{path}: it must be a dict of choices"
        return
    if UNLISTED in choices:
        yield f"{path}: the choice key {UNLISTED!r} is taken by the free text"
    defaults = []
    for name, choice in choices.items():
        where = f"{path}.{name}"
        if not isinstance(name, str) or not name:
            yield f"{where}: the choice key {name!r} must be a text"
        if not isinstance(choice, dict):
            yield f"{where}: it must be a dict"
            continue
        if choice.get("default"):
            defaults.append(str(name))
        yield from _restrictions(where, choice)
        yield from _overrides(where, choice, is_setting)
    if len(defaults) > 1:
        yield f"{path}: only one choice can be the default, not {' and '.join(defaults)}"


def _unlisted(path: str, unlisted: Any, is_setting: IsSetting) -> Iterator[str]:
    if not isinstance(unlisted, dict):
        yield f"{path}: it must be a dict"
        return
    yield from _restrictions(path, unlisted)
    yield from _overrides(path, unlisted, is_setting)
    yield from _value_fields(path, unlisted)
    default = unlisted.get("default")
    if default is not None and not isinstance(default, str):
        yield f"{path}.default: it must be a text"
        default = None
    pattern = unlisted.get("validation_regex")
    if not pattern:
        return
    if not isinstance(pattern, str):
        yield f"{path}.validation_regex: it must be a text"
        return
    try:
        compiled = regex.compile(pattern)
        if default and not compiled.fullmatch(default, timeout=1):
            yield f"{path}.default: {default!r} does not match validation_regex"
    except regex.error as e:
        yield f"{path}.validation_regex: {e}: {pattern!r}"
    except TimeoutError:
        yield f"{path}.validation_regex: it backtracks without end: {pattern!r}"


def _number(path: str, number: Any, is_setting: IsSetting) -> Iterator[str]:
    if not isinstance(number, dict):
        yield f"{path}: it must be a dict with 'max'"
        return
    wrong = False
    for key in ("min", "max", "step", "default"):
        if key in number and (not numbers.is_number(number[key]) or not _fits(number[key])):
            wrong = True
            yield f"{path}.{key}: {number[key]!r} is no number of reasonable size"
    if "max" not in number:
        yield f"{path}: 'max' is missing"
    elif not wrong:
        low, high, step = numbers.limits(number)
        if low > high:
            yield f"{path}: min {numbers.shown(low)} is above max {numbers.shown(high)}"
        elif step is not None and step <= 0:
            yield f"{path}.step: it must be above 0"
        elif "default" in number:
            default = numbers.exact(number["default"])
            if default is not None and not numbers.within(default, number):
                yield f"{path}.default: it must be {numbers.described(number)}"
    yield from _overrides(path, number, is_setting)
    yield from _value_fields(path, number)


def _fits(value: Any) -> bool:
    return numbers.exact(value) is not None


def _show_if(path: str, conditions: Any, earlier: Mapping[Any, Any]) -> Iterator[str]:
    if conditions is None:
        return
    if not isinstance(conditions, dict):
        yield f"{path}: it must be a dict: key of another option to a value or values of it"
        return
    for other, wanted in conditions.items():
        if other not in earlier:
            hint = _nearest(other, earlier)
            yield f"{path}: {other!r} is no option above this one{hint}"
            continue
        values = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(values, (list, tuple)):
            yield f"{path}.{other}: it must be a value or a list of values"
            continue
        option = earlier[other] if isinstance(earlier[other], dict) else {}
        choices, unlisted = option.get("choices"), option.get("unlisted_choice")
        known = [*choices] if isinstance(choices, dict) else []
        if isinstance(unlisted, dict) and unlisted.get("enabled"):
            known.append(UNLISTED)
        for value in values:
            if value not in known:
                yield f"{path}.{other}: {value!r} is no choice there{_nearest(value, known)}"


def _restrictions(path: str, item: Mapping[str, Any]) -> Iterator[str]:
    groups, allowed = item.get("allowed_groups"), item.get("allowed")
    if groups is not None and (
        not isinstance(groups, (list, tuple, set, frozenset))
        or not all(isinstance(group, str) for group in groups)
    ):
        yield f"{path}.allowed_groups: it must be a list of names of groups"
    if allowed is not None and not isinstance(allowed, bool) and not callable(allowed):
        yield f"{path}.allowed: it must be True, False or a callable that gets the spawner"


def _overrides(path: str, item: Mapping[str, Any], is_setting: IsSetting) -> Iterator[str]:
    overrides = item.get("kubespawner_override")
    if overrides is None:
        return
    if not isinstance(overrides, dict):
        yield f"{path}.kubespawner_override: it must be a dict of settings"
        return
    for name in overrides:
        problem = is_setting(name)
        if problem:
            yield f"{path}.kubespawner_override: {problem}"


def _value_fields(path: str, item: Mapping[str, Any]) -> Iterator[str]:
    """Refuse more of ``{value}`` than the value: it is text of a user, not an object."""
    for text in _texts(item.get("kubespawner_override")):
        for field in _VALUE_ACCESS.findall(text):
            yield f"{path}.kubespawner_override: {field} in {text!r}; only {{value}} is possible"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, (list, set, tuple)):
        for item in value:
            yield from _texts(item)


# ---- keys that nobody reads --------------------------------------------------------------


def unknown_keys(profiles: list[Profile]) -> list[str]:
    """Return a sentence for every key that is not known here; custom templates may want it."""
    return [
        f"{path}: unknown key {key!r}{_nearest(key, known)}"
        for path, item, known in _dicts(profiles)
        for key in item
        if key not in known
    ]


def _dicts(profiles: list[Profile]) -> Iterator[tuple[str, Mapping[Any, Any], set[str]]]:
    """Yield every dict with keys of our own: path, dict, and the keys it may have."""

    def items(value: Any) -> Iterable[tuple[Any, Any]]:
        return value.items() if isinstance(value, dict) else ()

    for index, profile in enumerate(profiles):
        path = f"profile_list[{index}]"
        yield path, profile, _PROFILE_KEYS
        for key, option in items(profile.get("profile_options")):
            if not isinstance(option, dict):
                continue
            where = f"{path}.profile_options.{key}"
            yield where, option, _OPTION_KEYS
            for name, known in (("unlisted_choice", _UNLISTED_KEYS), ("number", _NUMBER_KEYS)):
                if isinstance(option.get(name), dict):
                    yield f"{where}.{name}", option[name], known
            for name, choice in items(option.get("choices")):
                if isinstance(choice, dict):
                    yield f"{where}.choices.{name}", choice, _CHOICE_KEYS


def _nearest(name: Any, names: Iterable[Any]) -> str:
    near = get_close_matches(str(name), sorted(map(str, names)), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
