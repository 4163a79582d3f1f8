"""Random lives of a hub: hypothesis chooses what happens next."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.support.warp import WarpLoop

from .world import Server, World

# Users and servers whose names come near each other in every scheme of naming.
NAMES = [
    ("alice", ""),
    ("alice", "lab"),
    ("alice", "Lab"),
    ("alice--lab", ""),
    ("Ünal@x.org", "lab"),
]
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "escape": {"slug_scheme": "escape"},
    "renamed": {
        "pod_name_template": "lab-{username}--{servername}",
        "pvc_name_template": "{user_server}-home",
    },
    "one claim per user": {"pvc_name_template": "claim-{username}"},
    "without events": {"delete_grace_period": 5, "events_enabled": False},
}
FAULTS: dict[str, dict[str, Any]] = {
    "503": {"status": 503, "reason": "ServiceUnavailable"},
    "500": {"status": 500},
    "429": {"status": 429, "reason": "TooManyRequests", "retry_after": 2},
    "reset before": {"drop": "before"},
    "reset after": {"drop": "after"},
    "late": {"delay": 20},
    "late answer": {"delay_answer": 20},
    "truncated": {"truncate": 9},
}
PLACES: dict[str, dict[str, Any]] = {
    "everything": {},
    **{
        f"{verb} pods": {"verb": verb, "resource": "pods"}
        for verb in ("create", "get", "list", "watch", "delete")
    },
    **{
        f"{verb} claims": {"verb": verb, "resource": "persistentvolumeclaims"}
        for verb in ("create", "get", "delete")
    },
    "events": {"resource": "events"},
}
numbers = st.integers(0, 9)
# Of the loop, until something is cancelled; a whole start takes about 100.
turns = st.integers(0, 120)


class Life(RuleBasedStateMachine):
    """One hub from its beginning; each step is followed by a look at the cluster's storage."""

    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.loop = WarpLoop()
        self._directory = tempfile.TemporaryDirectory()
        directory = Path(self._directory.name)
        self._environment = os.environ.get("KUBECONFIG")
        os.environ["KUBECONFIG"] = str(directory / "kubeconfig")
        self.world = World(directory)
        self.run(self.world.start())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        try:
            self.run(self.world.settle())
        finally:
            self.run(self.world.stop())
            self.run(_end_other_tasks())
            self.loop.close()
            self._directory.cleanup()
            if self._environment is None:
                del os.environ["KUBECONFIG"]
            else:
                os.environ["KUBECONFIG"] = self._environment

    @invariant()
    def holds(self) -> None:
        type(self).steps += 1
        self.world.check()

    # ---- the hub -----------------------------------------------------------------------

    def _pick(self, number: int, *, active: bool) -> Server:
        """Return one of the servers in that state; any, if none is."""
        everyone = [self.world.server(*name) for name in NAMES]
        fitting = [server for server in everyone if server.active == active]
        return (fitting or everyone)[number % len(fitting or everyone)]

    @rule(which=numbers)
    def start(self, which: int) -> None:
        self.run(self._start(self._pick(which, active=False), wait=True))

    @rule(which=numbers)
    def begin_to_start(self, which: int) -> None:
        self.run(self._start(self._pick(which, active=False), wait=False))

    async def _start(self, server: Server, wait: bool) -> None:
        if server.active:
            return
        self.world.begin(server)
        assert server.spawn is not None
        if wait:
            await server.spawn

    @rule(which=numbers, turns=turns)
    def start_and_cancel(self, which: int, turns: int) -> None:
        self.run(self._start_and_cancel(self._pick(which, active=False), turns))

    async def _start_and_cancel(self, server: Server, turns: int) -> None:
        await self._start(server, wait=False)
        for _ in range(turns):
            await asyncio.sleep(0)
        if server.pending:
            await self.world.cancel_spawn(server)

    @rule(which=numbers)
    def stop(self, which: int) -> None:
        self.run(self._stop(self._pick(which, active=True)))

    async def _stop(self, server: Server) -> None:
        if server.pending:
            await self.world.cancel_spawn(server)
        elif server.active:
            await self.world.hub_stop(server)

    @rule(which=numbers, turns=turns)
    def stop_and_cancel(self, which: int, turns: int) -> None:
        self.run(self._stop_and_cancel(self._pick(which, active=True), turns))

    async def _stop_and_cancel(self, server: Server, turns: int) -> None:
        if server.active and not server.pending:
            task = self.loop.create_task(self.world.spawner(server).stop())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await self.world.check_up(server)

    @rule()
    def poll(self) -> None:
        self.run(self._poll())

    async def _poll(self) -> None:
        for server in self.world.servers.values():
            if server.active and not server.pending:
                await self.world.check_up(server)

    @rule(crash=st.booleans(), change=st.none() | st.sampled_from(list(CONFIGURATIONS)))
    def restart_hub(self, crash: bool, change: str | None) -> None:
        # A pod that a crash left under a name of yesterday's configuration is found by the
        # search for leftovers, not by its server.
        if change is not None and not any(s.pending for s in self.world.servers.values()):
            self.world.settings = CONFIGURATIONS[change]
        self.run(self.world.restart_hub(crash=crash))

    @rule(which=numbers, active=st.booleans())
    def delete_forever(self, which: int, active: bool) -> None:
        self.run(self.world.delete_server(self._pick(which, active=active)))

    # ---- the cluster -------------------------------------------------------------------

    def _pods(self) -> list[str]:
        pods = [pod["metadata"] for pod in self.world.field.pods()]
        return [meta["uid"] for meta in sorted(pods, key=lambda meta: meta["name"])]

    @rule(
        number=numbers,
        how=st.sampled_from(["evicted", "deleted", "deleted at once", "finished", "crashed"]),
    )
    def lose_pod(self, number: int, how: str) -> None:
        uids = self._pods()
        if uids:
            self.run(self._lose_pod(uids[number % len(uids)], how))

    async def _lose_pod(self, uid: str, how: str) -> None:
        if how == "evicted":
            self.world.end_pod(uid, phase="Failed", reason="Evicted", containerStatuses=[])
        elif how.startswith("deleted"):
            self.world.delete_pod(uid, grace=0 if how == "deleted at once" else 30)
        else:
            code = 0 if how == "finished" else 1
            container = {
                "name": "notebook",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": {"exitCode": code}},
            }
            phase = "Failed" if code else "Succeeded"
            self.world.end_pod(uid, phase=phase, containerStatuses=[container])

    @rule(number=numbers)
    def delete_claim(self, number: int) -> None:
        claims = self.world.field.objects("persistentvolumeclaims")
        if claims:
            self.run(self._delete_claim(claims[number % len(claims)]["metadata"]["uid"]))

    async def _delete_claim(self, uid: str) -> None:
        self.world.delete_claim(uid)

    @rule(lost=st.booleans())
    def lose_node(self, lost: bool) -> None:
        self.run(self._lose_node(lost))

    async def _lose_node(self, lost: bool) -> None:
        if lost:
            # Its controller gives the pods up; nobody confirms their end.
            self.world.node_lost = True
            for uid in self._pods():
                self.world.delete_pod(uid)
        else:
            self.world.find_node()

    @rule(slow=st.booleans())
    def slow_images(self, slow: bool) -> None:
        self.world.field.runs = not slow
        self.run(self._take_up())

    async def _take_up(self) -> None:
        field = self.world.field
        for pod in field.pods():
            if field.runs and pod.get("status", {}).get("phase") == "Pending":
                field.run(pod["metadata"]["name"], pod["metadata"]["namespace"])

    # ---- the connection between them ---------------------------------------------------

    @rule(
        fault=st.sampled_from(list(FAULTS)),
        place=st.sampled_from(list(PLACES)),
        times=st.sampled_from([1, 2, 5, None]),
    )
    def api_down(self, fault: str, place: str, times: int | None) -> None:
        self.world.fail(times=times, **PLACES[place], **FAULTS[fault])

    @rule()
    def api_up(self) -> None:
        self.world.end_faults()

    @rule(how=st.sampled_from(["ended", "reset", "silent", "too old"]))
    def break_watches(self, how: str) -> None:
        self.world.disturbed |= how == "silent"
        self.run(self._break_watches(how))

    async def _break_watches(self, how: str) -> None:
        faults = self.world.field.faults
        if how == "silent":
            faults.freeze_watches()
        elif how == "too old":
            faults.compact("pods")
        else:
            faults.close_watches(abort=how == "reset")

    @rule(seconds=st.sampled_from([0.01, 0.3, 2, 40]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule()
    def settle(self) -> None:
        self.run(self.world.settle())


async def _end_other_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
