"""An event loop whose clock jumps over every wait: an hour of retries passes in milliseconds.

For tests in which all parties live on this loop. Once there is nothing to do but wait for a
timer, it is that timer's time. What happens no longer depends on how fast the machine is, so that
a seed repeats a run. While a thread works for the loop, time passes as it does outside.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any

# Data written to a loopback socket is there at once, unless the kernel has put it off: seconds of
# real time that are granted to it before the clock jumps.
_GRACE = 0.001


class _WarpSelector(selectors.DefaultSelector):
    loop: WarpLoop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self.loop.threads:
            begun = time.monotonic()
            events = super().select(timeout)
            self.loop.now += time.monotonic() - begun
            return events
        events = super().select(min(timeout, _GRACE))
        if not events:
            self.loop.now += timeout
        return events


class WarpLoop(asyncio.SelectorEventLoop):
    """The loop.

    Attributes:
        now: its clock, in seconds since it was made.
        threads: how many calls in threads have not returned yet.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.threads = 0
        selector = _WarpSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future = super().run_in_executor(executor, func, *args)
        self.threads += 1
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _future: Any) -> None:
        self.threads -= 1
