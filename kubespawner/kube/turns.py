"""Work that many tasks want to do at once, spread over turns of the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Generator

# Seconds of such work in one turn of the loop; what a click, or a proxy's check, waits at most.
_SECONDS = 0.01
_MOST = 1024


class _Now:
    """What need not be waited for."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_NOW = _Now()


class Turns:
    """Lets tasks go on in the order they came, as many in each turn of the loop as fit in.

    Ten thousand polls that become possible in the same moment would otherwise hold the loop until
    the last one is done. How many fit is learnt from how long the ones before took, so one object
    is for work of one kind.
    """

    def __init__(self, seconds: float = _SECONDS):
        self._seconds = seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held = False
        # How many may go on in one turn of the loop, and how many of them have.
        self._fit = 4
        self._gone = 0
        self._serving = False
        self._since = 0.0

    @property
    def held(self) -> bool:
        return self._held

    def hold(self) -> None:
        """Let nobody go on until :meth:`release`."""
        self._held = True

    def release(self) -> None:
        """Let those go on who wait."""
        self._held = False
        loop = self._running_loop()
        if self._waiting and not self._serving:
            self._begin(loop)

    def mine(self) -> Awaitable[None]:
        """Return what to await until it is the caller's turn; at once, since the order counts."""
        # No coroutine: thousands come in one turn of the loop, which nothing spreads.
        loop = self._running_loop()
        if not self._held and not self._waiting and self._gone < self._fit:
            if not self._serving:
                self._begin(loop)
            self._gone += 1
            return _NOW
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        return turn

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Nothing of an event loop that has ended is used again.
            self._loop, self._serving, self._gone = loop, False, 0
            self._waiting.clear()
        return loop

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._serving = True
        self._gone = 0
        self._since = time.perf_counter()
        loop.call_soon(self._serve, loop)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a turn of the loop: all who went on in the one before are done."""
        now = time.perf_counter()
        took, self._since = now - self._since, now
        if took > self._seconds:
            self._fit = max(1, self._fit // 2)
        elif took < self._seconds / 2 and self._gone >= self._fit:
            self._fit = min(_MOST, self._fit * 2)
        self._gone = 0
        while self._waiting and not self._held and self._gone < self._fit:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._gone += 1
        self._serving = bool(self._gone)
        if self._serving:
            loop.call_soon(self._serve, loop)
