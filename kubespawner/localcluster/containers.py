"""Containers as local processes: started, watched, ended, and nothing of them left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from .containerlogs import ContainerLog

# In the environment of every process of a pod, its children included.
POD_MARK = "KUBESPAWNER_LOCALCLUSTER_POD"

_SHIM = [sys.executable, "-I", "-S", str(Path(__file__).with_name("shim.py"))]


class StartError(Exception):
    """A container's program can't be run; worded as by containerd."""


def find_program(argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
    """Raise StartError unless ``argv`` names a program that can be run."""
    name = argv[0] if argv else ""
    failed = f'failed to create containerd task: unable to start container process: exec: "{name}"'
    if os.sep in name:
        path = cwd / name
        if not path.exists():
            raise StartError(f"{failed}: stat {name}: no such file or directory: unknown")
        if path.is_dir() or not os.access(path, os.X_OK):
            raise StartError(f"{failed}: permission denied: unknown")
    elif not shutil.which(name, path=env.get("PATH", os.defpath)):
        raise StartError(f"{failed}: executable file not found in $PATH: unknown")


class Process:
    """One run of one container, through :mod:`~kubespawner.localcluster.shim`.

    Attributes:
        log: what it writes.
        exit_code: 128 + n after signal n; None while it runs.
        ended: a future of the exit code; done once the log is complete and nothing is left.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        log: ContainerLog,
        reader: asyncio.StreamReader,
        output: asyncio.ReadTransport,
    ):
        self._process = process
        self.log = log
        self.exit_code: int | None = None
        self.ended = asyncio.ensure_future(self._wait(reader, output))

    @classmethod
    async def start(
        cls, argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: ContainerLog
    ) -> Process:
        """Start ``argv`` in a session of its own, writing to ``log``.

        Raises:
            StartError: there is no such program, or it can't be run.
        """
        find_program(argv, env, cwd)
        # A pipe of our own: Process.wait() must not wait for those who inherited its end.
        read_end, write_end = os.pipe()
        reader = asyncio.StreamReader()
        output, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
        )
        try:
            process = await asyncio.create_subprocess_exec(
                *_SHIM,
                *argv,
                env=dict(env),
                cwd=cwd,
                stdin=asyncio.subprocess.PIPE,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        except BaseException:
            output.close()
            raise
        finally:
            os.close(write_end)
        return cls(process, log, reader, output)

    @property
    def pid(self) -> int:
        """Of the shim, which is the container's parent."""
        return self._process.pid

    async def _wait(self, reader: asyncio.StreamReader, output: asyncio.ReadTransport) -> int:
        copying = asyncio.ensure_future(self.log.copy(reader))
        try:
            code = await self._process.wait()
            # The pipe ends with its last holder, and the shim leaves none; a killed one might.
            await asyncio.wait([copying], timeout=1)
        finally:
            copying.cancel()
            output.close()
            self.log.close()
        self.exit_code = 128 - code if code < 0 else code
        return self.exit_code

    def _order(self, order: bytes) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(order)

    def terminate(self) -> None:
        """Send SIGTERM to the container's main process, as a kubelet does."""
        self._order(b"T")

    def kill(self) -> None:
        """Kill the main process and all that it started."""
        self._order(b"K")


def kill_marked(value: str) -> None:
    """Kill every process of this user whose pod mark is ``value``, or begins with it and ``/``.

    A second net under the shim, for systems on which orphans can't be adopted, and for shims that
    were killed themselves. Repeats until a round finds none, as processes may fork meanwhile.
    """
    while True:
        found = [process for process in psutil.process_iter() if _is_marked(process, value)]
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=5)


def _is_marked(process: psutil.Process, value: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        mark = process.environ().get(POD_MARK, "")
    except (psutil.Error, OSError):
        # Gone meanwhile, or another user's.
        return False
    return mark == value or mark.startswith(f"{value}/")
