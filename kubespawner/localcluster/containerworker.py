"""One container on the embedded node: its image, its runs, its probes, its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import probes
from .containerlogs import ContainerLog
from .containers import POD_MARK, Process, StartError
from .environ import EnvError, base_environment, container_environment, expanded
from .events import Work, now
from .images import PullError
from .probes import HookError, Place
from .volumes import VolumeError

if TYPE_CHECKING:
    from .kubelet import PodWorker

# Between a failure to create a container and the next attempt; a kubelet takes some seconds.
_SYNC_SECONDS = 1.0
_MOST_BACKOFF = 300.0
# After a run as long as this the backoff begins anew.
_GOOD_RUN = 2 * _MOST_BACKOFF
_MESSAGE_BYTES = 2048


class ContainerWorker:
    """Runs one container of a pod.

    Attributes:
        state, last_state: as in a container status.
        restarts: how often it was started again.
        began: set once it has run.
    """

    def __init__(self, pod: PodWorker, manifest: Mapping[str, Any], *, init: bool):
        self._pod = pod
        self._node = pod.node
        self.manifest = manifest
        self.init = init
        self.name: str = manifest["name"]
        self.restarts = 0
        self.ready = False
        self.startup_passed = False
        waiting = "PodInitializing" if pod.has_init else "ContainerCreating"
        self.state: dict[str, Any] = {"waiting": {"reason": waiting}}
        self.last_state: dict[str, Any] = {}
        self.began = asyncio.Event()
        self._logs: list[ContainerLog] = []
        self._process: Process | None = None
        self._place: Place | None = None
        self._crashes = 0
        self._watchers = Work("node")

    # ---- telling -----------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return the container's status, as in the pod's."""
        status: dict[str, Any] = {
            "name": self.name,
            "image": self.manifest["image"],
            "imageID": f"local://{self.manifest['image']}" if self._logs else "",
            "ready": self.ready,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last_state,
            "started": "running" in self.state and self.startup_passed,
        }
        if self._logs:
            status["containerID"] = self._id
        return status

    @property
    def _id(self) -> str:
        return f"local://{self._pod.uid}/{self.name}/{len(self._logs) - 1}"

    def log(self, *, previous: bool = False) -> ContainerLog | None:
        """Return the log of the last run; ``previous``: of the one in ``lastState``."""
        if previous:
            place = self.last_state.get("terminated", {}).get("containerID", "").rpartition("/")[2]
            return self._logs[int(place)] if place else None
        return self._logs[-1] if self._logs else None

    async def _event(self, type_: str, reason: str, message: str) -> None:
        group = "initContainers" if self.init else "containers"
        await self._pod.event(type_, reason, message, field=f"spec.{group}{{{self.name}}}")

    async def _wait_for(self, reason: str, message: str) -> None:
        self.state = {"waiting": {"reason": reason, "message": message}}
        await self._pod.report()

    # ---- runs --------------------------------------------------------------------------

    async def run(self, policy: str) -> int:
        """Run the container, again and again as ``policy`` says; return the last exit code."""
        while True:
            code = await self._run_once()
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                return code
            await self._back_off()

    async def _run_once(self) -> int:
        try:
            await self._start()
        except StartError as e:
            # The kubelet's exit code for what never ran.
            await self._event("Warning", "Failed", f"Error: {e}")
            self._note_end(128, "StartError", str(e), now())
            await self._pod.report()
            return 128
        assert self._process is not None
        code = await asyncio.shield(self._process.ended)
        await self.note_ended()
        return code

    async def note_ended(self) -> None:
        """Write the end of the run into the state; nothing if it never began or has not ended."""
        process = self._process
        if process is None or process.exit_code is None or "running" not in self.state:
            return
        code = process.exit_code
        await self._watchers.cancel()
        began = self.state["running"]["startedAt"]
        message = ""
        if code and self.manifest.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            pieces = [piece async for piece in process.log.read(tail_lines=80)]
            message = b"".join(pieces)[-_MESSAGE_BYTES:].decode(errors="replace")
        self._note_end(code, "Error" if code else "Completed", message, began)
        await self._pod.report()

    def _note_end(self, code: int, reason: str, message: str, began: str) -> None:
        self.ready = False
        end = {
            "exitCode": code,
            "reason": reason,
            "startedAt": began,
            "finishedAt": now(),
            "containerID": self._id if self._logs else "",
        }
        if message:
            end["message"] = message
        self.state = {"terminated": end}

    async def _back_off(self) -> None:
        """Wait before a restart: not before the first one, then longer each time."""
        end = self.state["terminated"]
        if _seconds(end) > _GOOD_RUN:
            self._crashes = 0
        self.last_state = self.state
        if self._crashes:
            base = self._node.restart_backoff
            seconds = min(base * 2 ** (self._crashes - 1), _MOST_BACKOFF)
            where = f"{self.name} in pod {self._pod.name}_{self._pod.namespace}({self._pod.uid})"
            await self._event("Warning", "BackOff", f"Back-off restarting failed container {where}")
            await self._wait_for(
                "CrashLoopBackOff",
                f"back-off {seconds:.0f}s restarting failed container={self.name} "
                f"pod={self._pod.name}_{self._pod.namespace}({self._pod.uid})",
            )
            await asyncio.sleep(seconds)
        self._crashes += 1

    # ---- starting ----------------------------------------------------------------------

    async def _start(self) -> None:
        """Pull the image and start the process; tries again for ever, as a kubelet does.

        Raises:
            StartError: the program can't be run.
        """
        delay = self._node.pull_backoff
        while True:
            try:
                await self._pull()
                place, argv = await self._prepare()
                break
            except PullError as e:
                await self._event("Warning", "Failed", f"Error: {e.reason}")
                await self._wait_for(e.reason, str(e))
                if e.reason == "ErrImagePull":
                    await self._wait_before_pull(str(e), delay)
                    delay = min(2 * delay, _MOST_BACKOFF)
                    continue
            except (EnvError, VolumeError) as e:
                await self._event("Warning", "Failed", f"Error: {e}")
                await self._wait_for("CreateContainerConfigError", str(e))
            await asyncio.sleep(_SYNC_SECONDS)
        await self._start_process(place, argv)

    async def _wait_before_pull(self, why: str, seconds: float) -> None:
        await asyncio.sleep(min(seconds / 2, _SYNC_SECONDS))
        message = f'Back-off pulling image "{self.manifest["image"]}"'
        await self._event("Normal", "BackOff", message)
        await self._event("Warning", "Failed", "Error: ImagePullBackOff")
        # Newer kubelets add the reason of the last attempt.
        await self._wait_for("ImagePullBackOff", f"{message}: {why}")
        await asyncio.sleep(seconds)

    async def _pull(self) -> None:
        images, image = self._node.images, self.manifest["image"]
        try:
            images.check_name(image)
        except PullError as e:
            await self._event("Warning", "InspectFailed", str(e))
            raise
        policy = self.manifest.get("imagePullPolicy", "IfNotPresent")
        if images.is_present(image) and policy != "Always":
            message = f'Container image "{image}" already present on machine'
            await self._event("Normal", "Pulled", message)
            return
        if policy == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            await self._event("Warning", "ErrImageNeverPull", message)
            raise PullError("ErrImageNeverPull", message)
        await self._event("Normal", "Pulling", f'Pulling image "{image}"')
        if images.pull_seconds:
            await asyncio.sleep(images.pull_seconds)
        try:
            images.pull(image)
        except PullError as e:
            await self._event("Warning", "Failed", f'Failed to pull image "{image}": {e}')
            raise
        took = f"{images.pull_seconds:g}s"
        await self._event(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{image}" in {took} ({took} including waiting)',
        )

    async def _prepare(self) -> tuple[Place, list[str]]:
        """Return where a run takes place, and its command line."""
        pod, manifest = self._pod, self.manifest
        own = await container_environment(pod.pod, manifest, pod.read, pod.ip)
        mounts, root = self._node.volumes.mounts(
            pod.pod, manifest, pod.volumes, pod.ip, lambda text: expanded(text, own)
        )

        def inside(path: str) -> Path:
            real = mounts.path(path)
            where = Path(real) if real != path else root / path.lstrip("/")
            where.mkdir(parents=True, exist_ok=True)
            return where

        home = mounts.home() or inside("/home/jovyan")
        env = {
            **base_environment(),
            "HOME": str(home),
            "HOSTNAME": (pod.pod["spec"].get("hostname") or pod.name)[:63],
            "TMPDIR": str(inside("/tmp")),
            **{name: mounts.variable(name, value) for name, value in own.items()},
            "KUBESPAWNER_LOCALCLUSTER_ROOT": str(root),
            POD_MARK: f"{self._node.mark}/{pod.uid}",
        }
        if "HOME" in own:
            home = inside(own["HOME"])
            env["HOME"] = str(home)
        directory = manifest.get("workingDir")
        cwd = inside(directory) if directory else home
        words = [*(manifest.get("command") or ()), *(manifest.get("args") or ())]
        words = words or list(self._node.images.command(manifest["image"]))
        argv = [mounts.argument(expanded(word, own)) for word in words]
        return Place(manifest, pod.ip, env, cwd, mounts), argv

    async def _start_process(self, place: Place, argv: list[str]) -> None:
        first = not self._logs
        file = self._node.volumes.pod(self._pod.uid) / "logs" / self.name / f"{len(self._logs)}.log"
        log = ContainerLog(file)
        self._logs.append(log)
        if not first:
            self.restarts += 1
        await self._event("Normal", "Created", f"Created container {self.name}")
        starting = asyncio.ensure_future(Process.start(argv, place.env, place.cwd, log))
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The pod is being ended: what is about to exist has to be ended with it.
            with contextlib.suppress(StartError):
                self._process, self._place = await starting, place
            raise
        except StartError:
            log.close()
            raise
        self._process, self._place = process, place
        await self._event("Normal", "Started", f"Started container {self.name}")
        hook = (self.manifest.get("lifecycle") or {}).get("postStart")
        # Not "running" before the hook has ended, as with a kubelet.
        if hook:
            await self._post_start(hook, place, process)
        self.state = {"running": {"startedAt": now()}}
        self._watch(place, process)
        self.began.set()
        await self._pod.report()

    async def _post_start(self, hook: Mapping[str, Any], place: Place, process: Process) -> None:
        try:
            await place.act(hook, None)
        except HookError as e:
            await self._event("Warning", "FailedPostStartHook", f"PostStartHook failed: {e}")
            process.kill()

    # ---- probes ------------------------------------------------------------------------

    def _watch(self, place: Place, process: Process) -> None:
        self.startup_passed = "startupProbe" not in self.manifest
        readiness = self.manifest.get("readinessProbe")
        fallback = None if readiness else probes.default_readiness(self.manifest)
        if self.init or not (readiness or fallback):
            self.ready = self.startup_passed and not self.init
        self._watchers.spawn(self._probe(place, process, readiness, fallback))

    async def _probe(
        self,
        place: Place,
        process: Process,
        readiness: Mapping[str, Any] | None,
        fallback: Mapping[str, Any] | None,
    ) -> None:
        ended, manifest = process.ended, self.manifest
        if not self.startup_passed:
            await probes.watch(
                manifest["startupProbe"],
                place,
                ended,
                self._on_startup,
                failed=lambda why: self._unhealthy("Startup", why),
            )
        if ended.done():
            return
        work = []
        if manifest.get("livenessProbe"):
            work.append(
                probes.watch(
                    manifest["livenessProbe"],
                    place,
                    ended,
                    self._on_liveness,
                    failed=lambda why: self._unhealthy("Liveness", why),
                    initial=True,
                )
            )
        if readiness:
            work.append(
                probes.watch(
                    readiness,
                    place,
                    ended,
                    self._on_readiness,
                    failed=lambda why: self._unhealthy("Readiness", why),
                )
            )
        elif fallback:
            work.append(
                probes.watch(fallback, place, ended, self._on_port, seconds=probes.PORT_SECONDS)
            )
        elif not self.init and not self.ready:
            await self._on_readiness(True, "")
        await asyncio.gather(*work)

    async def _unhealthy(self, which: str, why: str) -> None:
        await self._event("Warning", "Unhealthy", f"{which} probe failed: {why}")

    async def _on_startup(self, good: bool, why: str) -> bool:
        self.startup_passed = good
        await self._pod.report()
        return False

    async def _on_readiness(self, good: bool, why: str) -> bool:
        self.ready = good
        await self._pod.report()
        return True

    async def _on_port(self, good: bool, why: str) -> bool:
        await self._on_readiness(good, why)
        # Once is enough: without a probe a kubelet would not look at all.
        return False

    async def _on_liveness(self, good: bool, why: str) -> bool:
        message = f"Container {self.name} failed liveness probe, will be restarted"
        await self._event("Normal", "Killing", message)
        seconds = self._pod.pod["spec"].get("terminationGracePeriodSeconds", 30)
        self._pod.spawn(self.stop(Grace(seconds)))
        return False

    # ---- the end -----------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a process of it is there."""
        return self._process is not None and not self._process.ended.done()

    async def stop(self, grace: Grace) -> None:
        """End the process: ``preStop`` hook, SIGTERM, and SIGKILL when the grace is over."""
        process, place = self._process, self._place
        if process is None or place is None or process.ended.done():
            return
        hook = (self.manifest.get("lifecycle") or {}).get("preStop")
        if hook and not grace.over:
            running = asyncio.ensure_future(place.act(hook, None))
            await grace.wait(running)
            if not running.done():
                running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                try:
                    await running
                except HookError as e:
                    await self._event("Warning", "FailedPreStopHook", f"PreStopHook failed: {e}")
        if not grace.over:
            process.terminate()
            await grace.wait(process.ended)
        if not process.ended.done():
            process.kill()
        await asyncio.shield(process.ended)

    async def end_watch(self) -> None:
        """Stop probing."""
        await self._watchers.cancel()

    def kill(self) -> None:
        """Kill at once, without waiting."""
        if self._process is not None and not self._process.ended.done():
            self._process.kill()

    async def ended(self) -> None:
        """Wait until no process of it is there."""
        if self._process is not None:
            await asyncio.shield(self._process.ended)


class Grace:
    """A grace period that can be shortened while somebody waits in it."""

    def __init__(self, seconds: float):
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + seconds
        self._shortened = asyncio.Event()

    @property
    def over(self) -> bool:
        return self._loop.time() >= self._until

    def shorten(self, seconds: float) -> None:
        """Let it end in ``seconds`` at the latest."""
        self._until = min(self._until, self._loop.time() + seconds)
        self._shortened.set()

    async def wait(self, what: asyncio.Future[Any]) -> None:
        """Wait for ``what``, or for the end of the grace period."""
        while not what.done() and not self.over:
            self._shortened.clear()
            shortened = asyncio.ensure_future(self._shortened.wait())
            try:
                await asyncio.wait(
                    [what, shortened],
                    timeout=max(self._until - self._loop.time(), 0),
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                shortened.cancel()


def _seconds(end: Mapping[str, Any]) -> float:
    return (_time(end["finishedAt"]) - _time(end["startedAt"])).total_seconds()


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
