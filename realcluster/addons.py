"""What a fresh cluster needs inside it, and the first look at whether it works."""

from __future__ import annotations

import asyncio
from typing import Any

from . import settings as s
from .api import Api, ApiError, Object
from .settings import Layout
from .steps import StepFailed

_PAUSE = 0.2


def manifests() -> list[tuple[str, Object]]:
    """(collection path, manifest) of everything installed."""
    # Without a selector: the resolver is a process on the node, not a pod.
    labels = {"k8s-app": "kube-dns", "kubernetes.io/name": "KubeDNS"}
    metadata: dict[str, Any] = {"name": "kube-dns", "namespace": "kube-system", "labels": labels}
    protocols = (("dns", "UDP"), ("dns-tcp", "TCP"))
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "clusterIP": s.DNS_SERVICE_IP,
            "ports": [
                {"name": name, "protocol": protocol, "port": 53, "targetPort": s.DNS_PORT}
                for name, protocol in protocols
            ],
        },
    }
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": metadata,
        "subsets": [
            {
                "addresses": [{"ip": s.GATEWAY}],
                "ports": [
                    {"name": name, "protocol": protocol, "port": s.DNS_PORT}
                    for name, protocol in protocols
                ],
            }
        ],
    }
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": s.STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": s.PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }
    core = "/api/v1/namespaces/kube-system"
    return [
        (f"{core}/services", service),
        (f"{core}/endpoints", endpoints),
        ("/apis/storage.k8s.io/v1/storageclasses", storage_class),
    ]


def node_ready(node: Object) -> bool:
    """Whether the node takes pods: ready, and no taint is left from its start."""
    conditions = node.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not node["spec"].get("taints")


async def _until_node_is_ready(api: Api, seconds: float) -> None:
    async def ask() -> None:
        while True:
            try:
                node = await api.request("GET", f"/api/v1/nodes/{s.NODE}")
                await api.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
            except ApiError as error:
                if error.status != 404:
                    raise
            else:
                if node_ready(node):
                    return
            await asyncio.sleep(_PAUSE)

    try:
        await asyncio.wait_for(ask(), seconds)
    except asyncio.TimeoutError:
        raise StepFailed(f"the node was not ready after {seconds:.0f} s: see kubelet.log") from None


async def _install(layout: Layout, seconds: float) -> None:
    async with Api(layout.admin) as api:
        for collection, manifest in manifests():
            await api.ensure(collection, manifest)
        await _until_node_is_ready(api, seconds)


def install(layout: Layout, seconds: float = 90) -> None:
    """Install the addons and return when the node takes pods.

    Raises :class:`StepFailed` when that takes longer than ``seconds`` or the API refuses.
    """
    try:
        asyncio.run(_install(layout, seconds))
    except ApiError as error:
        raise StepFailed(f"the API server refused an addon: {error}") from error
