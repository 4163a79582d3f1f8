"""Every setting of KubeSpawner, a mixin per subject; each is checked beside where it is declared.

The mixins are no ``Configurable``: they add no sections to the configuration, and help and
generated configuration show their settings as KubeSpawner's.
https://traitlets.readthedocs.io/en/stable/config.html
"""

from __future__ import annotations

from ._checks import _sorted_dict_values, nearest
from ._section import traits_of_section
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
