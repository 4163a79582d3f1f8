"""Waiting for a server to be ready, telling what is waited for, and knowing when it is hopeless.

:class:`Waiting` is a mixin of ``KubeSpawner``. Nothing here polls: the wait wakes on changes of
the pod, on its events, and when a patience ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import aiohttp
from kubernetes_asyncio.client import ApiException

from . import figures
from .addresses import PORT_NAME
from .checks import check_pod
from .config import is_overridden
from .diagnosis import Diagnosis, diagnose
from .errors import ConfigurationError, SpawnError
from .failures import explained
from .kube.pod_events import Followed, PodEvents
from .kube.requests import ApiUnavailable, Deadline
from .kube.timing import within
from .ownership import is_terminating, uid_of
from .phases import event_message, event_progress, phase_message
from .podsecurity import violations
from .pulls import PullBook
from .telling import Telling

# Failures whose reason only the container itself knows, and how much of its log is shown.
_TOLD_BY_LOG = frozenset({"InitContainerFailed", "CrashLoopBackOff", "Restarting", "ServerExited"})
_LOG_LINES = 10
# Seconds for that when the time is up: the hub itself gives up a second later.
_LAST_LOOK = 0.5
# What a claim can tell more of than the scheduler does.
_ABOUT_CLAIMS = frozenset({"ClaimPending", "ClaimProvisioningFailed", "ClaimLost"})


@dataclass
class Spawn:
    """One attempt to start one server."""

    id: str
    deadline: Deadline
    started: datetime
    phase: str = ""
    # Seconds of a monotonic clock, when the phase began.
    entered: float = 0.0
    uid: str = ""
    # Whether the create request was sent: from then on there may be something to clean up.
    created: bool = False
    followed: Followed | None = None
    told: dict[str, int] = field(default_factory=dict)
    # The claims that the pod waits for, as last read; None: they may not be read.
    claims: list[dict[str, Any]] | None = field(default_factory=list)
    # What was found last about the pod.
    diagnosis: Diagnosis | None = None
    # What the pod is at, and since when (of a monotonic clock).
    pod_phase: tuple[str, float] = ("", 0.0)

    def seconds_in(self, pod_phase: str, now: float) -> float:
        """Return how long the pod has been in ``pod_phase``, as far as was seen."""
        if self.pod_phase[0] != pod_phase:
            self.pod_phase = (pod_phase, now)
        return now - self.pod_phase[1]

    def enter(self, phase: str) -> None:
        self._leave()
        self.phase, self.entered = phase, time.monotonic()

    def _leave(self) -> None:
        if self.phase:
            figures.phases[self.phase].observe(time.monotonic() - self.entered)

    def follow(self, watch: PodEvents, namespace: str, pod_name: str) -> None:
        self.followed = watch.follow(namespace, pod_name, since=self.started)

    def waits_for_claim(self, name: str) -> None:
        if self.followed:
            self.followed.claims.add(name)

    def is_pod(self, pod: Mapping[str, Any]) -> None:
        if self.followed:
            self.followed.uid = uid_of(pod)
        for claim in claims_of(pod):
            self.waits_for_claim(claim)

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.followed.events if self.followed else []

    def close(self) -> None:
        self._leave()
        if self.followed:
            self.followed.close()


def claims_of(pod: Mapping[str, Any]) -> list[str]:
    """Return the names of the claims that ``pod`` mounts."""
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    names = ((v.get("persistentVolumeClaim") or {}).get("claimName") for v in volumes)
    return [name for name in names if name]


class PatienceBook:
    """How long each condition has been there, and how long it may be.

    Args:
        patience: reason to seconds; 0 = end at once, -1 = never end early. Reasons that are
            missing get the diagnosis' own.
        clock: seconds of a monotonic clock.
    """

    def __init__(self, patience: Mapping[str, float], clock: Callable[[], float]):
        self._patience = patience
        self._clock = clock
        # When each reason was first seen since the last time that nothing was wrong.
        self._since: dict[str, float] = {}

    def left(self, diagnosis: Diagnosis) -> float | None:
        """Return the seconds that ``diagnosis`` may go on; None if for ever."""
        reason = diagnosis.reason
        if reason is None:
            self._since.clear()
            return None
        since = self._since.setdefault(reason, self._clock())
        allowed = diagnosis.patience
        for key in (diagnosis.patience_key, reason):
            if key is not None and key in self._patience:
                allowed = self._patience[key]
        if allowed is None or allowed < 0:
            return None
        return since + allowed - self._clock()


class Waiting(Telling):
    """The wait of ``start()`` for a pod that exists to become a server that answers."""

    # Of all servers: who waits for an image learns what it took others.
    _pull_book: ClassVar[PullBook] = PullBook()

    is_pod_running: Callable[[Mapping[str, Any] | None], bool]
    _current_spawn: Spawn | None = None

    def _check_manifest(self, manifest: Any) -> None:
        """Refuse a manifest that can't work, before anything is created.

        Raises:
            ConfigurationError: names every problem and its setting.
        """
        # An operator's own rule need not ask for the port.
        own_rule = is_overridden(type(self), "_get_pod_url", "_get_pod_port")
        asked = "" if self.get_pod_url or own_rule else PORT_NAME
        problems = check_pod(manifest, service=self.services_enabled, port=asked)
        problems += violations(manifest, self.pod_security)
        if problems:
            raise ConfigurationError("; ".join(problems), reason="InvalidManifest")

    async def _wait_ready(self, spawn: Spawn) -> dict[str, Any]:
        """Return the pod of ``spawn`` (API JSON) once ``is_pod_running`` says so.

        Raises:
            SpawnError: it can't become ready, with the reason in words.
            TimeoutError: it did not become ready before the deadline.
        """
        pods = self._pods()
        changed = asyncio.Event()
        patience = PatienceBook(self.spawn_patience, asyncio.get_running_loop().time)
        unsubscribe = pods.on_change(self._pod_key, changed.set)
        if spawn.followed:
            spawn.followed.on_change(changed.set)
        try:
            while True:
                changed.clear()
                pod = pods.get(self._pod_key)
                events = spawn.events
                diagnosis = spawn.diagnosis = await self._diagnosis(spawn, pod, events)
                self._report(spawn, pod, events, diagnosis)
                if pod is None or uid_of(pod) != spawn.uid or is_terminating(pod):
                    raise self._vanished(pod, diagnosis)
                if self.is_pod_running(pod):
                    return pod
                left = patience.left(diagnosis)
                if left is not None and left <= 0:
                    raise self._hopeless(await self._with_log(pod, events, diagnosis))
                if spawn.deadline.remaining() <= 0:
                    spawn.diagnosis = await self._last_look(pod, events, diagnosis)
                    raise TimeoutError(
                        spawn.diagnosis.admin or diagnosis.user or "the pod is not ready"
                    )
                await self._next_change(changed, left, spawn, diagnosis)
        finally:
            unsubscribe()

    async def _diagnosis(
        self, spawn: Spawn, pod: Mapping[str, Any] | None, events: list[dict[str, Any]]
    ) -> Diagnosis:
        found = diagnose(pod, events, crash_restarts=self.crash_loop_restarts)
        if pod is None or found.reason not in _ABOUT_CLAIMS or spawn.claims is None:
            return found
        try:
            spawn.claims = await self._claims_mounted(pod, spawn.deadline)
        except (ApiException, ApiUnavailable) as e:
            self.log.debug("The claims of %s can't be read: %s", self._pod_key, e)
            if isinstance(e, ApiException) and e.status == 403:
                # The Role need not give it; asking again would change nothing.
                spawn.claims = None
        return diagnose(pod, events, spawn.claims or (), self.crash_loop_restarts)

    async def _claims_mounted(
        self, pod: Mapping[str, Any], deadline: Deadline
    ) -> list[dict[str, Any]]:
        """Return the claims that ``pod`` mounts, as far as they exist.

        Raises:
            ApiException: they may not be read.
            ApiUnavailable: there was no answer.
        """
        claims = []
        for name in claims_of(pod):
            claim = await self._requests.read(
                self.api,
                "persistent_volume_claim",
                name,
                self.namespace,
                deadline=deadline.sooner(self.k8s_api_request_timeout),
            )
            if claim is not None:
                claims.append(claim)
        return claims

    async def _with_log(
        self, pod: Mapping[str, Any], events: list[dict[str, Any]], diagnosis: Diagnosis
    ) -> Diagnosis:
        """Return the diagnosis with the last lines that its container wrote, where that helps."""
        if diagnosis.reason not in _TOLD_BY_LOG or not diagnosis.container:
            return diagnosis
        try:
            response = await self.api.read_namespaced_pod_log(
                self.pod_name,
                self.namespace,
                container=diagnosis.container,
                tail_lines=_LOG_LINES,
                _preload_content=False,
                _request_timeout=self.k8s_api_request_timeout,
            )
            text = (await response.read()).decode(errors="replace")
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as e:
            self.log.debug("The log of %s can't be read: %s", self._pod_key, e)
            return diagnosis
        if response.status != 200:
            # Reading logs is a permission of its own, which the Role need not give.
            error = ApiException(status=response.status, reason=response.reason)
            error.body = text
            level = logging.WARNING if response.status == 403 else logging.DEBUG
            self.log.log(level, "The log of %s can't be shown: %s", self._pod_key, explained(error))
            return diagnosis
        return diagnose(
            pod,
            events=events,
            crash_restarts=self.crash_loop_restarts,
            logs={diagnosis.container: text},
        )

    async def _last_look(
        self, pod: Mapping[str, Any], events: list[dict[str, Any]], diagnosis: Diagnosis
    ) -> Diagnosis:
        """Return the diagnosis with the container's last lines, if they are there in an instant."""
        try:
            return await within(self._with_log(pod, events, diagnosis), _LAST_LOOK)
        except (TimeoutError, asyncio.TimeoutError):
            return diagnosis

    async def _next_change(
        self, changed: asyncio.Event, left: float | None, spawn: Spawn, diagnosis: Diagnosis
    ) -> None:
        """Wait for news, the end of a patience, or the next full minute of what is waited for."""
        remaining = max(spawn.deadline.remaining(), 0)
        seconds = spawn.seconds_in(diagnosis.phase, asyncio.get_running_loop().time())
        limits = [remaining, 60 - seconds % 60, *([] if left is None else [left])]
        try:
            await within(changed.wait(), min(limits))
        except (TimeoutError, asyncio.TimeoutError):
            return

    def _report(
        self,
        spawn: Spawn,
        pod: Mapping[str, Any] | None,
        events: list[dict[str, Any]],
        diagnosis: Diagnosis,
    ) -> None:
        for event in events:
            uid, count = uid_of(event), event.get("count") or 1
            if spawn.told.get(uid) == count:
                continue
            spawn.told[uid] = count
            self._pull_book.note(event)
            self._feed.add(
                event_message(event),
                progress=event_progress(event),
                kind="event",
                raw_event=event,
            )
        if pod is not None:
            elapsed = spawn.seconds_in(diagnosis.phase, asyncio.get_running_loop().time())
            self._feed.tell_phase(phase_message(pod, events, diagnosis, elapsed, self._pull_book))

    def _vanished(self, pod: Mapping[str, Any] | None, diagnosis: Diagnosis) -> SpawnError:
        what = (
            "was deleted"
            if pod is None
            else "is being deleted"
            if is_terminating(pod)
            else "was replaced by another one"
        )
        because = f" Before that: {diagnosis.admin}" if diagnosis.reason else ""
        return SpawnError(
            "Your server was removed from the cluster while it was starting. Please try again.",
            reason="PodDeleted",
            admin_message=f"Pod {self._pod_key} {what} during its start.{because}",
            status_code=503,
        )

    def _hopeless(self, diagnosis: Diagnosis) -> SpawnError:
        error = SpawnError(
            diagnosis.user,
            reason=diagnosis.reason or "Failed",
            admin_message=f"Pod {self._pod_key}: {diagnosis.admin}",
            status_code=424,
        )
        error.keep_pod = True
        error.waiting_helps = diagnosis.waiting_helps
        return error
