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

    def next_pause(self, *, at_least: float = 0.0) -> float:
        """Return the seconds of the next pause, and let the one after be longer.

        Args:
            at_least: seconds that the server asked for; up to a tenth is added at random.
        """
        seconds = self._next * random.uniform(0.5, 1.0)
        self._next = min(self._next * 2, self._cap)
        return max(seconds, at_least * random.uniform(1.0, 1.1))

    async def pause(self, *, at_least: float = 0.0) -> None:
        """Wait for the next pause."""
        await self.sleep(self.next_pause(at_least=at_least))

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``, that :meth:`next_pause` returned."""
        await asyncio.sleep(seconds)


async def breathe() -> None:
    """Let the event loop serve others in the middle of long work."""
    await asyncio.sleep(0)
