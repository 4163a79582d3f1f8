"""The list of profiles in the one form that everything else reads."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slugify import slugify

Profile = dict[str, Any]

# The value of a select that stands for the free text beside it.
UNLISTED = "unlisted-choice"
UNLISTED_SUFFIX = f"--{UNLISTED}"


class InvalidProfiles(ValueError):
    """The list of profiles is no list of profiles; the text is for the administrator."""


def copied(value: Any) -> Any:
    """Copy dicts, lists and sets in depth; callables, models and other objects stay the same."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    if isinstance(value, set):
        return copy.copy(value)
    return value


def as_list(profiles: Any) -> list[Profile]:
    """Return the given list, or the values of the given dict in the order of its sorted keys.

    Raises:
        InvalidProfiles: it is neither, nor empty or None; or an item is no dict.
    """
    if profiles is None:
        return []
    if isinstance(profiles, dict):
        keyed = sorted(profiles.items(), key=lambda item: str(item[0]))
        places = [(f"profile_list[{key!r}]", profile) for key, profile in keyed]
    elif isinstance(profiles, (list, tuple)):
        places = [(f"profile_list[{index}]", profile) for index, profile in enumerate(profiles)]
    else:
        raise InvalidProfiles(
            f"profile_list gave {type(profiles).__name__}; it must be a list of dicts, or a dict "
            "of dicts"
        )
    wrong = [f"{path} is {type(p).__name__}" for path, p in places if not isinstance(p, dict)]
    if wrong:
        raise InvalidProfiles(f"every profile must be a dict: {'; '.join(wrong)}")
    return [profile for _, profile in places]


def slug_of(profile: Mapping[str, Any]) -> Any:
    """Return the identifier of a profile: its ``slug``, else made from its ``display_name``."""
    return profile["slug"] if "slug" in profile else slugify(str(profile.get("display_name", "")))


def normalised(profiles: list[Profile]) -> list[Profile]:
    """Return a deep copy with ``slug``, ``default`` and ``unlisted_choice`` filled in.

    Nothing else is added: templates of deployments compare with this form.
    """
    profiles = copied(profiles)
    if not profiles:
        return profiles
    for profile in profiles:
        profile["slug"] = slug_of(profile)
        for option in (profile.get("profile_options") or {}).values():
            _normalise_option(option)
    if not any(profile.get("default") for profile in profiles):
        profiles[0]["default"] = True
    return profiles


def _normalise_option(option: dict[str, Any]) -> None:
    choices = option.get("choices") or {}
    if choices and not any(choice.get("default") for choice in choices.values()):
        next(iter(choices.values()))["default"] = True
    unlisted = option.setdefault("unlisted_choice", {})
    unlisted.setdefault("enabled", False)
    if unlisted["enabled"]:
        unlisted.setdefault("display_name_in_choices", "Other...")


async def permitted(
    profiles: list[Profile], may_choose: Callable[[str, dict[str, Any]], Awaitable[bool]]
) -> list[Profile]:
    """Return the normalised list without what a user may not choose.

    Where a default is taken away, the first of what is left becomes the default; an option
    with nothing left is left out. Awaits ``may_choose`` only.

    Args:
        may_choose: gets the path and the dict of a profile, an option, a choice or an
            ``unlisted_choice``.
    """
    kept = []
    for profile in copied(profiles):
        path = f"profile {profile['slug']!r}"
        if not await may_choose(path, profile):
            continue
        options = profile.get("profile_options")
        if options:
            profile["profile_options"] = {
                key: option
                for key, option in options.items()
                if await _is_left(f"{path}, option {key!r}", option, may_choose)
            }
        kept.append(profile)
    return normalised(kept)


async def _is_left(
    path: str,
    option: dict[str, Any],
    may_choose: Callable[[str, dict[str, Any]], Awaitable[bool]],
) -> bool:
    """Take what is not allowed out of ``option``; return whether anything is left of it."""
    if not await may_choose(path, option):
        return False
    if option.get("choices"):
        option["choices"] = {
            key: choice
            for key, choice in option["choices"].items()
            if await may_choose(f"{path}, choice {key!r}", choice)
        }
    unlisted = option["unlisted_choice"]
    if unlisted["enabled"] and not await may_choose(f"{path}, {UNLISTED}", unlisted):
        option["unlisted_choice"] = unlisted = {"enabled": False}
    return bool(option.get("choices") or option.get("number") or unlisted["enabled"])
