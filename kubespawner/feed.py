"""What happened during a spawn, written once and read by any number of progress pages."""

from __future__ import annotations

import asyncio
import html
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, TypedDict

# The hub itself says 100 when the server answers.
_HIGHEST = 99


class ProgressEvent(TypedDict, total=False):
    """One message of a spawn, as ``progress()`` yields it and ``progress_message_hook`` gets it.

    Always there are ``kind``, ``progress`` and ``message``.
    """

    #: ``phase``: what the server's start is at, or what it waits for; ``event``: a Kubernetes
    #: event of its pod, in the cluster's own words; ``notice``: anything else that its user should
    #: know; ``last_exit``: how the last server ended; ``failure``: why this start failed.
    kind: Literal["phase", "event", "notice", "last_exit", "failure"]
    #: 0 to 99.
    progress: int
    #: Plain text.
    message: str
    #: The same for a page; plain text is shown without it.
    html_message: str
    #: Of a ``phase``: ``Creating``, ``Scheduling``, ``Volumes``, ``Preparing``, ``Pulling``,
    #: ``Initializing``, ``Starting``, ``Running``, ``Failed`` or ``Gone``.
    phase: str
    #: CamelCase name of what keeps the start from going on, or of why it or the last server
    #: ended; None if nothing does. The names are those of ``spawn_patience``.
    reason: str | None
    #: Whether the reason may go away without anybody's doing.
    waiting_helps: bool
    #: What the message speaks of, of: ``image``, ``first_time`` (on this machine), ``bytes`` (the
    #: image's size), ``seconds`` (that its last download took), ``container``, ``minutes``.
    values: dict[str, Any]
    #: The Kubernetes event of an ``event``, in the API's JSON.
    raw_event: dict[str, Any]


class ProgressFeed:
    """A growing list of progress messages; every reader gets all of them, from the first.

    Each message has an int ``progress`` (0 to 99, never decreasing) and a str ``message``.
    """

    def __init__(self) -> None:
        self.entries: list[ProgressEvent] = []
        self._progress = 0
        # What was said last of the phase, which later notices do not replace.
        self._phase: ProgressEvent = {}
        # None while nobody waits: every server of a hub has a feed, few are being started.
        self._grown: asyncio.Event | None = None

    def add(self, message: str, *, progress: int | None = None, **extra: Any) -> None:
        """Append a message; ``progress`` below what was reached already is lifted to it."""
        if progress is not None:
            self._progress = max(self._progress, min(int(progress), _HIGHEST))
        entry: Any = {"kind": "notice", **extra, "progress": self._progress, "message": message}
        self.entries.append(entry)
        if entry["kind"] == "phase":
            self._phase = entry
        self._wake()

    def tell_phase(self, entry: ProgressEvent) -> None:
        """Append what the start is at, unless that is what a reader sees already.

        Pages show the last message: after events of the cluster it is said again.
        """
        seen = next((e for e in reversed(self.entries) if e["kind"] in ("phase", "event")), None)
        if seen is None or seen["kind"] == "event" or seen["message"] != entry["message"]:
            self.add(**entry)

    def add_beside_phase(self, message: str) -> None:
        """Append a notice that pages show below the phase, instead of in its place."""
        extra: dict[str, Any] = {}
        if self._phase:
            phase = self._phase.get("html_message") or html.escape(self._phase["message"])
            extra["html_message"] = f"{phase}<br>{html.escape(message)}"
        self.add(message, **extra)

    @property
    def progress(self) -> int:
        return self._progress

    @property
    def phase_said(self) -> str:
        """What was said last of where the start is; '' before anything was."""
        return self._phase.get("message", "")

    def _wake(self) -> None:
        grown, self._grown = self._grown, None
        if grown is not None:
            grown.set()

    async def follow(
        self, until: Callable[[], asyncio.Future[Any] | None]
    ) -> AsyncIterator[ProgressEvent]:
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
                yield self.entries[position].copy()
                position += 1
            if finished:
                return
            if self._grown is None:
                self._grown = asyncio.Event()
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
        self._feed.add_beside_phase(self._text.format(seconds=seconds))
        self._schedule(self._frequency)
