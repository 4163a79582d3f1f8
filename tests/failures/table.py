"""``python -m tests.failures.table``: run every case on both sides, write the table of the docs.

Needs the real cluster of the current kubeconfig (`make cluster`). Takes about five minutes, most
of it the minute that each side's start timeout lasts. What was found is kept until the table is
written: a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
import os
import sys
import tempfile
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jupyterhub
from kubernetes_asyncio.client import VersionApi

import kubespawner
from bench import peer
from kubespawner.clients import load_config, shared_client
from tests.spawner._stage import Stage, staged

from .cases import CASES, Case
from .deaths import DEATHS, Death, Notice, die
from .running import Outcome, check, provoke, stop_watching, world_for
from .world import REAL, STAGE, World, namespaced

DOCUMENT = Path(__file__).parents[2] / "docs" / "failure-reasons.md"
IMAGE = os.environ.get("KUBESPAWNER_TEST_IMAGE", "kubespawner/busybox:test")
START_TIMEOUT = 60
# At once on the cluster; more would measure how busy the machine is.
_AT_ONCE = 8
_KEPT = Path.home() / ".cache" / "kubespawner" / "failures.json"
_PEER_SCRIPT = Path(__file__).with_name("peer_run.py")
_WAITING = {"persistentvolumeclaim": "the claim"}


@dataclass
class Row:
    case: Case
    where: str
    ours: Outcome
    peer: Mapping[str, Any]


class Kept:
    """What was found so far: part of the table -> title -> fields."""

    def __init__(self, path: Path):
        self._path = path
        self._found: dict[str, dict[str, Any]] = (
            json.loads(path.read_text()) if path.exists() else {}
        )

    def part(self, name: str) -> dict[str, Any]:
        return self._found.setdefault(name, {})

    def missing(self, name: str, things: Iterable[Any]) -> list[Any]:
        return [thing for thing in things if thing.title not in self.part(name)]

    def add(self, name: str, title: str, fields: Mapping[str, Any]) -> None:
        self.part(name)[title] = fields
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._found))

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)


# ---- ours --------------------------------------------------------------------------------


async def ours_on_cluster(cases: list[Case], kept: Kept) -> None:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(case: Case) -> None:
        async with limit, world_for(case, REAL, shared_client("CoreV1Api"), IMAGE) as world:
            outcome = await provoke(case, world, to_the_end=True)
            check(case, outcome)
        say(f"ours: {case.title}: {outcome.read_after:.1f} s: {outcome.told}")
        kept.add("ours", case.title, asdict(outcome))

    results = await asyncio.gather(*(one(case) for case in cases), return_exceptions=True)
    for case, result in zip(cases, results, strict=True):
        if isinstance(result, BaseException):
            # A busy machine is late once in a while.
            say(f"once more: {case.title}: {result!r:.1000}")
            await one(case)


async def ours_on_stage(cases: Iterable[Case], folder: Path, kept: Kept) -> None:
    for number, case in enumerate(cases):
        # Connections are kept by the kubeconfig's path.
        place = folder / str(number)
        place.mkdir()
        async with staged(place) as stage, world_for(case, STAGE, stage, IMAGE) as world:
            outcome = await provoke(case, world, to_the_end=True)
            check(case, outcome)
        say(f"ours: {case.title}: {outcome.told}")
        kept.add("ours", case.title, asdict(outcome))


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


async def deaths(cases: Iterable[Death], kept: Kept) -> None:
    logger = logging.getLogger("traitlets")
    for death in cases:
        handler = Lines()
        logger.addHandler(handler)
        try:
            async with namespaced(shared_client("CoreV1Api"), REAL, IMAGE, "") as world:
                notice = await die(death, world, lambda h=handler: h.lines)
        finally:
            logger.removeHandler(handler)
        say(f"later end: {death.title}: {notice.told}")
        kept.add("later", death.title, asdict(notice))


# ---- the peer ----------------------------------------------------------------------------


async def peer_run(
    asked: list[tuple[Case, World]], kubeconfig: str | None = None
) -> dict[str, Mapping[str, Any]]:
    """Start servers with the peer, let happen what the cases say; return how they ended."""
    cases = [
        {"title": case.title, "settings": world.settings(**case.settings(world))}
        for case, world in asked
    ]
    process = await asyncio.create_subprocess_exec(
        peer.python(),
        str(_PEER_SCRIPT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **({"KUBECONFIG": kubeconfig} if kubeconfig else {})},
    )
    events: list[Awaitable[None]] = [c.during(w) for c, w in asked if c.during]
    acts = [asyncio.ensure_future(event) for event in events]
    told, _ = await process.communicate(
        json.dumps({"timeout": START_TIMEOUT, "cases": cases}).encode()
    )
    for result in await asyncio.gather(*acts, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
    lines = [json.loads(line) for line in told.splitlines() if line.startswith(b"{")]
    return {line["title"]: line for line in lines}


async def peer_on_cluster(cases: Iterable[Case]) -> dict[str, Mapping[str, Any]]:
    async with contextlib.AsyncExitStack() as stack:
        api = shared_client("CoreV1Api")
        asked = [
            (case, await stack.enter_async_context(world_for(case, REAL, api, IMAGE)))
            for case in cases
        ]
        return await peer_run(asked)


async def peer_on_stage(case: Case, folder: Path) -> dict[str, Mapping[str, Any]]:
    stage, kubeconfig = Stage(), folder / f"{abs(hash(case.title))}.json"
    await stage.start()
    try:
        kubeconfig.write_text(json.dumps(stage.server.kubeconfig()))
        async with world_for(case, STAGE, stage, IMAGE) as world:
            return await peer_run([(case, world)], str(kubeconfig))
    finally:
        await stage.client.close()
        await stage.server.stop()


# ---- the document ------------------------------------------------------------------------


def cell(text: str, limit: int = 300) -> str:
    """Return ``text`` for a cell of a table, without what differs from run to run."""
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("{", "&#123;")
    return text if len(text) <= limit else text[:limit] + "…"


def seconds(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def may_help(row: Row) -> str:
    if row.ours.waiting_helps:
        return "yes"
    return "no"


def told(row: Row) -> str:
    """Return what the user read, first and last."""
    first, last = row.ours.told, row.ours.told_last
    if last in ("", first) or "start in time" in last:
        return cell(first)
    return f"{cell(first)} – then: {cell(last)}"


def ours_end(row: Row) -> str:
    ended = row.ours.ended_after
    if ended is None:
        return "–"
    late = "did not start in time" in row.ours.told_last
    return f"{seconds(ended)}{' (start timeout)' if late else ''}"


def left(row: Row) -> str:
    return ", ".join(_WAITING.get(kind, kind) for kind in row.ours.left) or "nothing"


def document(rows: list[Row], ends: Mapping[str, Notice], about: Mapping[str, str]) -> str:
    head = f"""# Failure reasons

