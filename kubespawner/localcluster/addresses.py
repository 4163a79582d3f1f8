"""Addresses of pods on the loopback network."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from typing import Any

# A kubelet's port: no server of a pod listens there.
_HELD_PORT = 10250
_PER_BLOCK = 250
SHARED = "127.0.0.1"


def every_pod_can_have_its_own() -> bool:
    """Tell whether this system accepts all of 127.0.0.0/8, as Linux does and macOS doesn't."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.77.0.1", 0))
        except OSError:
            return False
    return True


class Addresses:
    """A loopback address for each pod, so that every server can listen on the same port.

    Addresses come from blocks ``127.A.B.0/24``. A block is held by a bound socket, so that several
    clusters on one machine never share one.

    Where the system has 127.0.0.1 only, all pods get that one; their declared ports then are as
    scarce as host ports, and the scheduler treats them so.

    Args:
        shared: give 127.0.0.1 to all; default: only where nothing else works.

    Raises:
        OSError: no block is free (of 49,000).
    """

    def __init__(self, *, shared: bool | None = None):
        self.shared = not every_pod_can_have_its_own() if shared is None else shared
        self._blocks: list[tuple[socket.socket, str]] = []
        self._used: dict[str, str] = {}
        self._last = -1

    def allot(self, uid: str) -> str:
        """Return the address of pod ``uid``, the same one each time."""
        if self.shared:
            return SHARED
        if uid not in self._used:
            self._used[uid] = self._next_free()
        return self._used[uid]

    def release(self, uid: str) -> None:
        """Let the address go; it is given out again as late as possible."""
        self._used.pop(uid, None)

    def close(self) -> None:
        """Give the blocks back."""
        for holder, _ in self._blocks:
            holder.close()
        self._blocks.clear()

    def _next_free(self) -> str:
        used = set(self._used.values())
        if len(used) >= len(self._blocks) * _PER_BLOCK:
            self._blocks.append(_hold_block())
        count = len(self._blocks) * _PER_BLOCK
        while True:
            self._last = (self._last + 1) % count
            block, number = divmod(self._last, _PER_BLOCK)
            address = f"{self._blocks[block][1]}.{number + 1}"
            if address not in used:
                return address


def _hold_block() -> tuple[socket.socket, str]:
    error: OSError | None = None
    for _ in range(100):
        block = f"127.{random.randrange(64, 255)}.{random.randrange(256)}"
        holder = socket.socket()
        try:
            holder.bind((f"{block}.254", _HELD_PORT))
        except OSError as e:
            holder.close()
            error = e
        else:
            return holder, block
    assert error is not None
    raise error


def declared_ports(spec: Mapping[str, Any]) -> set[int]:
    """Return the TCP ports that a pod's containers declare."""
    return {
        port["containerPort"]
        for container in spec["containers"]
        for port in container.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    }
