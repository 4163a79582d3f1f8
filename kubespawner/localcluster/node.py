"""The embedded cluster's scheduler, volume provisioner and node, as clients of its API server."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes_asyncio.client import ApiException, StorageV1Api

from ..kube.informer import Informer
from ..kube.requests import ApiUnavailable, Deadline, Requests
from .containers import kill_marked, read_log
from .images import Images
from .kubelet import ContainerState, PodWorker, now
from .quantities import parse_quantity
from .volumes import Volumes

log = logging.getLogger(__name__)

NODE_NAME = "local"
STORAGE_CLASS = "standard"


class Addresses:
    """A loopback address for each pod, so that every server can have the same port.

    Linux accepts all of 127.0.0.0/8; elsewhere pods share 127.0.0.1, and their servers must
    listen on different ports.
    """

    def __init__(self) -> None:
        self._own = self._has_many()
        # Several clusters on one machine: each begins somewhere else.
        self._next = itertools.count(secrets.randbelow(60_000) + 300)

    @staticmethod
    def _has_many() -> bool:
        with socket.socket() as probe:
            try:
                probe.bind(("127.77.0.1", 0))
            except OSError:
                return False
        return True

    def allot(self, uid: str) -> str:
        if not self._own:
            return "127.0.0.1"
        number = next(self._next)
        return f"127.{64 + number // 65_536 % 128}.{number // 256 % 256}.{number % 250 + 1}"


class Events:
    """Writes Kubernetes events; a repeated one raises its count."""

    def __init__(self, requests: Requests, api: Any):
        self._requests = requests
        self._api = api
        self._told: dict[tuple[str, ...], tuple[str, int]] = {}

    async def tell(
        self,
        about: Mapping[str, Any],
        type_: str,
        reason: str,
        message: str,
        *,
        source: str = "kubelet",
        field_path: str = "",
    ) -> None:
        """Tell ``message`` about an object (API JSON)."""
        metadata = about["metadata"]
        key = (metadata["uid"], reason, message, field_path)
        time = now()
        try:
            if key in self._told:
                name, count = self._told[key]
                self._told[key] = (name, count + 1)
                change = {"count": count + 1, "lastTimestamp": time}
                await self._requests.patch(self._api, "event", name, change, metadata["namespace"])
                return
            digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
            name = f"{metadata['name']}.{digest}"
            self._told[key] = (name, 1)
            await self._requests.create(
                self._api,
                "event",
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"name": name, "namespace": metadata["namespace"]},
                    "involvedObject": {
                        "apiVersion": "v1",
                        "kind": about["kind"],
                        "namespace": metadata["namespace"],
                        "name": metadata["name"],
                        "uid": metadata["uid"],
                        **({"fieldPath": field_path} if field_path else {}),
                    },
                    "type": type_,
                    "reason": reason,
                    "message": message,
                    "count": 1,
                    "firstTimestamp": time,
                    "lastTimestamp": time,
                    "source": {"component": source, "host": NODE_NAME},
                },
                metadata["namespace"],
            )
        except (ApiException, ApiUnavailable) as e:
            log.debug("An event could not be written: %s", e)


class Node:
    """One node: takes unbound pods, runs them as local processes, reports what happens.

    Args:
        api: client of the API server, a ``CoreV1Api``.
        root: directory for claims and pods.
        images: which images exist.
        capacity: resources of the node, such as ``{"cpu": "8", "memory": "32Gi"}``.
        labels: labels of the node.
        restart_backoff: seconds before the second restart of a crashing container (a kubelet
            waits 10); doubles with every further one.
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
        restart_backoff: float = 1.0,
    ):
        self._api = api
        self._requests = Requests(request_timeout=10, retry_timeout=60, log=log)
        self.images = images or Images()
        self.volumes = Volumes(root)
        self.addresses = Addresses()
        self.events = Events(self._requests, api)
        self.restart_backoff = restart_backoff
        # Marks every process of this cluster.
        self.mark = secrets.token_hex(8)
        self.stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._capacity = {"cpu": "16", "memory": "64Gi", "pods": "1000", **(capacity or {})}
        self._labels = {"kubernetes.io/hostname": NODE_NAME, **(labels or {})}
        self._workers: dict[str, PodWorker] = {}
        self._used: dict[str, Mapping[str, Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting: dict[str, Mapping[str, Any]] = {}
        self._pods = Informer(lambda: api.api_client, "/api/v1/pods", log=log, name="pods")
        self._claims = Informer(
            lambda: api.api_client, "/api/v1/persistentvolumeclaims", log=log, name="claims"
        )

    # ---- life --------------------------------------------------------------------------

    async def start(self) -> None:
        """Register the node, and begin to take pods."""
        await self._requests.create(
            self._api,
            "node",
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": NODE_NAME, "labels": self._labels},
                "status": {
                    "capacity": self._capacity,
                    "allocatable": self._capacity,
                    "addresses": [{"type": "InternalIP", "address": self.address}],
                    "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                },
            },
            None,
        )
        await self._provide_storage_class()
        self._claims.subscribe_all(self._claim_changed)
        self._pods.subscribe_all(self._pod_changed)
        self._claims.start()
        self._pods.start()
        await self._claims.loaded(Deadline.after(30))
        await self._pods.loaded(Deadline.after(30))

    async def _provide_storage_class(self) -> None:
        storage: Any = StorageV1Api(self._api.api_client)
        response = await storage.create_storage_class(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {
                    "name": STORAGE_CLASS,
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
                "provisioner": "localcluster/directory",
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "Immediate",
            },
            _preload_content=False,
        )
        response.release()

    async def stop(self) -> None:
        """Kill all pods' processes at once and stop watching."""
        if not self.stopping.done():
            self.stopping.set_result(None)
        await self._pods.stop()
        await self._claims.stop()
        for worker in self._workers.values():
            worker.end_now()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(kill_marked, self.mark)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("The embedded node failed in one step", exc_info=task.exception())

    async def read(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        return await self._requests.read(self._api, kind, name, namespace)

    # ---- scheduling --------------------------------------------------------------------

    def _pod_changed(self, kind: str, key: str, pod: dict[str, Any] | None) -> None:
        if pod is None:
            for uid, waiting in list(self._waiting.items()):
                if f"{waiting['metadata']['namespace']}/{waiting['metadata']['name']}" == key:
                    del self._waiting[uid]
            for worker in list(self._workers.values()):
                if f"{worker.namespace}/{worker.name}" == key:
                    self._spawn(self._forget(worker))
            return
        uid = pod["metadata"]["uid"]
        if not pod["spec"].get("nodeName"):
            if uid not in self._waiting and not pod["metadata"].get("deletionTimestamp"):
                self._waiting[uid] = pod
                self._spawn(self._schedule(pod))
            return
        if pod["spec"]["nodeName"] != NODE_NAME:
            return
        self._waiting.pop(uid, None)
        if pod["metadata"].get("deletionTimestamp"):
            self._spawn(self._terminate(pod))
        elif uid not in self._workers:
            self._used[uid] = pod["spec"]
            self._workers[uid] = PodWorker(self, pod)

    async def _schedule(self, pod: Mapping[str, Any]) -> None:
        why = self._why_not(pod)
        metadata = pod["metadata"]
        if why:
            message = f"0/1 nodes are available: {why}."
            await self.events.tell(
                pod, "Warning", "FailedScheduling", message, source="default-scheduler"
            )
            condition = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
                "lastTransitionTime": now(),
            }
            await self._patch_status(pod, {"conditions": [condition]})
            return
        self._used[metadata["uid"]] = pod["spec"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": NODE_NAME},
        }
        try:
            response = await self._api.create_namespaced_pod_binding(
                metadata["name"], metadata["namespace"], binding, _preload_content=False
            )
            response.release()
        except OSError as e:
            log.warning("Pod %s could not be bound: %s", metadata["name"], e)
            return
        where = f"{metadata['namespace']}/{metadata['name']}"
        await self.events.tell(
            pod,
            "Normal",
            "Scheduled",
            f"Successfully assigned {where} to {NODE_NAME}",
            source="default-scheduler",
        )

    def _why_not(self, pod: Mapping[str, Any]) -> str:
        """Return why the pod can't be placed, worded as by the scheduler; '' if it can."""
        spec, namespace = pod["spec"], pod["metadata"]["namespace"]
        if spec.get("schedulerName", "default-scheduler") != "default-scheduler":
            return f"no scheduler {spec['schedulerName']!r} runs here"
        for volume in spec.get("volumes") or ():
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if not name:
                continue
            claim = self._claims.get(f"{namespace}/{name}")
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if (claim.get("status") or {}).get("phase") != "Bound":
                return "1 pod has unbound immediate PersistentVolumeClaims"
        for key, value in (spec.get("nodeSelector") or {}).items():
            if self._labels.get(key) != value:
                return "1 node(s) didn't match Pod's node affinity/selector"
        lacking = [name for name, wanted in requests_of(spec).items() if wanted > self._free(name)]
        return ", ".join(f"1 Insufficient {name}" for name in lacking)

    def _free(self, resource: str) -> float:
        capacity = float(parse_quantity(str(self._capacity.get(resource, "0"))))
        return capacity - sum(requests_of(spec).get(resource, 0) for spec in self._used.values())

    def _retry_waiting(self) -> None:
        for pod in self._waiting.values():
            self._spawn(self._schedule(pod))

    # ---- pods --------------------------------------------------------------------------

    async def report(self, pod: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Write a pod's status, as its kubelet."""
        await self._patch_status(pod, status)

    async def _patch_status(self, pod: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        try:
            response = await self._api.patch_namespaced_pod_status(
                metadata["name"],
                metadata["namespace"],
                {"metadata": {"uid": metadata["uid"]}, "status": dict(status)},
                _content_type="application/merge-patch+json",
                _preload_content=False,
                _request_timeout=10,
            )
            response.release()
        except (OSError, asyncio.TimeoutError) as e:
            log.warning("The status of pod %s could not be written: %s", metadata["name"], e)

    async def _terminate(self, pod: Mapping[str, Any]) -> None:
        """End a pod that is marked for deletion, and confirm."""
        metadata = pod["metadata"]
        worker = self._workers.get(metadata["uid"])
        if worker is not None:
            await worker.stop(metadata.get("deletionGracePeriodSeconds", 30))
        try:
            await self._requests.delete(
                self._api,
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
        self._workers.pop(worker.uid, None)
        self._used.pop(worker.uid, None)
        await asyncio.to_thread(self.volumes.remove_pod, worker.uid)
        self._retry_waiting()

    async def read_log(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        previous: bool = False,
        **_: Any,
    ) -> Any:
        """Return the log of a container, in pieces of bytes."""
        for worker in self._workers.values():
            if (worker.namespace, worker.name) != (namespace, pod):
                continue
            for state in [*worker.init, *worker.containers]:
                if state.name == container and state.logs:
                    return self._log_of(state, follow, tail_lines, previous)
        return _nothing()

    def _log_of(
        self, state: ContainerState, follow: bool, tail_lines: int | None, previous: bool
    ) -> Any:
        if previous and len(state.logs) > 1:
            return read_log(state.logs[-2], None, follow=False, tail_lines=tail_lines)
        ended = state.process.ended if state.process else None
        return read_log(state.logs[-1], ended, follow=follow, tail_lines=tail_lines)

    # ---- claims ------------------------------------------------------------------------

    def _claim_changed(self, kind: str, key: str, claim: dict[str, Any] | None) -> None:
        if claim is None:
            namespace, name = key.split("/")
            self._spawn(self._remove_claim(namespace, name))
        elif (claim.get("status") or {}).get("phase") == "Bound":
            self._retry_waiting()
        elif not claim["metadata"].get("deletionTimestamp"):
            self._spawn(self._bind(claim))

    async def _bind(self, claim: Mapping[str, Any]) -> None:
        """Provide a directory for a claim of our storage class."""
        metadata, spec = claim["metadata"], claim["spec"]
        if spec.get("storageClassName") != STORAGE_CLASS:
            await self.events.tell(
                claim,
                "Warning",
                "ProvisioningFailed",
                f'storageclass.storage.k8s.io "{spec.get("storageClassName", "")}" not found',
                source="persistentvolume-controller",
            )
            return
        namespace, name = metadata["namespace"], metadata["name"]
        directory = self.volumes.provision(namespace, name)
        volume = f"pvc-{metadata['uid']}"
        capacity = {"storage": spec["resources"]["requests"]["storage"]}
        try:
            await self._requests.create(
                self._api,
                "persistent_volume",
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": {"name": volume},
                    "spec": {
                        "capacity": capacity,
                        "accessModes": spec["accessModes"],
                        "storageClassName": STORAGE_CLASS,
                        "persistentVolumeReclaimPolicy": "Delete",
                        "hostPath": {"path": str(directory)},
                        "claimRef": {
                            "apiVersion": "v1",
                            "kind": "PersistentVolumeClaim",
                            "namespace": namespace,
                            "name": name,
                            "uid": metadata["uid"],
                        },
                    },
                },
                None,
            )
        except ApiException as e:
            if e.status != 409:
                raise
        kind = "persistent_volume_claim"
        await self._requests.patch(
            self._api, kind, name, {"spec": {"volumeName": volume}}, namespace
        )
        response = await self._api.patch_namespaced_persistent_volume_claim_status(
            name,
            namespace,
            {
                "status": {
                    "phase": "Bound",
                    "capacity": capacity,
                    "accessModes": spec["accessModes"],
                }
            },
            _content_type="application/merge-patch+json",
            _preload_content=False,
        )
        response.release()

    async def _remove_claim(self, namespace: str, name: str) -> None:
        await asyncio.to_thread(self.volumes.remove_claim, namespace, name)
        self._retry_waiting()


async def _nothing() -> Any:
    return
    yield b""


def requests_of(spec: Mapping[str, Any]) -> dict[str, float]:
    """Return what a pod's containers request together."""
    total: dict[str, float] = {}
    for container in spec["containers"]:
        resources = container.get("resources") or {}
        wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name, quantity in wanted.items():
            total[name] = total.get(name, 0) + float(parse_quantity(str(quantity)))
    return total
