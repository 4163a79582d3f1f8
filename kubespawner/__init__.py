"""JupyterHub Spawner for Kubernetes: every user's notebook server is a pod."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__, version_info

if TYPE_CHECKING:
    from .spawner import KubeSpawner

__all__ = ["KubeSpawner", "__version__", "version_info"]


def __getattr__(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    if colon:
        # JupyterHub looks "kubespawner.proxy:KubeIngressProxy" up as such an attribute.
        return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    # On demand: the embedded cluster and its pytest plugin live in this package as well, and
    # need neither JupyterHub nor the Kubernetes client.
    if name == "KubeSpawner":
        from .metrics import register
        from .spawner import KubeSpawner
        from .startcheck import check_at_hub_start

        register()
        check_at_hub_start()
        return KubeSpawner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
