"""The exceptions that people and JupyterHub get to see.

Every step of a spawn raises :class:`SpawnError` or a subclass. It is an
``HTTPError`` (``jupyterhub.spawner.SpawnException`` where the hub has it), so the
hub neither shows a generic "500" page nor counts a refusal as a fault of its own,
and it carries both attributes that JupyterHub's pages read.

https://jupyterhub.readthedocs.io/en/stable/reference/spawners.html
"""

from __future__ import annotations

import html

from tornado import web

try:
    from jupyterhub.spawner import SpawnException as _SpawnException
except ImportError:  # JupyterHub 5
    _SpawnException = None


class _HubError(web.HTTPError):
    """An HTTPError with the keywords of JupyterHub 6's SpawnException, for JupyterHub 5."""

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        log_message: str = "",
        message_html: str = "",
        status_code: int = 400,
    ):
        super().__init__(status_code, log_message=(log_message or message).replace("%", "%%"))
        self.reason = reason
        self.jupyterhub_message = message
        self.jupyterhub_html_message = message_html or html.escape(message)


class SpawnError(_SpawnException or _HubError):  # type: ignore[misc]
    """A spawn, or another step of a server's life, failed for a reason that can be told.

    Args:
        message: one or two sentences for the person who waits; plain text.
        reason: machine-readable reason in CamelCase (``ImageNotFound``, ``QuotaExceeded``),
            used as a metric label and in the server's state.
        admin_message: what an administrator should read in the log; default: ``message``.
        status_code: 4xx for bad input, quota, policy and refusals; 5xx for faults of
            the cluster or of this package.
    """

    # Whether the pod that failed is of use for finding out why (`delete_stopped_pods`).
    keep_pod = False
    # Whether the same start may succeed later, without anybody's doing.
    waiting_helps = False

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        admin_message: str = "",
        status_code: int = 500,
    ):
        super().__init__(
            message,
            reason=reason,
            log_message=admin_message or message,
            message_html=html.escape(message),
            status_code=status_code,
        )
        self.message = message
        self.admin_message = admin_message or message
        # Both, whatever the hub's version sets: pages read either.
        self.jupyterhub_message = message
        self.jupyterhub_html_message = html.escape(message)

    def reword(self, message: str, message_html: str | None = None) -> None:
        """Show ``message`` to the user instead; the log keeps the administrator's words.

        Args:
            message_html: the same as HTML; default: ``message``, escaped.
        """
        self.message = self.jupyterhub_message = message
        self.jupyterhub_html_message = message_html or html.escape(message)

    def __str__(self) -> str:
        return self.admin_message


class OptionsError(SpawnError, ValueError):
    """What the user asked for is not allowed or not understood: HTTP 400, and a ``ValueError``."""

    def __init__(self, message: str, *, reason: str = "InvalidOptions", admin_message: str = ""):
        super().__init__(message, reason=reason, admin_message=admin_message, status_code=400)


class HookError(SpawnError):
    """A hook, or another callable of the administrator, failed; the message names its setting.

    Args:
        setting: such as ``KubeSpawner.modify_pod_hook``.
        cause: what it raised, which is for the log only: it may have anything in it.
    """

    def __init__(self, setting: str, cause: BaseException):
        super().__init__(
            "Something went wrong while your server was being prepared. "
            "Please tell the administrator of this hub.",
            reason="HookFailed",
            admin_message=f"{setting} failed: {type(cause).__name__}: {cause}",
        )


class ConfigurationError(SpawnError, ValueError):
    """A setting or a hook of the administrator is wrong; the message names it."""

    def __init__(self, message: str, *, reason: str = "InvalidConfiguration"):
        super().__init__(
            "This hub is not set up correctly for your server. Please tell its administrator: "
            + message,
            reason=reason,
            admin_message=message,
            status_code=500,
        )
