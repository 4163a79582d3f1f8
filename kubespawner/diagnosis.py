"""What a pod's status and events mean: for its user, its administrator, and whoever waits.

Pure: plain dicts in (API JSON), plain data out.
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOTEBOOK = "notebook"
NOTEBOOK_PORT = "notebook-port"

# Seconds that a condition may last before a spawn is given up; -1 = until the start timeout.
DEFAULT_PATIENCE: dict[str, float] = {
    "InvalidImageName": 0,
    "ErrImageNeverPull": 0,
    "ImageNotFound": 0,
    "ImagePullDenied": 0,
    "RegistryUnreachable": 120,
    "ImagePullFailed": 120,
    "CreateContainerConfigError": 15,
    "CreateContainerError": 15,
    "RunContainerError": 15,
    "CrashLoopBackOff": 0,
    "InitContainerFailed": 0,
    "ServerExited": 0,
    "PodFailed": 0,
    "Unschedulable": -1,
    "ClaimPending": -1,
    "ClaimProvisioningFailed": -1,
    "VolumeMountFailed": -1,
}

_PULL_REASONS = {"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable"}
_NOT_FOUND = re.compile(
    r"not found|manifest unknown|does not exist|no such image|name unknown", re.IGNORECASE
)
_UNREACHABLE = re.compile(
    r"no such host|i/o timeout|connection refused|dial tcp|TLS handshake|network is unreachable"
    r"|failed to do request|context deadline exceeded",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"denied|unauthorized|authentication required|forbidden|insufficient_scope|401|403",
    re.IGNORECASE,
)
_CONTAINER_REASONS = {
    "CreateContainerConfigError": "A part of the configuration that your server needs is missing.",
    "CreateContainerError": "Your server's container could not be created.",
    "RunContainerError": "Your server's container could not be started.",
}


@dataclass(frozen=True)
class Diagnosis:
    """What is going on with a starting pod.

    Attributes:
        phase: step on the way to a running server: ``Creating``, ``Scheduling``, ``Volumes``,
            ``Pulling``, ``Initializing``, ``Starting``, ``Running``, ``Failed``, ``Gone``.
        reason: CamelCase name of what prevents it from going on; None if nothing does.
        user, admin: a sentence for the person who waits, and one with the technical facts.
        patience: default of how many seconds ``reason`` may last; None with no reason.
        container: the container it is about, if one.
    """

    phase: str
    reason: str | None = None
    user: str = ""
    admin: str = ""
    patience: float | None = None
    container: str = ""


@dataclass(frozen=True)
class ServerStatus:
    """Whether a server runs; if not, with which exit code it ended and why."""

    running: bool
    exit_code: int | None = None
    reason: str = ""
    message: str = ""


def _status(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    return pod.get("status") or {}


def _containers(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (pod.get("spec") or {}).get("containers") or ()


def notebook_container_name(pod: Mapping[str, Any]) -> str:
    """Return the container of the server: named ``notebook``, else by its port, else the first."""
    containers = _containers(pod)
    names = [c.get("name", "") for c in containers]
    if NOTEBOOK in names:
        return NOTEBOOK
    for container in containers:
        if any(port.get("name") == NOTEBOOK_PORT for port in container.get("ports") or ()):
            return container.get("name", "")
    return names[0] if names else NOTEBOOK


def notebook_status(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the container status of the server; None if the kubelet has reported none."""
    name = notebook_container_name(pod)
    for status in _status(pod).get("containerStatuses") or ():
        if status.get("name") == name:
            return status
    return None


def is_ready(pod: Mapping[str, Any], all_containers: bool = False) -> bool:
    """Whether the server's container is ready, or every container."""
    if all_containers:
        statuses = _status(pod).get("containerStatuses") or ()
        return bool(statuses) and all(status.get("ready") for status in statuses)
    status = notebook_status(pod)
    return bool(status and status.get("ready"))


