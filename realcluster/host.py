"""What the machine must be, and Debian's packages."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import settings as s
from .steps import Refused, output, run

_NONINTERACTIVE = {"DEBIAN_FRONTEND": "noninteractive"}
_POLICY = Path("/usr/sbin/policy-rc.d")


NEEDS_ROOT = "The kubelet, containerd and the pod network need root: run this as root."
#: What the build takes at its peak, most of it the unpacked source and Go's object files.
BUILD_BYTES = 6 << 30


def os_release(text: str) -> dict[str, str]:
    """The fields of ``/etc/os-release``."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key: value.strip("\"'") for key, _, value in pairs}


def refusal(*, release: dict[str, str], uid: int, machine: str) -> str | None:
    """Why the cluster can't run on this machine, as a sentence; None when it can."""
    if release.get("ID") != "debian" or release.get("VERSION_ID") != "12":
        name = release.get("PRETTY_NAME", "an unknown system")
        return (
            f"This machine runs {name}; the cluster is built from the packages of Debian 12. "
            "Install kind, k3s or minikube instead: they are used where they are found."
        )
    if uid != 0:
        return NEEDS_ROOT
    if machine not in ("x86_64", "aarch64"):
        return f"Kubernetes is built for x86_64 and aarch64 here, and this machine is {machine}."
    return None


def check_root() -> None:
    """Raise :class:`Refused` for anybody but root."""
    if os.getuid() != 0:
        raise Refused(NEEDS_ROOT)


def check_disk(folder: Path) -> None:
    """Raise :class:`Refused` when the disk is too full to build on."""
    free = shutil.disk_usage(folder).free
    if free < BUILD_BYTES:
        raise Refused(
            f"Building needs {BUILD_BYTES >> 30} GiB of free disk in {folder}, and "
            f"{free / (1 << 30):.1f} GiB are free."
        )


def check() -> None:
    """Raise :class:`Refused` where the cluster can't run."""
    file = Path("/etc/os-release")
    reason = refusal(
        release=os_release(file.read_text() if file.exists() else ""),
        uid=os.getuid(),
        machine=os.uname().machine,
    )
    if reason:
        raise Refused(reason)
    if not Path("/proc/sys/net/bridge").exists():
        # A module where it isn't built in; where neither works the network check says so.
        output(["modprobe", "br_netfilter"], check=False)
    cgroups = Path("/sys/fs/cgroup")
    if not os.access(cgroups, os.W_OK) or not any(cgroups.iterdir()):
        raise Refused("No cgroup hierarchy is mounted at /sys/fs/cgroup: pods need one.")


def overlapping(routes: str, ranges: Sequence[str], bridge: str) -> str | None:
    """The line of ``ip -4 route`` that claims an address of ``ranges``, if any but ours does."""
    networks = [ipaddress.ip_network(text) for text in ranges]
    for line in routes.splitlines():
        words = line.split()
        if not words or words[0] == "default" or bridge in words:
            continue
        try:
            route = ipaddress.ip_network(words[0], strict=False)
        except ValueError:
            continue
        if any(route.overlaps(network) for network in networks):
            return line.strip()
    return None


def check_addresses() -> None:
    """Raise :class:`Refused` when another network of the machine has the cluster's addresses.

    Needs the package ``iproute2``.
    """
    ranges = (s.POD_CIDR, s.SERVICE_CIDR)
    line = overlapping(output(["ip", "-4", "route"]), ranges, s.BRIDGE)
    if line:
        raise Refused(
            f"The cluster uses the networks {' and '.join(ranges)}, and this machine already "
            f"has a route there: {line}"
        )


def missing_packages(wanted: Sequence[str]) -> list[str]:
    """Those of the packages that aren't installed."""
    form = "${Package} ${db:Status-Abbrev}\n"
    listed = output(["dpkg-query", "--show", f"--showformat={form}", *wanted], check=False)
    installed = {line.split()[0] for line in listed.splitlines() if line.split()[1:] == ["ii"]}
    return [name for name in wanted if name not in installed]


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Keep maintainer scripts from starting the machine's own etcd and containerd.

    https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
    """
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def install(packages: Sequence[str], log: Path) -> None:
    """Install Debian packages without a question and without starting their services."""
    apt = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300")
    run([*apt, "update"], log=log, env=_NONINTERACTIVE)
    with _no_services():
        run(
            [*apt, "install", "-y", "--no-install-recommends", *packages],
            log=log,
            env=_NONINTERACTIVE,
        )


def mirror() -> str:
    """The Debian mirror that this machine's apt is set up with."""
    form = "$(ORIGIN)|$(CODENAME)|$(SITE)"
    for line in output(["apt-get", "indextargets", "--format", form], check=False).splitlines():
        origin, codename, site = line.split("|")
        if (origin, codename) == ("Debian", "bookworm"):
            return site
    return "http://deb.debian.org/debian"


class SourceLists:
    """A ``deb-src`` list in a directory of its own, so that the system's lists stay as they are."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.list = folder / "sources.list"

    def apt(self, *words: str) -> list[str]:
        """The words of an apt command that knows only this list."""
        return [
            "-q",
            "-o",
            f"Dir::Etc::sourcelist={self.list}",
            "-o",
            "Dir::Etc::sourceparts=-",
            "-o",
            f"Dir::State::lists={self.folder}/lists",
            "-o",
            "APT::Sandbox::User=root",
            *words,
        ]

    def update(self, log: Path) -> None:
        """Fetch the index of Debian's sources."""
        (self.folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
        self.list.write_text(f"deb-src [signed-by={keys}] {mirror()} bookworm main\n")
        run(["apt-get", *self.apt("update")], log=log)

    def version(self, package: str) -> str:
        """The version of a source package, or an empty string where the index lacks it."""
        text = output(["apt-cache", *self.apt("showsrc", "--only-source", package)], check=False)
        versions = [line[9:] for line in text.splitlines() if line.startswith("Version: ")]
        return versions[0] if versions else ""

    def fetch(self, package: str, folder: Path, log: Path) -> Path:
        """Download a source package; returns its ``.dsc``."""
        words = self.apt("source", "--download-only", package)
        run(["apt-get", *words], cwd=folder, log=log)
        return next(folder.glob(f"{package}_*.dsc"))
