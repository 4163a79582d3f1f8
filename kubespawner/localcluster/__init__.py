"""A small Kubernetes cluster on loopback, whose pods are local processes.

For trying things out, for tests, and for seeing how a hub copes with faults; needs no root.
:class:`LocalCluster` is an async context manager; ``python -m kubespawner.localcluster`` runs one
until Ctrl-C. The extra ``local`` of the distribution brings what it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api

from .apiserver import ApiServer
from .images import Images
from .node import Node

__all__ = ["Images", "LocalCluster"]


class LocalCluster:
    """An API server and one node. Use as ``async with LocalCluster() as cluster:``.

    Args:
        root: directory for kubeconfig, claims and pods; default: a temporary one, removed at the
            end. Of a given one the claims stay.
        images: which images exist; default: all but those of the domain ``.invalid``.
        capacity: resources of the node; default: 16 processors, 64Gi.
        labels: labels of the node.
        restart_backoff: seconds before the second restart of a crashing container.
        server: keyword arguments for :class:`~kubespawner.localcluster.apiserver.ApiServer`.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        images: Images | None = None,
        capacity: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        restart_backoff: float = 1.0,
        server: Mapping[str, Any] | None = None,
    ):
        self._given_root = root
        self._images = images
        self._capacity = capacity
        self._labels = labels
        self._restart_backoff = restart_backoff
        self.server = ApiServer(**(server or {}))

    @property
    def url(self) -> str:
        """Address of the API server."""
        return self.server.url

    @property
    def token(self) -> str:
        """The bearer token that it asks for."""
        return self.server.token

    @property
    def faults(self) -> Any:
        """Injects faults; see :mod:`kubespawner.localcluster.faults`."""
        return self.server.faults

    async def __aenter__(self) -> LocalCluster:
        self.root = Path(self._given_root or tempfile.mkdtemp(prefix="localcluster-")).resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.root / "pods", ignore_errors=True)
        await self.server.start()
        self.kubeconfig_path = self.root / "kubeconfig"
        descriptor = os.open(self.kubeconfig_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            # JSON is YAML.
            json.dump(self.server.kubeconfig(), file, indent=2)
        self.api = self.client()
        self.node = Node(
            self.api,
            self.root,
            images=self._images,
            capacity=self._capacity,
            labels=self._labels,
            restart_backoff=self._restart_backoff,
        )
        self.server.log_reader = self.node.read_log
        await self.node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.stop()
        await self.api.api_client.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.server.stop(), 10)
        if self._given_root is None:
            shutil.rmtree(self.root, ignore_errors=True)
        else:
            shutil.rmtree(self.root / "pods", ignore_errors=True)
            self.kubeconfig_path.unlink(missing_ok=True)

    def client(self) -> Any:
        """Return a new ``CoreV1Api`` of this cluster; close its ``api_client`` after use."""
        configuration = Configuration()
        configuration.host = self.url
        configuration.api_key = {"BearerToken": f"Bearer {self.token}"}
        return CoreV1Api(ApiClient(configuration))
