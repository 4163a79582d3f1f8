"""From a pod's state to what its user reads while waiting. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .diagnosis import Diagnosis

# Progress that a phase has reached when it begins.
_PROGRESS = {
    "Creating": 5,
    "Scheduling": 10,
    "Volumes": 20,
    "Pulling": 30,
    "Initializing": 60,
    "Starting": 75,
    "Running": 90,
}
_MESSAGES = {
    "Creating": "Asking the cluster for your server",
    "Scheduling": "Waiting for a free machine",
    "Volumes": "Waiting for your storage volume",
    "Initializing": "Preparing your server",
    "Starting": "Starting the notebook",
    "Running": "Your server runs; connecting to it",
    "Failed": "Your server could not be started",
    "Gone": "Your server was removed",
}


def event_message(event: Mapping[str, Any]) -> str:
    """Return a Kubernetes event as a line: ``<time> [<type>] <message>``."""
    when = (
        (event.get("series") or {}).get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event.get("firstTimestamp")
        or ""
    )
    text = event.get("message") or event.get("reason") or ""
    count = event.get("count") or 1
    times = f" ({count} times)" if count > 1 else ""
    return f"{when} [{event.get('type') or 'Normal'}] {text}{times}".strip()


def phase_message(
    pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]], diagnosis: Diagnosis
) -> dict[str, Any]:
    """Return ``message`` and ``progress`` for the state that ``pod`` is in."""
    phase = diagnosis.phase
    if diagnosis.reason or diagnosis.user:
        message = diagnosis.user
    elif phase == "Pulling":
        containers = (pod.get("spec") or {}).get("containers") or [{}]
        message = f"Downloading the image {containers[0].get('image', '')}"
    else:
        message = _MESSAGES.get(phase, phase)
    return {"message": message, "progress": _PROGRESS.get(phase)}
