"""Processes that take commands as JSON lines, as ``bench/hub.py`` does, seen from their parent."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Seconds within which an answer comes, or the process counts as hung.
PATIENCE = 300.0
_CHUNK = 1 << 16


class ChildFailed(Exception):
    """A child ended or hung instead of answering; the text has the end of its log."""


class Child:
    """A process that answers commands; a context manager that ends it.

    Args:
        argv: its command line.
        log: file that gets its stderr.
    """

    def __init__(self, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None):
        self._name = " ".join(argv)
        self._log = log
        self._file = log.open("ab")
        self._unread = b""
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._file,
            env=None if env is None else dict(env),
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, do: str, **arguments: Any) -> None:
        """Send a command without waiting for its answer, which :meth:`hear` returns."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None

    def hear(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """Return the answer to the oldest command that has none yet.

        Args:
            seconds: within which it comes.

        Raises:
            ChildFailed: the process ended; or it did not answer in time, and was killed.
        """
        line = self._line(time.monotonic() + seconds)
        if line is None:
            self._process.kill()
            raise self._failure(f"did not answer within {seconds:g} seconds")
        if not line:
            raise self._failure()
        return json.loads(line)

    def ask(self, do: str, *, within: float = PATIENCE, **arguments: Any) -> dict[str, Any]:
        """Send a command and return its answer, which comes ``within`` seconds."""
        self.tell(do, **arguments)
        return self.hear(within)

    def close(self) -> None:
        """End the process: by the end of its input, else by force."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it may have ended already
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._file.close()

    def _line(self, deadline: float) -> bytes | None:
        """Return the next line; empty if the process has closed its output, None if none comes."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([output], [], [], left)[0]:
                return None
            data = os.read(output, _CHUNK)
            if not data:
                return b""
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _failure(self, what: str = "") -> ChildFailed:
        code = self._process.wait()
        tail = self._log.read_text(errors="replace")[-4000:]
        return ChildFailed(f"{self._name} {what or f'exited with {code}'}:\n{tail}")

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
