"""What a user may choose: normalised, checked, validated, and turned into overrides.

Pure: plain data in, plain data out; independent of HTML and of JupyterHub.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from slugify import slugify

from .naming import escape_braces

Profile = dict[str, Any]
UNLISTED = "unlisted-choice"
UNLISTED_SUFFIX = f"--{UNLISTED}"

# Settings whose values are expanded as templates later on; text of users in them is escaped.
EXPANDED = frozenset(
    {
        "environment",
        "extra_annotations",
        "extra_containers",
        "extra_labels",
        "extra_pod_config",
        "init_containers",
        "pod_connect_ip",
        "pod_name_template",
        "pvc_name_template",
        "secret_name_template",
        "service_account",
        "storage_extra_annotations",
        "storage_extra_labels",
        "storage_selector",
        "user_namespace_annotations",
        "user_namespace_labels",
        "user_namespace_template",
        "volume_mounts",
        "volumes",
        "working_dir",
    }
)

_PROFILE_KEYS = {
    "display_name",
    "description",
    "slug",
    "default",
    "kubespawner_override",
    "profile_options",
    "allowed_groups",
    "allowed",
}
_OPTION_KEYS = {"display_name", "choices", "unlisted_choice", "description"}
_CHOICE_KEYS = {
    "display_name",
    "default",
    "kubespawner_override",
    "description",
    "allowed_groups",
    "allowed",
}
_UNLISTED_KEYS = {
    "enabled",
    "display_name",
    "display_name_in_choices",
    "validation_regex",
    "validation_message",
    "kubespawner_override",
    "default",
}


class InvalidChoice(ValueError):
    """What a user asked for is not on offer; the text is for the user."""


class InvalidProfiles(ValueError):
    """The list of profiles is wrong; the text is for the administrator."""


def _copied(value: Any) -> Any:
    """Copy dicts and lists in depth; callables, models and other objects stay the same ones."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    if isinstance(value, set):
        return copy.copy(value)
    return value


def as_list(profiles: Any) -> list[Profile]:
    """Return the given list, or the values of the given dict in the order of its sorted keys.

    Raises:
        InvalidProfiles: it is neither, nor None.
    """
    if not profiles:
        return []
    if isinstance(profiles, dict):
        profiles = [profiles[key] for key in sorted(profiles)]
    if not isinstance(profiles, (list, tuple)) or not all(isinstance(p, dict) for p in profiles):
        raise InvalidProfiles(
            f"KubeSpawner.profile_list gave {type(profiles).__name__}; it must be a list of "
            "dicts, or a dict of dicts"
        )
    return list(profiles)


def normalised(profiles: list[Profile]) -> list[Profile]:
    """Return a deep copy with slugs, defaults and ``unlisted_choice`` filled in."""
    profiles = _copied(profiles)
    if not profiles:
        return profiles
    for profile in profiles:
        if "slug" not in profile:
            profile["slug"] = slugify(str(profile.get("display_name", "")))
        for option in (profile.get("profile_options") or {}).values():
            _normalise_option(option)
    if not any(profile.get("default") for profile in profiles):
        profiles[0]["default"] = True
    return profiles


def _normalise_option(option: dict[str, Any]) -> None:
    choices = option.get("choices") or {}
    if choices and not any(choice.get("default") for choice in choices.values()):
        next(iter(choices.values()))["default"] = True
    unlisted = option.setdefault("unlisted_choice", {"enabled": False})
    unlisted.setdefault("enabled", False)
    if unlisted["enabled"]:
        unlisted.setdefault("display_name_in_choices", "Other...")


# ---- mistakes of the administrator -------------------------------------------------------


def mistakes(profiles: list[Profile], is_setting: Callable[[str], str | None]) -> list[str]:
    """Return a sentence for every mistake, with its path.

    Args:
        is_setting: returns None for the name of a setting, else what is wrong with it.
    """
    found: list[str] = []
    slugs: dict[str, str] = {}
    defaults: list[str] = []
    for index, profile in enumerate(profiles):
        path = f"profile_list[{index}]"
        if not profile.get("display_name") and not profile.get("slug"):
            found.append(f"{path}: display_name is missing")
        slug = profile.get("slug") or slugify(str(profile.get("display_name", "")))
        if slug in slugs:
            found.append(f"{path}: its slug {slug!r} is also that of {slugs[slug]}")
        slugs.setdefault(slug, path)
        if "--" in slug:
            found.append(f"{path}: the slug {slug!r} must not contain '--'")
        if profile.get("default"):
            defaults.append(path)
        found += _override_mistakes(path, profile, is_setting)
        options = profile.get("profile_options") or {}
        if not isinstance(options, dict):
            found.append(f"{path}.profile_options: it must be a dict of options")
            continue
        for key, option in options.items():
            found += _option_mistakes(f"{path}.profile_options.{key}", key, option, is_setting)
    if len(defaults) > 1:
        found.append(f"{' and '.join(defaults)}: only one profile can be the default")
    return found


