"""Whether a server still runs, and why it ended, told where its user looks next.

:class:`Ending` is a mixin of ``KubeSpawner``. The reason of an end that nobody asked for goes to
the hub's log, to the server's state, and from there to the next spawn page, until a server of
that name has started again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from kubernetes_asyncio.client import ApiException

from . import figures
from .addresses import Addresses
from .config import is_overridden
from .diagnosis import ServerStatus, restarted, server_status, why_gone
from .feed import ProgressEvent
from .kube.informer import Health
from .kube.requests import ApiUnavailable, Deadline
from .kube.summary import Header
from .ownership import Owner, is_pod_of, is_terminating, spawn_id_of, uid_of
from .pods import PodPlace
from .waiting import Waiting
from .watching import Unknown

# A server that its user shut down from within ends like this; nobody needs to be told.
_ON_PURPOSE = ("ServerExited", 0)
# What a poll asks of a pod, and a subclass may answer otherwise from one poll to the next.
_QUESTIONS = ("is_pod_running", "_get_pod_url", "_get_pod_port", "_update_address", "_find_pod")


class Ending(Waiting, Addresses):
    """``poll()``, and what became of a server that it finds ended."""

    options_form: Any
    _owner: Owner
    # UID of the pod that is the server's, from its creation (or state) to its end.
    _pod_uid: str = ""
    # UID of a pod that ended because the hub said so.
    _stopped_uid: str = ""
    # Restarts of the server's container that are known.
    _restarts: int = 0
    # The spawn whose cleanup could not be confirmed: `poll()` asks the API server about it.
    _unresolved: str = ""
    # UID of a pod that failed to start and is kept to be looked at. It may be `Pending` for ever;
    # if it counted as running, the hub would stop it.
    _kept_uid: str = ""
    _stopping = False
    _outage_logged = False
    # How the last server ended, if not on purpose: reason, message for its user, time, UID of
    # its pod. JSON, as it is in the state.
    _last_exit: Mapping[str, str] = {}
    # Of the last poll, if it found the server running: the pod as the cache knew it, and the URL
    # that the hub had.
    _seen_running: tuple[Header, str] | None = None

    def _place(self) -> PodPlace:
        return PodPlace(
            requests=self._requests,
            api=self.api,
            name=self.pod_name,
            namespace=self.namespace,
            owner=self._owner,
            wait_gone=self._wait_gone,
            log=self.log,
        )

    # ---- poll --------------------------------------------------------------------------

    async def poll(self) -> int | None:
        """Return None while the server runs, starts, or can't be asked about; else its exit code."""
        # A hub that starts polls all its servers at once.
        await self._polls.mine()
        starting = self._start_future is not None and not self._start_future.done()
        if starting and not self._pod_uid:
            return None
        if self._unresolved and not starting:
            return await self._poll_unresolved()
        if self._seen_running is not None and self._is_as_seen(*self._seen_running):
            return None
        pod = await self._find_pod()
        if isinstance(pod, Unknown):
            self._note_outage(pod)
            return None
        self._outage_logged = False
        if pod is not None and not is_pod_of(self._owner, pod) and uid_of(pod) != self._pod_uid:
            pod = None
        status = server_status(
            pod,
            own_stop=self._stopping,
            crash_restarts=self.crash_loop_restarts,
        )
        if pod is None or not status.running or uid_of(pod) == self._kept_uid:
            if starting:
                # The start itself tells what happened, and cleans up.
                return None
            return await self._ended(pod, status)
        if not starting:
            self._note_restarts(pod)
        if self.is_pod_running(pod):
            await self._update_address(pod)
            if not starting:
                self._note_running(pod)
        return None

    def _is_as_seen(self, header: Header, url: str) -> bool:
        """Whether a poll would find what the last one found, without decoding the pod."""
        pods = self._pods()
        return (
            pods.health is Health.FRESH
            # A new version of the pod has a header of its own.
            and pods.header(self._pod_key) is header
            and self._url_in_hub() == url
        )

    def _note_running(self, pod: Mapping[str, Any]) -> None:
        """Spare the next polls what only a change of ``pod``, or of its URL, can change."""
        header = self._pods().header(self._pod_key)
        # The cache may have gone on meanwhile, or this pod be from the API server itself.
        if (
            header is not None
            and header.metadata.uid == uid_of(pod)
            and header.metadata.resource_version == pod["metadata"].get("resourceVersion")
            and not self.get_pod_url
            and not is_overridden(type(self), *_QUESTIONS)
        ):
            self._seen_running = header, self._url_in_hub()

    def _url_in_hub(self) -> str:
        server = self.server  # type: ignore[attr-defined]
        return str(server.url) if server else ""

    async def _poll_unresolved(self) -> int | None:
        try:
            pod = await self._read_pod()
        except (ApiException, ApiUnavailable) as e:
            self._note_outage(Unknown(e))
            return None
        if pod is not None and spawn_id_of(pod) == self._unresolved:
            self._pod_uid = uid_of(pod)
            return None if not is_terminating(pod) else 1
        self._unresolved = ""
        return 1

    def _note_outage(self, unknown: Unknown) -> None:
        figures.polls["unknown"] += 1
        self._seen_running = None
        if not self._outage_logged:
            self._outage_logged = True
            self.log.warning(
                "Whether %s still runs is unknown, since the cluster can't be asked; "
                "it counts as running: %s",
                self._log_name,
                unknown.cause,
            )

    async def _ended(self, pod: Mapping[str, Any] | None, status: ServerStatus) -> int:
        uid = uid_of(pod) if pod is not None else self._pod_uid
        if uid and uid not in (self._stopped_uid, self._last_exit.get("uid")):
            self._note_exit(uid, await self._why_ended(uid, pod, status))
        if pod is not None and self.delete_stopped_pods and not is_terminating(pod):
            try:
                await self._place().delete(
                    uid=uid,
                    grace_seconds=0,
                    deadline=Deadline.after(self.k8s_api_request_timeout),
                )
            except (ApiException, ApiUnavailable) as e:
                self.log.warning("Could not delete the ended pod %s: %s", self._pod_key, e)
        return 1 if status.exit_code is None else status.exit_code

    async def _why_ended(
        self, uid: str, pod: Mapping[str, Any] | None, status: ServerStatus
    ) -> ServerStatus:
        """Return why a server ended; where its pod was deleted, as the pod's events tell."""
        if pod is not None and status.reason != "PodDeleted":
            return status
        found = await self._why_gone(uid)
        return status if pod is not None and found.reason == "PodDeleted" else found

    async def _why_gone(self, uid: str) -> ServerStatus:
        events: list[dict[str, Any]] = []
        if self.events_enabled:
            try:
                events = await self._requests.list(
                    self.api,
                    "event",
                    self.namespace,
                    field_selector=f"involvedObject.uid={uid}",
                    deadline=Deadline.after(self.k8s_api_request_timeout),
                )
            except (ApiException, ApiUnavailable) as e:
                self.log.debug("The events of %s can't be read: %s", self._pod_key, e)
        return why_gone(events)

    # ---- the last end ------------------------------------------------------------------

    @property
    def exit_reason(self) -> str:
        """CamelCase name of why the last server ended; '' if it runs, or was told to end."""
        return self._last_exit.get("reason", "")

    def _note_exit(self, uid: str, status: ServerStatus) -> None:
        self.log.warning("Server %s ended (%s): %s", self._log_name, status.reason, status.message)
        if (status.reason, status.exit_code) != _ON_PURPOSE:
            self._last_exit = _record(uid, status)

    def _note_restarts(self, pod: Mapping[str, Any]) -> None:
        """Tell of a server that the kubelet started again, which the hub would never notice."""
        self._restarts, why = restarted(pod, self._restarts)
        if why is None:
            return
        self.log.warning(
            "The container of server %s was restarted, %s times by now (%s): %s",
            self._log_name,
            self._restarts,
            why.reason,
            why.message,
        )
        self._last_exit = _record(uid_of(pod) + "/restarted", why)

    async def last_exit_notice(self) -> ProgressEvent | None:
        """Return what to tell the user of how their last server ended; None if there is nothing.

        For the spawn page; a hub without one tells it as the first message of the next start.
        """
        message = self._last_exit.get("message")
        if not message:
            return None
        return await self._in_their_words(self._exit_event(message))

    def _exit_event(self, message: str) -> ProgressEvent:
        return {
            "kind": "last_exit",
            "reason": self.exit_reason,
            "progress": 0,
            "message": f"About your last server: {message}",
        }

    def _tell_last_exit(self) -> None:
        message = self._last_exit.get("message")
        if message and not self.options_form:
            self._feed.add(**self._exit_event(message))

    def _exit_state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"last_exit": dict(self._last_exit), "restarts": self._restarts}
        return {"exit_reason": self.exit_reason, **state}

    def _load_exit_state(self, state: Mapping[str, Any]) -> None:
        self._seen_running = None
        self._restarts = state.get("restarts", 0)
        if state.get("last_exit"):
            self._last_exit = state["last_exit"]


def _record(uid: str, status: ServerStatus) -> dict[str, str]:
    return {
        "reason": status.reason,
        "message": status.user,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "uid": uid,
    }