def server_status(
    pod: Mapping[str, Any] | None, *, own_stop: bool = False, crash_restarts: int = 3
) -> ServerStatus:
    """Return whether the server in ``pod`` runs (or may still start).

    Args:
        own_stop: a deletion mark is of our own making, and not the end yet.
        crash_restarts: restarts after which a crashing container counts as ended.
    """
    if pod is None:
        return ServerStatus(False, 1, "PodMissing", "its pod no longer exists")
    container = notebook_status(pod) or {}
    ended = _terminated(container)
    if (pod.get("metadata") or {}).get("deletionTimestamp") and not own_stop:
        code = ended.get("exitCode", 1) if ended else 1
        return ServerStatus(False, code, "PodDeleted", "its pod was deleted from outside")
    phase = _status(pod).get("phase")
    if phase == "Failed" and not container:
        return ServerStatus(False, 1, *_failure(pod))
    if phase == "Succeeded" and not container:
        return ServerStatus(False, 0, "ServerExited", "its pod has finished")
    if ended and not _will_restart(pod, ended):
        return ServerStatus(False, ended.get("exitCode", 1), *_end_of(ended))
    if phase == "Failed":
        code = ended.get("exitCode", 1) if ended else 1
        return ServerStatus(False, code, *_failure(pod))
    if _is_crash_loop(container, crash_restarts):
        last = (container.get("lastState") or {}).get("terminated") or ended or {}
        return ServerStatus(False, last.get("exitCode", 1), "CrashLoopBackOff", _end_of(last)[1])
    return ServerStatus(True)