def unknown_keys(profiles: list[Profile]) -> list[str]:
    """Return a sentence for every key that is not known; custom templates may want it."""
    found: list[str] = []

    def look(path: str, item: Any, known: set[str]) -> None:
        if not isinstance(item, dict):
            return
        for key in item:
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                found.append(f"{path}: unknown key {key!r}{hint}")

    for index, profile in enumerate(profiles):
        path = f"profile_list[{index}]"
        look(path, profile, _PROFILE_KEYS)
        options = profile.get("profile_options")
        for key, option in (options if isinstance(options, dict) else {}).items():
            where = f"{path}.profile_options.{key}"
            if not isinstance(option, dict):
                continue
            look(where, option, _OPTION_KEYS)
            look(f"{where}.unlisted_choice", option.get("unlisted_choice"), _UNLISTED_KEYS)
            for name, choice in (option.get("choices") or {}).items():
                look(f"{where}.choices.{name}", choice, _CHOICE_KEYS)
    return found


def _override_mistakes(
    path: str, item: Mapping[str, Any], is_setting: Callable[[str], str | None]
) -> list[str]:
    overrides = item.get("kubespawner_override") or {}
    if not isinstance(overrides, dict):
        return [f"{path}.kubespawner_override: it must be a dict of settings"]
    problems = ((name, is_setting(name)) for name in overrides)
    return [f"{path}.kubespawner_override: {problem}" for _, problem in problems if problem]


def _option_mistakes(
    path: str, key: str, option: Any, is_setting: Callable[[str], str | None]
) -> list[str]:
    if not isinstance(option, dict):
        return [f"{path}: it must be a dict with 'choices' or 'unlisted_choice'"]
    found = []
    if key == "profile" or key.endswith(UNLISTED_SUFFIX) or "--" in key:
        found.append(f"{path}: the option key {key!r} must not be 'profile' or contain '--'")
    choices, unlisted = option.get("choices") or {}, option.get("unlisted_choice") or {}
    if not choices and not unlisted.get("enabled"):
        found.append(f"{path}: it has neither choices nor an enabled unlisted_choice")
    if UNLISTED in choices:
        found.append(f"{path}.choices: the choice key {UNLISTED!r} is taken by the free text")
    if sum(bool(choice.get("default")) for choice in choices.values()) > 1:
        found.append(f"{path}.choices: only one choice can be the default")
    for name, choice in choices.items():
        found += _override_mistakes(f"{path}.choices.{name}", choice, is_setting)
    found += _override_mistakes(f"{path}.unlisted_choice", unlisted, is_setting)
    pattern = unlisted.get("validation_regex")
    if pattern:
        try:
            re.compile(pattern)
        except re.error as e:
            found.append(f"{path}.unlisted_choice.validation_regex: {e}: {pattern!r}")
    return found


# ---- choices of the user -----------------------------------------------------------------


