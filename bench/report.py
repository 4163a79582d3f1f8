"""The table of a run, for a terminal and for the documentation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .costs import costs
from .rows import Line, lines
from .samples import Run

_HEADINGS = ("scenario", "size", "measured", "ours", "peer", "peer ÷ ours", "target", "")


def figure(value: float | None, unit: str = "") -> str:
    """Return ``value`` with three significant digits and its unit."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    if "e" in text:
        text = f"{value:.6f}".rstrip("0").rstrip(".") or "0"
    return f"{text} {unit}".strip()


def cells(line: Line) -> list[str]:
    """Return the texts of one line, in the order of the headings."""
    unit = line.row.unit

    def both(value: float | None, spread: float, rounds: int, failed: bool) -> str:
        if value is None and failed:
            return "failed"
        text = figure(value, unit)
        return f"{text} ± {spread * 50:.0f} %" if rounds > 1 and value else text

    return [
        line.row.scenario,
        f"{line.size:,}",
        line.row.measured,
        both(line.ours, line.ours_spread, line.ours_rounds, line.ours_failed),
        both(line.peer, line.peer_spread, line.peer_rounds, line.peer_failed),
        "–" if line.ratio is None else f"{figure(line.ratio)}×",
        str(line.target),
        line.verdict,
    ]


def show(run: Run, console: Console) -> None:
    """Print the table."""
    table = Table(title=title(run))
    for number, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="right" if 3 <= number <= 5 or number == 1 else "left")
    scenario = ""
    for line in lines(run):
        if scenario and line.row.scenario != scenario:
            table.add_section()
        scenario = line.row.scenario
        style = {True: "green", False: "red", None: ""}[line.met]
        table.add_row(*cells(line), style=style)
    console.print(table)
    for text in _failures(run):
        console.print(text, markup=False)


def title(run: Run) -> str:
    """Return who was compared with whom, when and where."""
    about = run.about
    ours, peer = (about.get(side, {}).get("kubespawner", "?") for side in ("ours", "peer"))
    return (
        f"kubespawner {ours} and jupyterhub-kubespawner {peer}, {about.get('date', '')}, "
        f"{about.get('cores')} cores of {about.get('cpu')}"
    )


def markdown(run: Run) -> str:
    """Return the table and its circumstances as a Markdown page."""
    about = run.about
    versions = about.get("ours", {})
    parts = [
        "# Side by side: results",
        "",
        f"Made by `python -m bench {'run' if run.kind == 'full' else run.kind}`; do not edit.",
        "",
        f"- {title(run)}, {about.get('memory')} of memory, Linux {about.get('kernel')}, "
        f"load average {about.get('load')} at the beginning.",
        f"- Python {versions.get('python')}, JupyterHub {versions.get('jupyterhub')}, "
        f"kubernetes_asyncio {versions.get('kubernetes_asyncio')} on both sides; "
        f"API server {about.get('apiserver', '')}.",
        *([f"- Took {about['minutes']} minutes."] if "minutes" in about else []),
        "- Medians over the rounds; ± is half of the distance between the largest and the smallest "
        "round, in percent of the median. “Size” is the number of pods, spawns or events.",
        "",
        *_rows_of_markdown(lines(run)),
        "",
        *_failed_of_markdown(run),
        "## Hub CPU by step",
        "",
        "What each step costs this package's hub, the most first.",
        "",
        *(f"- {cost.what}: {figure(cost.seconds, 's')}" for cost in costs(run)),
        "",
        "## Requests",
        "",
        "All requests of one round, by the API server's audit log.",
        "",
    ]
    for name, requests in sorted(run.requests.items()):
        listed = ", ".join(f"{count:g} × {what}" for what, count in sorted(requests.items()))
        parts.append(f"- {name}: {listed}")
    return "\n".join(parts) + "\n"


def _failures(run: Run) -> list[str]:
    return [
        f"{', '.join(failure.metrics)} at {failure.size:,}, {failure.side}: "
        + failure.reason.splitlines()[0]
        for failure in run.failures
    ]


def _failed_of_markdown(run: Run) -> list[str]:
    failures = [f"- {text}" for text in _failures(run)]
    return ["## What could not be measured", "", *failures, ""] if failures else []


def _rows_of_markdown(all_lines: Iterable[Line]) -> list[str]:
    rows = [_row(_HEADINGS), "| " + " | ".join("---" for _ in _HEADINGS) + " |"]
    return rows + [_row(cells(line)) for line in all_lines]


def _row(texts: Iterable[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def write(run: Run, folder: Path) -> None:
    """Write ``results.md`` and the numbers behind it."""
    run.save(folder / f"{run.kind}.json")
    name = "results.md" if run.kind == "full" else f"{run.kind}.md"
    (folder / name).write_text(markdown(run))
