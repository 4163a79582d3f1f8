"""What earlier downloads of images took, from what kubelets told of them. Pure.

Only after a download does a kubelet say how large the image is, and how long it took; whoever
waits for the same image on another machine is told then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Beyond these the image that was not pulled for the longest time is forgotten.
_MOST_IMAGES = 500
_PULLED = re.compile(
    r'Successfully pulled image "(?P<image>[^"]+)" in (?P<took>[0-9hmsµun.]+)'
    r"(?:.*?Image size: (?P<bytes>\d+) bytes)?"
)
# Durations as Go prints them: https://pkg.go.dev/time#Duration.String
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|µs|us|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Pull:
    """One image's download.

    Attributes:
        seconds: that the longest one took; others may have found parts of it on the machine.
        bytes: the image's size; None if no kubelet has told, as older ones never do.
    """

    seconds: float
    bytes: int | None = None


class PullBook:
    """Downloads by the name of their image, of all servers in this process."""

    def __init__(self) -> None:
        self._pulls: dict[str, Pull] = {}

    def note(self, event: Mapping[str, Any]) -> None:
        """Remember what ``event`` tells of a download, if it does."""
        if event.get("reason") != "Pulled":
            return
        found = _PULLED.match(event.get("message") or "")
        if found is None:
            return
        seconds = sum(float(n) * _SECONDS[unit] for n, unit in _PART.findall(found["took"]))
        earlier = self._pulls.pop(found["image"], Pull(0))
        size = int(found["bytes"]) if found["bytes"] else earlier.bytes
        self._pulls[found["image"]] = Pull(max(seconds, earlier.seconds), size)
        if len(self._pulls) > _MOST_IMAGES:
            del self._pulls[next(iter(self._pulls))]

    def of(self, image: str) -> Pull | None:
        """Return what is known of the download of ``image``."""
        return self._pulls.get(image)
