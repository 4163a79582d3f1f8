"""What is counted of spawns and polls: plain numbers of this process, for :mod:`.metrics`."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

from .errors import SpawnError
from .kube.tally import Distribution

#: Step of a spawn, such as ``claim`` or ``ready``, to how long it took.
phases: defaultdict[str, Distribution] = defaultdict(Distribution)
#: (outcome, reason) to spawns; the outcome is ``started``, ``failed`` or ``cancelled``.
spawns: Counter[tuple[str, str]] = Counter()
#: Polls whose answer was "unknown", which the hub hears as "running".
polls: Counter[str] = Counter()


def note_end_of_spawn(error: BaseException | None) -> None:
    """Count a spawn that ended, with ``error`` or in a server that runs."""
    if error is None:
        spawns["started", ""] += 1
    elif isinstance(error, asyncio.CancelledError):
        spawns["cancelled", ""] += 1
    else:
        reason = error.reason if isinstance(error, SpawnError) else type(error).__name__
        spawns["failed", reason or "Unknown"] += 1
