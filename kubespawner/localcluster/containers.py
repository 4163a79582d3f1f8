"""Containers as local processes: started, watched, ended, and nothing of them left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import psutil

# In the environment of every process of a pod, its children included.
POD_MARK = "KUBESPAWNER_LOCALCLUSTER_POD"


class Process:
    """One run of one container."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path):
        self._process = process
        self.log = log
        self.exit_code: int | None = None
        self.ended = asyncio.ensure_future(self._wait())

    @classmethod
    async def start(
        cls, argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path
    ) -> Process:
        """Start ``argv`` in a session of its own, writing to ``log``.

        Raises:
            OSError: there is no such program, or it can't be run.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=dict(env),
                cwd=cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, log)

    async def _wait(self) -> int:
        code = await self._process.wait()
        # As a shell and the kubelet tell the end by a signal.
        self.exit_code = 128 - code if code < 0 else code
        return self.exit_code

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def stop(self, grace: float) -> None:
        """End it: SIGTERM, and SIGKILL once ``grace`` seconds are over."""
        if self.exit_code is None and grace > 0:
            self.signal(signal.SIGTERM)
            await asyncio.wait([self.ended], timeout=grace)
        if self.exit_code is None:
            self.signal(signal.SIGKILL)
            await self.ended


def kill_marked(value: str) -> None:
    """Kill every process of this user whose pod mark is ``value``, or begins with it and ``/``.

    Servers put kernels into sessions of their own, which the end of the server's does not reach.
    """
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(POD_MARK, "")
        except (psutil.Error, OSError):
            # Gone meanwhile, or another user's.
            continue
        if mark == value or mark.startswith(f"{value}/"):
            with contextlib.suppress(psutil.Error):
                process.kill()


async def read_log(
    path: Path, ended: asyncio.Future[int] | None, *, follow: bool, tail_lines: int | None
) -> AsyncIterator[bytes]:
    """Yield what is in a log; with ``follow``, go on until the container has ended."""
    with path.open("rb") as file:
        if tail_lines is not None:
            lines = file.read().splitlines(keepends=True)
            yield b"".join(lines[-tail_lines:] if tail_lines else [])
        while True:
            over = ended is None or ended.done()
            piece = file.read(65536)
            if piece:
                yield piece
            elif not follow or over:
                return
            elif ended is not None:
                await asyncio.wait([ended], timeout=0.1)
