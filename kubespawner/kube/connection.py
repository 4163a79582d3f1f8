"""Which API server, and with which credentials: in-cluster, kubeconfig, or explicit.

https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes_asyncio import config as kube_config
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.client.rest import RESTClientObject

# Attributes of a client configuration that carry credentials.
_CREDENTIALS = ("api_key", "api_key_prefix", "username", "password", "refresh_api_key_hook")
# Those that say what a TLS connection is made with.
_TLS = ("cert_file", "key_file", "ssl_ca_cert")
_SOURCE = "_kubespawner_source"
# Of a configuration whose authority was given apart from the source.
_OWN_AUTHORITY = "_kubespawner_own_authority"
# Of a client: what its TLS connections are made with, as read last.
_TRUSTED = "_kubespawner_trusted"
# An object, and so one line of a watch, has up to 1.5 MB in etcd.
_READ_BUFFER = 2 * 1024 * 1024


@dataclass(frozen=True)
class Source:
    """Where a connection's address and credentials came from."""

    in_cluster: bool
    kubeconfig: str = ""
    context: str = ""

    def __str__(self) -> str:
        if self.in_cluster:
            return "the service account of this pod"
        context = f", context {self.context}" if self.context else ""
        return f"kubeconfig {self.kubeconfig}{context}"


def load() -> Configuration:
    """Return a client configuration: in-cluster if there is one, else the kubeconfig's.

    Blocks while files are read (and while an exec plugin of the kubeconfig runs).

    Raises:
        ConfigException: neither source is there.
    """
    configuration = Configuration()
    try:
        kube_config.load_incluster_config(client_configuration=configuration)
        source = Source(in_cluster=True)
    except kube_config.ConfigException as not_in_cluster:
        location = kubeconfig_location()
        try:
            _in_thread(
                lambda: asyncio.run(
                    kube_config.load_kube_config(
                        config_file=location, client_configuration=configuration
                    )
                )
            )
            _, active = kube_config.list_kube_config_contexts(config_file=location)
            context = str(active["name"]) if active else ""
        except Exception as e:
            # Not only ConfigException: the library lets errors of YAML, of missing fields and of
            # unreadable files through as they are.
            raise kube_config.ConfigException(
                f"No Kubernetes API server is known: this process is not in a pod "
                f"({not_in_cluster}), and kubeconfig {location} can't be used ({e})"
            ) from e
        source = Source(in_cluster=False, kubeconfig=location, context=context)
    setattr(configuration, _SOURCE, source)
    return configuration


def kubeconfig_location() -> str:
    """Return the kubeconfig that would be read, as a person would name it."""
    # Read at each call: the client library looks at the environment once, when it is imported.
    return os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())


def _in_thread(work: Any) -> None:
    """Run blocking ``work`` that needs an event loop of its own, also from within one."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as e:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(e)

    thread = threading.Thread(target=run, name="kubeconfig")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


# Reloads under way: many requests fail together, and one reload serves them all.
_reloads: weakref.WeakKeyDictionary[Configuration, asyncio.Task[bool]] = weakref.WeakKeyDictionary()


async def reload(configuration: Configuration) -> bool:
    """Read the credentials of ``configuration`` anew; False if that is not possible.

    An exec plugin of the kubeconfig is run again; this does not block the event loop.
    """
    if not hasattr(configuration, _SOURCE):
        return False
    task = _reloads.get(configuration)
    loop = asyncio.get_running_loop()
    if task is None or task.done() or task.get_loop() is not loop:
        task = _reloads[configuration] = loop.create_task(_reload(configuration))
    return await asyncio.shield(task)


async def _reload(configuration: Configuration) -> bool:
    try:
        fresh = await asyncio.get_running_loop().run_in_executor(None, load)
    except kube_config.ConfigException:
        return False
    for name in _CREDENTIALS:
        if hasattr(fresh, name):
            setattr(configuration, name, getattr(fresh, name))
    return True


def without_lookups(client: Any) -> None:
    """Let the session of an ``ApiClient`` read proxies from the environment now, once for all.

    The client library's session does so for every request, and looks for a ``.netrc`` as well,
    each in another thread: two changes of threads that cost as much as the request itself.
    """
    rest = client.rest_client
    session = rest.pool_manager
    host = urlsplit(client.configuration.host)
    if not rest.proxy and host.hostname and not proxy_bypass(host.hostname):
        rest.proxy = getproxies().get(host.scheme)
    rest.pool_manager = aiohttp.ClientSession(
        connector=session.connector, trust_env=False, read_bufsize=_READ_BUFFER
    )
    session.detach()


def use_authority(configuration: Configuration, path: str) -> None:
    """Let the certificates in the file ``path`` prove the API server, whatever the source says."""
    configuration.ssl_ca_cert = path
    setattr(configuration, _OWN_AUTHORITY, True)


# As _reloads, by client.
_renewals: weakref.WeakKeyDictionary[Any, asyncio.Task[bool]] = weakref.WeakKeyDictionary()


async def trust_anew(client: Any) -> bool:
    """Read anew what proves the API server, after its certificate was not accepted.

    Authorities are exchanged while hubs run:
    https://kubernetes.io/docs/tasks/tls/manual-rotation-of-ca-certificates/

    Args:
        client: an ``ApiClient``; its connections are closed, new ones go by what was read.

    Returns:
        False if nothing has changed, or if nothing can be read.
    """
    if not hasattr(client.configuration, _SOURCE):
        return False
    task = _renewals.get(client)
    loop = asyncio.get_running_loop()
    if task is None or task.done() or task.get_loop() is not loop:
        task = _renewals[client] = loop.create_task(_trust_anew(client))
    return await asyncio.shield(task)


async def _trust_anew(client: Any) -> bool:
    configuration = client.configuration
    loop = asyncio.get_running_loop()
    try:
        fresh = await loop.run_in_executor(None, load)
    except kube_config.ConfigException:
        return False
    for name in _TLS:
        if name != "ssl_ca_cert" or not hasattr(configuration, _OWN_AUTHORITY):
            setattr(configuration, name, getattr(fresh, name))
    trusted = await loop.run_in_executor(None, _content, configuration)
    if trusted == getattr(client, _TRUSTED, None):
        return False
    setattr(client, _TRUSTED, trusted)
    former, client.rest_client = client.rest_client, RESTClientObject(configuration)
    without_lookups(client)
    await former.close()
    return True


def _content(configuration: Configuration) -> tuple[bytes, ...]:
    paths = [getattr(configuration, name) for name in _TLS]
    return tuple(Path(path).read_bytes() if path else b"" for path in paths)


def describe(api: Any = None) -> str:
    """Return address and source of the credentials, for messages.

    Such as ``https://10.0.0.1:6443 (credentials: kubeconfig /home/x/.kube/config, context y)``.

    Args:
        api: an API object or an ``ApiClient``; None: the process-wide default configuration.
    """
    client = getattr(api, "api_client", api)
    configuration = getattr(client, "configuration", None) or Configuration.get_default_copy()
    host = getattr(configuration, "host", "the API server")
    source = getattr(configuration, _SOURCE, None)
    return f"{host} (credentials: {source})" if source else str(host)
