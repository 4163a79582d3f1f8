"""Names of earlier versions: one table, from which everything that accepts them is derived."""

from __future__ import annotations

import warnings
from typing import Any

from traitlets import HasTraits
from traitlets.config import Config

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

_warned: set[tuple[int, str, str]] = set()
_SECTIONS_LEFT_ALONE = {"object", "HasTraits", "HasDescriptors"}


def resolve_name(name: str) -> str:
    """Return today's name of a setting."""
    return RENAMED[name][0] if name in RENAMED else name


def _warning(section: str, old: str) -> str:
    new, since = RENAMED[old]
    return f"{section}.{old} is deprecated in KubeSpawner {since}, use {section}.{new}"


def migrate_config(cls: type[HasTraits], config: Config, log: Any) -> Config:
    """Return ``config`` with old names replaced in every section that applies to ``cls``.

    The given one is left as it is: it is shared, and the next spawner must find the same.
    Values are passed on unchanged, lazy and deferred ones included.
    """
    migrated: Config | None = None
    for section in dict.fromkeys(c.__name__ for c in cls.__mro__):
        if section in _SECTIONS_LEFT_ALONE or section not in config:
            continue
        old_names = [name for name in config[section] if name in RENAMED]
        if not old_names:
            continue
        if migrated is None:
            migrated = Config(config)
        values = migrated[section] = Config(config[section])
        for old in old_names:
            new = RENAMED[old][0]
            value = values.pop(old)
            # Every spawner of a hub gets the same configuration; one warning is enough.
            first = (id(config), section, old) not in _warned
            _warned.add((id(config), section, old))
            if first:
                log.warning(_warning(section, old))
            if new not in config[section]:
                values[new] = value
            elif first:
                log.warning("%s.%s is set as well; ignoring %s=%r", section, new, old, value)
    return config if migrated is None else migrated


def _alias(old: str) -> property:
    new = RENAMED[old][0]

    def get(self: Any) -> Any:
        self.log.warning(_warning(type(self).__name__, old))
        return getattr(self, new)

    def set(self: Any, value: Any) -> None:
        self.log.warning(_warning(type(self).__name__, old))
        setattr(self, new, value)

    return property(get, set, doc=f"Deprecated: use ``{new}``.")


class LegacyNames:
    """Mixin: old names in configuration, as attributes, and as constructor keywords."""

    def __init__(self, *args: Any, **kwargs: Any):
        for old in [name for name in kwargs if name in RENAMED]:
            warnings.warn(_warning("KubeSpawner", old), DeprecationWarning, stacklevel=2)
            value = kwargs.pop(old)
            kwargs.setdefault(RENAMED[old][0], value)
        super().__init__(*args, **kwargs)

    def _load_config(self, cfg: Any, *args: Any, **kwargs: Any) -> None:
        # traitlets calls this for the constructor's config and for every later change.
        migrated = migrate_config(type(self), cfg, self.log)  # type: ignore[attr-defined, arg-type]
        super()._load_config(migrated, *args, **kwargs)  # type: ignore[misc]


for _old in RENAMED:
    setattr(LegacyNames, _old, _alias(_old))
