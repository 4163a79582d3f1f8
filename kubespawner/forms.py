"""What a user chose, from the page to the spawner's settings.

:class:`ProfileForms` is a mixin of ``KubeSpawner``; the rules are in :mod:`kubespawner.profiles`.
"""

from __future__ import annotations

import asyncio
import html
import json
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import jinja2
from jinja2 import Environment, FileSystemLoader
from tornado.httputil import HTTPServerRequest
from traitlets import default

from . import profiles as rules
from .errors import ConfigurationError, OptionsError
from .feed import ProgressEvent, ProgressFeed
from .overrides import SettingOverrides

TEMPLATES = Path(__file__).with_name("templates")
# For all patterns of the administrator on all texts of a user: enough for any that is no trap.
_MATCH_SECONDS = 1.0


# ---- patterns --------------------------------------------------------------------------


def _match_all(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bool | None]:
    """Match each text with its pattern; None where there was not enough time. Runs in a thread."""
    end = time.monotonic() + _MATCH_SECONDS
    return {pair: _matched(*pair, max(end - time.monotonic(), 0.01)) for pair in pairs}


def _matched(pattern: str, text: str, seconds: float) -> bool | None:
    try:
        return rules.matches_whole(pattern, text, seconds)
    except TimeoutError:
        return None


# ---- templates -------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _environment(paths: tuple[str, ...]) -> Environment:
    # Not auto-escaping: display names and descriptions are the administrator's HTML, and so are
    # existing templates; the packaged one escapes everything else itself.
    environment = Environment(loader=FileSystemLoader([*paths, str(TEMPLATES)]))
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment


@lru_cache(maxsize=32)
def _literal_template(text: str, paths: tuple[str, ...]) -> jinja2.Template:
    return _environment(paths).from_string(text)


def _alert(sentence: str) -> str:
    return f'<p class="alert alert-warning" role="status">{html.escape(sentence)}</p>\n'


def _dismissible(notice: ProgressEvent) -> str:
    """Return a notice that can be closed, as JupyterHub's pages can with Bootstrap's script."""
    words = notice.get("html_message") or html.escape(notice["message"])
    return (
        '<div class="alert alert-info alert-dismissible js-last-exit" role="status">'
        f"<span>{words}</span>"
        '<button type="button" class="btn-close" data-bs-dismiss="alert" '
        'aria-label="Close"></button></div>\n'
    )


def _handled_in_start(spawner: Any, user_options: Any) -> None:
    """Do nothing: the default of JupyterHub's ``apply_user_options``.

    Profiles are applied in ``start()``; with no hook JupyterHub (5.3 on) warns at each spawn.
    """


