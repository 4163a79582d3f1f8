"""Plots of a run: how each figure grows with the number of pods, and how the two sides compare."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from .rows import lines
from .samples import SIDES, Run

_COLOURS = {"ours": "#1f77b4", "peer": "#d9822b"}
_NAMES = {"ours": "this package", "peer": "jupyterhub-kubespawner 7.1.0"}

#: metric: (title, unit)
_GROWTH = {
    "idle.cpu": ("Idle: CPU a minute", "s"),
    "idle.stall": ("Idle: longest stall", "ms"),
    "memory": ("Memory per pod", "KiB"),
    "restart.seconds": ("Restart: first poll to last", "s"),
    "restart.stall": ("Restart: longest stall", "ms"),
    "churn.cpu": ("Churn: CPU per change", "ms"),
}


def draw(run: Run, folder: Path) -> list[Path]:
    """Write the plots that ``run`` has figures for; return their paths."""
    paths = []
    prefix = "" if run.kind == "full" else f"{run.kind}-"
    if len(run.sizes("idle.cpu")) > 1:
        paths.append(_growth(run, folder / f"{prefix}growth.png"))
    paths.append(_ratios(run, folder / f"{prefix}ratios.png"))
    return paths


def _growth(run: Run, path: Path) -> Path:
    figure, axes = pyplot.subplots(2, 3, figsize=(12, 6.5), layout="constrained")
    for axis, (metric, (title, unit)) in zip(axes.flat, _GROWTH.items(), strict=True):
        for side in SIDES:
            sizes = [n for n in run.sizes(metric) if run.values(metric, n, side)]
            values = [statistics.median(run.values(metric, n, side)) for n in sizes]
            axis.plot(sizes, values, "o-", color=_COLOURS[side], label=_NAMES[side])
        axis.set(title=title, ylabel=unit, xlabel="running pods", xscale="log", yscale="log")
        sizes = run.sizes(metric)
        axis.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes.flat[0].legend()
    return _save(figure, path)


def _ratios(run: Run, path: Path) -> Path:
    """One bar for each line that has a target of peer ÷ ours, with a mark at the target."""
    shown = [
        line
        for line in lines(run)
        if line.target.ratio and line.ratio is not None and not math.isinf(line.ratio)
    ]
    figure, axis = pyplot.subplots(figsize=(10, 0.32 * len(shown) + 1.2), layout="constrained")
    places = range(len(shown))
    axis.barh(places, [line.ratio or 0 for line in shown], color=_COLOURS["ours"])
    for place, line in zip(places, shown, strict=True):
        target = line.target.ratio or 0
        axis.plot([target, target], [place - 0.45, place + 0.45], color="black", linewidth=2)
    labels = [f"{line.row.scenario}, {line.size:,}: {line.row.measured}" for line in shown]
    axis.set_yticks(places, labels)
    axis.invert_yaxis()
    axis.set(xscale="log", xlabel="peer ÷ this package (black: target)")
    axis.grid(axis="x", alpha=0.3)
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the creation date, the same figures give the same file.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return path
