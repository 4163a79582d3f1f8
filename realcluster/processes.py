"""The cluster's processes: plain daemons, each with a record and a log.

A record names the process id *and* its start time, so that a number the kernel has given to
somebody else since is never taken for ours.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .commands import Part
from .settings import Layout, digest
from .steps import StepFailed, log_tail

#: Asked again this often while a part starts or stops; no event tells.
_PAUSE = 0.1


def start_time(pid: int) -> str | None:
    """When a process was started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask until ``condition`` holds or ``seconds`` have passed; tells which."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _all_gone(processes: dict[int, str | None]) -> bool:
    return not any(start_time(pid) == began for pid, began in processes.items())


def connects(family: socket.AddressFamily, address: Any) -> bool:
    """Whether somebody takes connections at an address."""
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        try:
            client.connect(address)
        except OSError:
            return False
    return True


def kill(pids: Iterable[int], *, grace: float = 10) -> None:
    """End processes: SIGTERM, and SIGKILL for those still there after ``grace`` seconds.

    With a grace of 0, SIGKILL at once.
    """
    alive = {pid: start_time(pid) for pid in pids}
    signals = [(signal.SIGTERM, grace), (signal.SIGKILL, 10.0)]
    for sig, patience in signals if grace else signals[1:]:
        alive = {pid: began for pid, began in alive.items() if began and start_time(pid) == began}
        if not alive:
            return
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
        wait_until(functools.partial(_all_gone, alive), patience)


class Processes:
    """Start, find and stop the parts of one cluster."""

    def __init__(self, layout: Layout):
        self.layout = layout

    def log(self, name: str) -> Path:
        return self.layout.logs / f"{name}.log"

    def _record(self, name: str) -> Path:
        return self.layout.run / f"{name}.json"

    def _read(self, name: str) -> dict[str, str | int]:
        try:
            return json.loads(self._record(name).read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def pid(self, name: str) -> int | None:
        """The process id of a running part, else None."""
        record = self._read(name)
        pid = int(record.get("pid", 0))
        return pid if pid and start_time(pid) == record.get("started") else None

    def current(self, part: Part) -> bool:
        """Whether the part runs with the command line that it should have."""
        return self.pid(part.name) is not None and self._read(part.name).get("argv") == digest(
            part.argv
        )

    def start(self, part: Part) -> None:
        """Start a part unless it runs already; a running one with another command line is replaced."""
        if self.current(part):
            return
        self.stop(part.name)
        self.layout.run.mkdir(parents=True, exist_ok=True)
        self.layout.logs.mkdir(parents=True, exist_ok=True)
        root = Path(__file__).parent.parent
        file = self.log(part.name)
        if file.exists():
            # Why it ended the last time stays readable.
            file.replace(file.with_suffix(".log.old"))
        with file.open("wb") as log:
            process = subprocess.Popen(
                part.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
                env={**os.environ, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"},
            )
        record = {
            "pid": process.pid,
            "started": start_time(process.pid),
            "argv": digest(part.argv),
        }
        self._record(part.name).write_text(json.dumps(record))

    def stop(self, name: str, *, grace: float = 10) -> None:
        """Stop a part and forget it; fine when it isn't running. Without grace: as a crash would."""
        pid = self.pid(name)
        if pid is not None:
            kill([pid], grace=grace)
        self._record(name).unlink(missing_ok=True)

    def healthy(self, part: Part) -> bool:
        """Whether the part runs and says that it is ready."""
        if self.pid(part.name) is None:
            return False
        if part.ready is None:
            return True
        if isinstance(part.ready, Path):
            return connects(socket.AF_UNIX, str(part.ready))
        if part.ready.startswith("tcp://"):
            host, _, port = part.ready.removeprefix("tcp://").partition(":")
            return connects(socket.AF_INET, (host, int(port)))
        return self._answers(part.ready)

    def _answers(self, url: str) -> bool:
        context = None
        if url.startswith("https"):
            # The controller manager and the scheduler make themselves a certificate.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            pki = self.layout.pki
            context.load_cert_chain(pki / "apiserver-client.crt", pki / "apiserver-client.key")
        try:
            # Loopback and the bridge are never behind the machine's proxy.
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            )
            with opener.open(url, timeout=5) as response:
                return response.status == 200
        except (OSError, urllib.error.URLError, http.client.HTTPException):
            return False

    def await_ready(self, part: Part, seconds: float = 90) -> None:
        """Return when the part is ready.

        Raises :class:`StepFailed` with the end of its log when it exits or isn't ready in time.
        """
        wait_until(lambda: self.healthy(part) or self.pid(part.name) is None, seconds)
        if self.healthy(part):
            return
        log = self.log(part.name)
        fate = "exited" if self.pid(part.name) is None else f"was not ready after {seconds:.0f} s"
        raise StepFailed(f"{part.name} {fate}", log=log, tail=log_tail(log))
