"""Settings of one spawner that profiles and groups override, and what undoes that."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tornado import web

from .asking import is_for_the_user, resolve
from .config import nearest
from .errors import ConfigurationError, HookError
from .kube.timing import within
from .legacy import RENAMED, resolve_name
from .manifests import Manifests
from .profiles import Filled, as_template, copied
from .utils import recursive_update

_UNSET = object()


class SettingOverrides(Manifests):
    """Overriding settings of one spawner, with what its administrator configured for a choice."""

    # What the last application changed: setting -> (value before, value applied).
    _profile_changes: dict[str, tuple[Any, Any]] | None = None
    # Whether the namespace is that of a profile or group, and not the configured one.
    _profile_namespace = False

    async def _ask(self, ask: Callable[[Any], Any], what: str) -> Any:
        """Return what a callable of the administrator answers, awaited if need be.

        Raises:
            HookError: it failed; names it.
            ConfigurationError: it did not answer in time; names it.
            tornado.web.HTTPError, what has a ``jupyterhub_message``: raised by the callable on
                purpose.
        """
        try:
            return await within(resolve(ask, self), self.profile_list_timeout)
        except (TimeoutError, asyncio.TimeoutError) as e:
            raise ConfigurationError(
                f"the callable {what} did not answer within {self.profile_list_timeout} s "
                "(KubeSpawner.profile_list_timeout)"
            ) from e
        except web.HTTPError:
            raise
        except Exception as e:
            if is_for_the_user(e):
                raise
            raise HookError(f"the callable {what}", e) from e

    async def _resolve_overrides(self, overrides: Mapping[str, Any], where: str) -> None:
        """Apply overrides one after the other, callables awaited; note what changes.

        Later callables see the effect of earlier overrides.
        """
        changes = self._profile_changes if self._profile_changes is not None else {}
        for name, value in overrides.items():
            setting = resolve_name(name)
            before = getattr(self, setting, _UNSET)
            plain = value
            if callable(value):
                plain = await self._ask(value, f"{name!r} of {where}")
            try:
                if callable(plain):
                    # For a hook: to be assigned, not to be called in its turn.
                    self._override(name, plain)
                else:
                    self._apply_overrides({name: plain})
            except Exception as e:
                raise ConfigurationError(
                    f"{where}: the override {name!r} = {_shown(plain)} can't be applied: {e}"
                ) from e
            first = changes.get(setting, (before, None))[0]
            changes[setting] = (first, copy.copy(getattr(self, setting)))

    def clear_state(self) -> None:
        """Forget the last server, and what was chosen for it.

        JupyterHub calls this before it sets what groups and hooks say about the next one; they
        must not be merged with the settings of the last choice.
        """
        super().clear_state()  # type: ignore[misc]
        self._undo_profile()

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
            ConfigurationError: there is no such setting, or its callable is asynchronous.
            traitlets.TraitError: the setting does not take the value.
        """
        for name, value in spawner_override.items():
            if callable(value):
                value = value(self)
            if inspect.isawaitable(value):
                if inspect.iscoroutine(value):
                    value.close()
                raise ConfigurationError(
                    f"the override {name!r} is asynchronous, which works in profiles only"
                )
            self._override(name, value)

    def _override(self, name: Any, value: Any) -> None:
        """Override one setting by ``value`` as it is: a callable is the setting's, as for hooks."""
        problem = self._what_is_wrong_with_setting(name)
        if problem:
            raise ConfigurationError(problem)
        setting = resolve_name(name)
        if setting == "namespace":
            # Of this server's life only, like that of a profile.
            self._profile_namespace = True
        current = getattr(self, setting, None)
        value = copied(value)
        if isinstance(value, dict) and isinstance(current, dict):
            # A new dict: configuration is shared, and traitlets validates what is assigned.
            merged = copied(dict(current))
            recursive_update(merged, value)
            value = merged
        template = as_template(value)
        setattr(self, setting, template)
        if template != value:
            # What is expanded was validated; what is read is the text without its escapes.
            self._trait_values[setting] = value

    def _what_is_wrong_with_setting(self, name: Any) -> str | None:
        """Return None if ``name`` is a setting or attribute that may be overridden."""
        if not isinstance(name, str):
            return f"{name!r} is no name of a setting"
        setting = resolve_name(name)
        if self.has_trait(setting):
            return None
        found = inspect.getattr_static(self, setting, _UNSET)
        if found is _UNSET or setting.startswith("__"):
            return f"{name!r} is no setting of {type(self).__name__}" + nearest(
                name, [*self.trait_names(config=True), *RENAMED]
            )
        read_only = isinstance(found, property) and found.fset is None
        if read_only or inspect.isroutine(found):
            return f"{name!r} of {type(self).__name__} can't be set"
        return None

    def _expand_all(self, src: Any) -> Any:
        return super()._expand_all(as_template(src))

    def _expand_user_properties(self, template: str, slug_scheme: str | None = None) -> str:
        if isinstance(template, Filled):
            template = template.template
        return super()._expand_user_properties(template, slug_scheme)

    def _is_expanded(self, name: str) -> bool:
        """Whether the values of a setting are templates, in this class or one it is made of."""
        setting = resolve_name(name)
        found = (vars(cls).get(setting) for cls in type(self).__mro__)
        return any(getattr(trait, "expanded", False) for trait in found)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."
