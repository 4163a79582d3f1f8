"""What the demo has to know of a cluster that it did not make: found out, or asked for in words."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import click
from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.config import ConfigException

from ..clients import describe_connection, load_config, shared_client

NAMESPACE = os.environ.get("DEMO_NAMESPACE", "kubespawner-demo")
_MARK = {"app.kubernetes.io/managed-by": "kubespawner-demo"}
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
# Somebody's pod either answers at once or can't be reached from here.
_PROBE_SECONDS = 3


@dataclass
class Place:
    """Where the demo's servers go.

    Attributes:
        cluster: the API server's address and where its credentials come from.
        hub_address: an address of this machine that pods reach.
        image: a single-user image.
        storage: whether claims get volumes.
        notes: what could not be found out, or will not work, in sentences.
    """

    cluster: str
    hub_address: str
    image: str
    storage: bool
    notes: list[str] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """Return what ``demo_config.py`` reads."""
        return {
            "DEMO_NAMESPACE": NAMESPACE,
            "DEMO_HUB_ADDRESS": self.hub_address,
            "DEMO_HUB_LISTEN": self.hub_address if _is_ours(self.hub_address) else "0.0.0.0",
            "DEMO_IMAGE": self.image,
            "DEMO_STORAGE": "yes" if self.storage else "",
        }


async def find_place() -> Place:
    """Look at the cluster of the current kubeconfig; nothing is changed.

    Raises:
        click.ClickException: there is none, it does not answer, or something must be told by the
            user.
    """
    try:
        load_config()
    except ConfigException as e:
        raise click.ClickException(f"No cluster to use (KUBECONFIG names none): {e}") from e
    try:
        return await _look()
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as e:
        raise click.ClickException(f"{describe_connection()} does not answer: {e}") from e


async def _look() -> Place:
    nodes = await _listed(shared_client("CoreV1Api").list_node)
    notes: list[str] = []
    address = os.environ.get("DEMO_HUB_ADDRESS") or _address_towards(nodes)
    if not address:
        raise click.ClickException(
            "No address of this machine is known that pods could reach, since the nodes' addresses "
            "can't be read; set DEMO_HUB_ADDRESS to one."
        )
    classes = await _listed(shared_client("StorageV1Api").list_storage_class)
    storage = any(
        (item.metadata.annotations or {}).get(_DEFAULT_CLASS) == "true" for item in classes
    )
    if not storage:
        notes.append(
            "No default storage class was found: files end with the server that wrote them."
        )
    unreachable = await _unreachable_pod()
    if unreachable:
        notes.append(
            f"This machine does not reach pods by their address (tried {unreachable}): servers "
            "will start, but not answer. Run the hub inside the cluster instead (see deploy/)."
        )
    return Place(describe_connection(), address, _image(nodes), storage, notes)


async def _listed(request: Any) -> list[Any]:
    """Return the items of a list; none where they may not be read."""
    try:
        return list((await request()).items)
    except ApiException as e:
        if e.status in (401, 403):
            return []
        raise click.ClickException(f"{describe_connection()}: {e.status} {e.reason}") from e


def _address_towards(nodes: Iterable[Any]) -> str:
    """Return the address of this machine from which it would speak to a node."""
    for node in nodes:
        for address in node.status.addresses or ():
            if address.type != "InternalIP":
                continue
            family = socket.AF_INET6 if ":" in address.address else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                try:
                    # Sends nothing: it only asks the kernel for the route.
                    s.connect((address.address, 9))
                except OSError:
                    continue
                return str(s.getsockname()[0])
    return ""


def _is_ours(address: str) -> bool:
    """Whether ``address`` is one of this machine's, not of something that forwards to it."""
    try:
        with socket.create_server((address, 0)):
            return True
    except OSError:
        return False


def _image(nodes: Iterable[Any]) -> str:
    """Return ``DEMO_IMAGE``, a single-user image that a node has, or JupyterHub's own."""
    import jupyterhub

    chosen = os.environ.get("DEMO_IMAGE")
    if chosen:
        return chosen
    names = [
        name
        for node in nodes
        for image in node.status.images or ()
        for name in image.names or ()
        if "@" not in name and "singleuser" in name.rpartition("/")[2]
    ]
    # The shortest: others are the same image under a build's name.
    return (
        min(names, key=len, default="") or f"quay.io/jupyterhub/singleuser:{jupyterhub.__version__}"
    )


async def _unreachable_pod() -> str:
    """Return the address of a running pod that can't be reached from here, or nothing."""
    request = shared_client("CoreV1Api").list_pod_for_all_namespaces
    for pod in await _listed(request):
        if pod.status.phase != "Running" or pod.spec.host_network or not pod.status.pod_ip:
            continue
        try:
            _, writer = await asyncio.wait_for(
                asyncio.open_connection(pod.status.pod_ip, 1), _PROBE_SECONDS
            )
        except ConnectionRefusedError:
            return ""
        except (OSError, asyncio.TimeoutError):
            return str(pod.status.pod_ip)
        writer.close()
        return ""
    return ""


async def make_namespace() -> None:
    """Make the demo's namespace, afresh if an earlier demo was killed.

    Raises:
        click.ClickException: it is somebody else's, or may not be made.
    """
    api = shared_client("CoreV1Api")
    await remove_namespace()
    try:
        await api.create_namespace({"metadata": {"name": NAMESPACE, "labels": _MARK}})
    except ApiException as e:
        raise click.ClickException(
            f"The namespace {NAMESPACE} can't be made: {e.status} {e.reason}. "
            "The demo needs a user who may create namespaces, as an administrator may."
        ) from e


async def remove_namespace() -> None:
    """Delete the demo's namespace with all that is in it, and wait until it is gone.

    Raises:
        click.ClickException: it is not the demo's.
    """
    from kubernetes_asyncio.watch import Watch

    api = shared_client("CoreV1Api")
    try:
        present = await api.read_namespace(NAMESPACE)
    except ApiException as e:
        if e.status in (403, 404):
            return
        raise click.ClickException(f"{describe_connection()}: {e.status} {e.reason}") from e
    if not _MARK.items() <= (present.metadata.labels or {}).items():
        raise click.ClickException(
            f"The namespace {NAMESPACE} exists and is not the demo's; set DEMO_NAMESPACE to another name."
        )
    await api.delete_namespace(NAMESPACE)
    async with Watch() as watch:
        async for event in watch.stream(
            api.list_namespace,
            field_selector=f"metadata.name={NAMESPACE}",
            resource_version=present.metadata.resource_version,
            timeout_seconds=120,
        ):
            if event["type"] == "DELETED":
                return
    raise click.ClickException(f"The namespace {NAMESPACE} is not gone after 120 s.")
