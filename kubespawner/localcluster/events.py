"""Kubernetes events, as the parts of a cluster write them.

https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from kubernetes_asyncio.client import ApiException

from ..kube.requests import ApiUnavailable, Requests

log = logging.getLogger(__name__)


def now() -> str:
    """Return the time as the API writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Events:
    """Writes events about pods and claims; a repeated one raises its count.

    Args:
        host: node that they come from.
    """

    def __init__(self, requests: Requests, api: Any, host: str):
        self._requests = requests
        self._api = api
        self._host = host
        # uid of the object -> (reason, message, field) -> (name of the event, count).
        self._told: dict[str, dict[tuple[str, str, str], tuple[str, int]]] = {}

    def forget(self, uid: str) -> None:
        """Drop what is known of an object that is gone."""
        self._told.pop(uid, None)

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
        """Tell ``message`` about an object (API JSON).

        Events are a courtesy, to the cluster as well: one that is refused, as in a namespace that
        is being deleted, is logged and hinders nothing.
        """
        key = (reason, message, field_path)
        told = self._told.setdefault(about["metadata"]["uid"], {})
        try:
            if key in told:
                await self._repeat(told, key, about["metadata"]["namespace"])
            else:
                await self._create(told, key, about, type_, source)
        except (ApiException, ApiUnavailable) as e:
            log.debug("An event could not be written: %s", e)

    async def _repeat(
        self,
        told: dict[tuple[str, str, str], tuple[str, int]],
        key: tuple[str, str, str],
        namespace: str,
    ) -> None:
        name, count = told[key]
        told[key] = (name, count + 1)
        change = {"count": count + 1, "lastTimestamp": now()}
        await self._requests.patch(self._api, "event", name, change, namespace)

    async def _create(
        self,
        told: dict[tuple[str, str, str], tuple[str, int]],
        key: tuple[str, str, str],
        about: Mapping[str, Any],
        type_: str,
        source: str,
    ) -> None:
        reason, message, field_path = key
        metadata = about["metadata"]
        digest = hashlib.sha256("\0".join((metadata["uid"], *key)).encode()).hexdigest()[:16]
        name = f"{metadata['name'][:230]}.{digest}"
        told[key] = (name, 1)
        time = now()
        involved = {
            "apiVersion": "v1",
            "kind": about["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        }
        if field_path:
            involved["fieldPath"] = field_path
        manifest = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": involved,
            "type": type_,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "source": {"component": source, "host": self._host},
            "reportingComponent": source,
            "reportingInstance": self._host,
        }
        await self._requests.create(self._api, "event", manifest, metadata["namespace"])


class Work:
    """Background tasks of one part: errors are logged, the end waits for all."""

    def __init__(self, name: str):
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine as a task."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("The embedded %s failed in one step", self._name, exc_info=task.exception())

    async def cancel(self) -> None:
        """Cancel all tasks, except the calling one, and wait for their end."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
