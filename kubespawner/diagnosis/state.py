"""Reading a pod's status: the notebook container, how it ended, whether the server runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .amounts import readable_memory
from .failed import failed_pod, why_deleted
from .model import ServerStatus

NOTEBOOK = "notebook"
NOTEBOOK_PORT = "notebook-port"

_RUNNING = ServerStatus(True)


def status_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return item.get("status") or {}


def containers_of(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (pod.get("spec") or {}).get("containers") or ()


def init_containers_of(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (pod.get("spec") or {}).get("initContainers") or ()


def container_spec(pod: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the container or init container ``name`` of the pod's spec; empty if there is none."""
    for container in (*containers_of(pod), *init_containers_of(pod)):
        if container.get("name") == name:
            return container
    return {}


def conditions_of(pod: Mapping[str, Any], kind: str, status: str) -> Iterator[Mapping[str, Any]]:
    for condition in status_of(pod).get("conditions") or ():
        if condition.get("type") == kind and condition.get("status") == status:
            yield condition


def notebook_container_name(pod: Mapping[str, Any]) -> str:
    """Return the container of the server: named ``notebook``, else by its port, else the first.

    The port is the one named ``notebook-port``. A pod without containers gives ``notebook``.
    """
    containers = containers_of(pod)
    names = [container.get("name") or "" for container in containers]
    if NOTEBOOK in names:
        return NOTEBOOK
    for container in containers:
        if any(port.get("name") == NOTEBOOK_PORT for port in container.get("ports") or ()):
            return container.get("name") or ""
    return names[0] if names else NOTEBOOK


