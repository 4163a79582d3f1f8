"""Settings: how hub and server reach each other."""

from __future__ import annotations

import warnings
from typing import Any

from jupyterhub.traitlets import Callable
from traitlets import Bool, HasTraits, Integer, List, Unicode, Union, default, observe, validate

from ._common import check_template


class NetworkingConfig(HasTraits):
    """How hub and server reach each other."""

    services_enabled = Bool(
        False,
        config=True,
        help="""Give each server a Service, and connect through its DNS name.

        Needed where pod IPs can't be reached, as with some service meshes.
        """,
    )
    pod_connect_ip = Unicode(
        "",
        config=True,
        help="""Host name under which the hub reaches a server, instead of the pod's IP.

        Expanded, each part between dots on its own.
        """,
    )
    get_pod_url = Callable(
        None,
        allow_none=True,
        config=True,
        help="""Called with the spawner and the pod (a dict); returns the server's full URL.

        Replaces every other rule.
        """,
    )
    secret_mount_path = Unicode(
        "/etc/jupyterhub/ssl/",
        config=True,
        help="Where the TLS secret is mounted, with JupyterHub's `internal_ssl`. Not expanded.",
    )
    ssl_alt_names = Union(
        [List(Unicode()), Callable()],
        config=True,
        help="""Names in the server's certificate, with JupyterHub's `internal_ssl`.

        Default: the pod's name, and its DNS names in the cluster.
        """,
    )
    ssl_alt_names_include_local = Bool(
        False, config=True, help="Whether the certificate is valid for localhost as well."
    )
    hub_connect_ip = Unicode(
        "", allow_none=True, config=True, help="DEPRECATED: use `JupyterHub.hub_connect_ip`."
    )
    hub_connect_port = Integer(0, config=True, help="DEPRECATED: use `JupyterHub.hub_connect_url`.")

    @default("ssl_alt_names")
    def _default_ssl_alt_names(self) -> list[str]:
        names = [
            self.dns_name,  # type: ignore[attr-defined]
            self.pod_name,  # type: ignore[attr-defined]
            f"{self.pod_name}.{self.namespace}",  # type: ignore[attr-defined]
            f"{self.pod_name}.{self.namespace}.svc",  # type: ignore[attr-defined]
        ]
        return [f"DNS:{name}" for name in names]

    @validate("pod_connect_ip")
    def _check_pod_connect_ip(self, proposal: Any) -> Any:
        return check_template(self, "pod_connect_ip", proposal.value)

    @observe("hub_connect_ip", "hub_connect_port")
    def _hub_connect_is_the_hubs(self, change: Any) -> None:
        warnings.warn(
            f"KubeSpawner.{change.name} is deprecated since 0.8; "
            "use JupyterHub.hub_connect_ip or JupyterHub.hub_connect_url",
            DeprecationWarning,
            stacklevel=2,
        )
        hub = getattr(self, "hub", None)
        if hub is not None:
            setattr(hub, change.name.removeprefix("hub_"), change.new)
