"""Why a volume is not there: claims without a volume, and volumes that can't be mounted.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .containers import missing_object
from .model import Diagnosis, problem

Events = Sequence[Mapping[str, Any]]
Claims = Sequence[Mapping[str, Any]]

_ADMIN = "Please tell the administrator of this hub."
_CLAIM = "PersistentVolumeClaim"
# The scheduler's wordings, of several versions.
_CLAIM_NOT_FOUND = re.compile(r'persistentvolumeclaims? "([^"]+)" not found', re.IGNORECASE)
_CLAIM_DELETING = re.compile(r'persistentvolumeclaims? "([^"]+)" is being deleted', re.IGNORECASE)
_CLAIM_LOST = re.compile(
    r'persistentvolumeclaims? "([^"]+)" (?:bound to non-existent persistentvolume|is lost)',
    re.IGNORECASE,
)
# Kubernetes before 1.22, which names no claim.
_SOME_LOST = re.compile(r"pvc\(s\) bound to non-existent pv\(s\)")
_UNBOUND = re.compile(
    r"unbound (?:immediate )?PersistentVolumeClaims?|find available persistent volumes to bind",
    re.IGNORECASE,
)
_TAKEN = "already bound to a different claim"
_UNCLAIMED = ("no storage class is set", "no persistent volumes available for this claim")


def claim_problem(claims: Claims, events: Events, message: str | None) -> Diagnosis | None:
    """Return what is wrong with the claims of a pod that has no node; None if nothing is known.

    Args:
        message: the scheduler's text.
    """
    for claim in claims:
        name, phase = _name(claim), (claim.get("status") or {}).get("phase")
        if phase == "Lost":
            return _lost(name, "its volume no longer exists (phase Lost)")
    text = message or ""
    found = _CLAIM_LOST.search(text)
    if found or _SOME_LOST.search(text):
        return _lost(found[1] if found else "", f"unscheduled: {text}")
    found = _CLAIM_NOT_FOUND.search(text) or _CLAIM_DELETING.search(text)
    if found:
        gone = "is being deleted" if "being deleted" in found[0] else "does not exist"
        user = f"Your storage volume {gone}. {_ADMIN}"
        return problem("Volumes", "ClaimMissing", user, f"claim {found[1]!r}: {text}")
    bound = {_name(c) for c in claims if (c.get("status") or {}).get("phase") == "Bound"}
    failed = _provisioning_failure(events, bound)
    if failed:
        return failed
    pending = [c for c in claims if (c.get("status") or {}).get("phase") == "Pending"]
    if _UNBOUND.search(text):
        return _pending(pending, events, text)
    return None


def _name(claim: Mapping[str, Any]) -> str:
    return (claim.get("metadata") or {}).get("name") or ""


def _lost(name: str, admin: str) -> Diagnosis:
    user = f"The cluster can't find the data of your storage volume any more. {_ADMIN}"
    return problem("Volumes", "ClaimLost", user, f"claim {name!r}: {admin}" if name else admin)


def _provisioning_failure(events: Events, bound: set[str]) -> Diagnosis | None:
    latest: dict[str, Mapping[str, Any]] = {}
    for event in events:
        about = event.get("involvedObject") or {}
        if about.get("kind") == _CLAIM and event.get("reason") in (
            "ProvisioningFailed",
            "ProvisioningSucceeded",
        ):
            latest[about.get("name") or ""] = event
    for name, event in latest.items():
        if event.get("reason") == "ProvisioningFailed" and name not in bound:
            message = event.get("message") or ""
            user = "Your storage volume could not be made yet."
            if "not found" in message and "storageclass" in message.lower():
                user = f"Your storage volume can't be made: its kind does not exist. {_ADMIN}"
            elif "quota" in message.lower():
                user = f"Your storage volume can't be made: a limit is reached. {_ADMIN}"
            return problem("Volumes", "ClaimProvisioningFailed", user, f"claim {name!r}: {message}")
    return None


def _pending(pending: Claims, events: Events, text: str) -> Diagnosis:
    name = _name(pending[0]) if pending else ""
    for event in reversed(events):
        about = event.get("involvedObject") or {}
        message = event.get("message") or ""
        if about.get("kind") != _CLAIM:
            continue
        user = ""
        if _TAKEN in message:
            user = "The storage volume that your server asks for belongs to another claim."
        elif any(part in message for part in _UNCLAIMED):
            user = "The cluster has no free storage volume for you."
        if user:
            return problem(
                "Volumes",
                "ClaimPending",
                f"{user} {_ADMIN}",
                f"claim {about.get('name')!r}: {message}; unscheduled: {text}",
            )
    storage_class = (pending[0].get("spec") or {}).get("storageClassName") if pending else None
    which = f"claim {name!r} (storage class {storage_class!r}) is Pending; " if name else ""
    return problem(
        "Volumes",
        "ClaimPending",
        "Waiting for your storage volume.",
        f"{which}unscheduled: {text}",
    )


def mount_problem(event: Mapping[str, Any]) -> Diagnosis:
    """Return the diagnosis of a ``FailedMount`` or ``FailedAttachVolume`` event."""
    message = event.get("message") or ""
    admin = f"{event.get('reason')}: {message}"
    missing = missing_object(message)
    if missing or "references non-existent" in message:
        what = missing or "a key of a ConfigMap or Secret"
        user = f"Your server needs {what}, which does not exist. {_ADMIN}"
        return problem("Volumes", "MountSourceMissing", user, admin)
    if "Multi-Attach" in message:
        user = (
            "Your storage volume is still in use on another machine. "
            "If no server of yours uses it, it comes free in some minutes."
        )
    elif "timed out waiting" in message or "deadline exceeded" in message.lower():
        user = "Your storage volume takes long to become available."
    elif "permission denied" in message.lower() or "access denied" in message.lower():
        user = f"Your storage volume may not be used from this machine. {_ADMIN}"
    else:
        user = "Your storage volume is not available yet."
    return problem("Volumes", "VolumeMountFailed", user, admin)
