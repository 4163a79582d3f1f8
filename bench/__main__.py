"""``python -m bench run | quick | profile | report``."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from . import plots, report
from .costs import costs, profiled
from .hubside import Profiles
from .plan import FULL, PARTS, QUICK, Plan
from .samples import Run
from .scenarios import Bench

RESULTS = Path(__file__).with_name("results")
_LAST = "full.json"


@click.group(help=__doc__)
def main() -> None:
    pass


def _run(
    plan: Plan,
    results: Path,
    keep: Callable[[Run], None],
    profiles: Profiles | None = None,
) -> Run:
    """Do what ``plan`` says; ``keep`` is called with the run after each measurement."""
    console = Console(highlight=False)
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.0f} s  {text}", markup=False)

    results.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    bench = Bench(plan, folder, say, keep, profiles)
    try:
        run = bench.go()
    except BaseException:
        console.print(f"The logs of all processes are in {folder}.")
        raise
    if run.failures:
        console.print(f"Not all could be measured; the logs of all processes are in {folder}.")
    else:
        shutil.rmtree(folder)
    say("done")
    return run


def _shown(run: Run, results: Path) -> None:
    """Draw and print what was measured."""
    console = Console()
    drawn = plots.draw(run, results)
    report.show(run, console if console.is_terminal else Console(width=170))
    console.print(f"Written: {', '.join(str(path) for path in drawn)} and the table beside it.")


_results = click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    show_default=True,
    help="Folder for table, numbers and plots.",
)


@main.command()
@_results
@click.option(
    "--only",
    type=click.Choice(PARTS),
    multiple=True,
    help="Measure this part alone, and keep the last figures of the others; may be repeated.",
)
def run(results: Path, only: tuple[str, ...]) -> None:
    """Everything, in less than 40 minutes."""
    last = Run.load(results / _LAST) if only else Run(FULL.name)
    _run(FULL.only(only or PARTS), results, lambda new: report.write(last.renewed(new), results))
    _shown(Run.load(results / _LAST), results)


@main.command()
@_results
def quick(results: Path) -> None:
    """The same with 1,000 pods and one round, in under three minutes."""
    _shown(_run(QUICK, results, lambda new: report.write(new, results)), results)


@main.command()
@_results
@click.option("--full", is_flag=True, help="With the sizes of `run` instead of `quick`.")
def profile(results: Path, full: bool) -> None:
    """Flame graphs (SVG) of this package's three costliest steps in the last full run.

    And of a restart, whose stall has a target.
    """
    dearest = [cost.step for cost in costs(Run.load(results / _LAST))[:3]]
    profiles = Profiles(results, frozenset([*dearest, "restart"]))
    for old in results.glob("flame-*.svg"):
        old.unlink()
    plan = profiled(FULL if full else QUICK, profiles.steps)
    _run(plan, results, lambda new: None, profiles)


@main.command(name="report")
@_results
def report_again(results: Path) -> None:
    """Write table and plots of the last full run anew, from its numbers."""
    last = Run.load(results / _LAST)
    report.write(last, results)
    plots.draw(last, results)
    report.show(last, Console())


if __name__ == "__main__":
    main(prog_name="python -m bench")
