"""The embedded cluster as one thing: :class:`LocalCluster`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubernetes_asyncio import config as kube_config
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api

from ..kube.timing import within
from .apiserver import ApiServer
from .faults import Faults
from .images import Images
from .node import Node
from .scheduler import SOURCE


class LocalCluster:
    """An API server and one node. Use as ``async with LocalCluster() as cluster:``.

    Its objects live as long as the context. At its end every process of every pod is killed; so it
    is if the process that runs the cluster ends in another way.

    Args:
        root: directory for kubeconfig, claims and pods; default: a temporary one, removed at the
            end. Of a given one the claims' directories stay: a claim of the same name finds its
            files again in a later cluster.
        images: which images exist; default: all but those of the domain ``.invalid``.
        capacity: resources of the node; default: 16 processors, 64Gi, 1000 pods.
        labels: further labels of the node.
        taints: of the node, as in its ``spec.taints``.
        restart_backoff: seconds before the second restart of a crashing container, doubled with
            each further one.
        pull_backoff: seconds before an image is pulled again that was not there, doubled likewise.
        schedulers: values of ``spec.schedulerName`` that are served.
        shared_address: give all pods 127.0.0.1; default: only where they can't have their own.
        server: keyword arguments for :class:`~kubespawner.localcluster.apiserver.ApiServer`.

    Attributes:
        root: the directory.
        kubeconfig_path: a kubeconfig for kubectl and other clients, readable for the owner only.
        api: a client of the running event loop.
        node: the :class:`~kubespawner.localcluster.node.Node`.
        server: the :class:`~kubespawner.localcluster.apiserver.ApiServer`.
    """

    root: Path
    kubeconfig_path: Path
    api: Any
    node: Node

    def __init__(
        self,
        root: Path | str | None = None,
        *,
        images: Images | None = None,
        capacity: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        restart_backoff: float = 1.0,
        pull_backoff: float = 1.0,
        schedulers: Collection[str] = (SOURCE,),
        shared_address: bool | None = None,
        server: Mapping[str, Any] | None = None,
    ):
        self._given_root = None if root is None else Path(root)
        self._node_options: dict[str, Any] = {
            "images": images,
            "capacity": capacity,
            "labels": labels,
            "taints": taints,
            "restart_backoff": restart_backoff,
            "pull_backoff": pull_backoff,
            "schedulers": schedulers,
            "shared_address": shared_address,
        }
        self.server = ApiServer(**(server or {}))
        self._exit = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        """Address of the API server."""
        return self.server.url

    @property
    def token(self) -> str:
        """The bearer token that it asks for."""
        return self.server.token

    @property
    def faults(self) -> Faults:
        """Injects faults; see :mod:`kubespawner.localcluster.faults`."""
        return self.server.faults

    async def __aenter__(self) -> LocalCluster:
        async with contextlib.AsyncExitStack() as stack:
            self._make_root(stack)
            await self.server.start()
            stack.push_async_callback(self._stop_server)
            self._write_kubeconfig(stack)
            self.api = self.client()
            stack.push_async_callback(self.api.api_client.close)
            self.node = Node(self.api, self.root, **self._node_options)
            stack.push_async_callback(self.node.stop)
            self.server.log_reader = self.node.read_log
            await self.node.start()
            self._exit = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    def _make_root(self, stack: contextlib.AsyncExitStack) -> None:
        if self._given_root is None:
            self.root = Path(tempfile.mkdtemp(prefix="localcluster-")).resolve()
            stack.callback(shutil.rmtree, self.root, ignore_errors=True)
            return
        self.root = self._given_root.resolve()
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        pods = self.root / "pods"
        # Of a cluster that could not clean up.
        shutil.rmtree(pods, ignore_errors=True)
        stack.callback(shutil.rmtree, pods, ignore_errors=True)

    def _write_kubeconfig(self, stack: contextlib.AsyncExitStack) -> None:
        self.kubeconfig_path = self.root / "kubeconfig"
        # An old one may be readable for others, and would stay so.
        self.kubeconfig_path.unlink(missing_ok=True)
        descriptor = os.open(self.kubeconfig_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        stack.callback(self.kubeconfig_path.unlink, missing_ok=True)
        with os.fdopen(descriptor, "w") as file:
            # JSON is YAML.
            json.dump(self.server.kubeconfig(), file, indent=2)

    async def _stop_server(self) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await within(self.server.stop(), 10)

    def client(self) -> Any:
        """Return a new ``CoreV1Api`` of this cluster; close its ``api_client`` after use."""
        configuration = Configuration()
        configuration.host = self.url
        configuration.api_key = {"BearerToken": f"Bearer {self.token}"}
        return CoreV1Api(ApiClient(configuration))

    async def load_kubernetes_config(self) -> None:
        """Make this cluster the one that ``kubernetes_asyncio`` clients use by default."""
        await kube_config.load_kube_config(config_file=str(self.kubeconfig_path))


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
