"""One pod on the embedded node, from its images to its end, told as a kubelet tells it.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .containers import POD_MARK, Process, kill_marked
from .environ import EnvError, base_environment, container_environment, expanded
from .images import PullError
from .probes import is_ready, run_hook
from .volumes import Mounts, VolumeError

if TYPE_CHECKING:
    from .node import Node

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_MOST_BACKOFF = 300.0


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class ContainerState:
    """What is known of one container, as its status tells it."""

    def __init__(self, manifest: Mapping[str, Any], uid: str):
        self.manifest = manifest
        self.name: str = manifest["name"]
        self.restarts = 0
        self.ready = False
        self.state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
        self.last_state: dict[str, Any] = {}
        self.process: Process | None = None
        self.logs: list[Path] = []
        self._id = f"local://{uid}/{self.name}"

    @property
    def terminated(self) -> Mapping[str, Any] | None:
        return self.state.get("terminated")

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = {
            "name": self.name,
            "image": self.manifest["image"],
            "imageID": self.manifest["image"] if self.logs else "",
            "ready": self.ready,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last_state,
            "started": "running" in self.state,
        }
        if self.logs:
            status["containerID"] = f"{self._id}/{self.restarts}"
        return status


class PodWorker:
    """Runs one pod, whose manifest was bound to the node."""

    def __init__(self, node: Node, pod: Mapping[str, Any]):
        self.node = node
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.namespace: str = pod["metadata"]["namespace"]
        self.name: str = pod["metadata"]["name"]
        spec = pod["spec"]
        self.init = [ContainerState(c, self.uid) for c in spec.get("initContainers") or ()]
        self.containers = [ContainerState(c, self.uid) for c in spec["containers"]]
        if self.init:
            for state in self.containers:
                state.state = {"waiting": {"reason": "PodInitializing"}}
        self.policy = spec.get("restartPolicy", "Always")
        self.phase = "Pending"
        self.ip = ""
        self.volumes: dict[str, Path] = {}
        self.started = now()
        self.initialized = not self.init
        self._reported: dict[str, Any] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._main = asyncio.ensure_future(self._run())

    # ---- life --------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._live()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("Pod %s/%s failed on the embedded node", self.namespace, self.name)

    async def _live(self) -> None:
        self.ip = self.node.addresses.allot(self.uid)
        await self._report()
        await self._provide_volumes()
        for state in self.init:
            if not await self._run_init(state):
                self.phase = "Failed"
                await self._report()
                return
        self.initialized = True
        for state in self.containers:
            if self.init:
                state.state = {"waiting": {"reason": "ContainerCreating"}}
        for state in self.containers:
            self._spawn(self._keep_running(state))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _provide_volumes(self) -> None:
        while True:
            try:
                self.volumes = await self.node.volumes.prepare(self.pod, self._read)
                return
            except VolumeError as e:
                await self._event("Warning", "FailedMount", str(e))
                await self._pause(_RETRY_SECONDS)

    async def _run_init(self, state: ContainerState) -> bool:
        while True:
            await self._start(state)
            code = await self._until_ended(state)
            if code == 0:
                return True
            if self.policy == "Never":
                return False
            await self._back_off(state)

    async def _keep_running(self, state: ContainerState) -> None:
        while True:
            await self._start(state)
            self._spawn(self._watch_readiness(state, state.process))
            code = await self._until_ended(state)
            if self.policy == "Never" or (self.policy == "OnFailure" and code == 0):
                break
            await self._back_off(state)
        if all(c.terminated for c in self.containers):
            failed = any(c.terminated and c.terminated["exitCode"] for c in self.containers)
            self.phase = "Failed" if failed else "Succeeded"
        await self._report()

    async def _until_ended(self, state: ContainerState) -> int:
        process = state.process
        assert process is not None
        started = state.state["running"]["startedAt"]
        code = await asyncio.shield(process.ended)
        state.ready = False
        state.state = {
            "terminated": {
                "exitCode": code,
                "reason": "Completed" if code == 0 else "Error",
                "startedAt": started,
                "finishedAt": now(),
                "containerID": f"{state.status().get('containerID', '')}",
            }
        }
        await self._report()
        return code

    async def _back_off(self, state: ContainerState) -> None:
        """Wait before a restart, longer each time."""
        state.last_state = state.state
        # As a kubelet does: the first restart comes at once.
        seconds = 0.0
        if state.restarts:
            seconds = min(self.node.restart_backoff * 2 ** (state.restarts - 1), _MOST_BACKOFF)
            message = (
                f"back-off {seconds:.0f}s restarting failed container={state.name} "
                f"pod={self.name}_{self.namespace}({self.uid})"
            )
            state.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
            await self._event(
                "Warning", "BackOff", f"Back-off restarting failed container {state.name}", state
            )
        state.restarts += 1
        await self._report()
        await self._pause(seconds)

    # ---- starting ----------------------------------------------------------------------

    async def _start(self, state: ContainerState) -> None:
        """Pull the image and start the process; tries again for ever, as a kubelet does."""
        attempt = 0
        while True:
            try:
                await self._pull(state)
                await self._start_process(state)
                return
            except PullError as e:
                await self._event("Warning", "Failed", f"Error: {e.reason}", state)
                await self._waiting(state, e.reason, str(e))
                if e.reason == "ErrImagePull":
                    await self._pause(_RETRY_SECONDS)
                    message = f'Back-off pulling image "{state.manifest["image"]}"'
                    await self._event("Normal", "BackOff", message, state)
                    # What newer kubelets add: the reason of the last attempt.
                    await self._waiting(state, "ImagePullBackOff", f"{message}: {e}")
            except EnvError as e:
                await self._event("Warning", "Failed", f"Error: {e}", state)
                await self._waiting(state, "CreateContainerConfigError", str(e))
            except OSError as e:
                message = f"failed to create containerd task: exec: {e}"
                await self._event("Warning", "Failed", f"Error: {message}", state)
                await self._waiting(state, "RunContainerError", message)
            attempt += 1
            await self._pause(min(_RETRY_SECONDS * 2**attempt, 30))

    async def _waiting(self, state: ContainerState, reason: str, message: str) -> None:
        state.state = {"waiting": {"reason": reason, "message": message}}
        await self._report()

    async def _pull(self, state: ContainerState) -> None:
        images, image = self.node.images, state.manifest["image"]
        try:
            images.check_name(image)
        except PullError as e:
            await self._event("Warning", "InspectFailed", str(e), state)
            raise
        policy = state.manifest.get("imagePullPolicy", "IfNotPresent")
        if images.is_present(image) and policy != "Always":
            await self._event(
                "Normal", "Pulled", f'Container image "{image}" already present on machine', state
            )
            return
        if policy == "Never":
            raise PullError(
                "ErrImageNeverPull",
                f'Container image "{image}" is not present with pull policy of Never',
            )
        await self._event("Normal", "Pulling", f'Pulling image "{image}"', state)
        await self._report()
        try:
            images.pull(image)
        except PullError as e:
            message = f'Failed to pull image "{image}": {e}'
            await self._event("Warning", "Failed", message, state)
            raise
        await self._event("Normal", "Pulled", f'Successfully pulled image "{image}"', state)

    def _mounts(self, state: ContainerState) -> Mounts:
        at = {}
        for mount in state.manifest.get("volumeMounts") or ():
            directory = self.volumes.get(mount["name"])
            if directory is not None:
                where = directory / mount["subPath"] if mount.get("subPath") else directory
                where.mkdir(parents=True, exist_ok=True)
                at[mount["mountPath"].rstrip("/") or "/"] = where
        return Mounts(at, self.ip)

    async def _start_process(self, state: ContainerState) -> None:
        manifest, mounts = state.manifest, self._mounts(state)
        own = await container_environment(self.pod, manifest, self._read, self.ip)
        scratch = self.node.volumes.pod(self.uid) / "home"
        scratch.mkdir(parents=True, exist_ok=True)
        home = mounts.home() or scratch
        env = {
            **base_environment(),
            "HOME": str(home),
            "HOSTNAME": self.name,
            **{key: mounts.real(value) for key, value in own.items()},
            POD_MARK: f"{self.node.mark}/{self.uid}",
        }
        words = [*(manifest.get("command") or ()), *(manifest.get("args") or ())]
        # The image's own command is unknown; single-user images start a server.
        words = words or ["jupyterhub-singleuser"]
        argv = [mounts.real(expanded(word, own)) for word in words]
        wanted = manifest.get("workingDir")
        cwd = Path(mounts.real(wanted)) if wanted else home
        if not cwd.is_dir():
            cwd = home
        file = self.node.volumes.pod(self.uid) / "logs" / state.name / f"{state.restarts}.log"
        await self._event("Normal", "Created", f"Created container {state.name}", state)
        process = await Process.start(argv, env, cwd, file)
        state.process = process
        state.logs.append(file)
        state.state = {"running": {"startedAt": now()}}
        self.phase = "Running" if self.initialized else "Pending"
        await self._event("Normal", "Started", f"Started container {state.name}", state)
        await self._report()
        hook = (manifest.get("lifecycle") or {}).get("postStart")
        if hook:
            await run_hook(hook, self.ip, env, cwd, mounts.real)

    async def _watch_readiness(self, state: ContainerState, process: Process | None) -> None:
        assert process is not None
        probe = state.manifest.get("readinessProbe")
        env = {**base_environment(), POD_MARK: f"{self.node.mark}/{self.uid}"}
        while not process.ended.done():
            ready = await is_ready(state.manifest, self.ip, env)
            if ready != state.ready and state.process is process and not process.ended.done():
                state.ready = ready
                await self._report()
            if ready and not probe:
                return
            seconds = (probe or {}).get("periodSeconds", 10) if ready else 0.05
            await asyncio.wait([process.ended], timeout=seconds)

    # ---- the end -----------------------------------------------------------------------

    async def stop(self, grace: float) -> None:
        """End every container, within ``grace`` seconds."""
        if self._stopping:
            return
        self._stopping = True
        self._main.cancel()
        running = [
            c for c in [*self.init, *self.containers] if c.process and not c.process.ended.done()
        ]
        for state in running:
            await self._event("Normal", "Killing", f"Stopping container {state.name}", state)
        await asyncio.gather(*(self._stop_container(state, grace) for state in running))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.to_thread(kill_marked, f"{self.node.mark}/{self.uid}")

    async def _stop_container(self, state: ContainerState, grace: float) -> None:
        started = asyncio.get_running_loop().time()
        hook = (state.manifest.get("lifecycle") or {}).get("preStop")
        if hook and grace > 0:
            mounts = self._mounts(state)
            env = {**base_environment(), POD_MARK: f"{self.node.mark}/{self.uid}"}
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(
                    run_hook(hook, self.ip, env, mounts.home() or Path("/"), mounts.real), grace
                )
        assert state.process is not None
        left = grace - (asyncio.get_running_loop().time() - started)
        await state.process.stop(max(left, 0))

    def end_now(self) -> None:
        """Kill everything at once; for the end of the cluster itself."""
        self._stopping = True
        for task in [self._main, *self._tasks]:
            task.cancel()
        for state in [*self.init, *self.containers]:
            if state.process and not state.process.ended.done():
                state.process.signal(9)

    # ---- telling -----------------------------------------------------------------------

    async def _pause(self, seconds: float) -> None:
        await asyncio.wait([self.node.stopping], timeout=seconds)

    async def _read(self, kind: str, name: str) -> dict[str, Any] | None:
        return await self.node.read(kind, name, self.namespace)

    async def _event(
        self, type_: str, reason: str, message: str, state: ContainerState | None = None
    ) -> None:
        field = ""
        if state is not None:
            group = "initContainers" if state in self.init else "containers"
            field = f"spec.{group}{{{state.name}}}"
        await self.node.events.tell(self.pod, type_, reason, message, field_path=field)

    def _condition(self, kind: str, value: bool, reason: str = "") -> dict[str, Any]:
        condition = {"type": kind, "status": str(value), "lastTransitionTime": self.started}
        if not value and reason:
            condition["reason"] = reason
        return condition

    async def _report(self) -> None:
        ready = bool(self.containers) and all(c.ready for c in self.containers)
        status: dict[str, Any] = {
            "phase": self.phase,
            "startTime": self.started,
            "hostIP": self.node.address,
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "containerStatuses": [c.status() for c in self.containers],
            "conditions": [
                self._condition("Initialized", self.initialized, "ContainersNotInitialized"),
                self._condition("Ready", ready, "ContainersNotReady"),
                self._condition("ContainersReady", ready, "ContainersNotReady"),
                self._condition("PodScheduled", True),
            ],
        }
        if self.init:
            status["initContainerStatuses"] = [c.status() for c in self.init]
        if status != self._reported and not self._stopping:
            self._reported = status
            await self.node.report(self.pod, status)
