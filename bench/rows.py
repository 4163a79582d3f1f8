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
        ours, peer: None if it was not measured.
        ours_failed, peer_failed: whether it could not be, at least in one round.
        ratio: peer ÷ ours; infinite where ours is 0; None without the peer or if both are 0.
        ours_spread, peer_spread: (largest - smallest) / median of the rounds.
    """

    row: Row
    size: int
    ours: float | None
    peer: float | None
    ours_failed: bool
    peer_failed: bool
    ours_rounds: int
    peer_rounds: int
    ratio: float | None
    ours_spread: float
    peer_spread: float

    @property
    def target(self) -> Target:
        return self.row.target if self.size >= self.row.from_size else Target()

    @property
    def verdict(self) -> str:
        """Return "met", "missed" or "not measured"; nothing where nothing was asked."""
        if self.met is None:
            return "" if self.target == Target() else "not measured"
        return "met" if self.met else "missed"

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if none is set, or for want of figures."""
        return None if self.ours is None else self.target.met(self.ours, self.ratio)


_IDLE = "idle"
_SPAWNS = {"plain": "spawns at once", "claims": "spawns at once, with claims"}
_STOPS = {"plain": "stops at once", "claims": "stops at once, with claims"}
_EVENTS = "old events, progress pages"


def _delays(scenario: str, what: str, metric: str) -> Iterator[Row]:
    yield Row(scenario, what, f"{metric}.p50", "ms", Target(most=50))
    yield Row(scenario, "the same, p99", f"{metric}.p99", "ms")
    yield Row(scenario, "of it, in the API server, p50", f"{metric}.api.p50", "ms")
    yield Row(scenario, "of it, until the hub was told, p50", f"{metric}.there.p50", "ms")
    yield Row(scenario, "of it, since the hub was told, p50", f"{metric}.here.p50", "ms")
    yield Row(scenario, "of it, since the hub was told, p99", f"{metric}.here.p99", "ms")


def _spawns(kind: str, scenario: str) -> Iterator[Row]:
    start = f"{kind}.start"
    yield from _delays(scenario, "ready to start() returned, p50", start)
    yield Row(scenario, "hub CPU per spawn", f"{start}.cpu", "ms", Target(ratio=3), 500)
    yield Row(scenario, "API requests per spawn", f"{start}.requests", "")
    yield Row(scenario, "longest stall", f"{start}.stall", "ms")
    yield Row(scenario, "starts that failed", f"{start}.failed", "", Target(most=0))


def _stops(kind: str, scenario: str) -> Iterator[Row]:
    stop = f"{kind}.stop"
    yield from _delays(scenario, "gone to stop() returned, p50", stop)
    yield Row(scenario, "hub CPU per stop", f"{stop}.cpu", "ms")
    yield Row(scenario, "API requests per stop", f"{stop}.requests", "")


ROWS: tuple[Row, ...] = (
    Row(_IDLE, "hub CPU a minute", "idle.cpu", "s", Target(ratio=50)),
    Row(_IDLE, "LISTs a minute", "idle.lists", "", Target(most=0)),
    Row(_IDLE, "bytes from the API server a minute", "idle.bytes", "KiB", Target(ratio=100)),
    Row(_IDLE, "longest stall", "idle.stall", "ms", Target(ratio=20, most=20)),
    Row("memory", "resident growth per pod", "memory", "KiB", Target(ratio=5)),
    Row("restart", "first poll to last", "restart.seconds", "s", Target(ratio=3), 10_000),
    Row("restart", "longest stall", "restart.stall", "ms", Target(most=50), 10_000),
    Row("restart", "hub CPU", "restart.cpu", "s"),
    Row("restart", "hub CPU per spawner made", "make.cpu", "µs"),
    Row("polls", "hub CPU per poll of a cached pod", "poll.cpu", "µs"),
    Row("churn, 100 a second", "hub CPU per change", "churn.cpu", "ms", Target(ratio=3), 10_000),
    Row("churn, 100 a second", "longest stall", "churn.stall", "ms"),
    *(row for kind, scenario in _SPAWNS.items() for row in _spawns(kind, scenario)),
    *(row for kind, scenario in _STOPS.items() for row in _stops(kind, scenario)),
    Row(_EVENTS, "hub CPU in a fixed time", "events.cpu", "s", Target(ratio=50), 35_000),
    Row(_EVENTS, "hub CPU per start done by then", "events.cpu.each", "ms"),
    Row(_EVENTS, "starts not done by then", "events.missing", "", Target(most=0)),
    Row(_EVENTS, "resident growth", "events.growth", "MiB"),
    Row(_EVENTS, "longest stall", "events.stall", "ms"),
)


def lines(run: Run) -> Iterator[Line]:
    """Yield every line of the table that ``run`` has figures for, or should have."""
    for row in ROWS:
        for size in run.sizes(row.metric):
            ours = run.values(row.metric, size, "ours")
            peer = run.values(row.metric, size, "peer")
            middle = statistics.median(ours) if ours else None
            other = statistics.median(peer) if peer else None
            yield Line(
                row=row,
                size=size,
                ours=middle,
                peer=other,
                ours_failed=run.failed(row.metric, size, "ours"),
                peer_failed=run.failed(row.metric, size, "peer"),
                ours_rounds=len(ours),
                peer_rounds=len(peer),
                ratio=_ratio(middle, other),
                ours_spread=spread(ours) if ours else 0.0,
                peer_spread=spread(peer) if peer else 0.0,
            )


def _ratio(ours: float | None, peer: float | None) -> float | None:
    if ours is None or peer is None or (not ours and not peer):
        return None
    return peer / ours if ours else float("inf")