def _terminated(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return (container.get("state") or {}).get("terminated")


def _will_restart(pod: Mapping[str, Any], terminated: Mapping[str, Any]) -> bool:
    if _status(pod).get("phase") in ("Succeeded", "Failed"):
        return False
    policy = (pod.get("spec") or {}).get("restartPolicy", "Always")
    return policy == "Always" or (policy == "OnFailure" and terminated.get("exitCode") != 0)


def _is_crash_loop(container: Mapping[str, Any], restarts: int) -> bool:
    waiting = (container.get("state") or {}).get("waiting") or {}
    return (
        waiting.get("reason") == "CrashLoopBackOff" and container.get("restartCount", 0) >= restarts
    )


def _end_of(terminated: Mapping[str, Any]) -> tuple[str, str]:
    """Return reason and description of an ended container."""
    code = terminated.get("exitCode")
    if terminated.get("reason") == "OOMKilled":
        return "OOMKilled", "it used more memory than it may (OOMKilled)"
    detail = f": {terminated['message'].strip()}" if terminated.get("message") else ""
    return "ServerExited", f"its process ended with exit code {code}{detail}"


def _failure(pod: Mapping[str, Any]) -> tuple[str, str]:
    status = _status(pod)
    reason = status.get("reason") or "PodFailed"
    return reason, f"its pod failed ({reason}): {status.get('message') or 'no details'}"


def diagnose(
    pod: Mapping[str, Any] | None,
    events: Iterable[Mapping[str, Any]] = (),
    claims: Iterable[Mapping[str, Any]] = (),
    crash_restarts: int = 3,
) -> Diagnosis:
    """Return what a starting pod is doing, and what keeps it from running.

    Args:
        events: events of the pod and of its claims, oldest first.
        claims: the claims it mounts, as far as known.
        crash_restarts: restarts after which a crash loop is taken for one.
    """
    if pod is None:
        return Diagnosis("Gone", "PodDeleted", "Your server was removed.", "the pod is gone", 0)
    status = _status(pod)
    if status.get("phase") == "Failed" and not notebook_status(pod):
        reason, admin = _failure(pod)
        user = {
            "Evicted": "Your server was removed from its machine, which ran out of resources.",
            "NodeLost": "The machine your server was on was lost.",
        }.get(reason, "The cluster could not run your server.")
        return Diagnosis("Failed", reason, f"{user} Please try again.", admin, 0)
    if not _is_scheduled(pod):
        return _unscheduled(pod, list(events), list(claims))
    for container in status.get("initContainerStatuses") or ():
        found = _init_problem(pod, container, crash_restarts)
        if found:
            return found
    container = notebook_status(pod)
    if container:
        found = _container_problem(pod, container, crash_restarts)
        if found:
            return found
        if (container.get("state") or {}).get("running"):
            return Diagnosis("Running" if container.get("ready") else "Starting")
    return _on_the_way(pod, list(events))


def _is_scheduled(pod: Mapping[str, Any]) -> bool:
    return bool((pod.get("spec") or {}).get("nodeName")) or any(
        c.get("type") == "PodScheduled" and c.get("status") == "True"
        for c in _status(pod).get("conditions") or ()
    )


def _problem(phase: str, reason: str, user: str, admin: str, container: str = "") -> Diagnosis:
    return Diagnosis(phase, reason, user, admin, DEFAULT_PATIENCE.get(reason, 0), container)


def _unscheduled(
    pod: Mapping[str, Any],
    events: list[Mapping[str, Any]],
    claims: list[Mapping[str, Any]],
) -> Diagnosis:
    for event in reversed(events):
        if (event.get("involvedObject") or {}).get("kind") != "PersistentVolumeClaim":
            continue
        if event.get("reason") == "ProvisioningFailed":
            return _problem(
                "Volumes",
                "ClaimProvisioningFailed",
                "Your storage volume could not be made yet.",
                f"claim {event['involvedObject'].get('name')}: {event.get('message', '')}",
            )
    for claim in claims:
        if _status(claim).get("phase") == "Lost":
            return _problem(
                "Volumes",
                "ClaimLost",
                "Your storage volume can't be found by the cluster any more.",
                f"claim {claim['metadata']['name']} is in phase Lost",
            )
    condition = next(
        (
            c
            for c in _status(pod).get("conditions") or ()
            if c.get("type") == "PodScheduled" and c.get("status") == "False"
        ),
        None,
    )
    if condition is None or condition.get("reason") != "Unschedulable":
        return Diagnosis("Scheduling")
    message = condition.get("message") or ""
    if "unbound" in message and "PersistentVolumeClaim" in message:
        return _problem(
            "Volumes", "ClaimPending", "Waiting for your storage volume.", f"unscheduled: {message}"
        )
    if _scale_up_announced(events):
        return Diagnosis(
            "Scheduling", None, "Waiting for a new machine to be added.", f"scale-up: {message}"
        )
    lacking = ", ".join(dict.fromkeys(re.findall(r"Insufficient ([\w./-]+)", message)))
    user = (
        f"No machine has enough free {lacking} at the moment."
        if lacking
        else "No machine in the cluster can take your server at the moment."
    )
    return _problem("Scheduling", "Unschedulable", user, f"unschedulable: {message}")


def _scale_up_announced(events: list[Mapping[str, Any]]) -> bool:
    for event in reversed(events):
        if event.get("reason") == "TriggeredScaleUp":
            return True
        if event.get("reason") == "NotTriggerScaleUp":
            return False
    return False


def _init_problem(
    pod: Mapping[str, Any], container: Mapping[str, Any], crash_restarts: int
) -> Diagnosis | None:
    name = container.get("name", "")
    ended = _terminated(container)
    if ended and ended.get("exitCode") and not _will_restart(pod, ended):
        return _problem(
            "Failed",
            "InitContainerFailed",
            "The preparation of your server failed. Please tell the administrator of this hub.",
            f"init container {name!r}: {_end_of(ended)[1]}",
            name,
        )
    return _container_problem(pod, container, crash_restarts, init=True)


def _container_problem(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    crash_restarts: int,
    init: bool = False,
) -> Diagnosis | None:
    name = container.get("name", "")
    ended = _terminated(container)
    if ended and not init and not _will_restart(pod, ended):
        reason, what = _end_of(ended)
        user = (
            "Your server used more memory than it may have, and was stopped."
            if reason == "OOMKilled"
            else "Your server ended by itself while it was starting."
        )
        return Diagnosis("Failed", reason, user, f"container {name!r}: {what}", 0, name)
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    image = container.get("image") or _image_of(pod, name)
    if reason in ("InvalidImageName", "ErrImageNeverPull") or reason in _PULL_REASONS:
        return _image_problem(reason, message, image, name)
    if reason in _CONTAINER_REASONS:
        return _problem(
            "Starting",
            reason,
            f"{_CONTAINER_REASONS[reason]} Please tell the administrator of this hub.",
            f"container {name!r}: {reason}: {message}",
            name,
        )
    if _is_crash_loop(container, crash_restarts):
        last = (container.get("lastState") or {}).get("terminated") or {}
        oom = last.get("reason") == "OOMKilled"
        return _problem(
            "Failed",
            "CrashLoopBackOff",
            "Your server needs more memory than it may have."
            if oom
            else "Your server fails each time it starts.",
            f"container {name!r} restarted {container.get('restartCount')} times; "
            f"last: {_end_of(last)[1]}",
            name,
        )
    return None


def _image_of(pod: Mapping[str, Any], name: str) -> str:
    spec = pod.get("spec") or {}
    for container in [*_containers(pod), *(spec.get("initContainers") or ())]:
        if container.get("name") == name:
            return container.get("image", "")
    return ""


def _image_problem(reason: str, message: str, image: str, container: str) -> Diagnosis:
    admin = f"container {container!r}, image {image!r}: {reason}: {message}"
    if reason == "InvalidImageName":
        user = f"The image name {image} is not valid."
    elif reason == "ErrImageNeverPull":
        user = f"The image {image} is not on the machine, and may not be downloaded."
    elif _DENIED.search(message) and not _UNREACHABLE.search(message):
        # Registries say "denied, or does not exist" to those who may not know.
        reason, user = "ImagePullDenied", f"The image {image} does not exist, or is not accessible."
    elif _UNREACHABLE.search(message):
        reason, user = "RegistryUnreachable", f"The registry of the image {image} can't be reached."
    elif _NOT_FOUND.search(message):
        reason, user = "ImageNotFound", f"The image {image} was not found."
    else:
        reason, user = "ImagePullFailed", f"The image {image} can't be downloaded at the moment."
    return _problem("Pulling", reason, user, admin, container)


def _on_the_way(pod: Mapping[str, Any], events: list[Mapping[str, Any]]) -> Diagnosis:
    last = next(
        (
            e.get("reason")
            for e in reversed(events)
            if e.get("reason")
            in ("FailedMount", "FailedAttachVolume", "Pulling", "Pulled", "Created", "Started")
        ),
        None,
    )
    if last in ("FailedMount", "FailedAttachVolume"):
        message = next(e.get("message", "") for e in reversed(events) if e.get("reason") == last)
        return _problem(
            "Volumes",
            "VolumeMountFailed",
            "Your storage volume is not available yet.",
            f"{last}: {message}",
        )
    if last == "Pulling":
        return Diagnosis("Pulling")
    if any(
        not (c.get("state") or {}).get("terminated")
        for c in _status(pod).get("initContainerStatuses") or ()
    ):
        return Diagnosis("Initializing")
    return Diagnosis("Starting")


# ---- refusals of the API server ----------------------------------------------------------

_QUOTA = re.compile(r"exceeded quota: (?P<quota>[^,]+), (?P<numbers>.*)")
_RBAC = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)"| at the cluster scope)?'
)
# Field path in a 422 -> the setting it comes from.
_FIELDS = {
    "image": "image",
    "resources": "cpu_*, mem_* and extra_resource_* settings",
    "volumes": "volumes",
    "volumeMounts": "volume_mounts",
    "labels": "extra_labels",
    "annotations": "extra_annotations",
    "nodeSelector": "node_selector",
    "tolerations": "tolerations",
    "securityContext": "security settings (uid, privileged, container_security_context, …)",
    "storage": "storage_capacity",
    "accessModes": "storage_access_modes",
    "name": "pod_name_template or pvc_name_template",
    "env": "environment",
}


