"""A pod's status, computed from its containers' as a kubelet does.

Pure: plain data in and out.
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Status = Mapping[str, Any]


def phase(
    policy: str,
    containers: Sequence[Status],
    init_containers: Sequence[Status] = (),
) -> str:
    """Return the phase of a pod.

    Args:
        policy: restart policy: Always, OnFailure or Never.
        containers, init_containers: container statuses, one for each in the manifest.
    """
    for status in init_containers:
        ended = status["state"].get("terminated")
        if ended and ended["exitCode"] == 0:
            continue
        return "Failed" if ended and policy == "Never" else "Pending"
    if any("waiting" in s["state"] and not s.get("lastState") for s in containers):
        return "Pending"
    ends = [s["state"].get("terminated") for s in containers]
    if policy == "Always" or not all(ends):
        # Waiting with a last state: between two runs.
        return "Running"
    failed = any(end and end["exitCode"] for end in ends)
    if not failed:
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def final_phase(containers: Sequence[Status]) -> str:
    """Return the phase of a pod that was stopped, and whose containers have all ended."""
    failed = any((s["state"].get("terminated") or {}).get("exitCode") for s in containers)
    return "Failed" if failed else "Succeeded"


def conditions(
    containers: Sequence[Status],
    *,
    initialized: bool,
    phase: str,
    before: Sequence[Mapping[str, Any]],
    time: str,
) -> list[dict[str, Any]]:
    """Return a pod's conditions.

    Args:
        before: the last ones, whose transition times hold on while nothing changes.
        time: now.
    """
    unready = [s["name"] for s in containers if not s["ready"]]
    values: list[tuple[str, bool, str, str]] = [
        ("PodReadyToStartContainers", True, "", ""),
        ("Initialized", initialized, "ContainersNotInitialized", "containers not initialized"),
    ]
    listed = f"containers with unready status: [{' '.join(unready)}]"
    reason = "PodCompleted" if phase == "Succeeded" else "ContainersNotReady"
    if phase == "Failed":
        reason = "PodFailed"
    values.append(("Ready", not unready, reason, listed))
    values.append(("ContainersReady", not unready, reason, listed))
    values.append(("PodScheduled", True, "", ""))
    old = {condition["type"]: condition for condition in before}
    result = []
    for type_, value, why, message in values:
        condition: dict[str, Any] = {
            "type": type_,
            "status": str(value),
            "lastProbeTime": None,
            "lastTransitionTime": time,
        }
        if not value:
            condition |= {"reason": why, "message": message}
        known = old.get(type_)
        if known and known["status"] == condition["status"]:
            condition["lastTransitionTime"] = known["lastTransitionTime"]
        result.append(condition)
    return result


def ready(containers: Sequence[Status]) -> bool:
    """Whether all containers are ready."""
    return bool(containers) and all(status["ready"] for status in containers)
