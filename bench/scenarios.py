"""The scenarios: what is done to each side, in which order, and what is noted.

Both sides meet the same API server with the same objects, one after the other; which is first
changes from round to round.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import peer
from .apiserver import ApiServer
from .children import Child
from .hubside import HubSide, Profiles
from .objects import user_name
from .plan import Plan, Population, Spawns
from .samples import SIDES, Run, machine, percentile

Say = Callable[[str], None]
Note = Callable[[str, float], None]

_MILLION = 1e6
_KIBI = 1024.0
_START_TIMEOUT = 60
# For what the cluster is filled with.
_FILL_SECONDS = 900.0
# How long a hub that answers its polls before it has listed may take to list after all.
_LIST_SECONDS = 120.0
# How much later than asked a busy hub may say what was done.
_LATE_SECONDS = 120.0
_POPULATION = ("make.", "restart.", "memory", "poll.", "idle.", "churn.")


class Bench:
    """One run: the API server, the kubelet, and what is measured on them.

    What fails or hangs is noted in the run, and the rest goes on.

    Args:
        folder: for logs and data of the processes; removed by who made it.
        keep: called with the run after each measurement.
        profiles: if given, the steps of our side that get a flame graph; the peer is left out.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        say: Say,
        keep: Callable[[Run], None] = lambda run: None,
        profiles: Profiles | None = None,
    ):
        self.plan = plan
        self.run = Run(plan.name, about=machine())
        self._folder = folder
        self._say = say
        self._keep = keep
        self._profiles = profiles
        self._sides = SIDES if profiles is None else ("ours",)
        self._turn = 0

    def go(self) -> Run:
        """Run all scenarios and return what was measured."""
        began = time.monotonic()
        with ApiServer(self._folder) as self._api:
            self.run.about["apiserver"] = self._api.version
            self._measure_populations()
            for spawns in self.plan.kinds:
                self._measure_spawns(spawns)
            self._measure_events()
        self.run.about["minutes"] = round((time.monotonic() - began) / 60, 1)
        self._keep(self.run)
        return self.run

    # ---- what all scenarios need -------------------------------------------------------

    @contextlib.contextmanager
    def _attempt(self, metrics: tuple[str, ...], size: int, *sides: str) -> Iterator[None]:
        """Note instead of raise what goes wrong with some metrics of one size."""
        began = time.monotonic()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - told in the table; the rest can be measured
            reason = f"{type(error).__name__}: {error}"
            self._say(f"  failed: {reason}")
            for side in sides:
                self.run.fail(metrics, size, side, reason)
        who = sides[0] if len(sides) == 1 else "together"
        self._say(f"  {who}: {time.monotonic() - began:.0f} s")
        self._keep(self.run)

    @contextlib.contextmanager
    def _cluster(self, namespace: str) -> Iterator[None]:
        """A kubelet of its own for one scenario, so that one that ends does not end the rest."""
        argv = [sys.executable, "-m", "bench.kubelet", str(self._api.kubeconfig("kubelet"))]
        with Child(argv, log=self._folder / "kubelet.log") as self._kubelet:
            self._kubelet.ask("namespace", name=namespace)
            yield

    def _rounds(self, counts: Mapping[str, int]) -> Iterator[str]:
        """Yield each side as often as ``counts`` says, the first one in turn."""
        if self._profiles is not None:
            yield from self._sides
            return
        for number in range(max(counts.values())):
            ordered = self._sides if number % 2 == 0 else tuple(reversed(self._sides))
            yield from (side for side in ordered if number < counts[side])

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

    def _noter(self, hub: HubSide, size: int, prefix: str = "") -> Note:
        def note(metric: str, value: float) -> None:
            self.run.add(f"{prefix}{metric}", size, hub.side, value)

        return note

    # ---- many running pods -------------------------------------------------------------

    def _measure_populations(self) -> None:
        namespace, filled = "running", 0
        for population in self.plan.populations:
            size = population.size
            self._say(f"{size:,} running pods")
            with self._attempt(_POPULATION, size, *self._sides), self._cluster(namespace):
                self._kubelet.ask(
                    "fill",
                    namespace=namespace,
                    first=filled,
                    count=size - filled,
                    within=_FILL_SECONDS,
                )
                filled = size
                done: set[str] = set()
                for side in self._rounds(dict.fromkeys(SIDES, population.restarts)):
                    with self._attempt(_POPULATION, size, side), self._hub(side) as hub:
                        self._measure_restart(hub, namespace, size)
                        if side not in done:
                            done.add(side)
                            self._measure_idle(hub, population)
                            self._measure_churn(hub, namespace, population)

    def _measure_restart(self, hub: HubSide, namespace: str, size: int) -> None:
        note = self._noter(hub, size)
        users = [user_name(number) for number in range(size)]
        # What is loaded and learnt once by process is none of a spawner's cost.
        hub.make(users[:1], {"namespace": namespace})
        made = hub.make(users, {"namespace": namespace}, running=True)
        note("make.cpu", made["cpu"] / size * _MILLION)
        before = hub.settled()
        restart = hub.measured("restart", "poll")
        if restart["running"] != size:
            raise RuntimeError(f"{hub.side} found {restart['running']} of {size} pods running")
        if restart["held"] == size:
            note("restart.seconds", restart["seconds"])
            note("restart.stall", restart["stall"] * 1000)
            note("restart.cpu", restart["cpu"])
        else:
            reason = f"the polls were answered before the list had come: {restart['held']} pods"
            self._say(f"  {hub.side}: {reason}")
            self.run.fail(("restart.",), size, hub.side, reason)
            self._await_list(hub, size)
        note("memory", (hub.settled() - before) / size / _KIBI)
        note("poll.cpu", hub.measured("poll", "poll")["cpu"] / size * _MILLION)

    def _await_list(self, hub: HubSide, size: int) -> None:
        deadline = time.monotonic() + _LIST_SECONDS
        while (held := hub.measured("", "poll")["held"]) != size:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{hub.side} listed {held} of {size} pods")
            hub.measured("", "idle", seconds=1)

    def _measure_idle(self, hub: HubSide, population: Population) -> None:
        note = self._noter(hub, population.size)
        account = hub.account()
        idle = hub.measured("idle", "idle", seconds=population.idle_seconds)
        minutes = population.idle_seconds / 60
        note("idle.cpu", idle["cpu"] / minutes)
        note("idle.stall", idle["stall"] * 1000)
        note("idle.bytes", account.bytes_to_hub() / minutes / _KIBI)
        note("idle.lists", account.requests()["list pods"] / minutes)

    def _measure_churn(self, hub: HubSide, namespace: str, population: Population) -> None:
        note = self._noter(hub, population.size)
        self._kubelet.tell(
            "churn",
            namespace=namespace,
            pods=population.size,
            rate=self.plan.churn_rate,
            seconds=population.churn_seconds,
        )
        # A little longer, so that the last change has arrived.
        churn = hub.measured("churn", "idle", seconds=population.churn_seconds + 1)
        changes = self._kubelet.hear()["changes"]
        note("churn.cpu", churn["cpu"] / changes * 1000)
        note("churn.stall", churn["stall"] * 1000)

    # ---- many starts and stops at once -------------------------------------------------

    def _measure_spawns(self, spawns: Spawns) -> None:
        namespace, count = f"starting-{spawns.kind}", self.plan.spawns
        metrics = (f"{spawns.kind}.",)
        self._say(f"{count} spawns, {spawns.kind}")
        with self._attempt(metrics, count, *self._sides), self._cluster(namespace):
            self._kubelet.ask(
                "fill", namespace=namespace, first=0, count=self.plan.others, within=_FILL_SECONDS
            )
            for side in self._rounds({"ours": spawns.ours, "peer": spawns.peer}):
                users = self._new_users(count)
                with self._attempt(metrics, count, side), self._hub(side) as hub:
                    self._measure_spawn(hub, namespace, spawns.kind, users)
                # Of starts that failed.
                pods = [f"jupyter-{name}" for name in users]
                self._kubelet.ask("discard", namespace=namespace, pods=pods)
                self._kubelet.ask("clear", namespace=namespace, kinds=["persistentvolumeclaims"])

    def _measure_spawn(self, hub: HubSide, namespace: str, kind: str, users: list[str]) -> None:
        count = len(users)
        note = self._noter(hub, count, f"{kind}.")
        settings = _settings(namespace, kind)
        hub.make([user_name(0)], settings)
        # A hub that starts servers has been watching for long.
        hub.measured("", "poll")
        hub.make(users, settings, database=self._folder / f"{users[0]}.sqlite")
        self._attend(namespace, tell=False)
        account = hub.account()
        started = hub.measured(f"start-{kind}", "start", users=users)
        self._check_failures(hub.side, started, users)
        note("start.failed", len(started["failed"]))
        requests = account.requests()
        times = self._kubelet.ask("leave")
        _note_delays(note, "start", started["returned"], times["ready"], started["ready"])
        _note_percentiles(note, "start.api", account.kubelet_waited("patch pods/status"))
        note("start.cpu", started["cpu"] / count * 1000)
        note("start.stall", started["stall"] * 1000)
        note("start.requests", sum(requests.values()) / count)
        self.run.requests[f"start-{kind} {hub.side}"] = dict(requests)

        running = list(started["returned"])
        self._attend(namespace, tell=False)
        account = hub.account()
        stopped = hub.measured(f"stop-{kind}", "stop", users=running)
        self._check_failures(hub.side, stopped, running)
        times = self._kubelet.ask("leave")
        _note_delays(note, "stop", stopped["returned"], times["gone"], stopped["gone"])
        _note_percentiles(note, "stop.api", account.kubelet_waited("delete pods"))
        note("stop.cpu", stopped["cpu"] / len(running) * 1000)
        note("stop.requests", sum(account.requests().values()) / len(running))

    def _check_failures(self, side: str, done: dict[str, Any], users: list[str]) -> None:
        """Say what failed; ours must not."""
        failed = done["failed"]
        if failed:
            self._say(f"  {len(failed)} of {side} failed, the first: {next(iter(failed.values()))}")
        if failed and side == "ours":
            raise RuntimeError(
                f"{len(failed)} of {len(users)} failed: {next(iter(failed.values()))}"
            )

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
        for count in self.plan.events:
            self._say(f"{count:,} events, {self.plan.readers} progress pages")
            with self._attempt(("events.",), count, *self._sides), self._cluster(namespace):
                self._kubelet.ask(
                    "events",
                    namespace=namespace,
                    first=written,
                    count=count - written,
                    within=_FILL_SECONDS,
                )
                written = count
                for side in self._sides:
                    with self._attempt(("events.",), count, side), self._hub(side) as hub:
                        self._measure_progress(hub, namespace, count)
                    self._kubelet.ask("leave")
                    self._kubelet.ask("clear", namespace=namespace, kinds=["pods"])

    def _measure_progress(self, hub: HubSide, namespace: str, count: int) -> None:
        """Measure starts with an open page each for a fixed time, done by then or not."""
        note, seconds = self._noter(hub, count, "events."), self.plan.window
        # None of them gives up while it is measured.
        settings = {"namespace": namespace, "start_timeout": 4 * seconds}
        hub.make([user_name(0)], settings)
        hub.measured("", "poll")
        users = self._new_users(self.plan.readers)
        hub.make(users, settings)
        self._attend(namespace, tell=True)
        hub.settled()
        window = hub.window("events", seconds, "start", users=users, readers=1)
        note("cpu", window.cpu)
        note("growth", window.growth / 2**20)
        started = window.outcome(_LATE_SECONDS)
        end = started["began"] + seconds
        done = sum(at <= end for at in started["returned"].values())
        note("missing", len(users) - done)
        note("cpu.each", window.cpu / done * 1000 if done else float("inf"))
        note("stall", started["stall"] * 1000)


