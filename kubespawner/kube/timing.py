"""Time limits that never lose a cancellation."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from typing import TypeVar

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

T = TypeVar("T")


async def within(awaitable: Awaitable[T], seconds: float | None) -> T:
    """Await ``awaitable``, for at most ``seconds`` (None or infinity: no limit).

    ``asyncio.wait_for`` does the same, but before Python 3.12 drops a cancellation that arrives
    together with the result; a cancelled spawn would go on.

    Raises:
        TimeoutError (``asyncio.TimeoutError`` in Python 3.10): the time was up.
    """
    async with timeout(None if seconds == float("inf") else seconds):
        return await awaitable