def notebook_status(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the container status of the server; None if the kubelet has reported none."""
    name = notebook_container_name(pod)
    for status in status_of(pod).get("containerStatuses") or ():
        if status.get("name") == name:
            return status
    return None


def is_ready(pod: Mapping[str, Any] | None, all_containers: bool = False) -> bool:
    """Whether the server's container is ready; with ``all_containers``, every container.

    False for None and for a pod of which the kubelet has not reported yet.
    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes
    """
    if pod is None:
        return False
    if all_containers:
        statuses = status_of(pod).get("containerStatuses") or ()
        return (
            bool(statuses)
            and len(statuses) >= len(containers_of(pod))
            and all(status.get("ready") for status in statuses)
        )
    status = notebook_status(pod)
    return bool(status and status.get("ready"))


def server_status(
    pod: Mapping[str, Any] | None, *, own_stop: bool = False, crash_restarts: int = 3
) -> ServerStatus:
    """Return whether the server in ``pod`` runs, or may still start.

    Args:
        pod: None if there certainly is none.
        own_stop: a deletion mark is of our own making, and not the end yet.
        crash_restarts: restarts after which a crashing container counts as ended.
    """
    if pod is None:
        return ServerStatus(
            False, 1, "PodMissing", "its pod no longer exists", "Your server is no longer there."
        )
    container = notebook_status(pod) or {}
    ended = terminated(container)
    code = _exit_code(ended)
    if (pod.get("metadata") or {}).get("deletionTimestamp") and not own_stop:
        reason, message, user = why_deleted(pod)
        return ServerStatus(False, code, reason, message, user)
    status = status_of(pod)
    # Why a pod failed says more than that its containers were killed then.
    if status.get("phase") == "Failed" and (status.get("reason") or not ended):
        reason, message, user = failed_pod(pod)
        return ServerStatus(False, code, reason, message, user)
    if ended:
        if will_restart(pod, container.get("name") or "", ended):
            return _RUNNING
        return ServerStatus(False, code, *end_of(ended, memory_limit(pod, container)))
    if status.get("phase") == "Succeeded":
        return ServerStatus(False, 0, "ServerExited", "its pod has finished", "Your server ended.")
    if is_crash_loop(container, crash_restarts):
        last = last_end(container)
        _, message, user = end_of(last, memory_limit(pod, container))
        restarts = f"restarted {container.get('restartCount')} times; last: {message}"
        return ServerStatus(False, _exit_code(last), "CrashLoopBackOff", restarts, user)
    return _RUNNING


def restarted(pod: Mapping[str, Any], since: int = 0) -> tuple[int, ServerStatus | None]:
    """Return how often the server's container was restarted, and why it ended before that.

    Args:
        since: the number of restarts that is known already; with no more there is no reason.
    """
    container = notebook_status(pod) or {}
    count, last = container.get("restartCount") or 0, last_end(container)
    if count <= since or not last:
        return count, None
    reason, message, user = end_of(last, memory_limit(pod, container))
    return count, ServerStatus(True, _exit_code(last), reason, message, user)


def terminated(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return how the container ended, if it does not run now and was not restarted."""
    return (container.get("state") or {}).get("terminated")


def waiting(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the container waits for; empty if it runs or ended."""
    return (container.get("state") or {}).get("waiting") or {}


def last_end(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how the container ended last, before its present state; empty if it never did."""
    return (container.get("lastState") or {}).get("terminated") or {}


def _exit_code(ended: Mapping[str, Any] | None) -> int:
    code = ended.get("exitCode") if ended else None
    return 1 if code is None else int(code)


def will_restart(pod: Mapping[str, Any], name: str, ended: Mapping[str, Any]) -> bool:
    """Whether the kubelet starts a container of this pod again that has ended like this.

    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
    """
    if status_of(pod).get("phase") in ("Succeeded", "Failed"):
        return False
    spec = container_spec(pod, name)
    code = ended.get("exitCode")
    # Rules and policies of single containers: from Kubernetes 1.34.
    for rule in spec.get("restartPolicyRules") or ():
        exit_codes = rule.get("exitCodes") or {}
        listed = code in (exit_codes.get("values") or ())
        if listed == (exit_codes.get("operator", "In") == "In"):
            return bool(rule.get("action") == "Restart")
    policy = spec.get("restartPolicy") or (pod.get("spec") or {}).get("restartPolicy") or "Always"
    return bool(policy == "Always" or (policy == "OnFailure" and code != 0))


def is_crash_loop(container: Mapping[str, Any], restarts: int) -> bool:
    """Whether the container was restarted at least ``restarts`` times and waits for the next."""
    return (
        waiting(container).get("reason") == "CrashLoopBackOff"
        and (container.get("restartCount") or 0) >= restarts
    )


# 128 + the signal, as a container runtime reports it.
_SIGNALS = {137: "killed (SIGKILL)", 139: "crashed (SIGSEGV)", 143: "asked to end (SIGTERM)"}


def memory_limit(pod: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Return the limit that a container (its status) has, such as ``2 GiB``; '' without one."""
    resources = container_spec(pod, container.get("name") or "").get("resources") or {}
    limit = (resources.get("limits") or {}).get("memory")
    return readable_memory(limit) if limit else ""


def end_of(ended: Mapping[str, Any], limit: str = "") -> tuple[str, str, str]:
    """Return reason, facts, and a sentence for the user, of an ended container.

    Args:
        limit: of its memory, in words; '' if it has none.
    """
    code = ended.get("exitCode")
    if ended.get("reason") == "OOMKilled":
        # Without a limit of its own it was the machine, or the pod as a whole, that ran out.
        allowed = f"its limit of {limit}" if limit else "it may have"
        return (
            "OOMKilled",
            f"it used more memory than {allowed} (OOMKilled, exit code {code})",
            f"Your server used more memory than {allowed}, and was stopped.",
        )
    said = str(ended.get("message") or "").strip()
    what = f"exit code {code}" if code is not None else "an unknown exit code"
    if code in _SIGNALS:
        what += f", {_SIGNALS[code]}"
    runtime = ended.get("reason")
    if runtime and runtime not in ("Error", "Completed"):
        what += f", {runtime}"
    message = f"its process ended with {what}" + (f": {said}" if said else "")
    return "ServerExited", message, f"Your server ended by itself (exit code {code})."
