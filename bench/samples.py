"""What a run has measured, and how it is kept: plain numbers with their circumstances."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIDES = ("ours", "peer")


@dataclass(frozen=True)
class Sample:
    """One figure of one side in one round.

    Attributes:
        metric: such as ``idle.cpu``; units are in :data:`bench.rows.ROWS`.
        size: of the population, or number of events or spawns.
    """

    metric: str
    size: int
    side: str
    value: float


@dataclass
class Run:
    """All samples of one run, and where and with what they were taken."""

    kind: str
    about: dict[str, Any] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    requests: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, metric: str, size: int, side: str, value: float) -> None:
        self.samples.append(Sample(metric, size, side, value))

    def values(self, metric: str, size: int, side: str) -> list[float]:
        """Return the figure of each round."""
        return [s.value for s in self.samples if (s.metric, s.size, s.side) == (metric, size, side)]

    def sizes(self, metric: str) -> list[int]:
        """Return the sizes at which there is a figure, smallest first."""
        return sorted({s.size for s in self.samples if s.metric == metric})

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Run:
        data = json.loads(path.read_text())
        samples = [Sample(**sample) for sample in data.pop("samples")]
        return cls(samples=samples, **data)


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that ``percent`` of all do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(values: Sequence[float]) -> float:
    """Return how far apart the rounds are: (largest - smallest) / median; 0 for one round."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def machine() -> dict[str, Any]:
    """Return date and machine of a run that begins now."""
    cpu = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": cpu or platform.machine(),
        "cores": os.cpu_count(),
        "memory": f"{memory / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 1),
    }
