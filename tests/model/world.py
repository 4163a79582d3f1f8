"""A hub, its users' servers and a cluster in which anything may happen; and what must hold.

The hub does what JupyterHub does with a spawner: ``User.spawn``, ``User.stop``, the periodic poll,
the look at every server after a restart, deletion of servers and users. What holds is read from
the API server's storage, never through the code under test.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kubespawner import KubeSpawner
from kubespawner.localcluster import lifecycle
from kubespawner.localcluster.store import Change
from tests.support.field import CLAIMS, PODS, STORAGE, Field

# In an outage nothing is known; afterwards this many seconds must suffice for everything to be
# as it should be: the longest pause between two attempts, and the longest silence of a watch.
SETTLED = 300.0
# What the kubelet needs to end a pod, in seconds.
_KUBELET = 0.2
_HOME = [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}]


class Violation(AssertionError):
    """Something that must hold does not."""


@dataclass(eq=False)
class Server:
    """What the hub keeps of one server, and what the model knows of it.

    Attributes:
        spawner: None until the hub needs one.
        active: whether the hub takes it to be running.
        state: as in the hub's database, JSON.
        spawn: the spawn under way.
        claim: UID of the claim it got, as long as that exists.
        pod: UID of the pod of the last start that succeeded.
        pulled_away: names of claims deleted by hand during the spawn under way, maybe after the
            spawner had looked at them.
    """

    username: str
    name: str
    spawner: Any = None
    active: bool = False
    state: str = "{}"
    spawn: asyncio.Task[None] | None = None
    claim: str = ""
    pod: str = ""
    pulled_away: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    @property
    def pending(self) -> bool:
        return self.spawn is not None and not self.spawn.done()

    def __str__(self) -> str:
        return f"{self.username}/{self.name}"


class World:
    """The hub and its cluster.

    Attributes:
        settings: of the hub's configuration, as of the next restart of the hub.
        frozen_nodes: whether the node is lost: deleted pods are not confirmed gone.
        disturbed: whether a fault was active since the last time all was settled.
    """

    def __init__(self, directory: Path):
        self.field = Field(directory / "kubeconfig")
        self.servers: dict[tuple[str, str], Server] = {}
        self.settings: dict[str, Any] = {}
        self.node_lost = False
        self.disturbed = False
        self._orm: dict[str, Any] = {}
        self._faults: list[Any] = []
        self._may_delete: set[str] = set()
        self._violations: list[str] = []

    async def start(self) -> None:
        await self.field.start()
        self.field.node = "node-1"
        self.field.store.subscribe(self._look)

    async def stop(self) -> None:
        tasks = [s.spawn for s in self.servers.values() if s.pending and s.spawn]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.field.stop()

    def server(self, username: str, name: str) -> Server:
        return self.servers.setdefault((username, name), Server(username, name))

    # ---- the hub -----------------------------------------------------------------------

    def spawner(self, server: Server) -> Any:
        """Return the server's spawner; the hub makes it when it first needs it."""
        if server.spawner is None:
            settings = {"volumes": _HOME, "start_timeout": 60, **STORAGE, **self.settings}
            spawner = self.field.spawner(server.username, server.name, cls=KubeSpawner, **settings)
            orm = self._orm.setdefault(server.username, {})
            spawner.user.orm_user.orm_spawners = orm
            spawner.orm_spawner.state = json.loads(server.state)
            orm[server.name] = spawner.orm_spawner
            spawner.user.db = SimpleNamespace(commit=lambda: self._commit(server))
            spawner.load_state(json.loads(server.state))
            server.spawner = spawner
        return server.spawner

    def _store_state(self, server: Server) -> None:
        row = self._orm[server.username][server.name]
        row.state = json.loads(json.dumps(server.spawner.get_state()))
        self._commit(server)

    def _commit(self, server: Server) -> None:
        server.state = json.dumps(self._orm[server.username][server.name].state)

    def begin(self, server: Server) -> None:
        """Begin a spawn, as ``User.spawn`` does."""
        spawner = self.spawner(server)
        spawner.clear_state()
        server.active = True
        server.pulled_away = set()
        server.spawn = asyncio.get_running_loop().create_task(self._spawn(server))

    async def _spawn(self, server: Server) -> None:
        spawner = server.spawner
        try:
            await asyncio.wait_for(spawner.start(), timeout=spawner.start_timeout)
        except Exception as e:  # noqa: BLE001 - as the hub does
            server.failures.append(f"{type(e).__name__}: {e}")
            await self.hub_stop(server)
            return
        server.pod = spawner.pod_id
        self._store_state(server)

    async def hub_stop(self, server: Server) -> None:
        """Do as ``User.stop``: whatever happens, the server counts as stopped afterwards."""
        spawner = self.spawner(server)
        try:
            if await self.poll(server) is None:
                await spawner.stop()
        except Exception as e:  # noqa: BLE001 - as the hub does
            server.failures.append(f"{type(e).__name__}: {e}")
        finally:
            server.active = False
            spawner.clear_state()
            self._store_state(server)
        if not (server.spawn and server.failures):
            server.spawner = None

    async def cancel_spawn(self, server: Server) -> None:
        """Cancel a spawn under way and clean up, as newer hubs do for an impatient user."""
        assert server.spawn is not None
        server.spawn.cancel()
        await asyncio.wait([server.spawn])
        await asyncio.sleep(1)
        await self.hub_stop(server)

    async def poll(self, server: Server) -> int | None:
        """Poll; a running server must not be reported as stopped."""
        before = self.alive(server)
        status = await self.spawner(server).poll()
        after = self.alive(server)
        still = [uid for uid in after if uid in before]
        if status is not None and server.pod in still:
            raise Violation(f"{server} runs and is reported as stopped ({status})")
        return status

    async def check_up(self, server: Server) -> None:
        """Poll as the hub does now and then, and act on the answer."""
        if await self.poll(server) is not None:
            await self.hub_stop(server)

    async def restart_hub(self, *, crash: bool = False) -> None:
        """End the hub's process and start a new one.

        Args:
            crash: spawns under way are not cancelled but just end.
        """
        pending = [s for s in self.servers.values() if s.pending]
        outage = self.field.fail(drop="before") if crash else None
        for server in pending:
            assert server.spawn is not None
            server.spawn.cancel()
        await asyncio.gather(*(s.spawn for s in pending if s.spawn), return_exceptions=True)
        await KubeSpawner._stop_all_reflectors()
        if outage:
            self.field.faults.remove(outage)
        self._orm.clear()
        for server in self.servers.values():
            server.spawner, server.spawn = None, None
            self.spawner(server)
        active = [s for s in self.servers.values() if s.active]
        await asyncio.gather(*(self._after_restart(s, s in pending) for s in active))

    async def _after_restart(self, server: Server, was_pending: bool) -> None:
        # Of a server that was not up yet, the hub finds that nothing answers.
        if await self.poll(server) is not None or was_pending:
            await self.hub_stop(server)

    async def delete_server(self, server: Server) -> None:
        """Delete a server, with its user if it is the default one."""
        doomed = [server]
        if not server.name:
            doomed = [s for s in self.servers.values() if s.username == server.username]
        for each in doomed:
            if each.pending:
                await self.cancel_spawn(each)
            elif each.active:
                await self.hub_stop(each)
        kept = {s.claim for s in self.servers.values() if s not in doomed}
        for each in doomed:
            self._may_delete |= self._claims_of(each.username) - kept
            spawner = self.spawner(each)
            try:
                await spawner.delete_forever()
            except Exception as e:  # noqa: BLE001 - as the hub does
                each.failures.append(f"{type(e).__name__}: {e}")
            self._orm[each.username].pop(each.name)
            each.spawner, each.state, each.spawn = None, "{}", None
        for each in doomed:
            claim = self._claims().get(each.claim)
            if claim and not (self.disturbed or each.claim in kept or _is_going(claim)):
                raise Violation(f"the claim of {each} was to be deleted and is still there")
            each.claim = ""

    # ---- the cluster -------------------------------------------------------------------

    def fail(self, **fault: Any) -> None:
        """Begin to inject a fault into the hub's requests."""
        self.disturbed = True
        self._faults.append(self.field.fail(**fault))

    def end_faults(self) -> None:
        for fault in self._faults:
            self.field.faults.remove(fault)
        self._faults.clear()

    def delete_pod(self, uid: str, grace: int = 30) -> None:
        """Delete a pod as somebody with kubectl would."""
        pod = self._pod(uid)
        if pod:
            meta = pod["metadata"]
            options = {"gracePeriodSeconds": grace}
            lifecycle.delete(self.field.store, PODS, meta["namespace"], meta["name"], options)

    def end_pod(self, uid: str, **status: Any) -> None:
        """Let a pod end."""
        pod = self._pod(uid)
        if pod:
            meta = pod["metadata"]
            self.field.change_pod(meta["name"], meta["namespace"], **status)

    def delete_claim(self, uid: str) -> None:
        """Delete a claim as somebody with kubectl would."""
        self._may_delete.add(uid)
        for claim in self.field.objects("persistentvolumeclaims"):
            if claim["metadata"]["uid"] == uid:
                meta = claim["metadata"]
                lifecycle.delete(self.field.store, CLAIMS, meta["namespace"], meta["name"])

    def find_node(self) -> None:
        """Bring the lost node back; it ends what was to be ended meanwhile."""
        self.node_lost = False
        for pod in self.field.pods():
            if pod["metadata"].get("deletionTimestamp"):
                self._end_later(pod["metadata"])

    def _pod(self, uid: str) -> dict[str, Any] | None:
        return next((p for p in self.field.pods() if p["metadata"]["uid"] == uid), None)

    def _claims(self) -> dict[str, dict[str, Any]]:
        return {c["metadata"]["uid"]: c for c in self.field.objects("persistentvolumeclaims")}

    def _claims_of(self, username: str) -> set[str]:
        return {
            uid
            for uid, claim in self._claims().items()
            if claim["metadata"]["annotations"]["hub.jupyter.org/username"] == username
        }

    def _end_later(self, meta: dict[str, Any]) -> None:
        def end() -> None:
            if not self.node_lost and self._pod(meta["uid"]):
                self.field.confirm_gone(meta["name"], meta["namespace"])

        asyncio.get_running_loop().call_later(_KUBELET, end)

    # ---- what must hold ----------------------------------------------------------------

    def alive(self, server: Server) -> list[str]:
        """Return the UIDs of the server's pods that run, or are about to."""
        return [
            pod["metadata"]["uid"]
            for pod in self.field.pods()
            if _owner(pod) == (server.username, server.name) and _is_alive(pod)
        ]

    def _look(self, change: Change) -> None:
        meta = change.after.obj["metadata"]
        if change.resource is PODS:
            if change.type == "ADDED":
                self._look_at_new_pod(change.after.obj)
            elif change.type == "MODIFIED" and meta.get("deletionTimestamp"):
                self._end_later(meta)
        elif change.resource is CLAIMS and change.type == "DELETED":
            if meta["uid"] not in self._may_delete:
                self._violations.append(f"claim {meta['name']} was deleted")
            for server in self.servers.values():
                if server.claim == meta["uid"]:
                    server.claim = ""
                if server.pending:
                    server.pulled_away.add(meta["name"])

    def _look_at_new_pod(self, pod: dict[str, Any]) -> None:
        server = self.servers[_owner(pod)]
        (mounted,) = [
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        ]
        namespace = pod["metadata"]["namespace"]
        claim = self.field.store.get(CLAIMS, namespace, mounted)
        if claim is None:
            if mounted not in server.pulled_away:
                self._violations.append(f"{server} mounts {mounted}, which does not exist")
            return
        owner = claim["metadata"]["annotations"]["hub.jupyter.org/username"]
        if owner != server.username:
            self._violations.append(f"{server} mounts {mounted} of {owner}")
        if server.claim and claim["metadata"]["uid"] != server.claim:
            self._violations.append(f"{server} gets {mounted}, which is not the claim it had")
        server.claim = claim["metadata"]["uid"]

    def check(self) -> None:
        """Raise Violation if anything does not hold at this moment."""
        if self._violations:
            raise Violation("; ".join(self._violations))
        for server in self.servers.values():
            alive = self.alive(server)
            if len(alive) > 1:
                raise Violation(f"{server} has {len(alive)} pods")
            if alive and not (server.active or server.pending or self.disturbed):
                raise Violation(f"a pod of {server} runs and the hub does not know it")

    async def settle(self) -> None:
        """Let all faults end and time pass; then the hub's idea must be the cluster's."""
        self.end_faults()
        self.find_node()
        await asyncio.sleep(SETTLED)
        for server in self.servers.values():
            if server.pending and server.spawn:
                await asyncio.wait([server.spawn])
        self.disturbed = False
        self.check()
        for server in self.servers.values():
            if not server.active:
                continue
            alive = self.alive(server)
            if (await self.poll(server) is None) != bool(alive):
                raise Violation(f"{server}: alive are {alive}, and poll says otherwise")
            if not alive:
                await self.hub_stop(server)
        self.check()


def _owner(pod: dict[str, Any]) -> tuple[str, str]:
    annotations = pod["metadata"]["annotations"]
    return (
        annotations["hub.jupyter.org/username"],
        annotations.get("hub.jupyter.org/servername", ""),
    )


def _is_going(item: dict[str, Any]) -> bool:
    return bool(item["metadata"].get("deletionTimestamp"))


def _is_alive(pod: dict[str, Any]) -> bool:
    return not _is_going(pod) and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}
