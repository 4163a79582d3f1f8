"""The table: which figure each row shows, and what was aimed at."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from .samples import Run, spread


@dataclass(frozen=True)
class Target:
    """What a row has to show; what is None is not asked.

    Attributes:
        ratio: least value of peer ÷ ours.
        most: largest value of ours, in the row's unit.
    """

    ratio: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        parts = []
        if self.ratio is not None:
            parts.append(f"≥ {self.ratio:g}×")
        if self.most is not None:
            parts.append(f"≤ {self.most:g}")
        return ", ".join(parts) or "–"

    def met(self, ours: float, ratio: float | None) -> bool | None:
        """Whether it is met; None if nothing was asked, or nothing is known of the peer."""
        answers = []
        if self.ratio is not None:
            if ratio is None:
                return None
            answers.append(ratio >= self.ratio)
        if self.most is not None:
            answers.append(ours <= self.most)
        return all(answers) if answers else None


@dataclass(frozen=True)
class Row:
    """One line of the table for each size measured.

    Attributes:
        from_size: the target is asked of this size and bigger ones.
    """

    scenario: str
    measured: str
    metric: str
    unit: str
    target: Target = Target()
    from_size: int = 0


@dataclass(frozen=True)
class Line:
    """A row at one size, with its figures: medians over the rounds.

    Attributes:
        ratio: peer ÷ ours; infinite where ours is 0; None without the peer or if both are 0.
        ours_spread, peer_spread: (largest - smallest) / median of the rounds.
    """

    row: Row
    size: int
    rounds: int
    ours: float
    peer: float | None
    ratio: float | None
    ours_spread: float
    peer_spread: float

    @property
    def target(self) -> Target:
        return self.row.target if self.size >= self.row.from_size else Target()

    @property
    def met(self) -> bool | None:
        return self.target.met(self.ours, self.ratio)


_IDLE = "idle"
_SPAWNS = {"plain": "spawns at once", "claims": "spawns at once, with claims"}

ROWS: tuple[Row, ...] = (
    Row(_IDLE, "hub CPU a minute", "idle.cpu", "s", Target(ratio=50)),
    Row(_IDLE, "LISTs a minute", "idle.lists", "", Target(most=0)),
    Row(_IDLE, "bytes from the API server a minute", "idle.bytes", "KiB", Target(ratio=100)),
    Row(_IDLE, "longest stall", "idle.stall", "ms", Target(ratio=20, most=20)),
    Row("memory", "resident growth per pod", "memory", "KiB", Target(ratio=5)),
    Row("restart", "first poll to last", "restart.seconds", "s", Target(ratio=3), 10_000),
    Row("restart", "longest stall", "restart.stall", "ms", Target(most=50), 10_000),
    Row("restart", "hub CPU", "restart.cpu", "s"),
    Row("restart", "CPU per spawner made", "make.cpu", "µs"),
    Row("polls", "CPU per poll of a cached pod", "poll.cpu", "µs"),
    Row("churn, 100 a second", "CPU per change", "churn.cpu", "ms", Target(ratio=3), 10_000),
    Row("churn, 100 a second", "longest stall", "churn.stall", "ms"),
    *(
        row
        for kind, scenario in _SPAWNS.items()
        for row in (
            Row(
                scenario,
                "ready to start() returned, p50",
                f"{kind}.start.p50",
                "ms",
                Target(None, 50),
            ),
            Row(scenario, "the same, p99", f"{kind}.start.p99", "ms"),
            Row(scenario, "hub CPU per spawn", f"{kind}.start.cpu", "ms", Target(ratio=3)),
            Row(scenario, "API requests per spawn", f"{kind}.start.requests", ""),
            Row(scenario, "longest stall", f"{kind}.start.stall", "ms"),
            Row(scenario, "starts that failed", f"{kind}.start.failed", "", Target(most=0)),
        )
    ),
    Row("stops at once", "gone to stop() returned, p50", "plain.stop.p50", "ms", Target(None, 50)),
    Row("stops at once", "the same, p99", "plain.stop.p99", "ms"),
    Row("stops at once", "hub CPU per stop", "plain.stop.cpu", "ms"),
    Row("stops at once", "API requests per stop", "plain.stop.requests", ""),
    Row("old events, progress pages", "hub CPU", "events.cpu", "s", Target(ratio=50), 35_000),
    Row("old events, progress pages", "resident growth", "events.growth", "MiB"),
    Row("old events, progress pages", "longest stall", "events.stall", "ms"),
    Row("old events, progress pages", "starts that failed", "events.failed", "", Target(most=0)),
)


def lines(run: Run) -> Iterator[Line]:
    """Yield every line of the table that ``run`` has figures for."""
    for row in ROWS:
        for size in run.sizes(row.metric):
            ours = run.values(row.metric, size, "ours")
            peer = run.values(row.metric, size, "peer")
            if not ours:
                continue
            middle = statistics.median(ours)
            other = statistics.median(peer) if peer else None
            yield Line(
                row=row,
                size=size,
                rounds=len(ours),
                ours=middle,
                peer=other,
                ratio=_ratio(middle, other),
                ours_spread=spread(ours),
                peer_spread=spread(peer) if peer else 0.0,
            )


def _ratio(ours: float, peer: float | None) -> float | None:
    if peer is None or (not ours and not peer):
        return None
    return peer / ours if ours else float("inf")
