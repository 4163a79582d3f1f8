"""The cluster's side: fills it with running pods, and does what scheduler and kubelet would.

``python -m bench.kubelet KUBECONFIG`` takes commands as JSON lines. It goes to the API server
directly, not through the wire whose bytes are counted.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any

from realcluster.api import Api, ApiError, Object

from .hub import Answer, serve
from .objects import event, pod, ready_status, user_name

NODE = "bench-node"
_UNDER_WAY = 24
_AT_ONCE = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
_STRATEGIC = "application/strategic-merge-patch+json"


class Kubelet:
    """Pods that seem to run.

    Attributes:
        ready_at, gone_at: pod name to the monotonic clock when the request was sent that made it
            ready or removed it; so a delay measured from it includes the API server's write.
    """

    def __init__(self, api: Api):
        self._api = api
        self._random = random.Random(4)
        self._attending: asyncio.Task[None] | None = None
        self._works: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_UNDER_WAY)
        self.ready_at: dict[str, float] = {}
        self.gone_at: dict[str, float] = {}

    async def _all(self, works: Iterable[Awaitable[Any]]) -> None:
        async def one(work: Awaitable[Any]) -> None:
            async with self._slots:
                await work

        await asyncio.gather(*(one(work) for work in works))

    # ---- population --------------------------------------------------------------------

    async def namespace(self, name: str) -> Answer:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await self._api.ensure("/api/v1/namespaces", body)
        return {}

    async def fill(self, namespace: str, first: int, count: int) -> Answer:
        """Create running pods of users ``first`` … ``first + count - 1``."""
        path = f"/api/v1/namespaces/{namespace}/pods"

        async def make(number: int) -> None:
            manifest = pod(user_name(number), namespace, NODE)
            await self._create(path, manifest)
            name = manifest["metadata"]["name"]
            await self._api.request(
                "PATCH", f"{path}/{name}/status", {"status": ready_status(number)}, _STRATEGIC
            )

        await self._all(make(number) for number in range(first, first + count))
        return {}

    async def events(self, namespace: str, first: int, count: int) -> Answer:
        """Create events about pods of others, as a busy namespace has them."""
        path = f"/api/v1/namespaces/{namespace}/events"
        await self._all(
            self._create(path, event(namespace, f"other-{n}", f"other-{n}.{n:x}"))
            for n in range(first, first + count)
        )
        return {}

    async def _create(self, path: str, body: Object) -> None:
        """Create an object, unless an earlier attempt that was interrupted already did."""
        try:
            await self._api.request("POST", path, body)
        except ApiError as error:
            if error.status != 409:
                raise

    async def clear(self, namespace: str, kinds: list[str]) -> Answer:
        """Delete all objects of some kinds at once."""
        for kind in kinds:
            await self._api.request("DELETE", f"/api/v1/namespaces/{namespace}/{kind}", _AT_ONCE)
        return {}

    async def discard(self, namespace: str, pods: list[str]) -> Answer:
        """Delete those pods that are there."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        await self._all(
            self._unless_gone(self._api.request("DELETE", f"{path}/{name}", _AT_ONCE))
            for name in pods
        )
        return {}

    async def churn(self, namespace: str, pods: int, rate: float, seconds: float) -> Answer:
        """Change the status of one pod after the other, ``rate`` a second, spread over all."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        loop = asyncio.get_running_loop()
        began, count = loop.time(), int(rate * seconds)
        # A patch that changes nothing is no change.
        reason = f"Churn{time.time_ns()}"
        step = max(1, pods // count)

        async def change(number: int) -> None:
            await asyncio.sleep(began + number / rate - loop.time())
            name = f"jupyter-{user_name((number * step + number * step // pods) % pods)}"
            condition = {"type": "Ready", "status": "True", "reason": reason}
            body = {"status": {"conditions": [condition]}}
            await self._api.request("PATCH", f"{path}/{name}/status", body, _STRATEGIC)

        await asyncio.gather(*(change(number) for number in range(count)))
        return {"changes": count, "seconds": loop.time() - began}

    # ---- scheduler and kubelet ---------------------------------------------------------

    async def attend(
        self, namespace: str, ready: tuple[float, float], gone: tuple[float, float], tell: bool
    ) -> Answer:
        """Bind new pods, make them ready and let deleted ones go.

        Args:
            ready, gone: least and most seconds that it takes, drawn evenly.
            tell: also write the events that scheduler and kubelet would.
        """
        await self.leave()
        self.ready_at, self.gone_at = {}, {}
        path = f"/api/v1/namespaces/{namespace}/pods"
        version = (await self._api.request("GET", f"{path}?limit=1"))["metadata"]["resourceVersion"]
        watch = self._attend(path, version, ready, gone, tell)
        self._attending = asyncio.ensure_future(watch)
        return {}

    async def leave(self) -> Answer:
        """Stop attending; return when each pod was made ready and removed."""
        if self._attending is not None:
            self._attending.cancel()
            await asyncio.gather(self._attending, return_exceptions=True)
            self._attending = None
        await asyncio.gather(*self._works)
        return {"ready": self.ready_at, "gone": self.gone_at}

    async def _attend(
        self,
        path: str,
        version: str,
        ready: tuple[float, float],
        gone: tuple[float, float],
        tell: bool,
    ) -> None:
        leaving: set[str] = set()
        async for kind, item in self._api.watch(path, version):
            metadata = item["metadata"]
            if kind == "ADDED" and not item["spec"].get("nodeName"):
                self._work(self._run(path, item, self._random.uniform(*ready), tell))
            elif metadata.get("deletionTimestamp") and metadata["uid"] not in leaving:
                leaving.add(metadata["uid"])
                self._work(self._remove(path, metadata["name"], self._random.uniform(*gone)))

    def _work(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._unless_gone(work))
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    async def _unless_gone(self, work: Awaitable[Any]) -> None:
        """Do something to a pod, which a hub may have deleted meanwhile."""
        try:
            await work
        except ApiError as error:
            if error.status != 404:
                raise

    async def _run(self, path: str, item: Object, delay: float, tell: bool) -> None:
        metadata = item["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        due = time.monotonic() + delay
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
        }
        async with self._slots:
            await self._api.request("POST", f"{path}/{name}/binding", binding)
            if tell:
                for number, reason in enumerate(("Scheduled", "Pulled", "Started")):
                    told = event(namespace, name, f"{name}.{number}", metadata["uid"], reason)
                    told["metadata"]["name"] += metadata["uid"][:8]
                    await self._api.request("POST", path.replace("/pods", "/events"), told)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        async with self._slots:
            self.ready_at[name] = time.monotonic()
            body = {"status": ready_status(len(self.ready_at))}
            await self._api.request("PATCH", f"{path}/{name}/status", body, _STRATEGIC)

    async def _remove(self, path: str, name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        async with self._slots:
            self.gone_at[name] = time.monotonic()
            await self._api.request("DELETE", f"{path}/{name}", _AT_ONCE)


async def _main(kubeconfig: str) -> None:
    async with Api(Path(kubeconfig)) as api:
        kubelet = Kubelet(api)
        await serve(
            kubelet.namespace,
            kubelet.fill,
            kubelet.events,
            kubelet.clear,
            kubelet.discard,
            kubelet.churn,
            kubelet.attend,
            kubelet.leave,
        )


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
