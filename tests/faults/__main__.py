"""``python -m tests.faults``: run the whole matrix and write docs/development/fault-matrix.md.

Runs it on the embedded API server and, with ``KUBESPAWNER_TEST_CLUSTER=current``, on the one of
the current kubeconfig as well; then shows what the faults do to KubeSpawner 7.1.0.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import logging
import re
import sys
import tempfile
import time
import traceback
import urllib.request
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tests.support.warp import WarpLoop

from . import peer
from .ground import real_cluster
from .matrix import CASES, COLUMNS, ROWS, applies, run_case
from .proxy import trusting

PAGE = Path(__file__).parents[2] / "docs" / "development" / "fault-matrix.md"
EMBEDDED = "Embedded API server"
REAL = "Real API server (`make cluster`)"
PEER = "Beside KubeSpawner 7.1.0"
# Seconds; whatever it hangs on, a case does not take longer.
_LIMIT = 3000
_ABOUT = """Every kind of request that the spawner makes, times every fault, injected by a proxy between it and
the API server. In each cell two cases: the fault passes (one request is hit, and what was asked for
must succeed), and it lasts (what was asked for may fail, in words; once it is over nothing may be
left, and a new start must succeed). After each, the API server's own objects and their history are
checked: no running server was reported as stopped, no server had two pods, none was made to be
deleted again, no claim was deleted, exchanged or given to another user.

`python -m tests.faults` writes this page; with `KUBESPAWNER_TEST_CLUSTER=current` it runs the
matrix on the API server of the current kubeconfig as well."""


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
        return await asyncio.wait_for(work, _LIMIT)
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


class Report:
    """The page, section by section; a run of some leaves the others as they are.

    Attributes:
        sections: heading to text.
    """

    def __init__(self, pool: ProcessPoolExecutor, page: str = ""):
        self._pool = pool
        parts = re.split(r"^## (.*)\n", page, flags=re.MULTILINE)[1:]
        self.sections = {
            head: text.strip() for head, text in zip(parts[::2], parts[1::2], strict=True)
        }

    def matrix(self, backend: str, cluster: str) -> bool:
        """Run all cases on one API server; return whether all passed."""
        started = time.monotonic()
        running = {
            self._pool.submit(case, cluster, row, column, name): (row, column, name)
            for row in ROWS
            for column in COLUMNS
            for name in CASES
            if applies(row, column)
        }
        results = {}
        for future in as_completed(running):
            results[running[future]] = future.result()
            _tell(len(results), len(running), running[future], future.result())
        lines = [f"| request | {' | '.join(COLUMNS)} |", f"| --- |{' :-: |' * len(COLUMNS)}"]
        for row in ROWS:
            cells = [_cell(results, row, column) for column in COLUMNS]
            lines.append(f"| {row} | {' | '.join(cells)} |")
        failed = [f"- {' / '.join(key)}: {said}" for key, said in sorted(results.items()) if said]
        self.sections[backend] = _section(
            f"{len(results) - len(failed)} of {len(results)} cases passed{_version(cluster)}, "
            f"on {datetime.date.today()}, in {time.monotonic() - started:.0f} s.",
            lines,
            failed,
        )
        return not failed

    def peer(self) -> None:
        """Observe both sides."""
        logging.disable(logging.CRITICAL)
        started = time.monotonic()
        found = asyncio.run(peer.observe_all())
        limits = ", ".join(f"`{name}` {value}" for name, value in peer.LIMITS.items())
        heads = [f"{text}: {side}" for text in peer.QUESTIONS.values() for side in peer.SIDES]
        lines = [f"| fault | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
        for column in COLUMNS:
            cells = [found[q, column, side] for q in peer.QUESTIONS for side in peer.SIDES]
            marked = [cell if cell in peer.GOOD else f"**{cell}**" for cell in cells]
            lines.append(f"| {column} | {' | '.join(marked)} |")
        self.sections[PEER] = _section(
            "What can be seen of it from outside: `jupyterhub-kubespawner` 7.1.0, unchanged from "
            "PyPI, through the same proxy before the embedded API server, driven as this package "
            "is by `tests/faults/one_server.py`. Faults hit the creation or the deletion of the "
            "pod, or all requests for pods that a poll makes; those of a watch hit the watch of "
            f"pods. Both have the same limits, in seconds: {limits}; each is polled for "
            f"{peer.WHILE} s. JupyterHub gives up a server whose poll returns a number or raises: "
            "*disowned*. Bold is what nobody hopes for. "
            f"Observed on {datetime.date.today()}, in {time.monotonic() - started:.0f} s.",
            lines,
        )

    def page(self) -> str:
        """Return the page."""
        sections = [f"## {head}\n\n{text}" for head, text in self.sections.items()]
        return "\n\n".join([f"# Fault matrix\n\n{_ABOUT}", *sections]) + "\n"


def _version(cluster: str) -> str:
    """Return what answers behind the kubeconfig ``cluster``; "" for none."""
    if not cluster:
        return ""
    url, context, headers = trusting(Path(cluster))
    request = urllib.request.Request(f"{url}/version", headers=headers)
    with urllib.request.urlopen(request, context=context) as answer:
        return f" before Kubernetes {json.load(answer)['gitVersion']}"


def _tell(done: int, of: int, key: tuple[str, str, str], said: str) -> None:
    """Let who waits see how far it is, and at once what failed."""
    if said or done % 20 == 0 or done == of:
        print(f"{done} of {of}", *([f"{' / '.join(key)}: {said}"] if said else []), file=sys.stderr)


def _cell(results: dict[tuple[str, str, str], str], row: str, column: str) -> str:
    if not applies(row, column):
        return "–"
    passed = sum(not results[row, column, name] for name in CASES)
    return f"{passed}/{len(CASES)}" if passed == len(CASES) else f"**{passed}/{len(CASES)}**"


def _section(about: str, table: list[str], failed: list[str] | None = None) -> str:
    return "\n\n".join(["\n".join(part) for part in ([about], failed or [], table) if part])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8, help="processes at the same time")
    parser.add_argument("--only", choices=["embedded", "real", "peer"], help="leave the rest as is")
    options = parser.parse_args()
    cluster = real_cluster()
    parts = {options.only} if options.only else {"embedded", "peer", *(["real"] if cluster else [])}
    before = PAGE.read_text() if options.only and PAGE.exists() else ""
    passed = True
    with ProcessPoolExecutor(options.workers) as pool:
        report = Report(pool, before)
        if "embedded" in parts:
            passed &= report.matrix(EMBEDDED, "")
        if "real" in parts:
            passed &= report.matrix(REAL, cluster)
        if "peer" in parts:
            report.peer()
    PAGE.write_text(report.page())
    print(report.page())
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
