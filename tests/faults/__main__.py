"""``python -m tests.faults``: run the whole matrix and write docs/development/fault-matrix.md.

Runs it on the embedded API server and, with ``KUBESPAWNER_TEST_CLUSTER=current``, on the one of
the current kubeconfig as well; then shows what the faults do to KubeSpawner 7.1.0.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.support.warp import WarpLoop

from . import peer
from .ground import real_cluster
from .matrix import CASES, COLUMNS, ROWS, applies, run_case

PAGE = Path(__file__).parents[2] / "docs" / "development" / "fault-matrix.md"
# Whatever it hangs on, a case does not take longer.
_LIMIT = 300


def _in_a_loop(make: Callable[[], Any], work: Callable[[Path], Coroutine[Any, Any, Any]]) -> Any:
    """Run ``work`` on a loop of its own, in a directory of its own."""
    logging.disable(logging.CRITICAL)
    loop = make()
    asyncio.set_event_loop(loop)
    try:
        with tempfile.TemporaryDirectory() as directory:
            return loop.run_until_complete(_bounded(work(Path(directory))))
    finally:
        loop.close()


async def _bounded(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await asyncio.wait_for(work, _LIMIT * 10)
    finally:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def case(cluster: str, row: str, column: str, name: str) -> str:
    """Run one case; return "" or what went wrong."""
    make = asyncio.new_event_loop if cluster else WarpLoop
    try:
        _in_a_loop(make, lambda directory: run_case(row, column, name, directory, cluster))
    except Exception as e:  # noqa: BLE001 - a cell that is not green
        last = traceback.extract_tb(e.__traceback__)[-1]
        return f"{type(e).__name__}: {e} ({Path(last.filename).name}:{last.lineno})"
    return ""


def observation(cluster: str, question: str, column: str, interpreter: str) -> str:
    """Return what became of one server."""
    try:
        return _in_a_loop(
            asyncio.new_event_loop,
            lambda directory: peer.observe(question, column, interpreter, directory, cluster),
        )
    except Exception as e:  # noqa: BLE001 - a cell that shows it
        return f"not observed ({type(e).__name__})"


class Report:
    """The cases' results, and the page made of them."""

    def __init__(self, pool: ProcessPoolExecutor):
        self._pool = pool
        self.failures: list[str] = []
        self.parts: list[str] = []
        self.total = 0

    def matrix(self, title: str, cluster: str) -> None:
        """Run all cases on one API server."""
        started = time.monotonic()
        running = {
            (row, column, name): self._pool.submit(case, cluster, row, column, name)
            for row in ROWS
            for column in COLUMNS
            for name in CASES
            if applies(row, column)
        }
        results = {key: future.result() for key, future in running.items()}
        passed = sum(not result for result in results.values())
        for key, result in results.items():
            if result:
                self.failures.append(f"{title}: {' / '.join(key)}: {result}")
        self.total += len(results)
        lines = [f"| request | {' | '.join(COLUMNS)} |", f"| --- |{' :-: |' * len(COLUMNS)}"]
        for row in ROWS:
            cells = [self._cell(results, row, column) for column in COLUMNS]
            lines.append(f"| {row} | {' | '.join(cells)} |")
        seconds = time.monotonic() - started
        self.parts.append(
            f"## {title}\n\n{passed} of {len(results)} cases passed, in {seconds:.0f} s.\n\n"
            + "\n".join(lines)
        )

    def _cell(self, results: dict[tuple[str, str, str], str], row: str, column: str) -> str:
        if not applies(row, column):
            return "–"
        passed = sum(not results[row, column, name] for name in CASES)
        return f"{passed}/{len(CASES)}" if passed == len(CASES) else f"**{passed}/{len(CASES)}**"

    def peer(self, cluster: str) -> None:
        """Observe both sides."""
        found = {
            (question, column, side): self._pool.submit(
                observation, cluster, question, column, interpreter
            )
            for side, interpreter in peer.interpreters().items()
            for column in COLUMNS
            for question in peer.QUESTIONS
        }
        heads = [f"{text}: {side}" for text in peer.QUESTIONS.values() for side in peer.SIDES]
        lines = [f"| fault | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
        for column in COLUMNS:
            cells = [found[q, column, side].result() for q in peer.QUESTIONS for side in peer.SIDES]
            marked = [cell if cell in peer.GOOD else f"**{cell}**" for cell in cells]
            lines.append(f"| {column} | {' | '.join(marked)} |")
        self.parts.append(
            "## Beside KubeSpawner 7.1.0\n\n"
            "What can be seen of it from outside: `jupyterhub-kubespawner` 7.1.0, unchanged from "
            "PyPI, through the same proxy, driven as this package is by "
            "`tests/faults/one_server.py`. Faults hit the creation or the deletion of the pod, or "
            "all requests for pods that a poll makes; those of a watch hit the watch of pods. "
            "JupyterHub gives up a server whose poll returns a number or raises: *disowned*.\n\n"
            + "\n".join(lines)
        )

    def page(self, backends: list[str]) -> str:
        """Return the page."""
        verdict = "All green" if not self.failures else f"{len(self.failures)} not green"
        head = (
            "# Fault matrix\n\n"
            "Every kind of request that the spawner makes, times every fault, injected by a proxy "
            "between it and the API server. In each cell two cases: the fault passes (one request "
            "is hit, and what was asked for must succeed), and it lasts (what was asked for may "
            "fail, in words; once it is over nothing may be left, and a new start must succeed). "
            "After each, the API server's own objects and their history are checked: no other "
            "user's running server was reported as stopped, no server had two pods, none was made "
            "to be deleted again, no claim was deleted, exchanged or given to another user.\n\n"
            f"`python -m tests.faults` wrote this page on {datetime.date.today()}: "
            f"{verdict} in {self.total} cases, on {' and '.join(backends)}."
        )
        told = [f"- {failure}" for failure in self.failures]
        failed = ["## Not green\n\n" + "\n".join(told)] if told else []
        return "\n\n".join([head, *failed, *self.parts]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8, help="processes at the same time")
    parser.add_argument("--without-peer", action="store_true")
    options = parser.parse_args()
    cluster = real_cluster()
    backends = ["the embedded API server"]
    with ProcessPoolExecutor(options.workers) as pool:
        report = Report(pool)
        report.matrix("Embedded API server", "")
        if cluster:
            backends.append("a real API server (`make cluster`, Kubernetes 1.20)")
            report.matrix("Real API server", cluster)
        if not options.without_peer:
            report.peer("")
    text = report.page(backends)
    PAGE.write_text(text)
    print(text)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
