"""Containers, mounts, cgroups and files that a stopped cluster must not leave behind."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import settings as s
from .processes import kill, wait_until
from .settings import Layout
from .steps import Refused, StepFailed, output

_CGROUPS = Path("/sys/fs/cgroup")


def mounts_below(mountinfo: str, folders: Iterable[Path]) -> list[str]:
    """Mount points inside ``folders`` from ``/proc/self/mountinfo``, deepest first."""
    roots = [f"{folder}/" for folder in folders]
    points = [line.split()[4].replace("\\040", " ") for line in mountinfo.splitlines() if line]
    inside = [point for point in points if any(f"{point}/".startswith(root) for root in roots)]
    return sorted(inside, key=lambda point: point.count("/"), reverse=True)


def cgroups() -> list[Path]:
    """Our cgroup in every mounted hierarchy (one in version 2)."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS / s.CGROUP]
    # cpu and cpuacct may be links to one hierarchy.
    found = {path.resolve() for path in _CGROUPS.iterdir() if path.is_dir()}
    return sorted(path / s.CGROUP for path in found)


def make_cgroups() -> None:
    """Make the cgroup that the kubelet's ``cgroupRoot`` names; it insists that it exists."""
    for path in cgroups():
        path.mkdir(exist_ok=True)
        if path.parent.name == "cpuset":
            # A new cpuset has neither processors nor memory, and runs nothing.
            for name in ("cpuset.cpus", "cpuset.mems"):
                (path / name).write_text((path.parent / name).read_text())
    if (_CGROUPS / "cgroup.subtree_control").exists():
        try:
            (_CGROUPS / "cgroup.subtree_control").write_text("+cpu +cpuset +memory +pids")
        except OSError as error:
            raise Refused(
                f"The machine's cgroups can't be divided between pods ({error}): inside a "
                "container, run the cluster on the machine itself."
            ) from error


def container_pids() -> set[int]:
    """Every process in a container of the cluster."""
    found: set[int] = set()
    for path in cgroups():
        for tasks in path.rglob("cgroup.procs") if path.exists() else ():
            found.update(int(word) for word in tasks.read_text().split())
    return found


def shim_pids(layout: Layout) -> list[int]:
    """containerd's helpers, one a pod: those that were given our socket."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"shim" in words[0] and str(layout.containerd_socket).encode() in words:
                found.append(int(entry.name))
    return found


def _shim_sockets(layout: Layout) -> Iterator[Path]:
    for file in layout.containerd_state.glob("io.containerd.runtime.v2.task/k8s.io/*/address"):
        yield Path(file.read_text().strip().removeprefix("unix://"))


def remove_containers(layout: Layout) -> None:
    """Kill all containers at once and, while containerd runs, make it forget them."""
    sockets = list(_shim_sockets(layout))
    kill(container_pids(), grace=1)
    if layout.containerd_socket.is_socket():
        for kind in ("tasks", "containers"):
            names = output([*layout.ctr, kind, "ls", "-q"], check=False).split()
            if names:
                flags = ["-f"] if kind == "tasks" else []
                output([*layout.ctr, kind, "rm", *flags, *names], check=False)
    kill(shim_pids(layout), grace=2)
    for socket in sockets:
        socket.unlink(missing_ok=True)


def unmount(folders: Iterable[Path]) -> None:
    """Unmount everything inside ``folders``."""
    for point in mounts_below(Path("/proc/self/mountinfo").read_text(), folders):
        output(["umount", "--lazy", point])


def _remove_cgroup(path: Path) -> bool:
    for folder, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            return False
    return True


def remove_cgroups() -> None:
    """Remove our cgroups. The kernel needs a moment after the last process is gone."""
    for path in cgroups():
        if path.exists() and not wait_until(functools.partial(_remove_cgroup, path), 10):
            raise StepFailed(f"the cgroup {path} can't be removed: something still runs in it")


def remove_tree(folder: Path) -> None:
    """Remove a directory, but not through a mount: that would take somebody's files along.

    Raises :class:`StepFailed` when something is mounted inside.
    """
    left = mounts_below(Path("/proc/self/mountinfo").read_text(), [folder])
    if left:
        raise StepFailed(f"{left[0]} is still mounted")
    if folder.exists():
        shutil.rmtree(folder)


def remove_files(layout: Layout, before: dict[str, Any]) -> None:
    """Remove all state, also what the parts keep at fixed paths.

    ``before`` is what :func:`network.remember` wrote down: folders that were absent go as a
    whole, from the others only what is surely ours.
    """
    absent = set(before.get("absent", ()))
    for name in s.FIXED_FOLDERS:
        if name in absent:
            remove_tree(Path(name))
    for path in Path("/var/log/pods").glob("*"):
        if "pod_logs" in before and path.name not in before["pod_logs"]:
            remove_tree(path)
    for link in Path("/var/log/containers").glob("*"):
        if link.is_symlink() and not link.exists():
            link.unlink()
    for file in Path("/var/lib/cni/results").glob("*"):
        # The plugins' notes name the pod's network namespace, which lies in our directory.
        if f"{layout.run}/" in file.read_text(errors="replace").replace("\\/", "/"):
            file.unlink()
    for folder in (layout.state, layout.run):
        remove_tree(folder)
