"""Which steps cost this package's hub most: what a profile is worth looking at."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from .plan import Plan
from .samples import Run

# With more, the API server's list takes minutes.
_MOST_PODS = 10_000


@dataclass(frozen=True)
class Cost:
    """CPU of one step.

    Attributes:
        step: as its flame graph is called.
        what: was done, in words.
        seconds: of hub CPU.
    """

    step: str
    what: str
    seconds: float


@dataclass(frozen=True)
class _Step:
    """A step and how its metric turns into seconds: ``value * (size if each else 1) / units``.

    Attributes:
        part: of the plan that has it; one of :data:`bench.plan.PARTS`.
    """

    step: str
    part: str
    what: str
    metric: str
    units: float
    each: bool
    most: int = _MOST_PODS


_STEPS = (
    _Step("make", "populations", "{:,} spawners made", "make.cpu", 1e6, True),
    _Step("restart", "populations", "first poll of {:,} servers", "restart.cpu", 1, False),
    _Step("poll", "populations", "another poll of {:,} servers", "poll.cpu", 1e6, True),
    _Step("idle", "populations", "a minute with {:,} idle servers", "idle.cpu", 1, False),
    _Step("churn", "populations", "a minute of churn, {:,} servers", "churn.cpu", 1 / 6, False),
    _Step("start-plain", "plain", "{:,} starts", "plain.start.cpu", 1e3, True),
    _Step("stop-plain", "plain", "{:,} stops", "plain.stop.cpu", 1e3, True),
    _Step("start-claims", "claims", "{:,} starts with claims", "claims.start.cpu", 1e3, True),
    _Step("stop-claims", "claims", "{:,} stops with claims", "claims.stop.cpu", 1e3, True),
    _Step(
        "events", "events", "starts with open pages, {:,} events", "events.cpu", 1, False, 35_000
    ),
)


def costs(run: Run) -> list[Cost]:
    """Return what each step costs at its full size, up to 10,000 pods; the most first."""
    return sorted(_costs(run), key=lambda cost: -cost.seconds)


def _costs(run: Run) -> Iterator[Cost]:
    for step in _STEPS:
        found = _largest(run, step.metric, step.most)
        if found is not None:
            size, value = found
            seconds = value * (size if step.each else 1) / step.units
            yield Cost(step.step, step.what.format(size), seconds)


def _largest(run: Run, metric: str, most: int) -> tuple[int, float] | None:
    for size in reversed(run.sizes(metric)):
        values = run.values(metric, size, "ours")
        if values and size <= most:
            return size, statistics.median(values)
    return None


def profiled(plan: Plan, steps: Collection[str]) -> Plan:
    """Return a plan that has those steps at their full sizes, and little else."""
    limited = plan.only({step.part for step in _STEPS if step.step in steps})
    population = [p for p in limited.populations if p.size <= _MOST_PODS][-1:]
    seconds = {
        "idle_seconds": 60 if "idle" in steps else 1,
        "churn_seconds": 20 if "churn" in steps else 1,
    }
    return dataclasses.replace(
        limited,
        populations=tuple(dataclasses.replace(p, restarts=1, **seconds) for p in population),
        events=limited.events[-1:],
    )
