"""The order of things: up, down and status of the cluster made here."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import addons, binaries, commands, host, hubimage, images, leftovers, network, pki
from . import settings as s
from .commands import Binaries
from .processes import Processes, kill
from .settings import Layout
from .steps import Progress, Refused, StepFailed

#: How often a part that exits before it is ready is started.
_STARTS = 3


@dataclass(frozen=True)
class PartStatus:
    name: str
    pid: int | None
    healthy: bool
    log: Path


class Cluster:
    """One cluster in one layout. ``up`` and ``down`` may be called in any state."""

    def __init__(self, layout: Layout, progress: Progress):
        self.layout = layout
        self.progress = progress
        self.processes = Processes(layout)

    @property
    def _fingerprint(self) -> Path:
        return self.layout.run / "fingerprint"

    @property
    def _clean(self) -> Path:
        """There while containerd's store holds images and nothing of a dead container."""
        return self.layout.containerd_root / "clean"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One ``up`` or ``down`` at a time, or whoever else writes to the cache; others wait."""
        self.layout.cache.mkdir(parents=True, exist_ok=True)
        with (self.layout.cache / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.progress.say("Another up, down or build is at work; waiting for it.")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def up(self, *, singleuser: bool = True) -> None:
        """Bring the cluster up; whatever runs already and is right is left alone.

        A cluster that was half started is completed, one with other settings is replaced, and
        when the start fails nothing is left running.

        Raises :class:`Refused` where it can't run, :class:`StepFailed` where a step failed.
        """
        host.check()
        with self.alone():
            self._sweep()
            # Debian's kubectl is as old as the cluster; one that is there will do.
            client = () if shutil.which("kubectl") else ("kubernetes-client",)
            missing = host.missing_packages([*s.RUN_PACKAGES, *client])
            if missing:
                with self.progress.step(f"Install the packages {', '.join(missing)}"):
                    host.install(missing, self.layout.logs / "packages.log")
            host.check_addresses()
            found = binaries.ensure(self.layout, self.progress)
            before = self._running()
            try:
                self._start(found)
                if singleuser:
                    hub = hubimage.hub_image(self.layout, self.progress)
                    self._import([images.singleuser_image(), hub])
            except (StepFailed, Refused, OSError):
                if not before:
                    step = self.progress.current
                    with self.progress.step("Take down what was started"):
                        self._down()
                    self.progress.current = step
                raise

    def _sweep(self) -> None:
        """Remove the work directories of builds that were killed."""
        for work in self.layout.cache.glob("building-*"):
            leftovers.unmount([work])
            leftovers.remove_tree(work)

    def _running(self) -> bool:
        parts = commands.parts(self.layout, Binaries())
        return any(self.processes.pid(part.name) for part in parts)

    def _start(self, found: Binaries) -> None:
        fingerprint = commands.fingerprint(self.layout, found)
        known = self._fingerprint.read_text() if self._fingerprint.exists() else None
        if known not in (None, fingerprint):
            with self.progress.step("Take down the cluster of other settings"):
                self._down()
        with self.progress.step("Prepare certificates, the network and the control groups"):
            self._prepare(fingerprint)
        for wave in commands.waves(self.layout, found):
            due = [part for part in wave if not self._good(part)]
            if due:
                with self.progress.step(f"Start {', '.join(part.name for part in due)}"):
                    for part in due:
                        self.processes.start(part)
                    for part in due:
                        self._await_ready(part)
            if any(part.name == "containerd" for part in wave):
                # The kubelet starts no pod without the pause image.
                self._import(images.small_images())
        with self.progress.step("Install DNS and the storage class; wait for the node"):
            addons.install(self.layout)
            for part in commands.parts(self.layout, found):
                self.processes.await_ready(part)

    def _await_ready(self, part: commands.Part) -> None:
        """Wait for a part; start it again when it exits, as whoever runs Kubernetes does.

        An API server ends itself when others write while it starts: its first look at the
        services' addresses must not meet a conflict.
        """
        for _ in range(_STARTS - 1):
            try:
                return self.processes.await_ready(part)
            except StepFailed:
                if self.processes.pid(part.name) is not None:
                    raise
                self.processes.start(part)
        return self.processes.await_ready(part)

    def _good(self, part: commands.Part) -> bool:
        return self.processes.current(part) and self.processes.healthy(part)

    def _prepare(self, fingerprint: str) -> None:
        layout = self.layout
        network.remember(layout)
        pki.ensure(layout)
        for path, text in commands.config_files(layout).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            # kube-proxy ends itself when its file is written, even with the same text.
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
        for folder in (layout.volumes, layout.kubelet_root, layout.state / "plugins"):
            folder.mkdir(parents=True, exist_ok=True)
        network.raise_bridge(layout, layout.logs / "network.log")
        leftovers.make_cgroups()
        if self.processes.pid("containerd") is None:
            if layout.containerd_root.exists() and not self._clean.exists():
                leftovers.remove_containers(layout)
                leftovers.unmount([layout.containerd_root, layout.containerd_state])
                leftovers.remove_tree(layout.containerd_root)
            self._clean.unlink(missing_ok=True)
        self._fingerprint.write_text(fingerprint)

    def _import(self, wanted: list[images.Image]) -> None:
        images.ensure_imported(wanted, self.layout, self.progress)

    def stop(self, names: list[str], *, grace: float = 10) -> None:
        """Stop single parts, for tests of outages; the next ``up`` starts them again.

        With a grace of 0 they are killed at once.

        Raises :class:`StepFailed` for a name that no part has.
        """
        known = [part.name for part in commands.parts(self.layout, Binaries())]
        for name in names:
            if name not in known:
                raise StepFailed(f"no part is called {name}; there are {', '.join(known)}")
        for name in names:
            self.processes.stop(name, grace=grace)

    def down(self) -> None:
        """Stop everything and leave no process, mount, interface, firewall rule or cgroup behind.

        Binaries, images and logs stay in the cache. Fine when nothing runs.
        """
        with self.alone():
            if not self.layout.run.exists() and not self.layout.state.exists():
                self.progress.say("No cluster of ours is here.")
                return
            host.check_root()
            with self.progress.step("Stop the cluster"):
                self._down()

    def _down(self) -> None:
        layout = self.layout
        for part in reversed(commands.parts(layout, Binaries())):
            if part.name != "containerd":
                self.processes.stop(part.name)
        leftovers.remove_containers(layout)
        was_running = self.processes.pid("containerd") is not None
        self.processes.stop("containerd")
        if was_running:
            self._clean.touch()
        # A shim that was being started when its container was looked for.
        kill(leftovers.shim_pids(layout), grace=1)
        leftovers.unmount([layout.state, layout.run, layout.containerd_root])
        leftovers.remove_cgroups()
        network.restore(layout)
        leftovers.remove_files(layout, network.before(layout))
        layout.kubeconfig.unlink(missing_ok=True)

    def status(self) -> list[PartStatus]:
        """Every part, in the order of starting."""
        return [
            PartStatus(
                part.name,
                self.processes.pid(part.name),
                self.processes.healthy(part),
                self.processes.log(part.name),
            )
            for part in commands.parts(self.layout, Binaries())
        ]
