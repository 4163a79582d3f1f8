"""The embedded cluster's scheduler: binds pods to the node, or says why it can't.

https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import aiohttp
from kubernetes_asyncio.client import ApiException

from ..kube.informer import Informer
from ..kube.requests import ApiUnavailable, Requests
from .events import Events, now
from .placement import claim_names, refusal

if TYPE_CHECKING:
    from .addresses import Addresses

log = logging.getLogger(__name__)

SOURCE = "default-scheduler"
_RETRY_SECONDS = 1.0


class Scheduler:
    """Takes unbound pods, one after the other.

    Args:
        pods, claims, nodes: informers of all namespaces.
        addresses: of pods; where they share one, ports are scarce.
        names: values of ``spec.schedulerName`` that it serves. Pods with another one wait for
            ever, without a word, as on any cluster.
    """

    def __init__(
        self,
        api: Any,
        requests: Requests,
        events: Events,
        *,
        pods: Informer,
        claims: Informer,
        nodes: Informer,
        addresses: Addresses,
        names: Collection[str] = (SOURCE,),
    ):
        self._api = api
        self._requests = requests
        self._events = events
        self._pods, self._claims, self._nodes = pods, claims, nodes
        self._addresses = addresses
        self._names = names
        self._queue: dict[str, None] = {}
        self._parked: dict[str, str] = {}
        # Bound and not finished, or about to be bound: namespace/name -> pod.
        self._placed: dict[str, dict[str, Any]] = {}
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take pods; the informers may still be loading."""
        self._pods.subscribe_all(self._pod_changed)
        self._claims.subscribe_all(lambda *_: self._retry())
        self._nodes.subscribe_all(lambda *_: self._retry())
        self._task = asyncio.get_running_loop().create_task(self._run(), name="scheduler")

    async def stop(self) -> None:
        """Bind nothing any more."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _pod_changed(self, kind: str, key: str, pod: dict[str, Any] | None) -> None:
        uid = pod["metadata"]["uid"] if pod else ""
        placed = self._placed.get(key)
        if placed and placed["metadata"]["uid"] != uid:
            del self._placed[key]
            self._retry()
        if pod is None:
            self._queue.pop(key, None)
            self._parked.pop(key, None)
        elif pod["spec"].get("nodeName"):
            if (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
                if self._placed.pop(key, None):
                    self._retry()
            else:
                self._placed[key] = pod
        elif self._parked.get(key) != uid:
            self._enqueue(key)

    def _enqueue(self, key: str) -> None:
        self._queue[key] = None
        self._work.set()

    def _retry(self) -> None:
        """Something may have become free: look again at what could not be placed."""
        for key in list(self._parked):
            del self._parked[key]
            self._enqueue(key)

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._queue:
                key = next(iter(self._queue))
                del self._queue[key]
                pod = self._pods.get(key)
                if pod is None or pod["spec"].get("nodeName") or key in self._placed:
                    continue
                mine = pod["spec"].get("schedulerName", SOURCE) in self._names
                if mine and not pod["metadata"].get("deletionTimestamp"):
                    await self._try(key, pod)

    async def _try(self, key: str, pod: dict[str, Any]) -> None:
        try:
            await self._schedule(key, pod)
        except (ApiException, ApiUnavailable, aiohttp.ClientError, asyncio.TimeoutError) as e:
            self._placed.pop(key, None)
            log.debug("Pod %s could not be bound: %s", key, e)
            # Whatever it was: of what is gone or bound meanwhile, the next attempt is none.
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._enqueue, key)
        except Exception:  # a single odd pod must not end the scheduling of all
            self._placed.pop(key, None)
            log.exception("Pod %s could not be scheduled", key)

    async def _schedule(self, key: str, pod: dict[str, Any]) -> None:
        node = next(iter(self._nodes.items_view.values()), None)
        if node is None:
            why = "no nodes available to schedule pods"
        else:
            namespace = pod["metadata"]["namespace"]
            claims = {name: self._claims.get(f"{namespace}/{name}") for name in claim_names(pod)}
            others = list(self._placed.values())
            why = refusal(pod, node, others, claims, ports_are_shared=self._addresses.shared)
        if why or node is None:
            self._parked[key] = pod["metadata"]["uid"]
            await self._refuse(pod, why)
            return
        # At once: the next pod has to reckon with it.
        self._placed[key] = pod
        await self._bind(pod, node["metadata"]["name"])

    async def _refuse(self, pod: dict[str, Any], why: str) -> None:
        metadata = pod["metadata"]
        old: dict[str, Any] = next(iter((pod.get("status") or {}).get("conditions") or ()), {})
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": why,
            "lastTransitionTime": old.get("lastTransitionTime") or now(),
        }
        if old.get("message") != why:
            await self._events.tell(pod, "Warning", "FailedScheduling", why, source=SOURCE)
            change = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [condition]}}
            await self._requests.patch(
                self._api, "pod_status", metadata["name"], change, metadata["namespace"]
            )

    async def _bind(self, pod: dict[str, Any], node: str) -> None:
        metadata = pod["metadata"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "uid": metadata["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        response = await self._api.create_namespaced_pod_binding(
            metadata["name"],
            metadata["namespace"],
            binding,
            _preload_content=False,
            _request_timeout=10,
        )
        try:
            if response.status >= 300:
                raise ApiException(status=response.status, reason=response.reason)
        finally:
            response.release()
        await self._events.tell(
            pod,
            "Normal",
            "Scheduled",
            f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}",
            source=SOURCE,
        )
