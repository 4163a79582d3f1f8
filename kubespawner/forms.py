"""What a user chose, from the page to the spawner's settings.

:class:`ProfileForms` is a mixin of ``KubeSpawner``; the rules are in :mod:`kubespawner.profiles`.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import regex
from jinja2 import ChoiceLoader, Environment, FileSystemLoader
from traitlets import TraitError, default

from . import profiles as rules
from .config import SpawnerConfig, nearest
from .errors import ConfigurationError, OptionsError
from .kube.timing import within
from .legacy import RENAMED, resolve_name
from .manifests import resolve
from .utils import recursive_update

TEMPLATES = Path(__file__).with_name("templates")
# A pattern of the administrator on a text of a user: long enough for any that is no trap.
_MATCH_SECONDS = 0.5
_UNSET = object()


def _matches(pattern: str, text: str) -> bool:
    """Whether the whole ``text`` matches, within a bounded time.

    Raises:
        InvalidChoice: the time was up.
    """
    try:
        return regex.fullmatch(pattern, text, timeout=_MATCH_SECONDS) is not None
    except TimeoutError as e:
        raise rules.InvalidChoice("This text can't be checked; please enter a shorter one") from e


@lru_cache(maxsize=32)
def _environment(paths: tuple[str, ...]) -> Environment:
    # Not auto-escaping: display names and descriptions are the administrator's HTML, and so are
    # existing templates; the packaged one escapes everything else itself.
    environment = Environment(loader=ChoiceLoader([FileSystemLoader([*paths, str(TEMPLATES)])]))
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment


class ProfileForms(SpawnerConfig):
    """Profiles of one spawner: shown, parsed, validated and applied."""

    log: Any
    user: Any
    user_options: Any
    handler: Any
    _log_name: str

    # What the last application changed: setting -> (value before, value applied).
    _profile_changes: dict[str, tuple[Any, Any]] | None = None
    # The static list that was found to be right.
    _checked_profiles: Any = None

    # ---- the list ----------------------------------------------------------------------

    async def _resolved_profiles(self) -> list[rules.Profile]:
        """Return the list as configured, a callable's result included; checked."""
        profiles = self.profile_list
        if callable(profiles):
            try:
                profiles = await within(resolve(profiles, self), self.profile_list_timeout)
            except (TimeoutError, asyncio.TimeoutError) as e:
                raise ConfigurationError(
                    "the callable KubeSpawner.profile_list did not answer within "
                    f"{self.profile_list_timeout} s (KubeSpawner.profile_list_timeout)"
                ) from e
        try:
            profiles = rules.as_list(profiles)
        except rules.InvalidProfiles as e:
            raise ConfigurationError(str(e)) from e
        self._check_profiles(profiles)
        return profiles

    def _check_profiles(self, profiles: list[rules.Profile]) -> None:
        """Report all mistakes of a list together.

        Raises:
            ConfigurationError: naming each by its path.
        """
        found = rules.mistakes(profiles, self._what_is_wrong_with_setting)
        if found:
            raise ConfigurationError("KubeSpawner.profile_list: " + "; ".join(found))
        for sentence in rules.unknown_keys(profiles):
            self.log.warning("KubeSpawner.%s", sentence)

    def _check_profile_list(self) -> None:
        """Check a static list, as early as the first spawner is made; once per list."""
        if callable(self.profile_list) or type(self)._checked_profiles is self.profile_list:
            return
        self._check_profiles(rules.as_list(self.profile_list))
        type(self)._checked_profiles = self.profile_list

    def _get_initialized_profile_list(
        self, profile_list: list[rules.Profile]
    ) -> list[rules.Profile]:
        """Return a normalised deep copy of ``profile_list``."""
        return rules.normalised(profile_list)

    async def _permitted(self, profiles: list[rules.Profile]) -> list[rules.Profile]:
        """Return the normalised list without what this user may not choose."""
        groups = {group.name for group in getattr(self.user, "groups", None) or ()}
        permitted = []
        for profile in profiles:
            if not await self._may_choose(profile, groups):
                continue
            for option in (profile.get("profile_options") or {}).values():
                choices = option.get("choices")
                if choices:
                    option["choices"] = {
                        key: choice
                        for key, choice in choices.items()
                        if await self._may_choose(choice, groups)
                    }
            permitted.append(profile)
        # A default that was taken away is replaced by the next one.
        return rules.normalised(permitted)

    async def _may_choose(self, item: Mapping[str, Any], groups: set[str]) -> bool:
        if not rules.is_allowed(item, groups):
            return False
        allowed = item.get("allowed")
        return bool(await resolve(allowed, self)) if callable(allowed) else True

    def _get_profile(self, slug: str | None, profile_list: list[rules.Profile]) -> rules.Profile:
        """Return the profile with ``slug``; without one, the default.

        Raises:
            ValueError: there is no such profile.
        """
        try:
            return rules.profile_named(slug, profile_list)
        except rules.InvalidChoice as e:
            raise OptionsError(str(e), reason="UnknownProfile") from e

    # ---- the page ----------------------------------------------------------------------

    @default("options_form")
    def _options_form_default(self) -> Any:
        """Return '' without profiles, else what renders the form at every page view."""
        return self._render_options_form_dynamically if self.profile_list else ""

    async def _render_options_form_dynamically(self, current_spawner: Any = None) -> str:
        """Return the form for this user and moment; '' if there is nothing to choose."""
        profiles = await self._permitted(
            self._get_initialized_profile_list(await self._resolved_profiles())
        )
        return self._render_options_form(profiles) if profiles else ""

    def _render_options_form(self, profile_list: list[rules.Profile]) -> str:
        """Return the form's HTML; goes into JupyterHub's page as it is."""
        profile_list = self._get_initialized_profile_list(profile_list)
        options: dict[str, Any] = {}
        dropped: list[str] = []
        if isinstance(self.user_options, dict) and self.user_options:
            options, dropped = rules.still_valid(
                profile_list,
                self.user_options,
                text_limit=self.profile_text_limit,
                matches=_matches,
            )
        environment = _environment(tuple(self.additional_profile_form_template_paths))
        if self.profile_form_template:
            template = environment.from_string(self.profile_form_template)
        else:
            template = environment.get_template("form.html")
        try:
            return template.render(
                profile_list=profile_list, user_options=options, no_longer_offered=dropped
            )
        except jinja2.TemplateError as e:
            raise ConfigurationError(f"the template of the spawn form: {e}") from e

    # ---- the answer --------------------------------------------------------------------

    @default("options_from_form")
    def _options_from_form_default(self) -> Any:
        return self._options_from_form

    def _options_from_form(self, formdata: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``user_options`` as chosen in the form; nothing is applied here."""
        options, ignored = rules.parsed_form(formdata)
        if ignored:
            self.log.warning("Ignoring unknown fields of the spawn form: %s", ", ".join(ignored))
        return options

    @default("apply_user_options")
    def _apply_user_options_default(self) -> Any:
        # Profiles are applied in start(); without this, JupyterHub (5.3 on) warns at each spawn.
        return lambda spawner, user_options: None

    # ---- the choice --------------------------------------------------------------------

    async def load_user_options(self) -> None:
        """Apply the user's choice; called at the start of every spawn.

        Raises:
            OptionsError (a ValueError): what was asked for is not on offer.
            ConfigurationError: the list, or an override in it, is wrong.
        """
        self._undo_profile()
        profiles = await self._permitted(
            self._get_initialized_profile_list(await self._resolved_profiles())
        )
        options = self.user_options if isinstance(self.user_options, dict) else {}
        if not profiles:
            if options.get("profile"):
                self.log.warning(
                    "%s asked for profile %r, but there are no profiles",
                    self._log_name,
                    options["profile"],
                )
            return
        if options and self._options_are_stored():
            options, dropped = rules.still_valid(
                profiles, options, text_limit=self.profile_text_limit, matches=_matches
            )
            if dropped:
                self.user_options = options
                message = f"No longer offered, the default is used: {', '.join(dropped)}"
                self.log.warning("%s: %s", self._log_name, message)
                self._feed.add(message)  # type: ignore[attr-defined]
        self._validate_user_options(profiles)
        await self._load_profile(options.get("profile"), profiles)

    def _options_are_stored(self) -> bool:
        """Whether the hub reuses the last options, as it does for a request without any."""
        request = getattr(self.handler, "request", None)
        if request is None or not isinstance(getattr(request, "body", None), bytes):
            return False
        query = {name for name in request.arguments if name not in ("_xsrf", "next", "for_user")}
        return not request.body and not query

    def _validate_user_options(self, profile_list: list[rules.Profile]) -> None:
        """Check ``user_options`` against a normalised list.

        Raises:
            OptionsError (a ValueError, HTTP 400): naming what is wrong.
        """
        options = self.user_options or {}
        if not isinstance(options, dict):
            raise OptionsError(
                f"The options of a server must be an object, not {type(options).__name__}."
            )
        self._choices(options, profile_list)

    def _choices(
        self, options: Mapping[str, Any], profile_list: list[rules.Profile]
    ) -> tuple[rules.Profile, list[rules.Choice]]:
        slug = options.get("profile")
        if slug is not None and not isinstance(slug, str):
            raise OptionsError("The profile must be given as a text.", reason="UnknownProfile")
        profile = self._get_profile(slug, profile_list)
        try:
            return profile, rules.chosen(
                profile, options, text_limit=self.profile_text_limit, matches=_matches
            )
        except rules.InvalidChoice as e:
            raise OptionsError(str(e), reason="InvalidChoice") from e

    async def _load_profile(self, slug: str | None, profile_list: list[rules.Profile]) -> None:
        """Apply a profile and the options chosen in it; on an error the spawner stays as it was."""
        options = self.user_options if isinstance(self.user_options, dict) else {}
        profile, choices = self._choices({**options, "profile": slug}, profile_list)
        self._profile_changes = {}
        where = f"profile {profile['slug']!r}"
        try:
            await self._apply_resolved(profile.get("kubespawner_override") or {}, where)
            for choice in choices:
                await self._apply_resolved(
                    rules.overrides_of(choice), f"{where}, option {choice.option!r}"
                )
        except BaseException:
            self._undo_profile()
            raise

    async def _apply_resolved(self, overrides: Mapping[str, Any], where: str) -> None:
        for name, value in overrides.items():
            setting = resolve_name(name)
            before = getattr(self, setting, _UNSET)
            try:
                self._apply_overrides({name: await self._resolved(value)})
            except (TraitError, TypeError, ValueError, AttributeError) as e:
                raise ConfigurationError(
                    f"{where}: the override {name!r} = {value!r} can't be applied: {e}"
                ) from e
            changes = self._profile_changes
            if changes is not None:
                first = changes.get(setting, (before, None))[0]
                changes[setting] = (first, copy.copy(getattr(self, setting)))

    async def _resolved(self, value: Any) -> Any:
        return await resolve(value, self) if callable(value) else value

    def _undo_profile(self) -> None:
        """Give each setting that the last choice changed its value from before.

        Unless something else has changed it since.
        """
        changes, self._profile_changes = self._profile_changes or {}, None
        for name, (before, applied) in reversed(changes.items()):
            if before is not _UNSET and getattr(self, name, _UNSET) == applied:
                setattr(self, name, before)

    def _apply_overrides(self, spawner_override: Mapping[str, Any]) -> None:
        """Override settings; dicts are merged, None in them removes a key.

        Synchronous, since JupyterHub's group overrides call it without awaiting.

        Raises:
            ConfigurationError: there is no such setting.
        """
        for name, value in spawner_override.items():
            problem = self._what_is_wrong_with_setting(name)
            if problem:
                raise ConfigurationError(problem)
            if callable(value):
                value = value(self)
            if inspect.isawaitable(value):
                if inspect.iscoroutine(value):
                    value.close()
                raise ConfigurationError(
                    f"the override {name!r} is asynchronous, which works in profiles only"
                )
            setting = resolve_name(name)
            current = getattr(self, setting, None)
            if isinstance(value, dict) and isinstance(current, dict):
                merged = copy.deepcopy(dict(current))
                recursive_update(merged, value)
                value = merged
            setattr(self, setting, value)

    def _what_is_wrong_with_setting(self, name: Any) -> str | None:
        """Return None if ``name`` is a setting or attribute that may be overridden."""
        if not isinstance(name, str):
            return f"{name!r} is no name of a setting"
        setting = resolve_name(name)
        if self.has_trait(setting) or setting in self.__dict__ or hasattr(type(self), setting):
            return None
        return f"{name!r} is no setting of {type(self).__name__}" + nearest(
            name, [*self.trait_names(config=True), *RENAMED]
        )
