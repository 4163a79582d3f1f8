"""Whatever went wrong in a step of a server's life, as one of the exceptions that can be told."""

from __future__ import annotations

import asyncio
from typing import Any

from kubernetes_asyncio.client import ApiException
from tornado import web
from traitlets import TraitError

from .asking import is_for_the_user
from .clients import describe_connection
from .diagnosis import refusal
from .errors import ConfigurationError, HookError, SpawnError
from .kube.requests import ApiUnavailable, status_of, told
from .naming import TemplateError


class StartTimeoutError(SpawnError, TimeoutError):
    """The server was not ready within ``start_timeout``."""


def explained(error: BaseException) -> str:
    """Return ``error`` for the log; of a missing permission, what has to be added to the Role."""
    return refusal(status_of(error)).admin if isinstance(error, ApiException) else told(error)


def raise_for_permission(error: BaseException) -> None:
    """Raise a ConfigurationError that names the permission if ``error`` is for the lack of one."""
    found = refusal(status_of(error)) if isinstance(error, ApiException) else None
    if found is not None and found.reason == "PermissionMissing":
        raise ConfigurationError(found.admin, reason=found.reason) from error


def as_spawn_error(error: BaseException, spawner: Any, spawn: Any) -> BaseException:
    """Return ``error`` as a :class:`~kubespawner.errors.SpawnError` where it is not one that
    JupyterHub understands already.

    Cancellations, HTTP errors of hooks and the exceptions of this package stay as they are.

    Args:
        spawn: the spawn in which it happened, which knows the step; None outside a spawn.
    """
    step = f" in the step {spawn.phase!r}" if spawn is not None else ""
    if isinstance(error, HookError):
        error.admin_message = f"{spawner._log_name}{step}: {error.admin_message}"
    if isinstance(error, web.HTTPError) or not isinstance(error, Exception):
        return error
    if isinstance(error, ApiException):
        found = refusal(status_of(error))
        return SpawnError(
            found.user,
            reason=found.reason or "Refused",
            admin_message=f"{spawner._log_name}{step}: {found.admin}",
            status_code=error.status if 400 <= (error.status or 500) < 500 else 500,
        )
    if isinstance(error, ApiUnavailable):
        return _unavailable(error, f"{spawner._log_name}{step}")
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        seen = spawn.diagnosis if spawn is not None else None
        late = StartTimeoutError(
            _out_of_time(seen.user if seen and seen.user else spawner._feed.phase_said),
            reason=(seen and seen.reason) or "Timeout",
            admin_message=(
                f"{spawner._log_name} was not ready after {spawner.start_timeout} s "
                f"(KubeSpawner.start_timeout){step}: {error}"
            ),
            status_code=504,
        )
        late.waiting_helps = seen is None or seen.waiting_helps
        return late
    if is_for_the_user(error):
        return _told_by_hook(error, f"{spawner._log_name}{step}")
    if isinstance(error, (TemplateError, TraitError)):
        return ConfigurationError(f"{error}{step}")
    return SpawnError(
        "Something went wrong while your server was being prepared. "
        "Please tell the administrator of this hub.",
        reason="Unexpected",
        admin_message=f"{spawner._log_name}{step}: {type(error).__name__}: {error}",
    )


def _told_by_hook(error: Exception, where: str) -> SpawnError:
    """Return an exception of an operator's hook that has words for the hub's pages, with those."""
    message = getattr(error, "jupyterhub_message", None) or str(error)
    told = SpawnError(
        message,
        reason=type(error).__name__,
        admin_message=f"{where}: {type(error).__name__}: {error}",
        status_code=400,
    )
    told.reword(message, getattr(error, "jupyterhub_html_message", None))
    return told


def _unavailable(error: ApiUnavailable, where: str) -> SpawnError:
    """Return the error of an API server that did not answer, or had somebody else not answer."""
    cause = error.__cause__
    found = refusal(status_of(cause)) if isinstance(cause, ApiException) else None
    if found and found.reason == "WebhookUnavailable":
        told, reason = found.user, found.reason
    else:
        told = "The cluster can't be reached at the moment. Please try again in a few minutes."
        reason = "ClusterUnavailable"
    unavailable = SpawnError(
        told,
        reason=reason,
        admin_message=f"{where}: {error} ({describe_connection()})",
        status_code=503,
    )
    unavailable.waiting_helps = True
    return unavailable


def _out_of_time(seen: str) -> str:
    """Return what a user reads whose server was not ready in time, and was last seen like this."""
    if not seen:
        return "Your server did not start in time. Please try again."
    return f"Your server did not start in time. Last: {seen.rstrip('.')}. Please try again."
