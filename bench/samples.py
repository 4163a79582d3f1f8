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


@dataclass(frozen=True)
class Failure:
    """What could not be measured on one side, and why.

    Attributes:
        metrics: beginnings of their names.
    """

    metrics: tuple[str, ...]
    size: int
    side: str
    reason: str

    def of(self, metric: str) -> bool:
        return metric.startswith(self.metrics)


@dataclass
class Run:
    """All samples of one run, and where and with what they were taken."""

    kind: str
    about: dict[str, Any] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    requests: dict[str, dict[str, float]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def add(self, metric: str, size: int, side: str, value: float) -> None:
        self.samples.append(Sample(metric, size, side, value))

    def fail(self, metrics: tuple[str, ...], size: int, side: str, reason: str) -> None:
        self.failures.append(Failure(metrics, size, side, reason))

    def values(self, metric: str, size: int, side: str) -> list[float]:
        """Return the figure of each round."""
        return [s.value for s in self.samples if (s.metric, s.size, s.side) == (metric, size, side)]

    def sizes(self, metric: str) -> list[int]:
        """Return the sizes at which it was or should have been measured, smallest first."""
        measured = {s.size for s in self.samples if s.metric == metric}
        return sorted(measured | {f.size for f in self.failures if f.of(metric)})

    def failed(self, metric: str, size: int, side: str) -> bool:
        """Whether it could not be measured, at least in one round."""
        return any(f.of(metric) and (f.size, f.side) == (size, side) for f in self.failures)

    def renewed(self, newer: Run) -> Run:
        """Return this run with the scenarios that ``newer`` has measured anew."""
        renewed = {s.metric.partition(".")[0] for s in newer.samples}
        renewed |= {m.partition(".")[0] for f in newer.failures for m in f.metrics}

        def stays(metric: str) -> bool:
            return metric.partition(".")[0] not in renewed

        return Run(
            kind=self.kind,
            about=self.about | newer.about,
            samples=[s for s in self.samples if stays(s.metric)] + newer.samples,
            requests=self.requests | newer.requests,
            failures=[f for f in self.failures if stays(f.metrics[0])] + newer.failures,
        )

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Run:
        data = json.loads(path.read_text())
        samples = [Sample(**sample) for sample in data.pop("samples")]
        failures = [
            Failure(tuple(failure.pop("metrics")), **failure)
            for failure in data.pop("failures", ())
        ]
        return cls(samples=samples, failures=failures, **data)


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
    return (max(values) - min(values)) / middle if middle and math.isfinite(middle) else 0.0


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
