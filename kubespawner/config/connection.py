"""Settings: how the API server is reached."""

from __future__ import annotations

import warnings
from typing import Any

from traitlets import Bool, HasTraits, Integer, Unicode, observe, validate

from ._common import fail


class ConnectionConfig(HasTraits):
    """How the API server is reached."""

    k8s_api_host = Unicode(
        "",
        config=True,
        help="""Full URL of the API server, such as `https://host:6443`.

        Empty: what the service account of this pod, or else the kubeconfig, says.
        """,
    )
    k8s_api_ssl_ca_cert = Unicode(
        "",
        config=True,
        help="Path of a CA bundle for the API server's certificate. Empty: from the loaded config.",
    )
    k8s_api_verify_ssl = Bool(
        None,
        allow_none=True,
        config=True,
        help="""Whether the API server's certificate is checked.

        `None` leaves it to the loaded configuration. `False` lets anybody on the network read
        the hub's credentials; for tests only.
        """,
    )
    k8s_api_threadpool_workers = Integer(
        0, config=True, help="DEPRECATED since 3.0, no effect: requests are asynchronous."
    )
    k8s_api_request_timeout = Integer(
        3,
        config=True,
        help="Seconds that one request to the API server may take before it is tried again.",
    )
    k8s_api_request_retry_timeout = Integer(
        30,
        config=True,
        help="Seconds for all attempts of one request, pauses included.",
    )

    @validate("k8s_api_host")
    def _check_host(self, proposal: Any) -> Any:
        if proposal.value and not proposal.value.startswith(("http://", "https://")):
            raise fail(self, "k8s_api_host", proposal.value, "it must be a URL: https://host:port")
        return proposal.value

    @validate("k8s_api_request_timeout", "k8s_api_request_retry_timeout")
    def _check_timeouts(self, proposal: Any) -> Any:
        if proposal.value <= 0:
            raise fail(self, proposal.trait.name, proposal.value, "it must be above 0 seconds")
        return proposal.value

    @observe("k8s_api_threadpool_workers")
    def _threadpool_has_no_effect(self, change: Any) -> None:
        warnings.warn(
            "KubeSpawner.k8s_api_threadpool_workers is deprecated since 3.0 and has no effect",
            DeprecationWarning,
            stacklevel=2,
        )