def _settings(namespace: str, kind: str) -> dict[str, Any]:
    settings: dict[str, Any] = {"namespace": namespace, "start_timeout": _START_TIMEOUT}
    if kind == "claims":
        volume = {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}
        settings |= {
            "storage_pvc_ensure": True,
            "storage_capacity": "1Gi",
            "volumes": [volume],
            "volume_mounts": [{"name": "home", "mountPath": "/home/jovyan"}],
        }
    return settings


def _note_delays(
    note: Note,
    metric: str,
    returned: dict[str, float],
    caused: dict[str, float],
    received: dict[str, float],
) -> None:
    """Note p50 and p99 in milliseconds from what the kubelet did to what the hub returned.

    And what of it went by before the hub's watch brought the event, and after. What has no cause,
    or came before it, does not count.
    """
    parts: dict[str, list[float]] = {"": [], ".there": [], ".here": []}
    for name, at in returned.items():
        pod = f"jupyter-{name}"
        if pod in caused and caused[pod] <= at:
            parts[""].append(at - caused[pod])
            if caused[pod] <= received.get(pod, 0) <= at:
                parts[".there"].append(received[pod] - caused[pod])
                parts[".here"].append(at - received[pod])
    for part, delays in parts.items():
        _note_percentiles(note, f"{metric}{part}", delays)


def _note_percentiles(note: Note, metric: str, seconds: list[float]) -> None:
    """Note p50 and p99 in milliseconds, if there is anything."""
    if seconds:
        note(f"{metric}.p50", percentile(seconds, 50) * 1000)
        note(f"{metric}.p99", percentile(seconds, 99) * 1000)
