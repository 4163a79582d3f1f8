"""Whose object is this? Decided by what is written on it, never by its name alone.

Two hubs, or two users, may arrive at the same name; deleting or mounting what belongs to
somebody else is the one mistake that can't be undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .manifests import SERVERNAME, SPAWN_ID, USERNAME


@dataclass(frozen=True)
class Owner:
    """One server of one user of one hub, as its objects are marked."""

    username: str
    servername: str
    component: str

    def __str__(self) -> str:
        server = f", server {self.servername!r}" if self.servername else ""
        return f"user {self.username!r}{server} (component {self.component!r})"


def labels_of(item: Mapping[str, Any]) -> Mapping[str, str]:
    return (item.get("metadata") or {}).get("labels") or {}


def annotations_of(item: Mapping[str, Any]) -> Mapping[str, str]:
    return (item.get("metadata") or {}).get("annotations") or {}


def uid_of(item: Mapping[str, Any]) -> str:
    return (item.get("metadata") or {}).get("uid") or ""


def spawn_id_of(item: Mapping[str, Any]) -> str:
    return annotations_of(item).get(SPAWN_ID, "")


def is_terminating(item: Mapping[str, Any]) -> bool:
    return bool((item.get("metadata") or {}).get("deletionTimestamp"))


def described_owner(item: Mapping[str, Any]) -> str:
    """Return in words whom ``item`` says it belongs to."""
    annotations = annotations_of(item)
    return str(
        Owner(
            annotations.get(USERNAME, "unknown"),
            annotations.get(SERVERNAME, ""),
            labels_of(item).get("component", "none"),
        )
    )


def is_pod_of(owner: Owner, pod: Mapping[str, Any]) -> bool:
    """Whether ``pod`` is this hub's, this user's and this server's.

    The ``component`` label must be equal; user and server annotations equal or absent (pods
    of versions before 2.0 carry none).
    """
    annotations = annotations_of(pod)
    return (
        labels_of(pod).get("component") == owner.component
        and annotations.get(USERNAME, owner.username) == owner.username
        and (annotations.get(SERVERNAME, "") == owner.servername or USERNAME not in annotations)
    )


def is_claim_of(owner: Owner, claim: Mapping[str, Any]) -> bool:
    """Whether nothing on ``claim`` says that it belongs to another user."""
    return annotations_of(claim).get(USERNAME, owner.username) == owner.username