def profile_named(slug: Any, profiles: list[Profile]) -> Profile:
    """Return the profile with ``slug``; with none, the default one.

    Raises:
        InvalidChoice: there is no such profile; lists those there are.
    """
    if not slug:
        return next(p for p in profiles if p.get("default"))
    for profile in profiles:
        if profile["slug"] == slug:
            return profile
    raise InvalidChoice(
        f"No such profile: {_shown(slug)}. Options are: {', '.join(p['slug'] for p in profiles)}"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def parsed_form(formdata: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return the user's options in a submitted form, and the names of unknown fields."""

    def first(key: str) -> str:
        values = formdata.get(key) or [""]
        value = values[0] if isinstance(values, (list, tuple)) else values
        return value.strip() if isinstance(value, str) else value

    ignored = sorted(
        key
        for key in formdata
        if key not in ("profile", "_xsrf")
        and not key.startswith("profile-option-")
        and not key.endswith("_file")
    )
    slug = first("profile")
    if not slug:
        return {}, ignored
    prefix = f"profile-option-{slug}--"
    options = {key[len(prefix) :]: first(key) for key in formdata if key.startswith(prefix)}
    # Without script the page sends the text field beside the select, empty.
    empty = {
        key
        for key, value in options.items()
        if value == ""
        and options.get(key.removesuffix(UNLISTED_SUFFIX)) != ""
        and key.removesuffix(UNLISTED_SUFFIX) in options
    }
    return {"profile": slug, **{k: v for k, v in options.items() if k not in empty}}, ignored


@dataclass(frozen=True)
class Choice:
    """What is applied for one option: a listed choice, or a free text."""

    option: str
    overrides: Mapping[str, Any]
    text: str | None = None


def _option_label(key: str, option: Mapping[str, Any]) -> str:
    name = option.get("display_name")
    return f"{name} ({key})" if name else key


def _text(value: Any, label: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidChoice(
            f"{label}: a text is expected, not {type(value).__name__}: {_shown(value)}"
        )
    return value.strip()


def chosen(
    profile: Profile,
    options: Mapping[str, Any],
    *,
    text_limit: int,
    matches: Callable[[str, str], bool],
) -> list[Choice]:
    """Return what ``options`` choose in ``profile``, in the order of its options.

    Args:
        text_limit: characters of a free text.
        matches: whether a whole text matches a pattern; injected, since a pattern may take long.

    Raises:
        InvalidChoice: naming option, value and what would be valid.
    """
    return [
        _chosen_in(key, option, options, text_limit, matches)
        for key, option in (profile.get("profile_options") or {}).items()
    ]


def _chosen_in(
    key: str,
    option: Mapping[str, Any],
    options: Mapping[str, Any],
    text_limit: int,
    matches: Callable[[str, str], bool],
) -> Choice:
    label = _option_label(key, option)
    choices, unlisted = option.get("choices") or {}, option["unlisted_choice"]
    text = _text(options.get(f"{key}{UNLISTED_SUFFIX}"), label)
    choice = _text(options.get(key), label)
    if choice == UNLISTED and not text:
        raise InvalidChoice(f"{label}: enter a value")
    if text:
        if not unlisted["enabled"]:
            raise InvalidChoice(f"{label}: a value of your own is not allowed")
        _check_text(text, label, unlisted, text_limit, matches)
        return Choice(key, unlisted.get("kubespawner_override") or {}, text)
    if choice:
        if choice not in choices:
            raise InvalidChoice(
                f"{label}: {_shown(choice)} is not offered. Options are: {', '.join(choices)}"
            )
        return Choice(key, choices[choice].get("kubespawner_override") or {})
    if choices and text is None:
        default = next(c for c in choices.values() if c.get("default"))
        return Choice(key, default.get("kubespawner_override") or {})
    if unlisted.get("default"):
        return Choice(key, unlisted.get("kubespawner_override") or {}, str(unlisted["default"]))
    raise InvalidChoice(f"{label}: enter a value")


def _check_text(
    text: str,
    label: str,
    unlisted: Mapping[str, Any],
    limit: int,
    matches: Callable[[str, str], bool],
) -> None:
    if len(text) > limit:
        raise InvalidChoice(f"{label}: at most {limit} characters; there are {len(text)}")
    pattern = unlisted.get("validation_regex")
    if pattern and not matches(pattern, text):
        hint = unlisted.get("validation_message")
        raise InvalidChoice(
            f"{label}: {_shown(text)} is not allowed"
            + (f": {hint}" if hint else f"; it must match {pattern}")
        )


def overrides_of(choice: Choice) -> dict[str, Any]:
    """Return the overrides of a choice, with ``{value}`` replaced by the user's text.

    The text is data: where the setting is expanded as a template later on, its braces are
    doubled, so that it comes out as it was typed.
    """
    if choice.text is None:
        return dict(choice.overrides)
    filled = {}
    for name, value in choice.overrides.items():
        text = escape_braces(choice.text) if name in EXPANDED else choice.text
        filled[name] = _filled(value, text)
    return filled


_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{value\}")


def _filled(value: Any, text: str) -> Any:
    """Replace ``{value}`` at any depth; doubled braces collapse, other fields stay."""
    if isinstance(value, str):
        # Lambda: what is inserted must not be looked at again.
        replaced = {"{value}": text, "{{": "{", "}}": "}"}
        return _PLACEHOLDER.sub(lambda match: replaced[match[0]], value)
    if isinstance(value, list):
        return [_filled(item, text) for item in value]
    if isinstance(value, dict):
        return {_filled(k, text): _filled(v, text) for k, v in value.items()}
    return value


def is_allowed(item: Mapping[str, Any], groups: Iterable[str]) -> bool:
    """Whether ``allowed_groups`` of a profile or choice, if any, has one of ``groups``."""
    allowed = item.get("allowed_groups")
    return allowed is None or bool(set(allowed) & set(groups))


def still_valid(
    profiles: list[Profile],
    options: Mapping[str, Any],
    *,
    text_limit: int,
    matches: Callable[[str, str], bool],
) -> tuple[dict[str, Any], list[str]]:
    """Return the part of stored ``options`` that is still on offer, and what was left out."""
    slug = options.get("profile")
    if slug is not None and not isinstance(slug, str):
        return {}, ["the chosen profile"]
    try:
        profile = profile_named(slug, profiles)
    except InvalidChoice:
        return {}, [f"the profile {_shown(slug)}"]
    kept: dict[str, Any] = {"profile": slug} if slug else {}
    dropped = []
    for key, option in (profile.get("profile_options") or {}).items():
        names = (key, f"{key}{UNLISTED_SUFFIX}")
        given = {name: options[name] for name in names if options.get(name) is not None}
        if not given:
            continue
        try:
            _chosen_in(key, option, given, text_limit, matches)
        except InvalidChoice:
            dropped.append(_option_label(key, option))
        else:
            kept.update(given)
    return kept, dropped
