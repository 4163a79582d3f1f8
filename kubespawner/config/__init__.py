"""Every setting of KubeSpawner, a mixin per subject; each is checked beside where it is declared.

The mixins are no ``Configurable``: they add no sections to the configuration, and help and
generated configuration show their settings as KubeSpawner's.
https://traitlets.readthedocs.io/en/stable/config.html
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from traitlets import TraitType

from ._checks import _sorted_dict_values, nearest
from ._section import traits_of_section
from ._types import is_overridden
from .connection import ConnectionConfig
from .container import ContainerConfig
from .leftovers import LeftoversConfig
from .lifecycle import LifecycleConfig
from .metadata import MetadataConfig
from .names import NamesConfig
from .networking import NetworkingConfig
from .profiles import ProfilesConfig
from .resources import ResourcesConfig
from .scheduling import SchedulingConfig
from .security import SecurityConfig
from .spelling import check_config_names, unknown_names
from .storage import StorageConfig

__all__ = [
    "SpawnerConfig",
    "_sorted_dict_values",
    "check_config_names",
    "is_overridden",
    "nearest",
    "unknown_names",
]


class SpawnerConfig(
    ConnectionConfig,
    NamesConfig,
    ContainerConfig,
    ResourcesConfig,
    SecurityConfig,
    StorageConfig,
    SchedulingConfig,
    MetadataConfig,
    NetworkingConfig,
    ProfilesConfig,
    LifecycleConfig,
    LeftoversConfig,
):
    """All settings that KubeSpawner adds to JupyterHub's, or has with another default or rule."""

    class_own_traits = classmethod(traits_of_section)

    def traits(self, **metadata: Any) -> dict[str, TraitType[Any, Any]]:
        """Return the traits of this class with this metadata, as traitlets does.

        Each spawner that is made asks for its settings; those of a class are looked up once.
        """
        if metadata == {"config": True}:
            return _settings_of(type(self)).copy()
        return super().traits(**metadata)

    @classmethod
    def section_names(cls) -> list[str]:
        """Return the names of the configuration's sections that apply, the weakest first."""
        return list(_sections_of(cls))


@lru_cache(maxsize=64)
def _settings_of(cls: type[SpawnerConfig]) -> dict[str, TraitType[Any, Any]]:
    return cls.class_traits(config=True)


@lru_cache(maxsize=64)
def _sections_of(cls: Any) -> tuple[str, ...]:
    return tuple(super(SpawnerConfig, cls).section_names())