def refusal(status: Mapping[str, Any]) -> Diagnosis:
    """Return what a ``Status`` of the API server means that refuses a request."""
    message = str(status.get("message") or "")
    code = status.get("code")
    quota = _QUOTA.search(message)
    if quota:
        return Diagnosis(
            "Failed",
            "QuotaExceeded",
            f"A limit of the cluster is reached ({quota['numbers']}). "
            "Stop a server that you no longer need, or ask the administrator.",
            f"quota {quota['quota']!r}: {message}",
        )
    rbac = _RBAC.search(message)
    if rbac:
        where = f"in namespace {rbac['namespace']}" if rbac["namespace"] else "cluster-wide"
        group = f".{rbac['group']}" if rbac["group"] else ""
        return Diagnosis(
            "Failed",
            "PermissionMissing",
            "This hub lacks a permission in the cluster. Please tell its administrator.",
            f"the hub's Role lacks the verb {rbac['verb']!r} on {rbac['resource']}{group} "
            f"{where}: {message}",
        )
    if "PodSecurity" in message or "violates" in message:
        return Diagnosis(
            "Failed",
            "PolicyRefused",
            "A security policy of the cluster does not allow this server. "
            "Please tell the administrator of this hub.",
            message,
        )
    if "admission webhook" in message:
        return Diagnosis(
            "Failed",
            "WebhookRefused",
            "A policy of the cluster does not allow this server. "
            "Please tell the administrator of this hub.",
            message,
        )
    if code in (400, 422):
        return Diagnosis("Failed", "InvalidManifest", _INVALID, _with_settings(status, message))
    return Diagnosis(
        "Failed",
        status.get("reason") or f"HTTP{code}",
        "The cluster refused to create your server. Please tell the administrator of this hub.",
        f"HTTP {code}: {message}",
    )


_INVALID = (
    "The configuration of this hub does not give a valid server. Please tell its administrator."
)


def _with_settings(status: Mapping[str, Any], message: str) -> str:
    hints = []
    for cause in (status.get("details") or {}).get("causes") or ():
        for part in re.split(r"[.\[\]]", str(cause.get("field") or "")):
            if part in _FIELDS:
                hints.append(f"{cause['field']} comes from KubeSpawner's {_FIELDS[part]}")
    return "; ".join([message, *dict.fromkeys(hints)])
