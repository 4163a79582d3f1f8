"""Names of earlier versions: one table, from which everything that accepts them is derived."""

from __future__ import annotations

import copy
import weakref
from typing import Any

from traitlets.config import Config, Configurable, LazyConfigValue
from traitlets.log import get_logger

# Of 0.9: the same name behind a prefix.
_SINGLEUSER = [
    "working_dir",
    "service_account",
    "extra_labels",
    "extra_annotations",
    "image_pull_policy",
    "image_pull_secrets",
    "node_selector",
    "uid",
    "fs_gid",
    "supplemental_gids",
    "privileged",
    "allow_privilege_escalation",
    "lifecycle_hooks",
    "extra_pod_config",
    "init_containers",
    "extra_container_config",
    "extra_containers",
]
_USER_STORAGE = ["class", "pvc_ensure", "capacity", "extra_labels", "access_modes"]

# Old name -> (new name, version that renamed it).
RENAMED: dict[str, tuple[str, str]] = {
    **{f"singleuser_{name}": (name, "0.9") for name in _SINGLEUSER},
    "singleuser_image_spec": ("image", "0.9"),
    "image_spec": ("image", "0.10"),
    **{f"user_storage_{name}": (f"storage_{name}", "0.9") for name in _USER_STORAGE},
}

# What was warned of, by the identity of the configuration: all spawners of a hub share one, so
# each old name is reported once, not for each of ten thousand servers.
_warned: dict[int, set[tuple[str, ...]]] = {}


def resolve_name(name: str) -> str:
    """Return today's name of a setting: that of a deprecated one, any other as it is."""
    return RENAMED[name][0] if name in RENAMED else name


def migrate_config(cls: type[Any], config: Config, log: Any) -> Config:
    """Return ``config`` with old names replaced in every section that applies to ``cls``.

    The given one is left as it is: it is shared, and the next spawner must find the same.
    Values are passed on unchanged, lazy and deferred ones included. Where a section has both
    names, the new one wins. Between sections the usual order counts: a subclass' section wins
    over ``KubeSpawner``'s, that one over ``Spawner``'s.

    Args:
        log: gets a warning per old name, and one per ignored value; once per ``config``.
    """
    migrated: Config | None = None
    # Asked by each spawner that is made, and a Config is slow to ask.
    sections = frozenset(config)
    for base in cls.__mro__:
        section = base.__name__
        if section not in sections or not issubclass(base, Configurable):
            continue
        if RENAMED.keys().isdisjoint(config[section]):
            continue
        old_names = [name for name in RENAMED if name in config[section]]
        if migrated is None:
            migrated = Config(config)
        migrated[section] = _migrate_section(section, old_names, config, log)
    return config if migrated is None else migrated


def _migrate_section(section: str, old_names: list[str], config: Config, log: Any) -> Config:
    values = Config(config[section])
    # Of two old names for one setting the younger one counts.
    for old in sorted(old_names, key=_age):
        new = RENAMED[old][0]
        value = values.pop(old)
        first = _first_time(config, "config", section, old, repr(value))
        if first:
            log.warning("%s", _sentence(section, old))
        if new not in values:
            # traitlets merges lazy values of several sections by changing them.
            values[new] = copy.deepcopy(value) if isinstance(value, LazyConfigValue) else value
        elif first:
            log.warning("%s.%s is set as well; ignoring %s=%r", section, new, old, value)
    return values


def _age(old: str) -> tuple[int, ...]:
    return tuple(-int(number) for number in RENAMED[old][1].split("."))


def _sentence(section: str, old: str) -> str:
    new, since = RENAMED[old]
    return f"{section}.{old} is deprecated in KubeSpawner {since}, use {section}.{new}"


def _first_time(config: Config, *what: str) -> bool:
    """Whether this is the first warning of ``what`` among those who share ``config``."""
    key = id(config)
    if key not in _warned:
        _warned[key] = set()
        weakref.finalize(config, _warned.pop, key, None)
    if what in _warned[key]:
        return False
    _warned[key].add(what)
    return True


def _alias(old: str) -> property:
    new = RENAMED[old][0]

    def warn(spawner: Any, *what: str) -> None:
        if _first_time(spawner.config, *what, old):
            spawner.log.warning("%s", _sentence(type(spawner).__name__, old))

    def read(self: Any) -> Any:
        warn(self, "read")
        return getattr(self, new)

    def assign(self: Any, value: Any) -> None:
        warn(self, "assign", repr(value))
        setattr(self, new, value)

    return property(read, assign, doc=f"Deprecated: use ``{new}``.")


class LegacyNames:
    """Mixin: old names in configuration, as attributes, and as constructor keywords.

    To stand before the ``Configurable`` in the bases.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        renamed = [] if RENAMED.keys().isdisjoint(kwargs) else [n for n in RENAMED if n in kwargs]
        for old in renamed:
            log = kwargs.get("log") or getattr(kwargs.get("parent"), "log", None) or get_logger()
            new = RENAMED[old][0]
            value = kwargs.pop(old)
            log.warning("%s", _sentence(type(self).__name__, old))
            if new in kwargs:
                log.warning("%s is given as well; ignoring %s=%r", new, old, value)
            else:
                kwargs[new] = value
        super().__init__(*args, **kwargs)

    def _load_config(self, cfg: Any, *args: Any, **kwargs: Any) -> None:
        # traitlets calls this for the constructor's config and for every later change.
        log = self.log  # type: ignore[attr-defined]
        super()._load_config(  # type: ignore[misc]
            migrate_config(type(self), cfg, log), *args, **kwargs
        )

    def is_configured(self, name: str) -> bool:
        """Whether the configuration sets ``name``, under this or an old name of it."""
        names = [name, *(old for old, (new, _) in RENAMED.items() if new == name)]
        config = self.config  # type: ignore[attr-defined]
        return any(
            old in config[base.__name__]
            for base in type(self).__mro__
            if issubclass(base, Configurable) and base.__name__ in config
            for old in names
        )


for _old in RENAMED:
    setattr(LegacyNames, _old, _alias(_old))
