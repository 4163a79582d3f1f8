"""The hub's side of every scenario: one process, run once with each implementation.

Started as a plain script by the interpreter of the implementation that is measured, so it
imports nothing of ``bench`` and only names that both implementations have in public. It takes
commands as JSON lines on stdin and answers each with one JSON line; see :func:`serve`.

What JupyterHub would add (its own use of its database, its proxy) is left out: spawners are made
with the few attributes of users and hub that spawners read, so that only the spawner differs.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import selectors
import sys
import time
import types
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

Answer = dict[str, Any]
Command = Callable[..., Awaitable[Answer]]

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Turns(selectors.DefaultSelector):
    """The event loop's selector, timing the loop's turns.

    From the moment that a wait for I/O ends to the next wait, nobody else is served. A heartbeat
    task would see the same, but only to its own period, and would itself cost what is measured.

    Attributes:
        longest: seconds of the longest turn since it was last set to 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        self._since = time.perf_counter()

    def select(self, timeout: float | None = None) -> Any:
        self.longest = max(self.longest, time.perf_counter() - self._since)
        ready = super().select(timeout)
        self._since = time.perf_counter()
        return ready


class Measured:
    """What happened in this process while the ``with`` block ran.

    CPU seconds are of all threads, user and system together.
    """

    def __init__(self, turns: Turns):
        self._turns = turns
        self.figures: Answer = {}

    def __enter__(self) -> Measured:
        self._rss, self._cpu = resident(), cpu_seconds()
        self._began = time.monotonic()
        self._turns.longest = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        self.figures = {
            "seconds": time.monotonic() - self._began,
            "cpu": cpu_seconds() - self._cpu,
            "stall": self._turns.longest,
            "growth": resident() - self._rss,
        }


