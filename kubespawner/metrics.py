"""Prometheus metrics, on the hub's own page ``/hub/metrics``.

What they show is read when the page is: the layers count plain numbers (:mod:`.figures`,
:mod:`.kube.tally`) or have a state, and none of them knows of this module.
https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from . import figures
from .kube import tally
from .kube.informer import Health, Informer
from .leftovers import KINDS
from .sweeper import Sweeper

Sample = tuple[tuple[str, ...], Any]


@dataclass(frozen=True)
class Figure:
    """One metric.

    Attributes:
        samples: yields label values and value: a number, or a
            :class:`~kubespawner.kube.tally.Distribution`.
    """

    name: str
    kind: str
    help: str
    samples: Callable[[], Iterator[Sample]]
    labels: tuple[str, ...] = ()


# ---- where they come from --------------------------------------------------------------------


def _watches() -> Iterator[tuple[str, Informer]]:
    from .watching import Watching

    for reflector in list(Watching.reflectors.values()):
        informer = getattr(reflector, "informer", None)
        if informer is not None:
            yield informer.name, informer


def _of_watches(read: Callable[[Informer], Any]) -> Callable[[], Iterator[Sample]]:
    return lambda: (((name,), read(informer)) for name, informer in _watches())


def _health() -> Iterator[Sample]:
    for name, informer in _watches():
        for health in Health:
            yield (name, health.value), int(informer.health is health)


def _stale_seconds(informer: Informer) -> float:
    return time.time() - informer.stale_since if informer.stale_since else 0.0


def _phases() -> Iterator[Sample]:
    return (((phase,), seconds) for phase, seconds in list(figures.phases.items()))


def _leftovers() -> Iterator[Sample]:
    sweepers = list(Sweeper.running.values())
    if sweepers:
        yield from (((kind,), sum(s.counts()[kind] for s in sweepers)) for kind in KINDS)


def _leftovers_deleted() -> Iterator[Sample]:
    sweepers = list(Sweeper.running.values())
    if sweepers:
        yield from (((kind,), sum(s.deleted[kind] for s in sweepers)) for kind in KINDS)


def _leftovers_looked() -> Iterator[Sample]:
    # The hub looks out for itself only; more than one sweeper is of several clusters.
    times = [sweeper.last_success for sweeper in Sweeper.running.values()]
    if times:
        yield (), min(times)


FIGURES: tuple[Figure, ...] = (
    Figure(
        "kubespawner_spawns",
        "counter",
        "Spawns that ended, by outcome (started, failed, cancelled) and, of those that failed, "
        "by the reason that the user and the log are told.",
        lambda: iter(list(figures.spawns.items())),
        ("outcome", "reason"),
    ),
    Figure(
        "kubespawner_spawn_phase_seconds",
        "histogram",
        "Seconds that the steps of a spawn took: options, namespace, watches, claim, manifest, "
        "create, companions, ready, url.",
        _phases,
        ("phase",),
    ),
    Figure(
        "kubespawner_polls_unknown",
        "counter",
        "Polls that could not learn whether a server runs; it counts as running.",
        lambda: iter([((), figures.polls["unknown"])]),
    ),
    Figure(
        "kubespawner_api_requests",
        "counter",
        "Requests to the Kubernetes API, by verb, kind of object and HTTP status; the status is "
        "`none` where no answer came. Lists and watches of the caches are not among them.",
        lambda: iter(list(tally.attempts.items())),
        ("verb", "kind", "code"),
    ),
    Figure(
        "kubespawner_api_retries",
        "counter",
        "Those of the requests that repeated one that had failed.",
        lambda: iter(list(tally.retries.items())),
        ("verb", "kind"),
    ),
    Figure(
        "kubespawner_watch_health",
        "gauge",
        "1 for the health that a cache has: fresh, stale (changes may be missing; polls ask the "
        "API server directly) or never loaded.",
        _health,
        ("watch", "health"),
    ),
    Figure(
        "kubespawner_watch_stale_seconds",
        "gauge",
        "For how long changes may have been missing from a cache; 0 if it is fresh.",
        _of_watches(_stale_seconds),
        ("watch",),
    ),
    Figure(
        "kubespawner_watch_objects",
        "gauge",
        "Objects that a cache holds, such as pods.",
        _of_watches(len),
        ("watch",),
    ),
    Figure(
        "kubespawner_watch_lists",
        "counter",
        "Full lists that a cache made; more than one means that a version was lost.",
        _of_watches(lambda informer: informer.list_count),
        ("watch",),
    ),
    Figure(
        "kubespawner_watch_connections",
        "counter",
        "Watches that a cache began; the API server ends each after some minutes.",
        _of_watches(lambda informer: informer.watch_count),
        ("watch",),
    ),
    Figure(
        "kubespawner_leftovers",
        "gauge",
        "Objects of this hub that no server of it knows, with `leftovers_interval`.",
        _leftovers,
        ("kind",),
    ),
    Figure(
        "kubespawner_leftovers_deleted",
        "counter",
        "Leftovers that were deleted, with `leftovers_delete`.",
        _leftovers_deleted,
        ("kind",),
    ),
    Figure(
        "kubespawner_leftovers_looked_timestamp_seconds",
        "gauge",
        "When the last look for leftovers succeeded (Unix time); 0: none has yet.",
        _leftovers_looked,
    ),
)


# ---- the page ------------------------------------------------------------------------------


class KubeSpawnerCollector(Collector):
    """Reads :data:`FIGURES` each time that metrics are asked for."""

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        for figure in FIGURES:
            yield _family(figure)


def _family(figure: Figure) -> Metric:
    if figure.kind == "histogram":
        histogram = HistogramMetricFamily(figure.name, figure.help, labels=figure.labels)
        for labels, distribution in figure.samples():
            histogram.add_metric(labels, _buckets(distribution), distribution.total)
        return histogram
    of_kind: Any = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
    family = of_kind(figure.name, figure.help, labels=figure.labels)
    for labels, value in figure.samples():
        family.add_metric(labels, value)
    return family


def _buckets(distribution: tally.Distribution) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in tally.SECONDS), "+Inf"]
    below, buckets = 0, []
    for bound, count in zip(bounds, distribution.counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return buckets


_registered: set[CollectorRegistry] = set()


def register(registry: CollectorRegistry = REGISTRY) -> None:
    """Let ``registry`` (default: the one whose metrics the hub shows) have these; once."""
    if registry not in _registered:
        registry.register(KubeSpawnerCollector())
        _registered.add(registry)
