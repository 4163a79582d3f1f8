"""Running commands and telling the person what is going on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console


class Refused(Exception):
    """The cluster can't run here; the text is a sentence for the person."""


class StepFailed(Exception):
    """A step went wrong. ``tail`` holds the last lines of the log that tells why."""

    def __init__(self, message: str, *, log: Path | None = None, tail: str = ""):
        super().__init__(message)
        self.log = log
        self.tail = tail


def log_tail(path: Path, lines: int = 30) -> str:
    """The last lines of a log; empty where there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64 * 1024))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


class Progress:
    """One line a step: a spinner with the time on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(highlight=False)
        self.current = ""

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)
        sys.stdout.flush()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show ``title`` while the body runs, then how long it took.

        On an exception ``current`` keeps the title, so the report can name the step.
        """
        self.current = title
        started = time.monotonic()
        if self.console.is_terminal:
            with self._spinner(title):
                yield
        else:
            self.say(f"… {title}")
            yield
        self.say(f"✓ {title} ({time.monotonic() - started:.1f} s)")
        self.current = ""

    @contextlib.contextmanager
    def _spinner(self, title: str) -> Iterator[None]:
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Bar(*columns, console=self.console, transient=True) as bar:
            bar.add_task(title, total=None)
            yield


def run(
    argv: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> None:
    """Run a command with its output appended to ``log``.

    Raises :class:`StepFailed` with the end of the log when it exits non-zero, is missing or
    takes longer than ``timeout`` seconds.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in argv]
    with log.open("ab") as file:
        file.write(f"$ {' '.join(words)}\n".encode())
        file.flush()
        try:
            code = subprocess.run(
                words,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=timeout,
            ).returncode
        except FileNotFoundError:
            raise StepFailed(f"{words[0]} is not installed") from None
        except subprocess.TimeoutExpired:
            raise StepFailed(
                f"{words[0]} took longer than {timeout:.0f} s", log=log, tail=log_tail(log)
            ) from None
    if code:
        raise StepFailed(f"{words[0]} exited with {code}", log=log, tail=log_tail(log))


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Whether a command is there and exits with 0; its output is dropped."""
    words = [str(word) for word in argv]
    try:
        return not subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL).returncode
    except FileNotFoundError:
        return False


def output(argv: Sequence[str | Path], *, check: bool = True) -> str:
    """What a short command prints. Raises :class:`StepFailed` when it fails and ``check`` is set."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        if check:
            raise StepFailed(f"{words[0]} is not installed") from None
        return ""
    if check and done.returncode:
        raise StepFailed(
            f"{' '.join(words)} exited with {done.returncode}", tail=done.stderr.strip()
        )
    return done.stdout
