"""Pods that failed or were deleted as a whole, whatever their containers did.

https://kubernetes.io/docs/concepts/scheduling-eviction/
https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .model import ServerStatus

_AGAIN = "Please start it again."
_ADMIN = "Please tell the administrator of this hub."

_NODE_FULL = "The machine that was chosen for your server had no room for it."
_NODE_UNFIT = "The machine that was chosen for your server may not run it."
_NODE_DOWN = "The machine that your server was on was shut down."

# `status.reason` of a pod in phase Failed.
_FAILED = {
    "NodeLost": f"The machine that your server was on was lost. {_AGAIN}",
    "Preempting": f"Your server had to give way to a more important one. {_AGAIN}",
    "Preempted": f"Your server had to give way to a more important one. {_AGAIN}",
    "DeadlineExceeded": "Your server reached the time that it may run, and was stopped.",
    "UnexpectedAdmissionError": f"{_NODE_FULL} {_AGAIN}",
    "NodeShutdown": f"{_NODE_DOWN} {_AGAIN}",
    "Shutdown": f"{_NODE_DOWN} {_AGAIN}",
    "Terminated": f"{_NODE_DOWN} {_AGAIN}",
    "NodeAffinity": f"{_NODE_UNFIT} {_AGAIN}",
    "TaintToleration": f"{_NODE_UNFIT} {_AGAIN}",
    "TopologyAffinityError": f"{_NODE_FULL} {_AGAIN}",
}
# `reason` of the condition DisruptionTarget.
_DISRUPTIONS = {
    "PreemptionByScheduler": ("Preempted", _FAILED["Preempted"]),
    "PreemptionByKubeScheduler": ("Preempted", _FAILED["Preempted"]),
    "DeletionByTaintManager": ("NodeLost", _FAILED["NodeLost"]),
    "DeletionByPodGC": ("NodeLost", _FAILED["NodeLost"]),
    "EvictionByEvictionAPI": (
        "Drained",
        f"The machine that your server was on was taken out of service. {_AGAIN}",
    ),
    "TerminationByKubelet": (
        "Evicted",
        f"Your server was removed from its machine, which ran out of resources. {_AGAIN}",
    ),
}
_LOW_ON = re.compile(r"low on resource: ([\w.\[\]/-]+)")


def _disruption(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return condition
    return None


def why_deleted(pod: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return reason, facts, and a sentence for the user, of a pod that is being deleted.

    Who deletes a pod on the cluster's behalf says why in the condition ``DisruptionTarget``.
    """
    condition = _disruption(pod)
    if condition is None:
        return (
            "PodDeleted",
            "its pod was deleted from outside",
            f"Your server was removed from the cluster. {_AGAIN}",
        )
    code = condition.get("reason") or ""
    reason, user = _DISRUPTIONS.get(
        code, ("PodDeleted", f"Your server was removed from the cluster. {_AGAIN}")
    )
    return (
        reason,
        f"its pod was deleted from outside ({code}): {condition.get('message') or 'no details'}",
        user,
    )


def failed_pod(pod: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return reason, facts, and a sentence for the user, of a pod in phase ``Failed``."""
    status = pod.get("status") or {}
    message = str(status.get("message") or "").strip()
    reason = status.get("reason")
    condition = _disruption(pod)
    if not reason and condition:
        reason = _DISRUPTIONS.get(condition.get("reason") or "", ("PodFailed", ""))[0]
        message = message or str(condition.get("message") or "")
    reason = reason or "PodFailed"
    return reason, f"its pod failed ({reason}): {message or 'no details'}", _told(reason, message)


# Reason of an event about a pod that no longer exists -> reason of its end.
_LAST_EVENTS = {
    "Evicted": "Evicted",
    "NodeNotReady": "NodeLost",
    "NodeControllerEviction": "NodeLost",
    "TaintManagerEviction": "NodeLost",
    "DeletingNode": "NodeLost",
    "Preempted": "Preempted",
    "Preempting": "Preempting",
    "NodeShutdown": "NodeShutdown",
}


def why_gone(events: Iterable[Mapping[str, Any]]) -> ServerStatus:
    """Return why a pod that nobody here deleted is gone.

    Args:
        events: of that pod, in any order; those of others that delete pods say why.
    """
    for event in events:
        reason = _LAST_EVENTS.get(event.get("reason") or "")
        message = str(event.get("message") or "")
        # The taint manager also tells when it changes its mind.
        if reason and not message.startswith("Cancelling"):
            facts = f"its pod was removed ({event.get('reason')}): {message or 'no details'}"
            return ServerStatus(False, 1, reason, facts, _told(reason, message))
    user = f"Your server was removed from the cluster. {_AGAIN}"
    return ServerStatus(False, 1, "PodDeleted", "its pod was deleted from outside", user)


def _told(reason: str, message: str) -> str:
    if reason == "Evicted":
        return _evicted(message)
    if reason.startswith("OutOf"):
        lacking = reason.removeprefix("OutOf")
        return f"{_NODE_FULL} It ran out of {lacking}. {_AGAIN}"
    if reason in _FAILED:
        return _FAILED[reason]
    for told_reason, user in _DISRUPTIONS.values():
        if told_reason == reason:
            return user
    return f"The cluster could not run your server ({reason}). {_ADMIN}"


def _evicted(message: str) -> str:
    if (
        "ephemeral local storage" in message
        or "EmptyDir" in message
        or "local ephemeral" in message
    ):
        return "Your server used more temporary disk space than it may have, and was stopped."
    found = _LOW_ON.search(message)
    low = found[1].rstrip(".") if found else ""
    ran_out = f"ran out of {low}" if low else "ran out of resources"
    return f"Your server was removed from its machine, which {ran_out}. {_AGAIN}"
