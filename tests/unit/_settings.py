"""A spawner that has KubeSpawner's settings and old names, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

from jupyterhub.spawner import Spawner
from traitlets.config import Config

from kubespawner.config import SpawnerConfig
from kubespawner.legacy import LegacyNames


class KubeSpawner(LegacyNames, SpawnerConfig, Spawner):
    """Named as the real one, so that its section of the configuration applies."""

    dns_name = "pod.ns.svc.cluster.local"
    pod_name = "pod"

    async def start(self):
        return "http://127.0.0.1:1"

    async def stop(self, now=False):
        return None

    async def poll(self):
        return 0


def make(cls=KubeSpawner, config=None, **kwargs):
    """Return a spawner with the given constructor arguments, or ``config`` sections."""
    if config is not None:
        kwargs["config"] = config if isinstance(config, Config) else Config(config)
    hub = SimpleNamespace(connect_ip="", connect_port=0)
    return cls(**{"hub": hub, "user": SimpleNamespace(name="alice"), **kwargs})


def configured(**settings):
    """Return a spawner with ``settings`` in the section ``KubeSpawner``."""
    return make(config={"KubeSpawner": settings})