Why a start can fail, what its user reads, and how long it takes until they read it. Made by
`python -m tests.failures.table`, which provokes each reason; `tests/cluster/test_failures.py`
and `tests/failures` check the words.

Made on {about["date"]} with KubeSpawner {kubespawner.__version__}, JupyterHub
{jupyterhub.__version__} and, for comparison, jupyterhub-kubespawner {peer.VERSION} in an
environment of its own, against {about["cluster"]}. Both had `start_timeout = {START_TIMEOUT}`
and else their defaults. The seconds are those of one run on a machine that did other work as
well. "Read after" is when the page first shows the reason; where waiting can help, the start goes
on meanwhile, for as long as `KubeSpawner.spawn_patience` says. Of the other version, the table
says when its start ended and with which message; until then its page shows the cluster's events.

## What a user reads

| what is wrong | the user reads | reason | read after (s) | start ends after (s) | may waiting help | left behind | {peer.VERSION} ends after (s) | {peer.VERSION} says |
|---|---|---|---|---|---|---|---|---|
"""
    table = "".join(
        f"| {cell(row.case.title)} | {told(row)} | `{row.ours.reason}` "
        f"| {seconds(row.ours.read_after)} | {ours_end(row)} | {may_help(row)} | {left(row)} "
        f"| {seconds(row.peer['seconds'])} | {cell(row.peer['ended'], 120)} |\n"
        for row in rows
    )
    facts = "".join(
        f"| {cell(row.case.title)} | {cell(row.ours.admin, 500)} | {row.where} |\n" for row in rows
    )
    later = "".join(
        f"| {cell(title)} | {cell(notice.told)} | `{notice.reason}` | {cell(notice.logged)} |\n"
        for title, notice in ends.items()
    )
    return f"""{head}{table}
## What the log says

| what is wrong | the hub's log | provoked on |
|---|---|---|
{facts}
## Servers that end later

A server that ends after it was up leaves its reason in the hub's log, in the server's state
(`exit_reason`), and for its user on the next spawn page; without a spawn page it is the first
message of the next start. It is gone once a server of that name has started again.

| how it ended | the user reads | reason | the hub's log |
|---|---|---|---|
{later}"""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def described_cluster() -> dict[str, str]:
    api = shared_client("CoreV1Api")
    version = (await VersionApi(api.api_client).get_code()).git_version
    nodes = (await api.list_node()).items
    runtime = nodes[0].status.node_info.container_runtime_version
    count = f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}"
    return {
        "date": datetime.date.today().isoformat(),
        "cluster": f"Kubernetes {version} ({count}, {runtime})",
    }


async def main() -> None:
    kept = Kept(_KEPT)
    real = [case for case in CASES if REAL in case.on]
    stage = [case for case in CASES if REAL not in case.on]
    with tempfile.TemporaryDirectory(prefix="kubespawner-failures-") as name:
        folder = Path(name)
        await ours_on_stage(kept.missing("ours", stage), folder, kept)
        load_config()
        about = await described_cluster()
        await ours_on_cluster(kept.missing("ours", real), kept)
        await deaths(kept.missing("later", DEATHS), kept)
        await stop_watching()
        on_cluster = kept.missing("peer", real)
        on_stage = kept.missing("peer", stage)
        say(f"{peer.VERSION}: {len(on_cluster) + len(on_stage)} starts at once")
        results = await asyncio.gather(
            peer_on_cluster(on_cluster), *(peer_on_stage(case, folder) for case in on_stage)
        )
        for result in results:
            for title, line in result.items():
                kept.add("peer", title, line)
    rows = [
        Row(
            case,
            REAL if REAL in case.on else STAGE,
            Outcome(**kept.part("ours")[case.title]),
            kept.part("peer")[case.title],
        )
        for case in CASES
    ]
    ends = {death.title: Notice(**kept.part("later")[death.title]) for death in DEATHS}
    DOCUMENT.write_text(document(rows, ends, about))
    kept.forget()
    say(f"written: {DOCUMENT}")


if __name__ == "__main__":
    asyncio.run(main())
