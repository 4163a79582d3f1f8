"""One pod on the embedded node, from its volumes to its end, told as a kubelet tells it.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client import ApiException

from ..kube.requests import ApiUnavailable
from .containers import kill_marked
from .containerworker import ContainerWorker, Grace
from .events import Work, now
from .podstatus import conditions, final_phase, phase, ready
from .volumes import VolumeError

if TYPE_CHECKING:
    from .node import Node

log = logging.getLogger(__name__)

_MOUNT_RETRY_SECONDS = 1.0


class PodWorker:
    """Runs one pod that was bound to the node."""

    def __init__(self, node: Node, pod: Mapping[str, Any]):
        self.node = node
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.namespace: str = pod["metadata"]["namespace"]
        self.name: str = pod["metadata"]["name"]
        spec = pod["spec"]
        self.has_init = bool(spec.get("initContainers"))
        self.init = [ContainerWorker(self, c, init=True) for c in spec.get("initContainers") or ()]
        self.containers = [ContainerWorker(self, c, init=False) for c in spec["containers"]]
        self.policy: str = spec.get("restartPolicy", "Always")
        self.ip = node.addresses.allot(self.uid)
        self.volumes: dict[str, Path] = {}
        self._started = now()
        self._initialized = not self.init
        self._conditions: list[dict[str, Any]] = []
        self._reported: dict[str, Any] | None = None
        self._reporting = asyncio.Lock()
        self._phase = ""
        self._grace: Grace | None = None
        self._ending: asyncio.Task[None] | None = None
        self._work = Work("node")
        self._work.spawn(self._live())

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def all(self) -> list[ContainerWorker]:
        """All containers, those for initialisation first."""
        return [*self.init, *self.containers]

    # ---- life --------------------------------------------------------------------------

    def spawn(self, work: Any) -> None:
        """Run a coroutine as a task that ends with the pod."""
        self._work.spawn(work)

    async def _live(self) -> None:
        await self.report()
        await self._provide_volumes()
        for container in self.init:
            if _is_sidecar(container):
                self._work.spawn(container.run("Always"))
                await container.began.wait()
            elif await container.run("Never" if self.policy == "Never" else "OnFailure"):
                await self.report()
                return
        self._initialized = True
        await self.report()
        await asyncio.gather(*(container.run(self.policy) for container in self.containers))
        # All have ended for good; sidecars end with them.
        grace = Grace(self.pod["spec"].get("terminationGracePeriodSeconds", 30))
        await asyncio.gather(*(container.stop(grace) for container in self.init))
        await self.report()

    async def _provide_volumes(self) -> None:
        while True:
            try:
                self.volumes = await self.node.volumes.prepare(self.pod, self.read, self.ip)
                return
            except VolumeError as e:
                await self.event("Warning", "FailedMount", str(e))
            await asyncio.sleep(_MOUNT_RETRY_SECONDS)

    # ---- the end -----------------------------------------------------------------------

    async def stop(self, grace: float) -> None:
        """End every container within ``grace`` seconds, and wait for that.

        A second call can only shorten the time.
        """
        if self._ending is None:
            self._grace = Grace(grace)
            self._ending = asyncio.ensure_future(self._end(self._grace))
        elif self._grace is not None:
            self._grace.shorten(grace)
        await asyncio.shield(self._ending)

    async def _end(self, grace: Grace) -> None:
        await self._work.cancel()
        running = [container for container in self.all if container.running]
        await asyncio.gather(*(self._stop_container(each, grace) for each in running))
        for container in self.all:
            await container.end_watch()
        if running:
            self._phase = final_phase([c.status() for c in self.containers])
            await self.report()
        await self._kill_rest()

    async def _stop_container(self, container: ContainerWorker, grace: Grace) -> None:
        await self.event("Normal", "Killing", f"Stopping container {container.name}")
        await container.stop(grace)
        await container.note_ended()

    async def _kill_rest(self) -> None:
        """Kill what the shims can't have reached: children of hooks, orphans on macOS."""
        hooks = any(
            field in container.manifest
            for container in self.all
            for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
        )
        if hooks or sys.platform != "linux":
            await asyncio.to_thread(kill_marked, f"{self.node.mark}/{self.uid}")

    async def end_now(self) -> None:
        """Kill everything at once, and tell nobody; for the end of the cluster itself."""
        await self._work.cancel()
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.gather(self._ending, return_exceptions=True)
        for container in self.all:
            container.kill()
        for container in self.all:
            await container.end_watch()
            await container.ended()

    # ---- telling -----------------------------------------------------------------------

    async def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """Read an object of the pod's namespace."""
        return await self.node.read(kind, name, self.namespace)

    async def event(self, type_: str, reason: str, message: str, *, field: str = "") -> None:
        """Tell an event about this pod."""
        await self.node.events.tell(self.pod, type_, reason, message, field_path=field)

    def _status(self) -> dict[str, Any]:
        statuses = [container.status() for container in self.containers]
        init = [container.status() for container in self.init]
        plain = [s for c, s in zip(self.init, init, strict=True) if not _is_sidecar(c)]
        current = self._phase or phase(self.policy, statuses, plain)
        self._conditions = conditions(
            statuses,
            initialized=self._initialized,
            phase=current,
            before=self._conditions,
            time=now(),
        )
        for container, status in zip(self.init, init, strict=True):
            # Of an init container it means that it has done its work.
            ended = status["state"].get("terminated") or {}
            sidecar = _is_sidecar(container)
            status["ready"] = status["started"] if sidecar else ended.get("exitCode") == 0
        result: dict[str, Any] = {
            "phase": current,
            "startTime": self._started,
            "hostIP": self.node.address,
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "containerStatuses": statuses,
            "conditions": self._conditions,
        }
        if init:
            result["initContainerStatuses"] = init
        return result

    @property
    def is_ready(self) -> bool:
        """Whether all containers are."""
        return ready([container.status() for container in self.containers])

    async def report(self) -> None:
        """Write the pod's status, if it has changed; one after the other, so that none overtakes."""
        async with self._reporting:
            status = self._status()
            if status == self._reported:
                return
            change = {"metadata": {"uid": self.uid}, "status": status}
            try:
                await self.node.requests.patch(
                    self.node.api, "pod_status", self.name, change, self.namespace
                )
            except (ApiException, ApiUnavailable) as e:
                # Gone meanwhile, mostly; the next change is a new attempt.
                log.debug("The status of pod %s could not be written: %s", self.key, e)
            else:
                self._reported = status


def _is_sidecar(container: ContainerWorker) -> bool:
    """https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/"""
    return container.init and container.manifest.get("restartPolicy") == "Always"
