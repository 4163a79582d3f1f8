"""``python -m tests.soak [CYCLES]``: the long soak; prints what is to go into docs/development/soak.md."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.support.warp import WarpLoop

from .soak import Figures, Soak

CYCLES = 2000
SHARE = 0.02
PAGE = Path(__file__).parents[2] / "docs" / "development" / "soak.md"


def page(figures: Figures, seconds: float) -> str:
    """Return the figures as a page."""
    rows = [
        ("Cycles (a start, a poll, a stop)", f"{figures.cycles}"),
        ("Requests seen by the API server", f"{figures.requests}"),
        ("Faults injected", f"{figures.faults} ({figures.faults / figures.requests:.1%})"),
        ("Starts and stops that ended in an error, in words", f"{figures.failed}"),
        ("Pods, secrets, services and tasks left", f"{len(figures.left)}"),
    ]
    for name, title, unit in (
        ("memory", "Resident memory, hub and API server in one process", 2**20),
        ("files", "Open file descriptors", 1),
        ("tasks", "Tasks of the event loop", 1),
    ):
        first, last = figures.tenths(name)
        suffix = " MiB" if unit > 1 else ""
        both = f"first tenth {first / unit:.1f}{suffix}, last tenth {last / unit:.1f}{suffix}"
        rows.append((title, both))
    table = "\n".join(f"| {title} | {value} |" for title, value in rows)
    return (
        "# Soak\n\n"
        "Servers of 40 users come and go, four at a time, on the embedded API server, with claims, "
        "services and internal TLS, while requests meet faults: 429, 500, 503, 504, connections "
        "reset before and after the request took effect, answers too slow or cut off. The hub is "
        "restarted after every 200 cycles. What grows is measured after the first 80.\n\n"
        f"`python -m tests.soak` wrote this page on {datetime.date.today()}, in {seconds:.0f} s.\n\n"
        f"| | |\n| --- | --- |\n{table}\n"
    )


async def main(cycles: int) -> int:
    logging.disable(logging.CRITICAL)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["KUBECONFIG"] = str(Path(directory) / "kubeconfig")
        figures = await Soak(Path(directory), share=SHARE).run(cycles)
    text = page(figures, time.monotonic() - started)
    print(text)
    for item in figures.left:
        print("left:", item)
    if cycles >= CYCLES:
        PAGE.write_text(text)
    return 1 if figures.left else 0


if __name__ == "__main__":
    loop = WarpLoop()
    asyncio.set_event_loop(loop)
    sys.exit(loop.run_until_complete(main(int(sys.argv[1]) if len(sys.argv) > 1 else CYCLES)))
