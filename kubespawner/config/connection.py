"""Settings: how the API server is reached."""

from __future__ import annotations

import warnings
from typing import Any

from traitlets import HasTraits, observe

from . import _checks as checks
from ._types import Bool, Integer, Unicode


class ConnectionConfig(HasTraits):
    """How the API server is reached."""

    k8s_api_host = Unicode(
        "",
        check=checks.url,
        help="""Full URL of the API server, such as `https://10.0.0.1:6443`.

        Empty (the default): what the service account of the hub's pod says, or, outside of a
        cluster, the kubeconfig.
        https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
        """,
    )
    k8s_api_ssl_ca_cert = Unicode(
        "",
        help="""Path of a file with the certificates that the API server's one is checked against.

        Empty (the default): those of the service account or the kubeconfig.
        """,
    )
    k8s_api_verify_ssl = Bool(
        None,
        allow_none=True,
        help="""Whether the API server's certificate is checked.

        `None` (the default) leaves it to the service account or the kubeconfig. `True` insists.
        `False` lets anybody on the network read the hub's credentials; for tests only.
        """,
    )
    k8s_api_threadpool_workers = Integer(
        0,
        help="""DEPRECATED since 3.0, without effect: requests need no threads any more.""",
    )
    k8s_api_request_timeout = Integer(
        3,
        check=checks.positive,
        help="""Seconds that one request to the API server may take; then it is tried again.

        For all attempts together see `k8s_api_request_retry_timeout`.
        """,
    )
    k8s_api_request_retry_timeout = Integer(
        30,
        check=checks.not_negative,
        help="""Seconds for all attempts of one request to the API server, pauses included.

        Then the step that needs it fails: a spawn ends with an error, a stop is reported as
        failed. A server that runs is never taken for stopped because of this.
        """,
    )

    @observe("k8s_api_threadpool_workers")
    def _threadpool_has_no_effect(self, change: Any) -> None:
        warnings.warn(
            f"{type(self).__name__}.k8s_api_threadpool_workers is deprecated since 3.0 and has "
            "no effect; remove it",
            DeprecationWarning,
            stacklevel=2,
        )
