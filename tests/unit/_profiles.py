"""A spawner with profiles, and nothing that talks to a cluster."""

from __future__ import annotations

from types import SimpleNamespace

from jupyterhub.spawner import Spawner
from traitlets.config import Config

from kubespawner.feed import ProgressFeed
from kubespawner.forms import ProfileForms
from kubespawner.legacy import LegacyNames


class KubeSpawner(LegacyNames, ProfileForms, Spawner):
    """Named as the real one, so that its section of the configuration applies."""

    dns_name = "pod.ns.svc.cluster.local"
    pod_name = "pod"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._feed = ProgressFeed()
        self._check_profile_list()

    async def start(self):
        await self.load_user_options()
        return "http://127.0.0.1:1"

    async def stop(self, now=False):
        return None

    async def poll(self):
        return 0

    async def last_exit_notice(self):
        return None


def make(profile_list=(), cls=KubeSpawner, groups=(), user_options=None, **settings):
    """Return a spawner of a user in ``groups``, configured with ``settings``."""
    user = SimpleNamespace(
        name="alice", id=7, groups=[SimpleNamespace(name=group) for group in groups]
    )
    profiles = profile_list if isinstance(profile_list, dict) or callable(profile_list) else None
    settings["profile_list"] = list(profile_list) if profiles is None else profiles
    spawner = cls(
        user=user,
        hub=SimpleNamespace(connect_ip="", connect_port=0),
        config=Config({"KubeSpawner": settings}),
    )
    if user_options is not None:
        spawner.user_options = user_options
    return spawner


async def load(spawner, options=None):
    """Start with ``options`` as the user's choice; return the spawner."""
    if options is not None:
        spawner.user_options = options
    await spawner.load_user_options()
    return spawner
