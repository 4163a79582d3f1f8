"""What a user asked for: read from a form, found in the list, refused in words."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import regex

from . import numbers
from .shape import UNLISTED, UNLISTED_SUFFIX, Profile

# Links to the spawn page have it in front of options. JupyterHub 6 takes it off, and drops what
# has none; JupyterHub 5 passes names on as they are.
_QUERY = "opt-"

# Whether a whole text matches a pattern; None: that took too long.
Matches = Callable[[str, str], "bool | None"]


class _Repr(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write down integers of thousands of digits.
        return repr(x) if abs(x) < 10**24 else "a huge number"


_repr = _Repr()
_repr.maxstring = _repr.maxother = 80


class InvalidChoice(ValueError):
    """What a user asked for is not on offer; the text is for the user."""


@dataclass(frozen=True)
class Selection:
    """What counts for one option.

    Args:
        option: key of the option.
        value: key of the choice, ``unlisted-choice``, or the number as text; what ``show_if``
            of later options is compared with.
        overrides: as configured.
        input: the free text or the number that stands for ``{value}``; None for a choice.
    """

    option: str
    value: str
    overrides: Mapping[str, Any]
    input: str | int | float | None = None


def matches_whole(pattern: str, text: str, seconds: float) -> bool:
    """Whether the whole ``text`` matches, as a browser's ``pattern`` attribute demands.

    https://html.spec.whatwg.org/multipage/input.html#the-pattern-attribute

    Raises:
        TimeoutError: that took longer than ``seconds``; the pattern backtracks without end.
    """
    # Unlike `re`, `regex` can stop in mid-match, and lets other threads run meanwhile.
    return regex.fullmatch(pattern, text, timeout=seconds) is not None


def shown(value: Any) -> str:
    """Return ``value`` for a message: bounded, control characters escaped."""
    return _repr.repr(value)


# ---- forms and queries -------------------------------------------------------------------


def parsed_form(formdata: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the user's options in a submitted form or query, and the names of unknown fields.

    Args:
        formdata: name of the field to a list of values, of which the first counts; files come
            as ``<name>_file`` and are ignored.
    """
    fields = {}
    for name, values in formdata.items():
        first = values[0] if isinstance(values, (list, tuple)) and values else values
        if first not in (None, [], ()) and not _is_file(name, first):
            fields[name] = first
    prefixed = {n.removeprefix(_QUERY): v for n, v in fields.items() if n.startswith(_QUERY)}
    if "profile" in prefixed:
        fields = prefixed
    ignored = sorted(
        name
        for name in fields
        if name not in ("profile", "_xsrf") and not name.startswith("profile-option-")
    )
    slug = fields.get("profile")
    if not slug:
        return {}, ignored
    prefix = f"profile-option-{slug}--"
    options = {
        name.removeprefix(prefix): value
        for name, value in fields.items()
        if name.startswith(prefix) and name != prefix
    }
    for key in [key for key in options if key.endswith(UNLISTED_SUFFIX)]:
        text = options[key].strip() if isinstance(options[key], str) else options[key]
        options[key] = text
        # Without script the page sends the text field beside the select, empty.
        if text == "" and options.get(key.removesuffix(UNLISTED_SUFFIX)):
            del options[key]
    # An option can't be named so; a forged field must not replace the chosen profile.
    options.pop("profile", None)
    return {"profile": slug, **options}, ignored


def _is_file(name: str, value: Any) -> bool:
    return name.endswith("_file") and not isinstance(value, str)


# ---- the list ----------------------------------------------------------------------------


def profile_named(slug: Any, profiles: list[Profile]) -> Profile:
    """Return the profile with ``slug``; with none (None, ''), the default one.

    Args:
        profiles: a normalised list.

    Raises:
        InvalidChoice: there is no such profile; the text lists those there are.
    """
    if not profiles:
        raise InvalidChoice("There are no profiles to choose from")
    if not slug:
        return next((p for p in profiles if p.get("default")), profiles[0])
    for profile in profiles:
        if profile["slug"] == slug:
            return profile
    raise InvalidChoice(
        f"No such profile: {shown(slug)}. Options are: {', '.join(p['slug'] for p in profiles)}"
    )


def label_of(key: str, option: Mapping[str, Any]) -> str:
    """Return what a message calls an option."""
    name = option.get("display_name")
    return f"{name} ({key})" if name and name != key else key


