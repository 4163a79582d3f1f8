"""Every setting of KubeSpawner, a mixin per subject; each is checked beside where it is declared.

The mixins are no ``Configurable``: they add no sections to the configuration, and help and
generated configuration show their settings as KubeSpawner's.
https://traitlets.readthedocs.io/en/stable/config.html
"""

from __future__ import annotations

from typing import Any

from traitlets import HasTraits, TraitType
from traitlets.config import Configurable

from ._checks import _sorted_dict_values, nearest
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
from .spelling import check_config_names, unknown_names
from .storage import StorageConfig

__all__ = [
    "SpawnerConfig",
    "_sorted_dict_values",
    "check_config_names",
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
):
    """All settings that KubeSpawner adds to JupyterHub's, or has with another default or rule."""

    @classmethod
    def class_own_traits(cls, **metadata: Any) -> dict[str, TraitType[Any, Any]]:
        """Return the traits that ``cls`` adds to the next ``Configurable`` it is made of.

        Where traitlets asks what a class adds to its base, the mixins between the two count as
        the class itself.
        """
        base: type = next((c for c in cls.__mro__[1:] if issubclass(c, Configurable)), HasTraits)
        return {
            name: trait
            for name, trait in cls.class_traits(**metadata).items()
            if getattr(base, name, None) is not trait
        }
