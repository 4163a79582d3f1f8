"""What a starting pod is doing, and what keeps it from running."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .containers import init_problem, notebook_problem, restarting, sidecar_problem
from .failed import failed_pod, why_deleted
from .model import Diagnosis, problem
from .scheduling import scheduling_state, unscheduled_message
from .state import (
    conditions_of,
    container_spec,
    notebook_container_name,
    notebook_status,
    status_of,
    terminated,
)
from .volumes import claim_problem, mount_problem

# Events that tell how far the kubelet is. Others, such as BackOff, tell nothing new.
_STEPS = frozenset(
    {
        "Scheduled",
        "SuccessfulAttachVolume",
        "FailedMount",
        "FailedAttachVolume",
        "FailedMapVolume",
        "FailedCreatePodSandBox",
        "Pulling",
        "Pulled",
        "Created",
        "Started",
    }
)
_CONTAINER_FIELD = re.compile(r"spec\.(containers|initContainers)\{([^}]*)\}")


def diagnose(
    pod: Mapping[str, Any] | None,
    events: Iterable[Mapping[str, Any]] = (),
    claims: Iterable[Mapping[str, Any]] = (),
    crash_restarts: int = 3,
    logs: Mapping[str, str] | None = None,
) -> Diagnosis:
    """Return what a starting pod is doing, and what keeps it from running.

    Args:
        pod: None if it is gone.
        events: events of the pod and of its claims, oldest first; none if they are unknown.
        claims: the claims it mounts, as far as known.
        crash_restarts: restarts after which a crash loop is taken for one.
        logs: container name to the last lines of its log, for containers that failed.
    """
    if pod is None:
        user = "Your server was removed from the cluster. Please start it again."
        return problem("Gone", "PodDeleted", user, "the pod is gone")
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        reason, admin, user = why_deleted(pod)
        return problem("Gone", reason, user, admin, key="PodDeleted")
    events, status = list(events), status_of(pod)
    if status.get("phase") == "Failed" and (status.get("reason") or _nothing_ended(pod)):
        reason, admin, user = failed_pod(pod)
        return problem("Failed", reason, user, admin, key="PodFailed")
    if not _is_scheduled(pod):
        message = unscheduled_message(pod, events)
        return claim_problem(list(claims), events, message) or scheduling_state(pod, events)
    return _of_containers(pod, events, crash_restarts, logs or {}) or _on_the_way(pod, events)


def _of_containers(
    pod: Mapping[str, Any],
    events: list[Mapping[str, Any]],
    crash_restarts: int,
    logs: Mapping[str, str],
) -> Diagnosis | None:
    status = status_of(pod)
    for container in status.get("initContainerStatuses") or ():
        log = logs.get(container.get("name") or "", "")
        found = init_problem(pod, container, events, crash_restarts, log)
        if found:
            return found
    notebook, name = notebook_status(pod), notebook_container_name(pod)
    if notebook:
        log = logs.get(name, "")
        found = notebook_problem(pod, notebook, events, crash_restarts, log)
        if found:
            return found
    found = sidecar_problem(pod, events, name)
    if found:
        return found
    phase = status.get("phase")
    if phase == "Succeeded" or phase == "Failed":
        if phase == "Succeeded":
            user = "Your server ended while it was starting."
            return problem("Failed", "ServerExited", user, "its pod has finished")
        reason, admin, user = failed_pod(pod)
        return problem("Failed", reason, user, admin, key="PodFailed")
    if phase == "Unknown":
        user = "The machine that your server starts on does not answer."
        admin = f"phase Unknown: {status.get('message') or 'the kubelet does not report'}"
        return problem("Starting", "NodeUnreachable", user, admin)
    if notebook and (notebook.get("state") or {}).get("running"):
        return Diagnosis("Running" if notebook.get("ready") else "Starting", container=name)
    return restarting(pod, notebook, logs.get(name, "")) if notebook else None


def _nothing_ended(pod: Mapping[str, Any]) -> bool:
    """Whether no container's end can explain why the pod failed."""
    status = status_of(pod)
    ended = [
        terminated(container)
        for container in (
            notebook_status(pod) or {},
            *(status.get("initContainerStatuses") or ()),
        )
    ]
    return not any(end and end.get("exitCode") is not None for end in ended)


def _is_scheduled(pod: Mapping[str, Any]) -> bool:
    return bool((pod.get("spec") or {}).get("nodeName")) or any(
        conditions_of(pod, "PodScheduled", "True")
    )


def _on_the_way(pod: Mapping[str, Any], events: list[Mapping[str, Any]]) -> Diagnosis:
    """Return how far a pod is that has a node, and with which nothing is wrong so far."""
    last = next((e for e in reversed(events) if _is_step(e, pod)), None)
    step = (last or {}).get("reason")
    message = str((last or {}).get("message") or "")
    if last is not None and step in ("FailedMount", "FailedAttachVolume", "FailedMapVolume"):
        return mount_problem(last)
    if step == "FailedCreatePodSandBox":
        user = "The machine can't prepare the network of your server yet."
        return problem("Preparing", "SandboxFailed", user, f"{step}: {message}")
    kind, name = _container_of(last)
    if step == "Pulling":
        return Diagnosis("Pulling", admin=message, container=name)
    unfinished = [
        container.get("name") or ""
        for container in status_of(pod).get("initContainerStatuses") or ()
        if not _init_done(pod, container)
    ]
    if unfinished:
        begun = kind == "initContainers" or step in ("Pulled", "Created", "Started")
        return Diagnosis("Initializing" if begun else "Preparing", container=unfinished[0])
    if step in ("Pulled", "Created", "Started"):
        return Diagnosis("Starting", container=name)
    return Diagnosis("Preparing")


def _is_step(event: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    about = event.get("involvedObject") or {}
    if event.get("reason") not in _STEPS or about.get("kind", "Pod") != "Pod":
        return False
    # That a helper container has started says nothing about the notebook.
    kind, name = _container_of(event)
    return kind != "containers" or name == notebook_container_name(pod)


def _container_of(event: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return kind (``containers``, ``initContainers``) and name of an event's container."""
    field = ((event or {}).get("involvedObject") or {}).get("fieldPath") or ""
    found = _CONTAINER_FIELD.search(field)
    return (found[1], found[2]) if found else ("", "")


def _init_done(pod: Mapping[str, Any], container: Mapping[str, Any]) -> bool:
    """Whether an init container lets the next one start: it ended well, or it is a sidecar
    (``restartPolicy: Always``) that was started.

    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    """
    ended = terminated(container)
    if ended:
        return ended.get("exitCode") == 0
    sidecar = container_spec(pod, container.get("name") or "").get("restartPolicy") == "Always"
    return sidecar and bool(container.get("started"))
