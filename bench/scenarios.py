"""The scenarios: what is done to each side, in which order, and what is noted.

Both sides meet the same API server with the same objects, one after the other; which is first
changes from round to round.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import peer
from .apiserver import ApiServer
from .children import Child
from .objects import user_name
from .samples import SIDES, Run, machine, percentile

Say = Callable[[str], None]

_MILLION = 1e6
_KIBI = 1024.0
_ATTACH_SECONDS = 1.5
_START_TIMEOUT = 60


@dataclass(frozen=True)
class Population:
    """Measurements with so many running pods."""

    size: int
    rounds: int
    idle_seconds: float
    churn_seconds: float


@dataclass(frozen=True)
class Plan:
    """How much of everything one run does.

    Attributes:
        others: pods that run already while servers are started.
        ready: least and most seconds from a pod's creation to its readiness.
        events: numbers of old events in the namespace, smallest first.
        readers: spawns with a progress page open each, in a namespace full of events.
    """

    name: str
    populations: tuple[Population, ...]
    churn_rate: float
    spawns: int
    spawn_rounds: int
    others: int
    ready: tuple[float, float]
    gone: tuple[float, float]
    events: tuple[int, ...]
    readers: int
    event_rounds: int


FULL = Plan(
    name="full",
    populations=(
        Population(1_000, rounds=2, idle_seconds=20, churn_seconds=10),
        Population(3_000, rounds=1, idle_seconds=20, churn_seconds=10),
        Population(5_000, rounds=1, idle_seconds=60, churn_seconds=10),
        Population(10_000, rounds=2, idle_seconds=60, churn_seconds=20),
        Population(30_000, rounds=1, idle_seconds=30, churn_seconds=20),
    ),
    churn_rate=100,
    spawns=500,
    spawn_rounds=2,
    others=1_000,
    ready=(6, 10),
    gone=(1, 5),
    events=(3_500, 35_000),
    readers=100,
    event_rounds=2,
)
QUICK = Plan(
    name="quick",
    populations=(Population(1_000, rounds=1, idle_seconds=15, churn_seconds=5),),
    churn_rate=100,
    spawns=50,
    spawn_rounds=1,
    others=100,
    ready=(2, 4),
    gone=(0.5, 1),
    events=(2_000,),
    readers=20,
    event_rounds=1,
)


class Bench:
    """One run: the API server, the kubelet, and what is measured on them.

    Args:
        folder: for logs and data of the processes; removed by who made it.
        profiles: if given, gets a flame graph of every measured step of our side, and the peer
            is left out.
    """

    def __init__(self, plan: Plan, folder: Path, say: Say, profiles: Path | None = None):
        self.plan = plan
        self.run = Run(plan.name, about=machine())
        self._folder = folder
        self._say = say
        self._profiles = profiles
        self._sides = SIDES if profiles is None else ("ours",)
        self._turn = 0

    def go(self) -> Run:
        """Run all scenarios and return what was measured."""
        with ExitStack() as stack:
            self._api = stack.enter_context(ApiServer(self._folder))
            self.run.about["apiserver"] = self._api.version
            argv = [sys.executable, "-m", "bench.kubelet", str(self._api.kubeconfig("kubelet"))]
            self._kubelet = stack.enter_context(Child(argv, log=self._folder / "kubelet.log"))
            self._measure_populations()
            for claims in (False, True):
                self._measure_spawns(claims)
            self._measure_events()
        return self.run

    def _rounds(self, count: int) -> Iterator[str]:
        """Yield each side ``count`` times, the first one in turn."""
        for number in range(count if self._profiles is None else 1):
            yield from self._sides if number % 2 == 0 else reversed(self._sides)

    @contextlib.contextmanager
    def _hub(self, side: str) -> Iterator[HubSide]:
        """A fresh hub process of ``side``, on a wire of its own."""
        wire_argv = [sys.executable, "-m", "bench.wire", str(self._api.port)]
        script = str(Path(__file__).with_name("hub.py"))
        python = sys.executable if side == "ours" else peer.python()
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        with Child(wire_argv, log=self._folder / "wire.log") as wire:
            port = wire.ask("open")["port"]
            environment["KUBECONFIG"] = str(self._api.kubeconfig(side, port))
            # -I: the interpreter's own packages only, not those beside the script.
            argv = [python, "-I", script]
            with Child(argv, log=self._folder / f"{side}.log", env=environment) as child:
                self.run.about[side] = child.ask("about")
                yield HubSide(side, child, wire, self._api, self._profiles)

    # ---- many running pods -------------------------------------------------------------

    def _measure_populations(self) -> None:
        namespace, filled = "running", 0
        self._kubelet.ask("namespace", name=namespace)
        for population in self.plan.populations:
            size = population.size
            self._say(f"{size:,} running pods")
            self._kubelet.ask("fill", namespace=namespace, first=filled, count=size - filled)
            filled = size
            for side in self._rounds(population.rounds):
                self._say(f"  {side}")
                with self._hub(side) as hub:
                    self._measure_population(hub, namespace, population)

    def _measure_population(self, hub: HubSide, namespace: str, population: Population) -> None:
        size = population.size

        def note(metric: str, value: float) -> None:
            self.run.add(metric, size, hub.side, value)

        users = [user_name(number) for number in range(size)]
        made = hub.make(users, {"namespace": namespace}, running=True)
        note("make.cpu", made["cpu"] / size * _MILLION)
        before = hub.settled()
        restart = hub.measured("restart", "poll")
        if restart["running"] != size:
            raise RuntimeError(f"{hub.side} found {restart['running']} of {size} pods running")
        note("restart.seconds", restart["seconds"])
        note("restart.stall", restart["stall"] * 1000)
        note("restart.cpu", restart["cpu"])
        note("memory", (hub.settled() - before) / size / _KIBI)
        note("poll.cpu", hub.measured("poll", "poll")["cpu"] / size * _MILLION)

        account = hub.account()
        idle = hub.measured("idle", "idle", seconds=population.idle_seconds)
        minutes = population.idle_seconds / 60
        note("idle.cpu", idle["cpu"] / minutes)
        note("idle.stall", idle["stall"] * 1000)
        note("idle.bytes", account.bytes_to_hub() / minutes / _KIBI)
        note("idle.lists", account.requests()["list pods"] / minutes)

        self._kubelet.tell(
            "churn",
            namespace=namespace,
            pods=size,
            rate=self.plan.churn_rate,
            seconds=population.churn_seconds,
        )
        # A little longer, so that the last change has arrived.
        churn = hub.measured("churn", "idle", seconds=population.churn_seconds + 1)
        changes = self._kubelet.hear()["changes"]
        note("churn.cpu", churn["cpu"] / changes * 1000)
        note("churn.stall", churn["stall"] * 1000)

    # ---- many starts and stops at once -------------------------------------------------

    def _measure_spawns(self, claims: bool) -> None:
        namespace = "starting"
        kind = "claims" if claims else "plain"
        self._kubelet.ask("namespace", name=namespace)
        if not claims:
            self._kubelet.ask("fill", namespace=namespace, first=0, count=self.plan.others)
        self._say(f"{self.plan.spawns} spawns, {kind}")
        settings: dict[str, Any] = {"namespace": namespace, "start_timeout": _START_TIMEOUT}
        if claims:
            volume = {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}
            settings |= {
                "storage_pvc_ensure": True,
                "storage_capacity": "1Gi",
                "volumes": [volume],
                "volume_mounts": [{"name": "home", "mountPath": "/home/jovyan"}],
            }
        for side in self._rounds(self.plan.spawn_rounds):
            self._say(f"  {side}")
            with self._hub(side) as hub:
                self._measure_spawn(hub, settings, kind)
            self._kubelet.ask("clear", namespace=namespace, kinds=["persistentvolumeclaims"])

    def _measure_spawn(self, hub: HubSide, settings: dict[str, Any], kind: str) -> None:
        count = self.plan.spawns

        def note(metric: str, value: float) -> None:
            self.run.add(f"{kind}.{metric}", count, hub.side, value)

        hub.make([user_name(0)], settings)
        # A hub that starts servers has been watching for long.
        hub.measured("", "poll")
        users = self._new_users(count)
        hub.make(users, settings)
        self._attend(settings["namespace"], tell=False)
        account = hub.account()
        started = hub.measured(f"start-{kind}", "start", users=users)
        self._check_failures(hub.side, started, users)
        note("start.failed", len(started["failed"]))
        requests = account.requests()
        times = self._kubelet.ask("leave")
        _note_delays(note, "start", started["returned"], times["ready"])
        note("start.cpu", started["cpu"] / count * 1000)
        note("start.stall", started["stall"] * 1000)
        note("start.requests", sum(requests.values()) / count)
        self.run.requests[f"start-{kind} {hub.side}"] = dict(requests)

        self._attend(settings["namespace"], tell=False)
        account = hub.account()
        stopped = hub.measured(f"stop-{kind}", "stop", users=users)
        self._check_failures(hub.side, stopped, users)
        times = self._kubelet.ask("leave")
        _note_delays(note, "stop", stopped["returned"], times["gone"])
        note("stop.cpu", stopped["cpu"] / count * 1000)
        note("stop.requests", sum(account.requests().values()) / count)

    def _check_failures(self, side: str, done: dict[str, Any], users: list[str]) -> None:
        """Say what failed; ours must not."""
        failed = done["failed"]
        if failed:
            self._say(f"  {len(failed)} of {side} failed, the first: {next(iter(failed.values()))}")
        if failed and side == "ours":
            raise RuntimeError(f"{len(failed)} of {len(users)} failed")

    def _new_users(self, count: int) -> list[str]:
        """Return names that no pod has had yet."""
        self._turn += 1
        return [f"turn{self._turn}x{number:03}" for number in range(count)]

    def _attend(self, namespace: str, *, tell: bool) -> None:
        plan = self.plan
        self._kubelet.ask(
            "attend", namespace=namespace, ready=plan.ready, gone=plan.gone, tell=tell
        )

    # ---- many events -------------------------------------------------------------------

    def _measure_events(self) -> None:
        namespace, written = "eventful", 0
        self._kubelet.ask("namespace", name=namespace)
        for count in self.plan.events:
            self._say(f"{count:,} events, {self.plan.readers} progress pages")
            self._kubelet.ask("events", namespace=namespace, first=written, count=count - written)
            written = count
            for side in self._rounds(self.plan.event_rounds):
                self._say(f"  {side}")
                with self._hub(side) as hub:
                    self._measure_progress(hub, namespace, count)
                self._kubelet.ask("clear", namespace=namespace, kinds=["pods"])

    def _measure_progress(self, hub: HubSide, namespace: str, count: int) -> None:
        settings = {"namespace": namespace, "start_timeout": _START_TIMEOUT}
        hub.make([user_name(0)], settings)
        hub.measured("", "poll")
        users = self._new_users(self.plan.readers)
        hub.make(users, settings)
        self._attend(namespace, tell=True)
        before = hub.settled()
        started = hub.measured("events", "start", users=users, readers=1)
        self._check_failures(hub.side, started, users)
        self.run.add("events.failed", count, hub.side, len(started["failed"]))
        self.run.add("events.cpu", count, hub.side, started["cpu"])
        self.run.add("events.stall", count, hub.side, started["stall"] * 1000)
        self.run.add("events.growth", count, hub.side, (hub.settled() - before) / 2**20)
        self._kubelet.ask("leave")


class HubSide:
    """A hub process under measurement."""

    def __init__(self, side: str, child: Child, wire: Child, api: ApiServer, profiles: Path | None):
        self.side = side
        self._child, self._wire, self._api, self._profiles = child, wire, api, profiles

    def make(
        self, users: Sequence[str], settings: dict[str, Any], *, running: bool = False
    ) -> dict[str, Any]:
        return self._child.ask("make", users=list(users), settings=settings, running=running)

    def settled(self) -> int:
        """Return the resident bytes after garbage collection."""
        return self._child.ask("settle")["resident"]

    def measured(self, step: str, do: str, **arguments: Any) -> dict[str, Any]:
        """Do something and return its figures; with a flame graph named ``step`` if asked for."""
        with self._profiled(step):
            return self._child.ask(do, **arguments)

    def account(self) -> Account:
        """Return an account of this side's requests and bytes from now on."""
        return Account(self.side, self._api, self._wire)

    @contextlib.contextmanager
    def _profiled(self, step: str) -> Iterator[None]:
        if self._profiles is None or not step:
            yield
            return
        path = self._profiles / f"{step}.svg"
        argv = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid"]
        argv += [str(self._child.pid), "--output", str(path), "--rate", "250", "--gil"]
        with subprocess.Popen(
            argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as recorder:
            # It does not say when it has attached, nor heeds a signal before.
            time.sleep(_ATTACH_SECONDS)
            yield
            while recorder.poll() is None:
                recorder.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    recorder.wait(timeout=1)


class Account:
    """Requests and bytes of one side since this was made."""

    def __init__(self, side: str, api: ApiServer, wire: Child):
        self._side, self._wire = side, wire
        self._audit = api.audit()
        self._from = wire.ask("count")["to_hub"]

    def bytes_to_hub(self) -> int:
        """Return the bytes that the API server sent, as they went over the wire."""
        return self._wire.ask("count")["to_hub"] - self._from

    def requests(self) -> Any:
        """Return the number of requests by "verb resource"."""
        return self._audit.requests(self._side)


def _note_delays(
    note: Callable[[str, float], None],
    metric: str,
    returned: dict[str, float],
    caused: dict[str, float],
) -> None:
    """Note p50 and p99 in milliseconds from what the kubelet did to what the hub returned.

    A stop of a server whose start had failed has no cause, and does not count.
    """
    pods = {f"jupyter-{name}": at for name, at in returned.items()}
    delays = [at - caused[pod] for pod, at in pods.items() if pod in caused]
    if not delays:
        return
    note(f"{metric}.p50", percentile(delays, 50) * 1000)
    note(f"{metric}.p99", percentile(delays, 99) * 1000)
