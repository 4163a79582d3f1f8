"""A small Kubernetes cluster on loopback, whose pods are local processes.

For trying things out, for tests, and for seeing how a hub copes with faults; needs no root.
:class:`LocalCluster` is an async context manager; ``python -m kubespawner.localcluster`` runs one
until Ctrl-C. The extra ``local`` of the distribution brings what it needs.

What differs from a real cluster:

- A container's image is a name; its command runs with the programs of this Python environment,
  as the user who runs the cluster. Limits and security contexts have no effect.
- On Linux every pod has an address of its own in 127.0.0.0/8. A server told to listen on all
  addresses (``0.0.0.0`` in its arguments or ``JUPYTERHUB_SERVICE_URL``) listens on its pod's.
  macOS has 127.0.0.1 only: there, two pods with the same port can't run at the same time, and the
  second one is unschedulable, as with host ports. Give each server a port of its own, such as
  ``c.KubeSpawner.pre_spawn_hook = lambda spawner: setattr(spawner, "port", free_port())``.
- Volumes are directories; see :mod:`kubespawner.localcluster.volumes`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cluster import LocalCluster, free_port
    from .images import Images

__all__ = ["Images", "LocalCluster", "free_port"]

_HOMES = {"Images": ".images", "LocalCluster": ".cluster", "free_port": ".cluster"}


def __getattr__(name: str) -> Any:
    # Imported at the first use: pytest loads this package, with its plugin, in every run.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)
