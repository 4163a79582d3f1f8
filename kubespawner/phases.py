"""From a pod's state to what its user reads while waiting. Pure."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .diagnosis import Diagnosis, notebook_container_name
from .diagnosis.amounts import readable_bytes, readable_seconds
from .feed import ProgressEvent
from .pulls import Pull, PullBook

# Progress that is reached when a phase begins. Pulling an image takes longest, so it has most.
_PROGRESS = {
    "Creating": 5,
    "Scheduling": 10,
    "Volumes": 20,
    "Preparing": 25,
    "Pulling": 30,
    "Initializing": 60,
    "Starting": 75,
    "Running": 90,
    "Failed": 0,
    "Gone": 0,
}
_HIGHEST = 99
# Seconds from which on it is worth telling how long a download took.
_LONG_PULL = 10
# Seconds after which a phase has shown about two thirds of its part of the bar.
_USUAL_SECONDS = 60
_MESSAGES = {
    "Creating": "Asking the cluster for your server",
    "Scheduling": "Waiting for a free machine",
    "Volumes": "Waiting for your storage volume",
    "Preparing": "Preparing a machine for your server",
    "Pulling": "Downloading the image",
    "Initializing": "Preparing your server",
    "Starting": "Starting the notebook",
    "Running": "Your server runs; connecting to it",
    "Failed": "Your server could not be started",
    "Gone": "Your server was removed",
}
# The phase that begins with an event of the scheduler or the kubelet.
_EVENT_PHASES = {
    "Scheduled": "Preparing",
    "SuccessfulAttachVolume": "Preparing",
    "FailedMount": "Volumes",
    "FailedAttachVolume": "Volumes",
    "FailedScheduling": "Scheduling",
    "TriggeredScaleUp": "Scheduling",
    "NotTriggerScaleUp": "Scheduling",
    "Pulling": "Pulling",
    "Pulled": "Starting",
    "Created": "Starting",
    "Started": "Starting",
}
# The phase before there is a pod.
CREATING = Diagnosis("Creating")
_PULLING = re.compile(r'Pulling image "([^"]+)"')


def event_message(event: Mapping[str, Any]) -> str:
    """Return a Kubernetes event as a line: ``<time> [<type>] <message>``.

    The time is the first there is of: last observed, last, event's own, first. A missing message
    is replaced by the reason; an event that was repeated says how often.
    https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
    """
    series = event.get("series") or {}
    when = (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event.get("firstTimestamp")
        or (event.get("metadata") or {}).get("creationTimestamp")
        or ""
    )
    text = event.get("message") or event.get("reason") or ""
    count = max(series.get("count") or 1, event.get("count") or 1)
    times = f" ({count} times)" if count > 1 else ""
    return f"{when} [{event.get('type') or 'Normal'}] {text}{times}".strip()


def event_progress(event: Mapping[str, Any]) -> int | None:
    """Return the progress (0 to 99) that an event shows; None if it shows none.

    What happens to an init container shows that the server is being prepared, not more.
    """
    phase = _EVENT_PHASES.get(event.get("reason") or "")
    if phase is None:
        return None
    field = (event.get("involvedObject") or {}).get("fieldPath") or ""
    if phase == "Starting" and field.startswith("spec.initContainers"):
        phase = "Initializing"
    return _PROGRESS[phase]


def phase_message(
    pod: Mapping[str, Any],
    events: Iterable[Mapping[str, Any]],
    diagnosis: Diagnosis,
    elapsed: float | None = None,
    pulls: PullBook | None = None,
) -> ProgressEvent:
    """Return what a progress page shows for the state that ``pod`` is in.

    The bar moves by phase. With ``elapsed`` it also creeps within the phase, and the message
    says how many minutes it has lasted; the text then changes at most once a minute.

    Args:
        events: of the pod, oldest first.
        elapsed: seconds since the phase began; None: not known.
        pulls: earlier downloads, to tell how large an image is and how long it takes.

    Returns:
        An event of the kind ``phase``.
    """
    values: dict[str, Any] = {}
    subject = ""
    if diagnosis.container:
        values["container"] = diagnosis.container
    if diagnosis.phase == "Pulling":
        image, first_time = _image(pod, events, diagnosis.container)
        values |= {"image": image, "first_time": first_time}
    if diagnosis.user:
        message = diagnosis.user
    elif diagnosis.phase == "Pulling":
        subject = values["image"]
        pull = pulls.of(subject) if pulls else None
        if pull:
            values |= {"seconds": pull.seconds, "bytes": pull.bytes}
        details = _pull_details(first_time, pull)
        message = f"{_MESSAGES['Pulling']} {subject}".strip()
        message += f" ({', '.join(details)})" if details else ""
    else:
        message = _MESSAGES.get(diagnosis.phase, diagnosis.phase)
        if diagnosis.phase == "Initializing" and diagnosis.container:
            subject = diagnosis.container
            message += f" (step {subject})"
    minutes = int(elapsed // 60) if elapsed else 0
    if minutes:
        values["minutes"] = minutes
        message += f" – for {minutes} minute{'s' if minutes > 1 else ''}"
    return {
        "kind": "phase",
        "phase": diagnosis.phase,
        "reason": diagnosis.reason,
        "waiting_helps": diagnosis.waiting_helps,
        "values": values,
        "progress": _bar(diagnosis.phase, elapsed),
        "message": message,
        "html_message": _as_html(message, subject),
    }


def _pull_details(first_time: bool, pull: Pull | None) -> list[str]:
    details = ["first time on this machine"] if first_time else []
    if pull and pull.bytes:
        details.append(readable_bytes(pull.bytes))
    if pull and pull.seconds >= _LONG_PULL:
        details.append(f"took {readable_seconds(pull.seconds)} before")
    return details


def _as_html(message: str, subject: str) -> str:
    text = html.escape(message)
    if not subject:
        return text
    code = html.escape(subject)
    return text.replace(code, f"<code>{code}</code>", 1)


def _bar(phase: str, elapsed: float | None) -> int:
    begin = _PROGRESS.get(phase, 0)
    if not elapsed or not begin:
        return begin
    end = min((p for p in _PROGRESS.values() if p > begin), default=_HIGHEST)
    # Never reaches the next phase, however long it takes.
    share = 1 - math.exp(-max(elapsed, 0) / _USUAL_SECONDS)
    return min(begin + int((end - begin) * share), end - 1)


def _image(
    pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]], container: str
) -> tuple[str, bool]:
    """Return the image that is being pulled, and whether the machine certainly lacks it.

    With the pull policy ``Always`` the kubelet asks the registry even for an image that is there.
    """
    spec = pod.get("spec") or {}
    name = container or notebook_container_name(pod)
    found: Mapping[str, Any] = next(
        (
            c
            for c in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
            if c.get("name") == name
        ),
        {},
    )
    image = found.get("image") or ""
    for event in events:
        pulling = _PULLING.search(event.get("message") or "")
        about = (event.get("involvedObject") or {}).get("fieldPath") or ""
        if pulling and event.get("reason") == "Pulling" and f"{{{name}}}" in about:
            image = pulling[1]
    return image, found.get("imagePullPolicy") == "IfNotPresent"
