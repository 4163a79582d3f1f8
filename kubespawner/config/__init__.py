"""Every setting of KubeSpawner, a mixin per subject; each is checked beside where it is declared."""

from __future__ import annotations

from typing import Any

from traitlets import HasTraits

from ._common import _sorted_dict_values, nearest
from .connection import ConnectionConfig
from .container import ContainerConfig
from .lifecycle import LifecycleConfig
from .metadata import MetadataConfig
from .names import NamesConfig
from .networking import NetworkingConfig
from .profiles import ProfilesConfig
from .resources import ResourcesConfig
from .scheduling import SchedulingConfig
from .security import SecurityConfig
from .storage import StorageConfig

__all__ = ["SpawnerConfig", "_sorted_dict_values", "unknown_names"]


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
):
    """All settings that KubeSpawner has beside JupyterHub's own."""


def unknown_names(cls: type[HasTraits], config: Any, known: set[str]) -> list[str]:
    """Return a sentence for each setting in ``config`` that ``cls`` does not have.

    Args:
        known: further names that are understood, such as deprecated ones.
    """
    problems = []
    names = set(cls.class_trait_names(config=True)) | known
    for section in dict.fromkeys(c.__name__ for c in cls.__mro__ if issubclass(c, HasTraits)):
        if section in ("HasTraits", "Configurable", "LoggingConfigurable", "Spawner"):
            continue
        for name in config.get(section, {}):
            if name not in names:
                problems.append(f"{section}.{name} does not exist{nearest(name, names)}")
    return problems
