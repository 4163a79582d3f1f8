"""Thousands of servers come and go while requests fail now and then: what grows, and what is left?"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from kubespawner import KubeSpawner, pods
from kubespawner.errors import SpawnError
from tests.support.field import STORAGE, Field, with_certificates

USERS = 40
# Servers that come and go at the same time.
_AT_ONCE = 4
# Cycles between two restarts of the hub.
_RESTART = 200
# Cycles before anything is measured: what is imported and cached once is there by then.
_WARM_UP = 80
_KINDS: list[dict[str, Any]] = [
    {"status": 429, "reason": "TooManyRequests", "retry_after": 1},
    {"status": 500},
    {"status": 503, "reason": "ServiceUnavailable"},
    {"status": 504, "reason": "Timeout"},
    {"drop": "before"},
    {"drop": "after"},
    {"delay": 5},
    {"delay_answer": 5},
    {"truncate": 7},
]


@dataclass
class Figures:
    """What a soak showed.

    Attributes:
        faults: requests that a fault was injected into, of so many ``requests``.
        failed: starts and stops that ended in an error, in words.
        left: objects that nobody needs any more.
        memory, files, tasks: resident bytes, open file descriptors and tasks after each round
            that follows the first 80 cycles.
    """

    cycles: int = 0
    requests: int = 0
    faults: int = 0
    failed: int = 0
    left: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)

    def tenths(self, name: str) -> tuple[float, float]:
        """Return the means of the first and the last tenth of the samples ``name``."""
        samples = getattr(self, name)
        tenth = max(len(samples) // 10, 1)
        return sum(samples[:tenth]) / tenth, sum(samples[-tenth:]) / tenth


class Soak:
    """One hub whose users come and go.

    Args:
        share: of the requests that meet a fault.
        seed: of what happens.
    """

    def __init__(self, directory: Path, *, share: float = 0.02, seed: int = 0):
        self._directory = directory
        # What is kept for the tests' eyes must not grow either.
        self._field = Field(directory / "kubeconfig", history_limit=200)
        self._field.changes = deque(maxlen=100)  # type: ignore[assignment]
        self._field.requests = deque(maxlen=100)  # type: ignore[assignment]
        self._random = random.Random(seed)
        self._share = share
        self._states: dict[str, str] = {}
        self.figures = Figures()

    async def run(self, cycles: int) -> Figures:
        """Let ``cycles`` servers come and go; return what was measured."""
        figures, process = self.figures, psutil.Process()
        await self._field.start()
        self._field.fail(when=self._count)
        faults = [self._field.fail(when=self._is_due, **kind) for kind in _KINDS]
        turn = 0
        while figures.cycles < cycles:
            users = [f"user{(turn + n) % USERS}" for n in range(_AT_ONCE)]
            await asyncio.gather(*(self._cycle(user) for user in users))
            turn += _AT_ONCE
            figures.cycles += _AT_ONCE
            if figures.cycles % _RESTART < _AT_ONCE:
                await KubeSpawner._stop_all_reflectors()
            if figures.cycles <= min(_WARM_UP, cycles // 2):
                continue
            figures.memory.append(process.memory_info().rss)
            figures.files.append(process.num_fds())
            figures.tasks.append(len(asyncio.all_tasks()))
        figures.faults = sum(fault.hits for fault in faults)
        for fault in faults:
            self._field.faults.remove(fault)
        await asyncio.sleep(600)
        figures.left = self._left()
        await self._field.stop()
        return figures

    def _count(self, call: Any) -> bool:
        self.figures.requests += 1
        return False

    def _is_due(self, call: Any) -> bool:
        return self._random.random() < self._share / len(_KINDS)

    async def _cycle(self, user: str) -> None:
        spawner = self._field.spawner(
            user, cls=KubeSpawner, start_timeout=60, services_enabled=True, **STORAGE
        )
        with_certificates(spawner, self._directory)
        spawner.load_state(json.loads(self._states.get(user, "{}")))
        spawner.clear_state()
        try:
            await spawner.start()
            assert await spawner.poll() is None
            await spawner.stop()
        except SpawnError:
            self.figures.failed += 1
            await self._give_up(spawner)
        spawner.clear_state()
        self._states[user] = json.dumps(spawner.get_state())

    async def _give_up(self, spawner: Any) -> None:
        try:
            if await spawner.poll() is None:
                await spawner.stop()
        except SpawnError:
            self.figures.failed += 1

    def _left(self) -> list[str]:
        left = [
            f"{plural}/{item['metadata']['name']}"
            for plural in ("pods", "secrets", "services")
            for item in self._field.objects(plural)
            if item["metadata"]["name"] != "kubernetes"
        ]
        claims = len(self._field.objects("persistentvolumeclaims"))
        if claims > min(USERS, self.figures.cycles):
            left.append(f"{claims} claims of {USERS} users")
        return left + [f"task {task.get_name()}" for task in pods._removals]
