"""A hub process under measurement, as the scenarios see it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from .apiserver import ApiServer
from .children import Child

_ATTACH_SECONDS = 1.5


@dataclass(frozen=True)
class Profiles:
    """Which steps get a flame graph, and where it goes."""

    folder: Path
    steps: frozenset[str]

    def path(self, step: str) -> Path:
        return self.folder / f"flame-{step}.svg"


@dataclass(frozen=True)
class Usage:
    """What a process has taken so far.

    Attributes:
        cpu: seconds of all threads, user and system together.
        resident: bytes.
    """

    cpu: float
    resident: int


class HubSide:
    """A hub process under measurement."""

    def __init__(
        self, side: str, child: Child, wire: Child, api: ApiServer, profiles: Profiles | None
    ):
        self.side = side
        self._child, self._wire, self._api, self._profiles = child, wire, api, profiles

    def make(
        self,
        users: Sequence[str],
        settings: dict[str, Any],
        *,
        running: bool = False,
        database: Path | None = None,
    ) -> dict[str, Any]:
        arguments = {"settings": settings, "running": running, "database": str(database or "")}
        step = "make" if running else ""
        return self.measured(step, "make", users=list(users), **arguments)

    def settled(self) -> int:
        """Return the resident bytes after garbage collection."""
        return self._child.ask("settle")["resident"]

    def usage(self) -> Usage:
        """Return what the process has taken, without asking it: it may be busy."""
        process = psutil.Process(self._child.pid)
        times = process.cpu_times()
        return Usage(times.user + times.system, process.memory_info().rss)

    def measured(self, step: str, do: str, **arguments: Any) -> dict[str, Any]:
        """Do something and return its figures; with a flame graph named ``step`` if asked for."""
        with self._profiled(step):
            return self._child.ask(do, **arguments)

    def window(self, step: str, seconds: float, do: str, **arguments: Any) -> Window:
        """Begin something, and return when ``seconds`` have passed, whatever is done by then."""
        before = self.usage()
        with self._profiled(step):
            self._child.tell(do, seconds=seconds, **arguments)
            time.sleep(seconds)
            after = self.usage()
        growth = after.resident - before.resident
        return Window(after.cpu - before.cpu, growth, self._child)

    def account(self) -> Account:
        """Return an account of this side's requests and bytes from now on."""
        return Account(self.side, self._api, self._wire)

    @contextlib.contextmanager
    def _profiled(self, step: str) -> Iterator[None]:
        if self._profiles is None or step not in self._profiles.steps:
            yield
            return
        argv = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid"]
        argv += [str(self._child.pid), "--output", str(self._profiles.path(step))]
        argv += ["--rate", "250", "--gil"]
        with subprocess.Popen(
            argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as recorder:
            # It does not say when it has attached, nor heeds a signal before.
            time.sleep(_ATTACH_SECONDS)
            yield
            while recorder.poll() is None:
                recorder.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    recorder.wait(timeout=1)


@dataclass(frozen=True)
class Window:
    """What a hub took in a fixed time.

    Attributes:
        cpu: seconds.
        growth: of its resident bytes.
    """

    cpu: float
    growth: int
    _child: Child

    def outcome(self, patience: float) -> dict[str, Any]:
        """Return what the hub says was done; a busy one says so late."""
        return self._child.hear(patience)


class Account:
    """Requests and bytes of one side since this was made."""

    def __init__(self, side: str, api: ApiServer, wire: Child):
        self._side, self._wire = side, wire
        self._audit = api.audit()
        self._from = wire.ask("count")["to_hub"]

    def bytes_to_hub(self) -> int:
        """Return the bytes that the API server sent, as they went over the wire."""
        return self._wire.ask("count")["to_hub"] - self._from

    def requests(self) -> Any:
        """Return the number of requests by "verb resource"."""
        return self._audit.requests(self._side)

    def kubelet_waited(self, what: str) -> list[float]:
        """Return the seconds that the API server took for each such request of the kubelet."""
        return self._audit.durations("kubelet", what)
