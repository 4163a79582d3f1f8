"""Why a container does not start, or does not stay.

https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .images import PULL_REASONS, explains, image_problem
from .model import Diagnosis, problem
from .state import (
    container_spec,
    end_of,
    is_crash_loop,
    last_end,
    memory_limit,
    status_of,
    terminated,
    waiting,
    will_restart,
)

Events = Sequence[Mapping[str, Any]]

_ADMIN = "Please tell the administrator of this hub."
# Log lines that a sentence can hold.
_MOST_LINES = 10
_MOST_TEXT = 200

_MISSING_OBJECT = re.compile(r'(configmap|secret) "([^"]+)" not found', re.IGNORECASE)
_MISSING_KEY = re.compile(
    r"couldn't find key (\S+) in (configmap|secret) (?:[^/\s]+/)?(\S+)", re.IGNORECASE
)
# As runc and crun say it.
_NO_COMMAND = re.compile(
    r'exec:? "([^"]+)": (?:executable file not found|stat [^:]*: no such file)|'
    r"executable file `([^`]+)` not found"
)
_KINDS = {"configmap": "ConfigMap", "secret": "Secret"}
# `waiting.reason` of what the runtime would not create or start.
_RUNTIME = {
    "CreateContainerError": "Your server's container could not be created.",
    "RunContainerError": "Your server's container could not be started.",
    "PreCreateHookError": "Your server's container could not be created.",
    "PreStartHookError": "Your server's container could not be started.",
    "PostStartHookError": "A command that runs when your server starts failed.",
}
_RUNTIME_KEYS = {
    "PreCreateHookError": "CreateContainerError",
    "PreStartHookError": "RunContainerError",
    "PostStartHookError": "RunContainerError",
}


def missing_object(message: str) -> str:
    """Return in words which ConfigMap, Secret or key a text says is missing, or nothing."""
    found = _MISSING_KEY.search(message)
    if found:
        key, kind, name = found.groups()
        return f"the key {key} of the {_KINDS[kind.lower()]} {name.rstrip('.,')}"
    found = _MISSING_OBJECT.search(message)
    return f"the {_KINDS[found[1].lower()]} {found[2]}" if found else ""


def init_problem(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    events: Events,
    crash_restarts: int,
    log: str,
) -> Diagnosis | None:
    """Return what is wrong with an init container; None if nothing is, or it has done its work."""
    name = container.get("name") or ""
    ended = terminated(container)
    if ended and ended.get("exitCode") and not will_restart(pod, name, ended):
        reason, what, _ = end_of(ended, memory_limit(pod, container))
        needed = " It used more memory than it may have." if reason == "OOMKilled" else ""
        return problem(
            "Failed",
            "InitContainerFailed",
            f"The preparation of your server failed (step {name!r}).{needed}{_quoted(log)} {_ADMIN}",
            f"init container {name!r}: {what}{_end_of_log(log)}",
            name,
        )
    what = "The preparation of your server"
    found = waiting_problem(pod, container, events) or crash_loop(
        pod, container, crash_restarts, log, what
    )
    if found or (ended and not ended.get("exitCode")):
        return found
    return restarting(pod, container, log, f"{what} (step {name!r})", "Initializing")


def notebook_problem(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    events: Events,
    crash_restarts: int,
    log: str,
) -> Diagnosis | None:
    """Return what is wrong with the notebook container while it starts; None if nothing is."""
    name = container.get("name") or ""
    ended = terminated(container)
    if ended and not will_restart(pod, name, ended):
        reason, what, user = end_of(ended, memory_limit(pod, container))
        if reason == "ServerExited":
            user = f"Your server ended while it was starting (exit code {ended.get('exitCode')})."
            user += _quoted(log)
        admin = f"container {name!r}: {what}{_end_of_log(log)}"
        return problem("Failed", reason, user, admin, name, key="ServerExited")
    return waiting_problem(pod, container, events) or crash_loop(
        pod, container, crash_restarts, log, "Your server"
    )


def _end_of_log(log: str) -> str:
    """Return the last lines of a log, as a clause for the administrator; '' without any."""
    lines = "\n".join(log.strip().splitlines()[-_MOST_LINES:])
    return f"; its log ends with: {lines}" if lines else ""


def _quoted(log: str) -> str:
    """Return the last line of a log, as a sentence for the user."""
    lines = log.strip().splitlines()
    return f" Its last words: “{lines[-1].strip()[:_MOST_TEXT]}”." if lines else ""


def _absent_command(message: str) -> str:
    """Return a sentence on the command that the image lacks, if that is what a runtime says."""
    found = _NO_COMMAND.search(message)
    return f"The image of your server has no command {found[1] or found[2]}." if found else ""


def crash_loop(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    crash_restarts: int,
    log: str,
    what: str,
) -> Diagnosis | None:
    """Return the diagnosis of a container that ended again and again; None if it does not."""
    if not is_crash_loop(container, crash_restarts):
        return None
    name = container.get("name") or ""
    last = last_end(container)
    limit = memory_limit(pod, container)
    reason, told, _ = end_of(last, limit)
    user = (
        f"{what} needs more memory than {f'its limit of {limit}' if limit else 'it may have'}."
        if reason == "OOMKilled"
        else f"{what} fails each time it starts (exit code {last.get('exitCode')}).{_quoted(log)}"
    )
    absent = _absent_command(str(last.get("message") or ""))
    return problem(
        "Failed",
        "CrashLoopBackOff",
        f"{absent} {_ADMIN}" if absent else user,
        f"container {name!r} restarted {container.get('restartCount')} times; last: {told}"
        f"{_end_of_log(log)}",
        name,
    )


def restarting(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    log: str,
    what: str = "Your server",
    phase: str = "Starting",
) -> Diagnosis | None:
    """Return the diagnosis of a container that ended, and will be started again.

    Args:
        log: the end of its log, if that is known.
        what: begins the sentence for the user.
    """
    last = terminated(container) or last_end(container)
    if not last or (container.get("state") or {}).get("running"):
        return None
    name, limit = container.get("name") or "", memory_limit(pod, container)
    oom = last.get("reason") == "OOMKilled"
    allowed = f"its limit of {limit}" if limit else "it may have"
    user = (
        f"{what} used more memory than {allowed}; it is started again."
        if oom
        else f"{what} ended while starting (exit code {last.get('exitCode')}); "
        f"it is started again.{_quoted(log)}"
    )
    return problem(
        phase,
        "Restarting",
        user,
        f"container {name!r}, restart {container.get('restartCount') or 0}: "
        f"{end_of(last, limit)[1]}{_end_of_log(log)}",
        name,
    )


def waiting_problem(
    pod: Mapping[str, Any], container: Mapping[str, Any], events: Events
) -> Diagnosis | None:
    """Return what a container waits for that is not simply its turn; None otherwise."""
    name = container.get("name") or ""
    wait = waiting(container)
    reason, message = wait.get("reason") or "", wait.get("message") or ""
    if reason in PULL_REASONS:
        image = container_spec(pod, name).get("image") or container.get("image") or ""
        if not explains(message):
            message = _pull_failure(events, name) or message
        return image_problem(reason, message, image, name)
    if reason == "CreateContainerConfigError":
        return _config_problem(message, name)
    if reason in _RUNTIME:
        user = _absent_command(message) or _RUNTIME[reason]
        return problem(
            "Starting",
            reason,
            f"{user} {_ADMIN}",
            f"container {name!r}: {reason}: {message or last_end(container).get('message', '')}",
            name,
            key=_RUNTIME_KEYS.get(reason, reason),
        )
    return None


def _pull_failure(events: Events, container: str) -> str:
    """Return why the last pull for ``container`` failed.

    Kubelets before 1.32 say in the status only that they pause before the next attempt.
    """
    for event in reversed(events):
        message = event.get("message") or ""
        field = (event.get("involvedObject") or {}).get("fieldPath") or ""
        ours = not field or f"{{{container}}}" in field
        if ours and event.get("reason") == "Failed" and message.startswith("Failed to pull image"):
            return message
    return ""


def _config_problem(message: str, name: str) -> Diagnosis:
    missing = missing_object(message)
    if missing:
        user = f"Your server needs {missing}, which does not exist."
    elif "runAsNonRoot" in message:
        user = "Your server's image runs as root, which is not allowed here."
        if "non-numeric user" in message:
            user = "It can't be told whether your server's image runs as root, which is forbidden."
    elif "subPath" in message or "subpath" in message:
        user = "A folder of a volume that your server needs can't be used."
    else:
        user = "The configuration of your server's container is not valid."
    return problem(
        "Starting",
        "CreateContainerConfigError",
        f"{user} {_ADMIN}",
        f"container {name!r}: CreateContainerConfigError: {message}",
        name,
    )


def sidecar_problem(pod: Mapping[str, Any], events: Events, notebook: str) -> Diagnosis | None:
    """Return what keeps another container from its first start.

    A pod stays ``Pending``, and gets no traffic, until each container has been started once.
    """
    status = status_of(pod)
    if status.get("phase") != "Pending":
        return None
    for container in status.get("containerStatuses") or ():
        if container.get("name") != notebook:
            found = waiting_problem(pod, container, events)
            if found:
                return found
    return None
