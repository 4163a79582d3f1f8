"""Why no node takes a pod, from the scheduler's and the autoscaler's texts.

https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/
https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md#what-events-are-emitted-by-ca
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .model import Diagnosis, problem
from .state import conditions_of

Events = Sequence[Mapping[str, Any]]

_ADMIN = "Please tell the administrator of this hub."
_INSUFFICIENT = re.compile(r"(\d+) Insufficient ([A-Za-z0-9][\w./-]*[\w])")
_NODES = re.compile(r"(\d+)/(\d+) nodes are available")

# Part of the scheduler's text -> sentence. In order of what says most to a person.
_CAUSES = (
    (
        "volume node affinity conflict",
        "Your storage volume is in a place where no machine can take your server now.",
    ),
    (
        "no available volume zone",
        "Your storage volume is in a place where no machine can take your server now.",
    ),
    (
        "ReadWriteOncePod access mode",
        "Your storage volume is still used by another server of yours.",
    ),
    ("max volume count", "The machines of the cluster have as many volumes as they can have."),
    ("Too many pods", "The machines of the cluster run as many servers as they may."),
    (
        "cannot allocate all claims",
        "No machine has a free device of the kind that your server asks for.",
    ),
    (
        "node affinity/selector",
        "The cluster has no machine of the kind that your server asks for.",
    ),
    # Kubernetes 1.20: "didn't match Pod's node affinity."
    ("Pod's node affinity", "The cluster has no machine of the kind that your server asks for."),
    ("node selector", "The cluster has no machine of the kind that your server asks for."),
    (
        "taint",
        "The machines of the cluster are kept for other work, or are not ready yet.",
    ),
    (
        "node(s) were unschedulable",
        "The machines of the cluster take no new servers at the moment.",
    ),
    ("node(s) were not ready", "The machines of the cluster are not ready."),
    (
        "anti-affinity",
        "Your server may not share a machine with the servers that run there already.",
    ),
    ("pod affinity", "Your server must run beside another one, and there is no room."),
    ("topology spread", "Your server can't be placed without crowding a part of the cluster."),
    ("free ports", "A port that your server needs is taken on each machine."),
)
_RESOURCES = {
    "cpu": "CPU",
    "memory": "memory",
    "ephemeral-storage": "disk space",
    "pods": "places for servers",
}


def unscheduled_message(pod: Mapping[str, Any], events: Events) -> str | None:
    """Return the scheduler's text on why it finds no node; None if it has not said so."""
    for condition in conditions_of(pod, "PodScheduled", "False"):
        if condition.get("reason") == "Unschedulable":
            return str(condition.get("message") or "")
        return None
    for event in reversed(events):
        if event.get("reason") == "FailedScheduling":
            return str(event.get("message") or "")
    return None


def scheduling_state(pod: Mapping[str, Any], events: Events) -> Diagnosis:
    """Return the diagnosis of a pod without a node, as far as it is not about its volumes."""
    for condition in conditions_of(pod, "PodScheduled", "False"):
        if condition.get("reason") == "SchedulingGated":
            return Diagnosis(
                "Scheduling",
                None,
                "Your server waits for its turn.",
                f"scheduling gates: {condition.get('message') or ''}",
            )
        if condition.get("reason") == "SchedulerError":
            return Diagnosis("Scheduling", admin=f"scheduler: {condition.get('message') or ''}")
    message = unscheduled_message(pod, events)
    if message is None:
        return Diagnosis("Scheduling")
    scale_up = _scale_up(events)
    if scale_up is not None and scale_up.get("reason") != "NotTriggerScaleUp":
        return Diagnosis(
            "Scheduling",
            None,
            "Waiting for a new machine to be added, which takes some minutes.",
            f"scale-up: {scale_up.get('message') or ''}; before: {message}",
        )
    user, admin = _why(message), f"unschedulable: {message}"
    if scale_up is not None:
        user += " No machine can be added."
        admin += f"; autoscaler: {scale_up.get('message') or ''}"
    return problem("Scheduling", "Unschedulable", user, admin)


def _scale_up(events: Events) -> Mapping[str, Any] | None:
    """Return the autoscaler's last word: cluster-autoscaler's, or Karpenter's ``Nominated``."""
    for event in reversed(events):
        if event.get("reason") in ("TriggeredScaleUp", "NotTriggerScaleUp", "Nominated"):
            return event
    return None


def _why(message: str) -> str:
    """Return the scheduler's text as a sentence for the user, with the resource that lacks."""
    # What follows is about making room by removing others.
    text = message.split("preemption:")[0]
    nodes = _NODES.search(text)
    count = int(nodes[2]) if nodes else None
    if count == 0 or "no nodes available" in text:
        return "The cluster has no machine at the moment."
    lacking = {resource: int(number) for number, resource in _INSUFFICIENT.findall(text)}
    if lacking:
        # More than one of them may lack on one node; the widest lack says most.
        most = max(lacking.values())
        names = [_resource(name) for name, number in lacking.items() if number == most]
        # The others are none that could take it: why, the next cause would say.
        some = f" ({most} of {count} machines lack it)" if count and most < count else ""
        return f"No machine has enough free {_listed(names)} for your server at the moment{some}."
    for part, user in _CAUSES:
        if part in text:
            return user
    return "No machine in the cluster can take your server at the moment."


def _resource(name: str) -> str:
    if name.endswith("/gpu"):
        return f"GPUs ({name})"
    return _RESOURCES.get(name, name)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
