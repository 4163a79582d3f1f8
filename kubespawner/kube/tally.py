"""What is counted: plain numbers of this process, from which metrics are made elsewhere."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

#: Upper bounds in seconds; what takes longer is in the last, open one.
SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

#: (verb, kind, HTTP status, or "none" without an answer) to attempts.
attempts: Counter[tuple[str, str, str]] = Counter()
#: (verb, kind) to attempts that repeated one that had failed.
retries: Counter[tuple[str, str]] = Counter()


def note(verb: str, kind: str, code: str) -> None:
    """Count one attempt."""
    attempts[verb, kind, code] += 1


@dataclass
class Distribution:
    """How often something took how long.

    Attributes:
        counts: per bucket of :data:`SECONDS`, and one for what took longer.
        total: seconds of all.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds
