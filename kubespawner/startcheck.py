"""Everything that is wrong with a configuration, found before the first spawn.

JupyterHub makes a spawner when the first user needs one, so a mistake in a setting would surface
in somebody's face. :func:`check_at_hub_start` lets it end the hub's start instead.
"""

from __future__ import annotations

import copy
import functools
import sys
from typing import Any

from traitlets import HasTraits, TraitError
from traitlets.config import Config, DeferredConfig, LazyConfigValue
from traitlets.log import get_logger

from . import profiles as rules
from .config import unknown_names
from .errors import ConfigurationError
from .legacy import migrate_config


def configuration_mistakes(cls: type[Any], config: Config) -> list[str]:
    """Return a sentence for each mistake in the settings of ``cls``, without making a spawner.

    Found are settings that do not exist, values that a setting does not take, and every mistake
    in a static ``profile_list``. What callables and hooks do is not tried.

    Args:
        cls: ``KubeSpawner`` or a subclass.
        config: the hub's whole configuration; left as it is.
    """
    problems = unknown_names(cls, config)
    # Its traits without its constructor, which asks for a user, a hub and a cluster.
    probe: Any = HasTraits.__new__(cls)
    values = probe._find_my_config(migrate_config(cls, config, get_logger()))
    traits = cls.class_traits(config=True)
    for name, value in values.items():
        if name not in traits:
            continue
        try:
            # A `@validate` method of a subclass may ask for more than the probe has.
            with probe.cross_validation_lock:
                value = traits[name]._validate(probe, _resolved(probe, traits[name], value))
        except (TraitError, ConfigurationError, ValueError) as e:
            problems.append(str(e))
            continue
        if name == "profile_list" and not callable(value):
            problems += _profile_mistakes(probe, value)
    return problems


def _resolved(probe: Any, trait: Any, value: Any) -> Any:
    """Return a value that depends on the default (``c.X.y.append(…)``) or on its trait."""
    if isinstance(value, LazyConfigValue):
        # A copy: it keeps what it was first applied to.
        return copy.deepcopy(value).get_value(getattr(probe, trait.name))
    if isinstance(value, DeferredConfig):
        return value.get_value(trait)
    return value


def _profile_mistakes(probe: Any, profiles: Any) -> list[str]:
    try:
        profiles = rules.as_list(profiles)
    except rules.InvalidProfiles as e:
        return [f"KubeSpawner.{e}"]
    found = rules.mistakes(profiles, probe._what_is_wrong_with_setting)
    return [f"KubeSpawner.{sentence}" for sentence in found]


def told(problems: list[str]) -> str:
    """Return the mistakes as one text: a heading, and a line for each."""
    count = f"{len(problems)} mistakes" if len(problems) > 1 else "a mistake"
    return "\n".join(
        [f"The configuration of KubeSpawner has {count}:", *map("  - {}".format, problems)]
    )


def check_at_hub_start() -> None:
    """Let JupyterHub check the configuration at its start, before it looks after any server.

    JupyterHub has no hook for this, so its ``init_spawners`` is wrapped, once per process. It
    loads every spawner's entry point when it is made itself, and so this package. A hub whose
    spawner is not a KubeSpawner, such as one that wraps others, starts unchecked.
    """
    # Not imported for this: whoever runs a hub has done so.
    app_class = getattr(sys.modules.get("jupyterhub.app"), "JupyterHub", None)
    original = getattr(app_class, "init_spawners", None)
    if original is None or hasattr(original, "checks_kubespawner"):
        return

    @functools.wraps(original)
    def init_spawners(app: Any) -> Any:
        _check(app)
        return original(app)

    init_spawners.checks_kubespawner = True  # type: ignore[attr-defined]
    app_class.init_spawners = init_spawners  # type: ignore[union-attr]


def _check(app: Any) -> None:
    from .spawner import KubeSpawner

    cls = app.spawner_class
    if not issubclass(cls, KubeSpawner):
        return
    problems = configuration_mistakes(cls, app.config)
    if problems:
        app.log.critical("%s", told(problems))
        app.exit(1)