class Arrivals:
    """When each event of the hub's watches arrived, noted as aiohttp hands its bytes on.

    Both sides read their watches by aiohttp. Bytes that wait while the event loop is busy have not
    arrived yet.
    """

    def __init__(self) -> None:
        self._chunks: dict[int, list[tuple[float, bytes]]] = {}

    def __enter__(self) -> Arrivals:
        from aiohttp import StreamReader

        original = self._original = StreamReader.feed_data
        chunks = self._chunks

        def feed_data(reader: Any, data: bytes, *rest: Any) -> Any:
            chunks.setdefault(id(reader), []).append((time.monotonic(), data))
            return original(reader, data, *rest)

        StreamReader.feed_data = feed_data  # type: ignore
        return self

    def __exit__(self, *_: object) -> None:
        from aiohttp import StreamReader

        StreamReader.feed_data = self._original  # type: ignore

    def of_pods(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return when the hub was first told that each pod is ready, and that it is gone."""
        ready: dict[str, float] = {}
        gone: dict[str, float] = {}
        for chunks in self._chunks.values():
            for at, line in _lines(chunks):
                if not line.startswith(b'{"type":'):
                    continue
                event = json.loads(line)
                item, name = event["object"], event["object"]["metadata"].get("name", "")
                if item.get("kind") == "Pod" and event["type"] == "DELETED":
                    gone.setdefault(name, at)
                elif item.get("kind") == "Pod" and _is_ready(item):
                    ready.setdefault(name, at)
        return ready, gone


def _lines(chunks: Iterable[tuple[float, bytes]]) -> Iterable[tuple[float, bytes]]:
    """Yield every line with the time at which it was complete."""
    unfinished: list[bytes] = []
    for at, data in chunks:
        *complete, rest = data.split(b"\n")
        for line in complete:
            yield at, b"".join([*unfinished, line])
            unfinished.clear()
        unfinished.append(rest)


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE


_TASKS_IN_A_TURN = 500


class Hub:
    """Spawners of one hub, and what JupyterHub does with them."""

    def __init__(self, turns: Turns):
        self._turns = turns
        self._spawners: dict[str, Any] = {}

    @property
    def commands(self) -> tuple[Command, ...]:
        return self.about, self.make, self.poll, self.idle, self.settle, self.start, self.stop

    async def about(self) -> Answer:
        """Which implementation this is."""
        import jupyterhub
        import kubernetes_asyncio

        import kubespawner

        return {
            "kubespawner": kubespawner.__version__,
            "file": kubespawner.__file__,
            "jupyterhub": jupyterhub.__version__,
            "kubernetes_asyncio": kubernetes_asyncio.__version__,
            "python": sys.version.split()[0],
        }

    async def make(
        self,
        users: list[str],
        settings: Mapping[str, Any],
        running: bool = False,
        database: str = "",
    ) -> Answer:
        """Make a spawner for each user.

        Args:
            settings: of the configuration's section ``KubeSpawner``.
            running: load the state that a running server of this implementation leaves behind.
            database: new file for a database of JupyterHub's that users and servers are in, since
                a spawner may write to it; none if empty.
        """
        from traitlets.config import Config

        from kubespawner.spawner import KubeSpawner

        config = Config({"KubeSpawner": settings})
        stored = Stored(database, users) if database else None
        with Measured(self._turns) as measured:
            for name in users:
                spawner = make_spawner(KubeSpawner, name, config, stored)
                if running:
                    spawner.load_state(spawner.get_state())
                self._spawners[name] = spawner
        return measured.figures

    async def poll(self) -> Answer:
        """Poll every spawner at once, as JupyterHub does when it starts."""
        with Measured(self._turns) as measured:
            tasks = []
            for spawner in self._spawners.values():
                tasks.append(asyncio.ensure_future(spawner.poll()))
                # Ten thousand in one turn, even of coroutines that do nothing, hold it 50 ms.
                if len(tasks) % _TASKS_IN_A_TURN == 0:
                    await asyncio.sleep(0)
            results = await asyncio.gather(*tasks)
        running = sum(result is None for result in results)
        # What can't be asked about counts as running, too.
        watch = next(iter(self._spawners.values())).pod_reflector
        return {**measured.figures, "running": running, "held": len(watch.pods)}

    async def idle(self, seconds: float) -> Answer:
        """Do nothing but what the implementation does by itself."""
        with Measured(self._turns) as measured:
            await asyncio.sleep(seconds)
        return measured.figures

    async def settle(self) -> Answer:
        """Return the resident bytes after garbage collection."""
        gc.collect()
        return {"resident": resident()}

    async def start(
        self, users: list[str], readers: int = 0, seconds: float | None = None
    ) -> Answer:
        """Start all servers at once.

        Args:
            readers: progress pages open on each, until its start is over.
            seconds: answer after so long, whatever is still under way; None: when all are over.
        """
        told: dict[str, int] = dict.fromkeys(users, 0)

        async def read(name: str) -> None:
            async for _ in self._spawners[name].progress():
                told[name] += 1

        async def start(name: str) -> None:
            started = asyncio.ensure_future(self._spawners[name].start())
            pages = [asyncio.ensure_future(read(name)) for _ in range(readers)]
            try:
                await started
            finally:
                # JupyterHub closes the page when the spawn is over.
                for page in pages:
                    page.cancel()
                await asyncio.gather(*pages, return_exceptions=True)

        done = await self._at_once(start, users, seconds)
        return {**done, "told": sum(told.values())}

    async def stop(self, users: list[str]) -> Answer:
        """Stop all servers at once."""
        return await self._at_once(lambda name: self._spawners[name].stop(), users)

    async def _at_once(
        self,
        do: Callable[[str], Awaitable[Any]],
        users: list[str],
        seconds: float | None = None,
    ) -> Answer:
        returned: dict[str, float] = {}
        failed: dict[str, str] = {}

        async def one(name: str) -> None:
            try:
                await do(name)
                returned[name] = time.monotonic()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - reported
                failed[name] = f"{type(error).__name__}: {error}"

        arrivals = Arrivals()
        # What they keep would count as growth.
        noting = arrivals if seconds is None else contextlib.nullcontext()
        with noting, Measured(self._turns) as measured:
            began = time.monotonic()
            all_done = asyncio.gather(*(one(name) for name in users))
            await (all_done if seconds is None else asyncio.sleep(seconds))
        ready, gone = arrivals.of_pods()
        times = {"began": began, "returned": returned, "ready": ready, "gone": gone}
        return {**measured.figures, **times, "failed": failed}


class Stored:
    """Users and their default servers in a database of JupyterHub's."""

    def __init__(self, path: str, names: Iterable[str]):
        from jupyterhub import orm

        self.db = orm.new_session_factory(f"sqlite:///{path}")()
        self.servers: dict[str, Any] = {}
        for name in names:
            user = orm.User(name=name)
            self.servers[name] = orm.Spawner(name="", user=user)
            self.db.add(user)
        self.db.commit()


def make_spawner(spawner_class: Any, name: str, config: Any, stored: Stored | None = None) -> Any:
    """Return a spawner for the default server of user ``name``."""
    from jupyterhub.objects import Hub as HubObject

    user = types.SimpleNamespace(
        name=name,
        id=abs(hash(name)),
        url=f"/user/{name}/",
        escaped_name=name,
        settings={},
        groups=[],
        spawners={},
        server=None,
        db=stored and stored.db,
    )
    row = types.SimpleNamespace(name="", server=None, user_options=None, state=None)
    spawner = spawner_class(
        hub=HubObject(ip="127.0.0.1", port=8081, base_url="/hub/"),
        user=user,
        orm_spawner=stored.servers[name] if stored else row,
        db=stored and stored.db,
        config=config,
        api_token="token",
        oauth_client_id=f"jupyterhub-user-{name}",
    )
    user.spawners[""] = spawner
    spawner.server = None
    return spawner


async def serve(*commands: Command) -> None:
    """Answer commands until stdin ends.

    A command is ``{"do": name, …arguments}``; its answer is what the function of that name returns.
    """
    named = {command.__name__: command for command in commands}
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        arguments = json.loads(line)
        answer = await named[arguments.pop("do")](**arguments)
        print(json.dumps(answer), flush=True)


def main() -> None:
    # As in a hub: garbage collection walks what this imports, whichever spawner it has.
    import jupyterhub.app  # noqa: F401

    turns = Turns()
    loop = asyncio.SelectorEventLoop(turns)
    asyncio.set_event_loop(loop)
    loop.run_until_complete(serve(*Hub(turns).commands))
    # Watches still run; ending them tidily is not what is measured.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
