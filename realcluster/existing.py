"""kind, k3s and minikube, where the machine has them: they are used rather than rebuilt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import host, hubimage, images
from . import settings as s
from .settings import Layout
from .steps import Progress, Refused, output, run, succeeds

NAME = "kubespawner"
_K3S_CONFIG = Path("/etc/rancher/k3s/k3s.yaml")


@dataclass(frozen=True)
class Tool:
    """How a tool makes a cluster of ours, gives its kubeconfig and takes images.

    ``works`` asks whether the tool can be used; ``exists`` whether the cluster is there.
    Empty ``create`` and ``delete``: the cluster is the machine's own and stays.
    """

    name: str
    works: tuple[str, ...]
    why_not: str
    exists: Callable[[], bool]
    create: tuple[str, ...]
    kubeconfig: tuple[str, ...]
    load: tuple[str, ...]
    delete: tuple[str, ...]


def _kind_exists() -> bool:
    return NAME in output(["kind", "get", "clusters"], check=False).split()


def _minikube_exists() -> bool:
    host_state = ["minikube", "-p", NAME, "status", "--format={{.Host}}"]
    return output(host_state, check=False).strip() == "Running"


TOOLS = (
    Tool(
        "kind",
        ("kind", "get", "clusters"),
        "kind is installed, but its container engine doesn't answer",
        _kind_exists,
        ("kind", "create", "cluster", "--name", NAME, "--wait", "180s"),
        ("kind", "get", "kubeconfig", "--name", NAME),
        ("kind", "load", "image-archive", "--name", NAME),
        ("kind", "delete", "cluster", "--name", NAME),
    ),
    Tool(
        "k3s",
        ("k3s", "kubectl", "get", "--raw", "/readyz"),
        f"k3s is installed, but isn't running or {_K3S_CONFIG} can't be read",
        lambda: True,
        (),
        ("k3s", "kubectl", "config", "view", "--raw", "--flatten"),
        ("k3s", "ctr", "images", "import"),
        (),
    ),
    Tool(
        "minikube",
        ("minikube", "version"),
        "minikube is installed, but doesn't run",
        _minikube_exists,
        ("minikube", "-p", NAME, "start", "--wait=all", "--interactive=false"),
        (
            "minikube",
            "-p",
            NAME,
            "kubectl",
            "--",
            "config",
            "view",
            "--raw",
            "--flatten",
            "--minify",
        ),
        ("minikube", "-p", NAME, "image", "load"),
        ("minikube", "-p", NAME, "delete"),
    ),
)


def find(say: Callable[[str], None] = print) -> Tool | None:
    """The first tool that is installed and works; says why one that is installed doesn't."""
    for tool in TOOLS:
        if shutil.which(tool.name):
            if succeeds(tool.works):
                return tool
            say(f"{tool.why_not}: not used.")
    return None


def up(tool: Tool, layout: Layout, progress: Progress, *, singleuser: bool) -> None:
    """Create the tool's cluster where it is missing, write the kubeconfig, load the images.

    Where the images can't be built it says so and goes on. Raises :class:`StepFailed` where a
    step failed.
    """
    log = layout.logs / f"{tool.name}.log"
    if not tool.exists():
        with progress.step(f"Create the cluster {NAME} with {tool.name}"):
            run(tool.create, log=log)
    layout.cache.mkdir(parents=True, exist_ok=True)
    layout.kubeconfig.touch(mode=0o600)
    layout.kubeconfig.write_text(output(tool.kubeconfig))
    try:
        host.check()
    except Refused as error:
        progress.say(f"The test images are left out. {error}")
        return
    missing = host.missing_packages(("gcc", "libc6-dev", "debootstrap"))
    if missing:
        with progress.step(f"Install the packages {', '.join(missing)}"):
            host.install(missing, log)
    wanted = [image for image in images.small_images() if image.reference == s.BUSYBOX_IMAGE]
    if singleuser:
        wanted += [images.singleuser_image(), hubimage.hub_image(layout, progress)]
    for image in wanted:
        path = images.ensure_archive(image, layout, progress)
        with progress.step(f"Load the image {image.reference}"):
            run([*tool.load, path], log=log)


def down(layout: Layout, progress: Progress) -> None:
    """Delete the clusters that ``up`` created with a tool; the machine's own stay."""
    for tool in TOOLS:
        if tool.delete and shutil.which(tool.name) and tool.exists():
            with progress.step(f"Delete the cluster {NAME} of {tool.name}"):
                run(tool.delete, log=layout.logs / f"{tool.name}.log")
