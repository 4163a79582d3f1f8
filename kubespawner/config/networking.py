"""Settings: how hub and server reach each other."""

from __future__ import annotations

import warnings
from typing import Any

import jupyterhub.traitlets
import traitlets
from traitlets import HasTraits, default, observe

from . import _checks as checks
from ._types import Bool, Callable, Integer, Unicode, Union


class NetworkingConfig(HasTraits):
    """How hub and server reach each other."""

    services_enabled = Bool(
        False,
        help="""Give each server a Service named like its pod, and connect through its DNS name.

        For networks in which the pod's IP can't be used, as with some service meshes. See
        `dns_name_template`.
        https://kubernetes.io/docs/concepts/services-networking/service/
        """,
    )
    pod_connect_ip = Unicode(
        "",
        expanded=True,
        help="""Host name or IP at which hub and proxy reach a server, instead of the pod's IP.

        Expanded, each part between dots on its own. Example:
        `jupyter-{username}--{servername}.servers.example.com`.
        """,
    )
    get_pod_url = Callable(
        None,
        allow_none=True,
        help="""Called with the spawner and the pod (a dict); returns the server's full URL.

        Replaces every other rule. May be async. Example::

            c.KubeSpawner.get_pod_url = lambda spawner, pod: (
                f"http://{pod['status']['podIP']}:{spawner.port}"
            )
        """,
    )
    secret_mount_path = Unicode(
        "/etc/jupyterhub/ssl/",
        check=checks.directory,
        help="""Directory in the notebook container for the server's certificates.

        With JupyterHub's `internal_ssl`. Not expanded.
        """,
    )
    ssl_alt_names = Union(
        [traitlets.List(traitlets.Unicode()), jupyterhub.traitlets.Callable()],
        help="""Names that the server's certificate is valid for, with JupyterHub's `internal_ssl`.

        Entries such as `DNS:example.com` and `IP:10.0.0.1`; or a callable that gets the spawner
        and returns them. Default: the pod's name, and its DNS names in the cluster.
        """,
    )
    ssl_alt_names_include_local = Bool(
        False,
        help="""Whether the server's certificate is valid for localhost, too.""",
    )
    hub_connect_ip = Unicode(
        "",
        allow_none=True,
        help="""DEPRECATED since 0.8: use `JupyterHub.hub_connect_ip` or `hub_connect_url`.""",
    )
    hub_connect_port = Integer(
        0,
        check=checks.port,
        help="""DEPRECATED since 0.10: use `JupyterHub.hub_connect_url`.""",
    )

    # What the default of `ssl_alt_names` was when it was last asked for.
    _default_alt_names: list[str] | None = None

    @default("ssl_alt_names")
    def _default_ssl_alt_names(self) -> list[str]:
        spawner: Any = self
        pod_name, namespace = spawner.pod_name, spawner.namespace
        names = [spawner.dns_name, pod_name, f"{pod_name}.{namespace}"]
        names = [f"DNS:{name}" for name in [*names, f"{pod_name}.{namespace}.svc"]]
        self._default_alt_names = names.copy()
        return names

    def _follow_names(self) -> None:
        """Let `ssl_alt_names` be of the names that there are now, unless it was set.

        traitlets asks for a default only once.
        """
        if self._default_alt_names and self.ssl_alt_names == self._default_alt_names:
            self.ssl_alt_names = self._default_ssl_alt_names()

    @observe("hub_connect_ip", "hub_connect_port")
    def _warn_hub_connect(self, change: Any) -> None:
        if not change.new:
            return
        since = "0.8" if change.name == "hub_connect_ip" else "0.10"
        warnings.warn(
            f"{type(self).__name__}.{change.name} is deprecated since {since}, "
            "use JupyterHub.hub_connect_ip or JupyterHub.hub_connect_url",
            DeprecationWarning,
            stacklevel=2,
        )

    @observe("hub_connect_ip", "hub_connect_port", "hub")
    def _tell_hub_its_address(self, change: Any) -> None:
        # The hub may be set before or after the address, or never, as in tests.
        hub: Any = getattr(self, "hub", None)
        if hub is None:
            return
        if self.hub_connect_ip:
            hub.connect_ip = self.hub_connect_ip
        if self.hub_connect_port:
            hub.connect_port = self.hub_connect_port
