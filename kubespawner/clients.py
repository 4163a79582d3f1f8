"""Shared clients of the Kubernetes API: one per event loop, connection, API and arguments."""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import Any

import kubernetes_asyncio.client
from kubernetes_asyncio.client import ApiClient, Configuration

from .kube import connection

__all__ = ["describe_connection", "load_config", "shared_client"]

_configurations: dict[tuple[Any, ...], Configuration] = {}
# Which of them is the client library's default at the moment.
_default: dict[str, tuple[Any, ...]] = {}
_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, Any]] = (
    weakref.WeakKeyDictionary()
)
# Strong references; a task that nobody refers to may be collected before it has closed anything.
_closing: set[asyncio.Task[None]] = set()


def load_config(
    host: str | None = None,
    ssl_ca_cert: str | None = None,
    verify_ssl: bool | None = None,
) -> None:
    """Load the process-wide configuration of ``kubernetes_asyncio``: in-cluster, else kubeconfig.

    Repeated calls with the same arguments are free. Must run before :func:`shared_client`.

    Args:
        host: URL of the API server; default: what the loaded configuration says.
        ssl_ca_cert: path of a CA bundle.
        verify_ssl: False switches the check of the server's certificate off.

    Raises:
        ConfigException: neither source is available.
    """
    environment = tuple(os.environ.get(name) for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"))
    key = (host, ssl_ca_cert, verify_ssl, environment)
    configuration = _configurations.get(key)
    if configuration is None:
        configuration = connection.load()
        if ssl_ca_cert:
            connection.use_authority(configuration, ssl_ca_cert)
        if host:
            configuration.host = host
        if verify_ssl is not None:
            configuration.verify_ssl = verify_ssl
        _configurations[key] = configuration
    if _default.get("key") != key:
        _default["key"] = key
        Configuration.set_default(configuration)


def describe_connection() -> str:
    """Return the API server's address and where the credentials come from, for messages."""
    return connection.describe()


def shared_client(ClientType: str, *args: Any, **kwargs: Any) -> Any:
    """Return the API object named ``ClientType`` (``"CoreV1Api"``) of the running event loop.

    The same object for the same arguments and the same connection, as :func:`load_config` was
    last told it; its connections are closed when the loop's tasks are cancelled at shutdown.

    Raises:
        RuntimeError: no event loop is running.
    """
    loop = asyncio.get_running_loop()
    clients = _clients.setdefault(loop, {})
    key = (ClientType, args, tuple(sorted(kwargs.items())), _default.get("key"))
    client = clients.get(key)
    if client is None:
        if not args and "api_client" not in kwargs:
            api_client = ApiClient()
            connection.without_lookups(api_client)
            client = getattr(kubernetes_asyncio.client, ClientType)(api_client, **kwargs)
        else:
            client = getattr(kubernetes_asyncio.client, ClientType)(*args, **kwargs)
        clients[key] = client
        task = loop.create_task(_close_at_shutdown(client, clients, key))
        _closing.add(task)
        task.add_done_callback(_closing.discard)
    return client


async def _close_at_shutdown(client: Any, clients: dict[Any, Any], key: Any) -> None:
    """Wait to be cancelled, as a loop's tasks are when it shuts down, then close."""
    try:
        await asyncio.Event().wait()
    finally:
        clients.pop(key, None)
        await client.api_client.close()
