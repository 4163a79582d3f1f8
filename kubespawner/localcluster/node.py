"""The embedded cluster's node: takes the pods bound to it, as a kubelet does."""

from __future__ import annotations

import asyncio
import logging
import platform
import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from kubernetes_asyncio.client import ApiException

from ..kube.informer import Informer
from ..kube.requests import ApiUnavailable, Deadline, Requests
from .addresses import Addresses
from .containers import kill_marked
from .events import Events, Work, now
from .images import Images
from .kubelet import PodWorker
from .provisioner import Provisioner
from .scheduler import SOURCE, Scheduler
from .volumes import Volumes

log = logging.getLogger(__name__)

NODE_NAME = "local"


class Node:
    """One node, with the scheduler and the volume provisioner that a cluster needs beside it.

    All of them are clients of the API server, over HTTP.

    Args:
        api: client of the API server, a ``CoreV1Api``.
        root: directory for claims and pods.
        images: which images exist.
        capacity: resources, such as ``{"cpu": "8", "memory": "32Gi"}``; default: 16 processors,
            64Gi, 1000 pods. They are counted, not enforced.
        labels: further labels.
        taints: as in ``spec.taints``.
        restart_backoff: seconds before the second restart of a crashing container; doubles with
            every further one, up to 300. A kubelet begins with 10.
        pull_backoff: the same for images that can't be pulled.
        schedulers: values of ``spec.schedulerName`` that are served.
        shared_address: give all pods 127.0.0.1; default: only where they can't have their own.
    """

    address = "127.0.0.1"

    def __init__(
        self,
        api: Any,
        root: Path,
        *,
        images: Images | None = None,
        capacity: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        restart_backoff: float = 1.0,
        pull_backoff: float = 1.0,
        schedulers: Collection[str] = (SOURCE,),
        shared_address: bool | None = None,
    ):
        self.api = api
        self.requests = Requests(request_timeout=10, retry_timeout=60, log=log)
        self.images = images or Images()
        self.volumes = Volumes(root)
        self.addresses = Addresses(shared=shared_address)
        self.events = Events(self.requests, api, NODE_NAME)
        self.restart_backoff = restart_backoff
        self.pull_backoff = pull_backoff
        # Marks every process of this cluster.
        self.mark = secrets.token_hex(8)
        self._manifest = _manifest(capacity or {}, labels or {}, taints, self.address)
        self._workers: dict[str, PodWorker] = {}
        self._work = Work("node")
        self._pods = self._informer("pods")
        self._claims = self._informer("persistentvolumeclaims")
        self._nodes = self._informer("nodes")
        self._scheduler = Scheduler(
            api,
            self.requests,
            self.events,
            pods=self._pods,
            claims=self._claims,
            nodes=self._nodes,
            addresses=self.addresses,
            names=schedulers,
        )
        self._provisioner = Provisioner(api, self.requests, self.events, self.volumes, self._claims)

    def _informer(self, plural: str) -> Informer:
        return Informer(lambda: self.api.api_client, f"/api/v1/{plural}", log=log, name=plural)

    # ---- life --------------------------------------------------------------------------

    async def start(self) -> None:
        """Register the node, and begin to take pods and claims.

        Raises:
            ApiException: the API server refuses the node.
            ApiUnavailable: it does not answer.
        """
        try:
            await self.requests.create(self.api, "node", self._manifest, None)
        except ApiException as e:
            if e.status != 409:
                raise
        self._pods.subscribe_all(self._pod_changed)
        self._scheduler.start()
        informers = (self._nodes, self._claims, self._pods)
        for informer in informers:
            informer.start()
        for informer in informers:
            await informer.loaded(Deadline.after(30))
        await self._provisioner.start()

    async def stop(self) -> None:
        """Kill all pods' processes at once, and watch no more."""
        await self._scheduler.stop()
        await self._provisioner.stop()
        for informer in (self._pods, self._claims, self._nodes):
            await informer.stop()
        await self._work.cancel()
        await asyncio.gather(*(worker.end_now() for worker in self._workers.values()))
        self._workers.clear()
        await asyncio.to_thread(kill_marked, self.mark)
        self.addresses.close()

    async def read(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        """Read an object, as the kubelet does for volumes and variables."""
        return await self.requests.read(self.api, kind, name, namespace)

    # ---- pods --------------------------------------------------------------------------

    def _pod_changed(self, kind: str, key: str, pod: dict[str, Any] | None) -> None:
        uid = pod["metadata"]["uid"] if pod else ""
        for worker in [w for w in self._workers.values() if w.key == key and w.uid != uid]:
            # Gone; or replaced by one of its name, in a list after an interrupted watch.
            del self._workers[worker.uid]
            self._work.spawn(self._forget(worker))
        if pod is None or pod["spec"].get("nodeName") != NODE_NAME:
            return
        if pod["metadata"].get("deletionTimestamp"):
            self._work.spawn(self._terminate(pod, self._workers.get(uid)))
        elif uid not in self._workers and not _is_over(pod):
            self._workers[uid] = PodWorker(self, pod)

    async def _terminate(self, pod: Mapping[str, Any], worker: PodWorker | None) -> None:
        """End a pod that is marked for deletion, and confirm."""
        metadata = pod["metadata"]
        if worker is not None:
            await worker.stop(metadata.get("deletionGracePeriodSeconds", 30))
        try:
            await self.requests.delete(
                self.api,
                "pod",
                metadata["name"],
                metadata["namespace"],
                uid=metadata["uid"],
                grace_seconds=0,
            )
        except (ApiException, ApiUnavailable) as e:
            log.warning("The end of pod %s could not be confirmed: %s", metadata["name"], e)

    async def _forget(self, worker: PodWorker) -> None:
        # Deleted without grace: whatever still runs is killed.
        await worker.stop(0)
        self.addresses.release(worker.uid)
        self.events.forget(worker.uid)
        await asyncio.to_thread(self.volumes.remove_pod, worker.uid)

    # ---- logs --------------------------------------------------------------------------

    async def read_log(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        previous: bool = False,
        since_seconds: int | None = None,
        since_time: str | None = None,
        timestamps: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]:
        """Return the log of a container, in pieces; the API server's ``log_reader``."""
        since = datetime.fromisoformat(since_time.replace("Z", "+00:00")) if since_time else None
        if since_seconds is not None:
            since = datetime.now(timezone.utc) - timedelta(seconds=since_seconds)
        for worker in self._workers.values():
            if (worker.namespace, worker.name) != (namespace, pod):
                continue
            for each in worker.all:
                found = each.log(previous=previous) if each.name == container else None
                if found:
                    return found.read(
                        follow=follow,
                        tail_lines=tail_lines,
                        since=since,
                        timestamps=timestamps,
                        limit_bytes=limit_bytes,
                    )
        return _nothing()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _is_over(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def _manifest(
    capacity: Mapping[str, str],
    labels: Mapping[str, str],
    taints: Sequence[Mapping[str, str]],
    address: str,
) -> dict[str, Any]:
    resources = {"cpu": "16", "memory": "64Gi", "pods": "1000", **capacity}
    machine = platform.machine().lower()
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    names = {
        "kubernetes.io/hostname": NODE_NAME,
        "kubernetes.io/os": platform.system().lower(),
        "kubernetes.io/arch": arch,
    }
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": now(),
        "lastTransitionTime": now(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE_NAME, "labels": {**names, **labels}},
        "spec": {"taints": [dict(taint) for taint in taints]} if taints else {},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": NODE_NAME},
            ],
            "conditions": [ready],
        },
    }
