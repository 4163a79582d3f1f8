"""Creating and deleting one pod so that neither can hit the wrong one.

A name is not an identity: a request that timed out may have succeeded, a pod of the same name
may be an older one of the same server, or somebody else's. Creation is answered by looking,
deletion carries the UID.
https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.client.models import V1Pod

from .errors import SpawnError
from .kube.backoff import Backoff
from .kube.informer import Informer
from .kube.requests import ApiUnavailable, Deadline, Requests, told
from .kube.timing import within
from .ownership import Owner, described_owner, is_pod_of, is_terminating, spawn_id_of, uid_of

# Beyond the grace period, the kubelet needs a moment to unmount and to confirm.
GRACE_MARGIN = 10.0

# A request that was sent can't be called back: the API server may still carry it out until its
# own limit, 60 s by default (--request-timeout):
# https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/
LATE_SECONDS = 75.0

# Between two attempts to delete what could not be deleted at once.
_LONGEST_PAUSE = 60.0

# Strong references; a task that nobody refers to may be collected before it has done anything.
_removals: set[asyncio.Task[None]] = set()

# Waits until the pod `name` with `uid` is gone; returns the last one seen if it is still there
# at the deadline, else None.
WaitGone = Callable[[str, str, Deadline], Awaitable[Mapping[str, Any] | None]]


class StuckPodError(SpawnError, TimeoutError):
    """A pod was told to go and did not within the time allowed."""


@dataclass(frozen=True)
class PodPlace:
    """The one place in the cluster that a server's pod takes: a name in a namespace."""

    requests: Requests
    api: Any
    name: str
    namespace: str
    owner: Owner
    wait_gone: WaitGone
    log: Any

    async def read(self, deadline: Deadline | None = None) -> dict[str, Any] | None:
        return await self.requests.read(
            self.api, "pod", self.name, self.namespace, deadline=deadline
        )

    async def create(
        self,
        manifest: V1Pod,
        *,
        spawn_id: str,
        known_uid: str = "",
        deadline: Deadline,
        request_seconds: float,
    ) -> dict[str, Any]:
        """Create the pod of this spawn, or adopt it if an earlier attempt already did.

        Args:
            spawn_id: value of the annotation that marks what this spawn creates.
            known_uid: UID of the server's earlier pod, from its state.
            request_seconds: for all attempts of one request.

        Raises:
            SpawnError: the name is taken by somebody else's pod.
            StuckPodError: an earlier pod does not go away.
            ApiException: the API server refuses the manifest.
            ApiUnavailable: the API server can't be asked; whether the pod exists is unknown.
        """
        while True:
            limit = deadline.sooner(request_seconds)
            try:
                return await self.requests.create(
                    self.api, "pod", manifest, self.namespace, deadline=limit
                )
            except ApiException as e:
                if e.status != 409:
                    raise
            present = await self.read(limit)
            if present is None:
                continue
            if spawn_id_of(present) == spawn_id:
                self.log.info("Adopting pod %s, created by an earlier attempt", self.name)
                return present
            await self._make_way(present, known_uid, limit)
            # One that ends by itself has its grace period, however short requests are.
            patience = max(_grace_of(present) + GRACE_MARGIN, request_seconds)
            await self.gone(uid_of(present), deadline.sooner(patience))

    async def _make_way(
        self, present: Mapping[str, Any], known_uid: str, deadline: Deadline
    ) -> None:
        """Delete the earlier pod of this server, unless that is under way.

        Raises:
            SpawnError: it is somebody else's.
        """
        uid = uid_of(present)
        if not is_terminating(present):
            if not is_pod_of(self.owner, present) and uid != known_uid:
                raise SpawnError(
                    "Another server already uses the name that yours would get. "
                    "Please tell the administrator of this hub.",
                    reason="NameCollision",
                    admin_message=(
                        f"Pod {self.namespace}/{self.name} (uid {uid}) belongs to "
                        f"{described_owner(present)}, not to {self.owner}; it is left alone. "
                        "Give each hub its own component_label or namespace, and each server "
                        "its own name in KubeSpawner.pod_name_template."
                    ),
                    status_code=409,
                )
            self.log.warning(
                "Replacing the earlier pod %s/%s (uid %s)", self.namespace, self.name, uid
            )
            await self.requests.delete(
                self.api,
                "pod",
                self.name,
                self.namespace,
                uid=uid,
                grace_seconds=0,
                deadline=deadline,
            )

    async def delete(
        self, *, uid: str, grace_seconds: int, deadline: Deadline | None = None
    ) -> bool:
        """Ask for deletion of the pod ``uid``; False if that one is gone already."""
        return await self.requests.delete(
            self.api,
            "pod",
            self.name,
            self.namespace,
            uid=uid or None,
            grace_seconds=grace_seconds,
            deadline=deadline,
        )

    async def gone(self, uid: str, deadline: Deadline) -> None:
        """Wait until the pod ``uid`` is gone.

        Raises:
            StuckPodError: it is still there at the deadline; names node and finalizers.
        """
        left = await self.wait_gone(self.name, uid, deadline)
        if left is None:
            return
        metadata = left.get("metadata") or {}
        node = (left.get("spec") or {}).get("nodeName")
        finalizers = metadata.get("finalizers") or []
        hangs_on = (
            f"finalizers {finalizers}"
            if finalizers
            else f"node {node!r}, whose kubelet has not confirmed"
            if node
            else "the API server"
        )
        raise StuckPodError(
            "Your previous server is still shutting down. Please try again in a minute.",
            reason="PodStuckTerminating",
            admin_message=(
                f"Pod {self.namespace}/{self.name} (uid {uid}) was told to go at "
                f"{metadata.get('deletionTimestamp')} and is still there; it hangs on {hangs_on}."
            ),
            status_code=503,
        )

    async def remove(
        self, *, spawn_id: str, uid: str, deadline: Deadline | None = None, grace_seconds: int = 0
    ) -> None:
        """Delete what one spawn created, also when the answer to the create was lost.

        Leaves every pod alone that carries another spawn id.
        """
        if not uid:
            present = await self.read(deadline)
            if present is None or spawn_id_of(present) != spawn_id:
                return
            uid = uid_of(present)
        await self.delete(uid=uid, grace_seconds=grace_seconds, deadline=deadline)

    def remove_when_possible(self, *, spawn_id: str, uid: str, grace_seconds: int = 0) -> None:
        """Delete in the background, however long it takes, what could not be deleted now.

        JupyterHub forgets a server whose stop failed; nobody else would delete its pod.
        """
        _in_background(self._remove_at_last(spawn_id, uid, grace_seconds))

    async def _remove_at_last(self, spawn_id: str, uid: str, grace_seconds: int) -> None:
        backoff = Backoff(first=1.0, cap=_LONGEST_PAUSE)
        refusal = ""
        while True:
            try:
                await self.remove(spawn_id=spawn_id, uid=uid, grace_seconds=grace_seconds)
            except (ApiException, ApiUnavailable) as e:
                if isinstance(e, ApiException) and str(e.status) != refusal:
                    refusal = str(e.status)
                    self.log.error("Deleting pod %s/%s: %s", self.namespace, self.name, told(e))
            else:
                self.log.info("Pod %s/%s is deleted at last", self.namespace, self.name)
                return
            await backoff.pause()

    def remove_when_it_appears(self, pods: Informer, spawn_id: str) -> None:
        """Delete the pod of a spawn that was given up, should its creation take effect later.

        Looks out for ``LATE_SECONDS``, and for pods with this spawn id only.

        Args:
            pods: the informer in which it would appear.
        """
        loop = asyncio.get_running_loop()

        def look(_type: str, _key: str, pod: Mapping[str, Any] | None) -> None:
            if pod is None or spawn_id_of(pod) != spawn_id or is_terminating(pod):
                return
            timer.cancel()
            unsubscribe()
            _in_background(self._remove_late(uid_of(pod)))

        unsubscribe = pods.subscribe(f"{self.namespace}/{self.name}", look)
        timer = loop.call_later(LATE_SECONDS, unsubscribe)

    async def _remove_late(self, uid: str) -> None:
        self.log.warning(
            "Pod %s/%s was created after its spawn had been given up; deleting it",
            self.namespace,
            self.name,
        )
        try:
            await self.delete(uid=uid, grace_seconds=0)
        except (ApiException, ApiUnavailable) as e:
            self.log.error("Could not delete pod %s/%s: %s", self.namespace, self.name, e)


def _grace_of(pod: Mapping[str, Any]) -> float:
    """Return the seconds that a pod in deletion was given to end; 0 for any other."""
    return float((pod.get("metadata") or {}).get("deletionGracePeriodSeconds") or 0)


def _in_background(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    _removals.add(task)
    task.add_done_callback(_removals.discard)


async def shielded(work: Awaitable[Any], seconds: float) -> None:
    """Run cleanup to its end, or for ``seconds``, whatever happens to the caller meanwhile.

    Raises:
        TimeoutError: the work did not end in time; it is cancelled.
        asyncio.CancelledError: the caller was cancelled meanwhile, after the work has ended.
    """
    task = asyncio.ensure_future(within(work, seconds))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as e:
            cancelled = e
    if cancelled:
        if not task.cancelled():
            task.exception()
        raise cancelled
    task.result()
