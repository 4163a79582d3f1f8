"""How much of everything a run does."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

#: What a run may be limited to.
PARTS = ("populations", "plain", "claims", "events")


@dataclass(frozen=True)
class Population:
    """Measurements with so many running pods.

    Attributes:
        restarts: rounds of restart and memory; idle and churn are measured in the first one.
    """

    size: int
    restarts: int
    idle_seconds: float
    churn_seconds: float


@dataclass(frozen=True)
class Spawns:
    """Many starts at once, and as many stops.

    Attributes:
        kind: "plain", or "claims": each server has a claim of its own.
        ours, peer: rounds of each side. Those of the peer take much longer.
    """

    kind: str
    ours: int
    peer: int


@dataclass(frozen=True)
class Plan:
    """How much of everything one run does.

    Attributes:
        spawns: servers that are started at once.
        others: pods that run already while servers are started.
        ready, gone: least and most seconds from a pod's creation to its readiness, and from its
            deletion to its end. They set the rate at which pods become ready or go, which the API
            server has to follow, whatever the hub does.
        events: numbers of old events in the namespace, smallest first.
        readers: starts with a progress page open each, in a namespace full of events.
        window: seconds that these are measured for, done or not.
    """

    name: str
    populations: tuple[Population, ...]
    churn_rate: float
    spawns: int
    kinds: tuple[Spawns, ...]
    others: int
    ready: tuple[float, float]
    gone: tuple[float, float]
    events: tuple[int, ...]
    readers: int
    window: float

    def only(self, parts: Collection[str]) -> Plan:
        """Return the same without all but some of :data:`PARTS`."""
        return dataclasses.replace(
            self,
            populations=self.populations if "populations" in parts else (),
            kinds=tuple(spawns for spawns in self.kinds if spawns.kind in parts),
            events=self.events if "events" in parts else (),
        )


FULL = Plan(
    name="full",
    populations=(
        Population(1_000, restarts=1, idle_seconds=20, churn_seconds=10),
        Population(3_000, restarts=1, idle_seconds=20, churn_seconds=10),
        Population(5_000, restarts=1, idle_seconds=120, churn_seconds=10),
        Population(10_000, restarts=2, idle_seconds=120, churn_seconds=20),
        Population(30_000, restarts=1, idle_seconds=20, churn_seconds=15),
    ),
    churn_rate=100,
    spawns=500,
    kinds=(Spawns("plain", ours=3, peer=1), Spawns("claims", ours=2, peer=1)),
    others=1_000,
    ready=(6, 10),
    gone=(6, 14),
    events=(3_500, 35_000),
    readers=100,
    window=60,
)
QUICK = Plan(
    name="quick",
    populations=(Population(1_000, restarts=1, idle_seconds=12, churn_seconds=5),),
    churn_rate=100,
    spawns=50,
    kinds=(Spawns("plain", ours=1, peer=1), Spawns("claims", ours=1, peer=1)),
    others=100,
    ready=(2, 4),
    gone=(2, 4),
    events=(2_000,),
    readers=20,
    window=10,
)
