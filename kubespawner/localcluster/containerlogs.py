"""What containers write, kept as a node keeps it: one file per run, a time before each line.

https://kubernetes.io/docs/concepts/cluster-administration/logging/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from pathlib import Path

_CHUNK = 65536


class ContainerLog:
    """The log of one run of a container.

    A line of the file is ``TIME stdout F TEXT``, or with ``P`` a part of a line whose rest comes
    later, as container runtimes write them.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab")
        self._grown = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether the container has ended, and nothing more comes."""
        return self._file.closed

    async def copy(self, reader: asyncio.StreamReader) -> None:
        """Take over what comes from ``reader``, until its end."""
        while chunk := await reader.read(_CHUNK):
            self.write(chunk)

    def write(self, text: bytes) -> None:
        """Append what a container wrote; wakes those that follow."""
        time = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()
        *whole, rest = text.split(b"\n")
        for line in whole:
            self._file.write(time + b" stdout F " + line + b"\n")
        if rest:
            self._file.write(time + b" stdout P " + rest + b"\n")
        self._file.flush()
        self._wake()

    def close(self) -> None:
        """Mark the log as complete."""
        self._file.close()
        self._wake()

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def read(
        self,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        since: datetime | None = None,
        timestamps: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]:
        """Yield the log.

        Args:
            follow: go on until the container has ended.
            tail_lines: only this many lines of what is there at first.
            since: only lines from this time on.
            timestamps: put the time before each line.
            limit_bytes: end after this many bytes.
        """
        left = limit_bytes
        shown = _Shown(since, timestamps)
        with self.path.open("rb") as file:
            start = 0 if tail_lines is None else _tail_start(file.read(), tail_lines)
            file.seek(start)
            while True:
                # Before reading: what is written meanwhile sets it.
                grown, complete = self._grown, self.closed
                text = b"".join(shown.lines(file.read()))
                if left is not None:
                    text = text[:left]
                    left -= len(text)
                if text:
                    yield text
                if complete or not follow or left == 0:
                    return
                await grown.wait()


class _Shown:
    """Turns the file's lines into what is shown; remembers whether a line is unfinished."""

    def __init__(self, since: datetime | None, timestamps: bool):
        self._since = since.astimezone(timezone.utc).isoformat()[:19].encode() if since else b""
        self._timestamps = timestamps
        self._inside = False

    def lines(self, raw: bytes) -> Iterator[bytes]:
        for line in raw.split(b"\n")[:-1]:
            time, _, mark, text = line.split(b" ", 3)
            inside, self._inside = self._inside, mark == b"P"
            if time < self._since:
                continue
            prefix = time + b" " if self._timestamps and not inside else b""
            yield prefix + (text + b"\n" if mark == b"F" else text)


def _tail_start(raw: bytes, lines: int) -> int:
    """Return where the last ``lines`` lines begin in the content of a file."""
    starts, position, inside = [], 0, False
    for line in raw.split(b"\n")[:-1]:
        if not inside:
            starts.append(position)
        inside = line.split(b" ", 3)[2] == b"P"
        position += len(line) + 1
    if lines == 0:
        return position
    return starts[-lines] if lines <= len(starts) else 0