class ProfileForms(SettingOverrides):
    """Profiles of one spawner: shown, parsed, validated and applied."""

    log: Any
    user: Any
    user_options: Any
    handler: Any
    _log_name: str
    _feed: ProgressFeed

    # What the last start refused.
    _refused_options: Any = None
    if TYPE_CHECKING:
        # Of `Ending`, the mixin that knows of the last server.
        async def last_exit_notice(self) -> ProgressEvent | None: ...

    # Patterns that were matched off the event loop.
    _known_matches: Mapping[tuple[str, str], bool | None] = {}
    # The static list that was found to be right, and what was warned of, for all servers.
    _checked_profiles: ClassVar[Any] = None
    _reported_keys: ClassVar[set[str]] = set()

    # ---- the list ----------------------------------------------------------------------

    async def _resolved_profiles(self) -> list[rules.Profile]:
        """Return the list as configured, a callable's result included; checked."""
        profiles = self.profile_list
        if not callable(profiles):
            self._check_profile_list()
            return rules.as_list(profiles)
        return self._checked_list(await self._ask(profiles, "KubeSpawner.profile_list"))

    def _checked_list(self, profiles: Any) -> list[rules.Profile]:
        """Return the profiles of a list or dict; report all mistakes together.

        Raises:
            ConfigurationError: naming each mistake by its path.
        """
        try:
            profiles = rules.as_list(profiles)
        except rules.InvalidProfiles as e:
            raise ConfigurationError(f"KubeSpawner.{e}") from e
        found = rules.mistakes(profiles, self._what_is_wrong_with_setting)
        if found:
            raise ConfigurationError("KubeSpawner.profile_list: " + "; ".join(found))
        for sentence in rules.unknown_keys(profiles):
            if sentence not in type(self)._reported_keys:
                type(self)._reported_keys.add(sentence)
                self.log.warning("KubeSpawner.%s", sentence)
        return profiles

    def _check_profile_list(self) -> None:
        """Check a static list, as early as the first spawner is made; once per content.

        Raises:
            ConfigurationError: naming each mistake by its path.
        """
        profiles = self.profile_list
        if callable(profiles) or type(self)._checked_profiles == profiles:
            return
        self._checked_list(profiles)
        type(self)._checked_profiles = rules.copied(profiles)

    def _get_initialized_profile_list(
        self, profile_list: list[rules.Profile]
    ) -> list[rules.Profile]:
        """Return a normalised deep copy of ``profile_list``, which may also be a dict of profiles."""
        return rules.normalised(rules.as_list(profile_list) if profile_list else profile_list)

    async def _profiles_on_offer(self) -> tuple[list[rules.Profile], bool]:
        """Return the normalised list of what this user may choose, and whether there was any."""
        profiles = self._get_initialized_profile_list(await self._resolved_profiles())
        if not profiles:
            return [], False
        groups = {group.name for group in getattr(self.user, "groups", None) or ()}

        async def may_choose(path: str, item: Mapping[str, Any]) -> bool:
            wanted, allowed = item.get("allowed_groups"), item.get("allowed", True)
            if wanted is not None and groups.isdisjoint(wanted):
                return False
            return (
                bool(await self._ask(allowed, f"'allowed' of {path}"))
                if callable(allowed)
                else allowed is not False
            )

        return await rules.permitted(profiles, may_choose), True

    def _get_profile(self, slug: str | None, profile_list: list[rules.Profile]) -> rules.Profile:
        """Return the profile with ``slug``; without one, the default.

        Raises:
            OptionsError (a ValueError): there is no such profile.
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
        """Return the form for this user and moment; '' if there are no profiles."""
        profiles, any_profiles = await self._profiles_on_offer()
        if not profiles:
            return _alert(_NOTHING_OPEN) if any_profiles else ""
        await self._match_ahead(profiles)
        notice = await self.last_exit_notice()
        return (_dismissible(notice) if notice else "") + self._render_options_form(profiles)

    def _render_options_form(self, profile_list: list[rules.Profile]) -> str:
        """Return the form's HTML, which JupyterHub puts into its page as it is.

        Templates get two variables: ``profile_list``, normalised, and ``user_options``: what is
        still valid of the last ones.

        Raises:
            ConfigurationError: the template fails.
        """
        profile_list = self._get_initialized_profile_list(profile_list)
        options: dict[str, Any] = {}
        dropped: list[str] = []
        if isinstance(self.user_options, dict) and profile_list:
            options, dropped = self._still_valid(profile_list)
        paths = tuple(self.additional_profile_form_template_paths)
        try:
            if self.profile_form_template:
                template = _literal_template(self.profile_form_template, paths)
            else:
                template = _environment(paths).get_template("form.html")
            page = template.render(profile_list=profile_list, user_options=options)
        except Exception as e:
            raise ConfigurationError(
                f"the template of the spawn form: {type(e).__name__}: {e}"
            ) from e
        # The hub's answer to a refused choice says itself what is wrong.
        if not dropped or self.user_options is self._refused_options:
            return page
        return _alert(_fallback(dropped)) + page

    # ---- the answer --------------------------------------------------------------------

    @default("options_from_form")
    def _options_from_form_default(self) -> Any:
        return self._options_from_form

    def _options_from_form(
        self, formdata: Mapping[str, Any], spawner: Any = None
    ) -> dict[str, Any]:
        """Return ``user_options`` as chosen in a form or query; nothing is checked or applied.

        The hub may ask another server's spawner than the one that will be started, so nothing of
        the instance is read but its log.

        Args:
            formdata: name of the field to a list of strings, of which the first counts.
            spawner: the one that will be started, if the hub says (JupyterHub 5 on).
        """
        options, ignored = rules.parsed_form(formdata)
        if ignored:
            self.log.warning("Ignoring unknown fields of the spawn form: %s", ", ".join(ignored))
        return options

    @default("apply_user_options")
    def _apply_user_options_default(self) -> Any:
        return _handled_in_start

    # ---- the choice --------------------------------------------------------------------

    async def load_user_options(self) -> None:
        """Apply the user's choice; called at the start of every spawn.

        Raises:
            OptionsError (a ValueError): what was asked for is not on offer.
            ConfigurationError: the list, or an override in it, is wrong.
        """
        self._undo_profile()
        profiles, any_profiles = await self._profiles_on_offer()
        options = self.user_options if isinstance(self.user_options, dict) else {}
        if not profiles:
            if any_profiles:
                raise OptionsError(_NOTHING_OPEN, reason="NoProfileAllowed")
            if options.get("profile"):
                self.log.warning(
                    "%s asked for profile %r, but there are no profiles",
                    self._log_name,
                    options["profile"],
                )
            return
        await self._match_ahead(profiles)
        if options and self._options_are_stored():
            options, dropped = self._still_valid(profiles)
            if dropped:
                self.user_options = options
                self.log.warning("%s: %s", self._log_name, _fallback(dropped))
                self._feed.add(_fallback(dropped))
        try:
            self._validate_user_options(profiles)
        except OptionsError:
            self._refused_options = self.user_options
            raise
        await self._load_profile(options.get("profile"), profiles)

    def _options_are_stored(self) -> bool:
        """Whether the hub reuses the last options, as it does for a request without any."""
        request = getattr(self.handler, "request", None)
        if not isinstance(request, HTTPServerRequest):
            return False
        if request.method == "GET":
            return not set(request.query_arguments) - {"next", "display_name"}
        try:
            body = json.loads(request.body) if request.body else None
        except ValueError:
            # A submitted form.
            return False
        if not body or not isinstance(body, dict):
            return not body
        # https://jupyterhub.readthedocs.io/en/stable/reference/rest-api.html
        if "user_options" in body:
            return body["user_options"] is None
        return "display_name" in body

    def _still_valid(self, profile_list: list[rules.Profile]) -> tuple[dict[str, Any], list[str]]:
        return rules.still_valid(
            profile_list,
            self.user_options,
            text_limit=self.profile_text_limit,
            matches=self._matches,
        )

    async def _match_ahead(self, profile_list: list[rules.Profile]) -> None:
        """Match the texts in ``user_options`` in a thread: a pattern may take long."""
        pairs: set[tuple[str, str]] = set()

        def note(pattern: str, text: str) -> bool:
            pairs.add((pattern, text))
            return True

        if isinstance(self.user_options, dict):
            rules.still_valid(
                profile_list, self.user_options, text_limit=self.profile_text_limit, matches=note
            )
        self._known_matches = await asyncio.to_thread(_match_all, pairs) if pairs else {}

    def _matches(self, pattern: str, text: str) -> bool | None:
        pair = (pattern, text)
        known = self._known_matches
        return known[pair] if pair in known else _match_all([pair])[pair]

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
        if not profile_list:
            return
        profile, _ = self._choices(options, profile_list)
        foreign, unknown = rules.unknown_options(profile, profile_list, options)
        if foreign:
            raise OptionsError("; ".join(foreign), reason="InvalidChoice")
        if unknown:
            self.log.debug("%s: options of no profile: %s", self._log_name, ", ".join(unknown))

    def _choices(
        self, options: Mapping[str, Any], profile_list: list[rules.Profile]
    ) -> tuple[rules.Profile, list[rules.Selection]]:
        profile = self._get_profile(options.get("profile"), profile_list)
        try:
            return profile, rules.chosen(
                profile, options, text_limit=self.profile_text_limit, matches=self._matches
            )
        except rules.InvalidChoice as e:
            raise OptionsError(str(e), reason="InvalidChoice") from e

    async def _load_profile(self, slug: str | None, profile_list: list[rules.Profile]) -> None:
        """Apply a profile and the options chosen in it; on an error the spawner stays as it was.

        Args:
            slug: None for the default profile.
            profile_list: a normalised list.

        Raises:
            OptionsError, ConfigurationError: as :meth:`load_user_options`.
        """
        options = self.user_options if isinstance(self.user_options, dict) else {}
        profile, selections = self._choices({**options, "profile": slug}, profile_list)
        self._profile_changes = {}
        where = f"profile {profile['slug']!r}"
        try:
            await self._resolve_overrides(profile.get("kubespawner_override") or {}, where)
            for selection in selections:
                overrides = rules.overrides_of(selection, self._is_expanded)
                await self._resolve_overrides(overrides, f"{where}, option {selection.option!r}")
        except BaseException:
            self._undo_profile()
            raise


_NOTHING_OPEN = "None of the profiles of this hub is open to you; please ask its administrator."


def _fallback(dropped: list[str]) -> str:
    return (
        "Part of your last choice is not available, so the default is used instead for: "
        f"{', '.join(dropped)}."
    )
