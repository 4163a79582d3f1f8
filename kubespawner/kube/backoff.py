"""The one place that sleeps: growing, jittered pauses between attempts."""

from __future__ import annotations

import asyncio
import random


class Backoff:
    """Pauses that double from ``first`` to ``cap`` seconds, each cut by a random part.

    The jitter keeps thousands of clients from coming back in step after an outage.
    """

    def __init__(self, first: float = 0.1, cap: float = 30.0):
        self._first = first
        self._cap = cap
        self._next = first

    def reset(self) -> None:
        """Begin anew: the last attempt succeeded."""
        self._next = self._first

    async def pause(self, *, at_least: float = 0.0, at_most: float = float("inf")) -> None:
        """Wait for the next pause of the sequence, within the given bounds (seconds)."""
        seconds = self._next * random.uniform(0.5, 1.0)
        self._next = min(self._next * 2, self._cap)
        await asyncio.sleep(min(max(seconds, at_least), max(at_most, 0.0)))


async def breathe() -> None:
    """Let the event loop serve others in the middle of long work."""
    await asyncio.sleep(0)
