"""Processes that take commands as JSON lines, as ``bench/hub.py`` does, seen from their parent."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class ChildFailed(Exception):
    """A child ended instead of answering; the text has the end of its log."""


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

    def hear(self) -> dict[str, Any]:
        """Return the answer to the oldest command that has none yet.

        Raises:
            ChildFailed: the process ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        return json.loads(line)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self.tell(do, **arguments)
        return self.hear()

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

    def _failure(self) -> ChildFailed:
        code = self._process.wait()
        tail = self._log.read_text(errors="replace")[-4000:]
        return ChildFailed(f"{self._name} exited with {code}:\n{tail}")

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
