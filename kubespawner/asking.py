"""Asking the administrator's own callables: their answer, or which of them failed."""

from __future__ import annotations

import inspect
from typing import Any

from kubernetes_asyncio.client import ApiException
from tornado import web

from .errors import HookError
from .kube.requests import ApiUnavailable


async def resolve(value: Any, *args: Any) -> Any:
    """Return ``value``, or what it returns if it is callable, awaited if need be."""
    if callable(value):
        value = value(*args)
    if inspect.isawaitable(value):
        value = await value
    return value


def is_for_the_user(error: BaseException) -> bool:
    """Whether an exception says itself what JupyterHub's pages show."""
    return hasattr(error, "jupyterhub_message") or hasattr(error, "jupyterhub_html_message")


async def ask(setting: str, value: Any, *args: Any) -> Any:
    """Return ``value``, or what it answers if it is callable, awaited if need be.

    Args:
        setting: whose value it is, such as ``modify_pod_hook``.

    Raises:
        HookError: it failed; names the setting.
        tornado.web.HTTPError, ApiException, ApiUnavailable, what has a ``jupyterhub_message``: as
            the callable raised it, since that says more.
    """
    try:
        return await resolve(value, *args)
    except (web.HTTPError, ApiException, ApiUnavailable):
        raise
    except Exception as e:
        if is_for_the_user(e):
            raise
        raise HookError(f"KubeSpawner.{setting}", e) from e
