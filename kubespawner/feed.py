"""What happened during a spawn, written once and read by any number of progress pages."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

# The hub itself says 100 when the server answers.
_HIGHEST = 99


class ProgressFeed:
    """A growing list of progress messages; every reader gets all of them, from the first.

    Each message has an int ``progress`` (0 to 99, never decreasing) and a str ``message``.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._progress = 0
        self._last_said = ""
        self._grown = asyncio.Event()

    def add(self, message: str, *, progress: int | None = None, **extra: Any) -> None:
        """Append a message; ``progress`` below what was reached already is lifted to it."""
        if progress is not None:
            self._progress = max(self._progress, min(int(progress), _HIGHEST))
        self.entries.append({"progress": self._progress, "message": message, **extra})
        self._wake()

    def say_once(self, message: str, **extra: Any) -> None:
        """Append ``message`` unless it is the last one that was said this way."""
        if message != self._last_said:
            self._last_said = message
            self.add(message, **extra)

    def advance(self, fraction: float = 1 / 3, limit: int = 90) -> int:
        """Return the progress of one more event of unknown weight: a part of what is left."""
        return self._progress + max(0, int((limit - self._progress) * fraction))

    @property
    def progress(self) -> int:
        return self._progress

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def follow(
        self, until: Callable[[], asyncio.Future[Any] | None]
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield every message, and end after the last one once the future is done.

        Args:
            until: returns the future; None while there is none yet, which is asked again at
                the next message.
        """
        position = 0
        while True:
            future = until()
            finished = future is not None and future.done()
            while position < len(self.entries):
                yield dict(self.entries[position])
                position += 1
            if finished:
                return
            grown = asyncio.ensure_future(self._grown.wait())
            try:
                await asyncio.wait(
                    [grown] if future is None else [grown, future],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                grown.cancel()


class SlowSpawnNotice:
    """Tells readers of a feed that a spawn takes longer than expected, again and again.

    Args:
        text: with the field ``{seconds}``.
        threshold: seconds before the first notice; 0 = never.
        frequency: seconds between two notices.
    """

    def __init__(self, feed: ProgressFeed, text: str, threshold: float, frequency: float):
        self._feed = feed
        self._text = inspect.cleandoc(text)
        self._threshold = threshold
        self._frequency = max(frequency, 1)
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> SlowSpawnNotice:
        self._started = asyncio.get_running_loop().time()
        if self._threshold > 0:
            self._schedule(self._threshold)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()

    def _schedule(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tell)

    def _tell(self) -> None:
        seconds = int(asyncio.get_running_loop().time() - self._started)
        self._feed.add(self._text.format(seconds=seconds))
        self._schedule(self._frequency)