def unknown_options(
    profile: Profile, profiles: list[Profile], options: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Return the keys of ``options`` that are no option of ``profile``.

    Returns:
        Those that are an option of another profile, each with its profile in words; and the
        rest, which may be a deployment's own.
    """
    own = profile.get("profile_options") or {}
    foreign, unknown = [], []
    for key in options:
        name = str(key).removesuffix(UNLISTED_SUFFIX)
        if key == "profile" or name in own:
            continue
        others = [p["slug"] for p in profiles if name in (p.get("profile_options") or {})]
        if others and options[key] is not None:
            foreign.append(
                f"{name} is an option of the profile {' and '.join(map(repr, others))}, not of "
                f"{profile['slug']!r}"
            )
        elif not others:
            unknown.append(str(key))
    return foreign, unknown


def chosen(
    profile: Profile, options: Mapping[str, Any], *, text_limit: int, matches: Matches
) -> list[Selection]:
    """Return what ``options`` select in a normalised ``profile``, in the order of its options.

    Options whose ``show_if`` is not met are left out, whatever was given for them.

    Args:
        text_limit: characters of a free text.
        matches: whether a whole text matches a pattern; injected, since it may take long.

    Raises:
        InvalidChoice: naming option, value and what would be valid.
    """
    selections: dict[str, Selection] = {}
    for key, option in _items(profile):
        if _applies(option, selections):
            selections[key] = _selected(key, option, options, text_limit, matches)
    return list(selections.values())


def still_valid(
    profiles: list[Profile],
    options: Mapping[Any, Any],
    *,
    text_limit: int,
    matches: Matches,
) -> tuple[dict[str, Any], list[str]]:
    """Return the part of stored ``options`` that is still on offer, and names of what is not.

    Keys of deployments, which are in no profile, are kept. Never raises.
    """
    known = {key for p in profiles for key, _ in _items(p)}
    kept = {
        key: value
        for key, value in options.items()
        if isinstance(key, str)
        and key != "profile"
        and key.removesuffix(UNLISTED_SUFFIX) not in known
    }
    slug = options.get("profile")
    try:
        profile = profile_named(slug, profiles)
    except InvalidChoice:
        return kept, [f"the profile {shown(slug)}"]
    if slug:
        kept["profile"] = slug
    dropped = []
    selections: dict[str, Selection] = {}
    for key, option in _items(profile):
        names = (key, f"{key}{UNLISTED_SUFFIX}")
        given = {name: options[name] for name in names if options.get(name) is not None}
        if not _applies(option, selections):
            continue
        for attempt in (given, {}):
            try:
                selections[key] = _selected(key, option, attempt, text_limit, matches)
            except InvalidChoice:
                # A mandatory text that was never given is no choice that was lost.
                if attempt:
                    dropped.append(label_of(key, option))
            else:
                kept.update(attempt)
                break
    return kept, dropped


# ---- one option --------------------------------------------------------------------------


def _items(profile: Profile) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from (profile.get("profile_options") or {}).items()


def _applies(option: Mapping[str, Any], selections: Mapping[str, Selection]) -> bool:
    """Whether each option that ``show_if`` names is shown itself, with one of the values."""
    for other, wanted in (option.get("show_if") or {}).items():
        values = [wanted] if isinstance(wanted, str) else wanted
        if other not in selections or selections[other].value not in values:
            return False
    return True


def _selected(
    key: str,
    option: Mapping[str, Any],
    options: Mapping[str, Any],
    text_limit: int,
    matches: Matches,
) -> Selection:
    label = label_of(key, option)
    text = _text(options.get(f"{key}{UNLISTED_SUFFIX}"), label)
    if text:
        text = text.strip()
    choices, unlisted = option.get("choices") or {}, option["unlisted_choice"]
    if option.get("number") and not text:
        return _number(key, label, option["number"], options.get(key))
    choice = _text(options.get(key), label)
    if text:
        if not unlisted["enabled"]:
            raise InvalidChoice(f"{label}: a value of your own is not allowed")
        _check_text(text, label, unlisted, text_limit, matches)
        return Selection(key, UNLISTED, unlisted.get("kubespawner_override") or {}, text)
    if choice == UNLISTED and unlisted["enabled"]:
        raise InvalidChoice(f"{label}: enter a value")
    if choice:
        if choice not in choices:
            offered = ", ".join(choices) or "none, only a text of your own"
            raise InvalidChoice(f"{label}: {shown(choice)} is not offered. Options are: {offered}")
        return Selection(key, choice, choices[choice].get("kubespawner_override") or {})
    if choices and text is None:
        name = next((name for name, c in choices.items() if c.get("default")), next(iter(choices)))
        return Selection(key, name, choices[name].get("kubespawner_override") or {})
    if text is None and unlisted.get("default"):
        default = str(unlisted["default"])
        return Selection(key, UNLISTED, unlisted.get("kubespawner_override") or {}, default)
    raise InvalidChoice(f"{label}: enter a value")


def _text(value: Any, label: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidChoice(f"{label}: a text is expected, not {type(value).__name__}: {shown(value)}")


def _check_text(
    text: str, label: str, unlisted: Mapping[str, Any], limit: int, matches: Matches
) -> None:
    if len(text) > limit:
        raise InvalidChoice(f"{label}: at most {limit} characters; there are {len(text)}")
    # Neither a page nor Kubernetes can carry these.
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        raise InvalidChoice(f"{label}: {shown(text)} has characters that can't be used")
    pattern = unlisted.get("validation_regex")
    matched = matches(pattern, text) if pattern else True
    if matched is None:
        raise InvalidChoice(f"{label}: {shown(text)} can't be checked in time; enter a shorter one")
    if not matched:
        hint = unlisted.get("validation_message")
        raise InvalidChoice(
            f"{label}: {shown(text)} is not allowed"
            + (f": {hint}" if hint else f"; it must match {pattern}")
        )


def _number(key: str, label: str, number: Mapping[str, Any], given: Any) -> Selection:
    if isinstance(given, str):
        given = given.strip()
    if given == "":
        raise InvalidChoice(f"{label}: enter a number, {numbers.described(number)}")
    value = numbers.exact(number.get("default", number.get("min", 0)) if given is None else given)
    if value is None:
        raise InvalidChoice(
            f"{label}: a number is expected, {numbers.described(number)}, not {shown(given)}"
        )
    if not numbers.within(value, number):
        raise InvalidChoice(
            f"{label}: {numbers.shown(value)} is not allowed; it must be "
            f"{numbers.described(number)}"
        )
    overrides = number.get("kubespawner_override") or {}
    return Selection(key, numbers.shown(value), overrides, numbers.plain(value))
