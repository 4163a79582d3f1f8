"""``python -m bench run | quick | profile | report``."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from . import plots, report
from .samples import Run
from .scenarios import FULL, QUICK, Bench, Plan

RESULTS = Path(__file__).with_name("results")


@click.group(help=__doc__)
def main() -> None:
    pass


def _run(plan: Plan, results: Path, profiles: Path | None = None) -> Run:
    console = Console(highlight=False)
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.0f} s  {text}", markup=False)

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    bench = Bench(plan, folder, say, profiles)
    try:
        run = bench.go()
    except BaseException:
        bench.run.save(folder / "incomplete.json")
        console.print(f"The logs of all processes, and what was measured, are in {folder}.")
        raise
    shutil.rmtree(folder)
    say("done")
    if profiles is None:
        report.write(run, results)
        drawn = plots.draw(run, results)
        report.show(run, Console() if console.is_terminal else Console(width=170))
        console.print(f"Written: {', '.join(str(path) for path in drawn)} and the table beside it.")
    return run


_results = click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    show_default=True,
    help="Folder for table, numbers and plots.",
)


@main.command()
@_results
def run(results: Path) -> None:
    """Everything, in about half an hour."""
    _run(FULL, results)


@main.command()
@_results
def quick(results: Path) -> None:
    """The same with 1,000 pods and one round, in under three minutes."""
    _run(QUICK, results)


@main.command()
@_results
@click.option("--full", is_flag=True, help="With the sizes of `run` instead of `quick`.")
def profile(results: Path, full: bool) -> None:
    """A flame graph of every measured step of this package (as SVG)."""
    results.mkdir(parents=True, exist_ok=True)
    _run(FULL if full else QUICK, results, profiles=results)


@main.command(name="report")
@_results
def report_again(results: Path) -> None:
    """Write table and plots of the last full run anew, from its numbers."""
    last = Run.load(results / "full.json")
    report.write(last, results)
    plots.draw(last, results)
    report.show(last, Console())


if __name__ == "__main__":
    main(prog_name="python -m bench")
