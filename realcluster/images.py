"""The images that pods run on: built here, for no registry is asked.

Each is kept as an archive under a name with the hash of what went into it, and carries that
hash as a second tag, so that containerd tells which version it has.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import archive, host
from . import settings as s
from .archive import Entry
from .leftovers import unmount
from .settings import Layout, digest
from .steps import Progress, output, run

PAUSE_SOURCE = """\
#include <signal.h>
#include <unistd.h>
int main(void) { signal(SIGTERM, _exit); for (;;) pause(); }
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\njovyan:x:1000:1000::/home/jovyan:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
_GROUP = b"root:x:0:\njovyan:x:1000:\nnogroup:x:65534:\n"
#: What runs JupyterLab. The hub's and the server's versions of JupyterHub are the same.
SINGLEUSER_PACKAGES = ("jupyterhub", "jupyterlab")
SINGLEUSER_DEBIAN = ("python3", "python3-venv", "ca-certificates", "tini")
SINGLEUSER_CONFIG: dict[str, Any] = {
    "User": "1000",
    "WorkingDir": "/home/jovyan",
    "Env": [
        f"PATH=/opt/venv/bin:{PATH}",
        "HOME=/home/jovyan",
        "LANG=C.UTF-8",
        "SHELL=/bin/bash",
    ],
    "Entrypoint": ["tini", "-g", "--"],
    "Cmd": ["jupyterhub-singleuser"],
    "ExposedPorts": {"8888/tcp": {}},
}


@dataclass(frozen=True)
class Image:
    """``build(work, log)`` makes the layer tarballs in the directory ``work``."""

    reference: str
    inputs: str
    config: dict[str, Any]
    build: Callable[[Path, Path], list[Path]]

    @property
    def key_tag(self) -> str:
        """The second tag, which names the inputs."""
        return f"{self.reference.rpartition(':')[0]}:{self.inputs}"

    @property
    def file(self) -> str:
        return f"{self.reference.rpartition('/')[2].partition(':')[0]}-{self.inputs}.tar"


def _pause_layers(work: Path, log: Path) -> list[Path]:
    (work / "pause.c").write_text(PAUSE_SOURCE)
    run(["gcc", "-Os", "-static", "-s", "-o", work / "pause", work / "pause.c"], log=log)
    archive.layer(work / "layer.tar", {"pause": Entry((work / "pause").read_bytes())})
    return [work / "layer.tar"]


def busybox_entries(
    binary: bytes, applets: Sequence[str], libraries: Mapping[str, bytes]
) -> dict[str, Entry]:
    """The files of the busybox image; ``libraries`` by absolute path."""
    folders = ["bin", "etc", "root", "home", "dev", "proc", "sys", "var"]
    folders += sorted({str(parent)[1:] for path in libraries for parent in Path(path).parents})[1:]
    entries = {f"{name}/": Entry() for name in folders}
    entries["tmp/"] = Entry(mode=0o1777)
    entries["home/jovyan/"] = Entry(uid=1000, gid=1000)
    entries["bin/busybox"] = Entry(binary)
    entries |= {path[1:]: Entry(data) for path, data in libraries.items()}
    entries |= {f"bin/{name}": Entry(link="busybox") for name in applets if name != "busybox"}
    entries["etc/passwd"] = Entry(_PASSWD, mode=0o644)
    entries["etc/group"] = Entry(_GROUP, mode=0o644)
    return entries


def _busybox_layers(work: Path, log: Path) -> list[Path]:
    """Debian's busybox with the libraries that it links to.

    Not busybox-static: a static glibc can't look names up. The package is unpacked and not
    installed, for the two of them exclude each other.
    """
    run(["apt-get", "-o", "APT::Sandbox::User=root", "download", "busybox"], cwd=work, log=log)
    run(["dpkg", "-x", next(work.glob("busybox_*.deb")), work], log=log)
    binary = work / "bin" / "busybox"
    applets = output([binary, "--list"]).split()
    names = re.findall(r"(/\S+) \(0x", output(["ldd", binary]))
    libraries = {name: Path(name).read_bytes() for name in names}
    entries = busybox_entries(binary.read_bytes(), applets, libraries)
    archive.layer(work / "layer.tar", entries)
    return [work / "layer.tar"]


def _singleuser_requirements() -> list[str]:
    """The same versions as the hub's, where this environment has them."""
    wanted = []
    for name in SINGLEUSER_PACKAGES:
        try:
            wanted.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            wanted.append(name)
    return wanted


def _singleuser_layers(work: Path, log: Path) -> list[Path]:
    """Debian by debootstrap, and a virtual environment filled from wheels fetched outside.

    pip runs twice, for only the machine outside is set up to reach a package index.
    """
    root, wheels = work / "root", work / "root" / "wheels"
    include = f"--include={','.join(SINGLEUSER_DEBIAN)}"
    try:
        words: list[str | Path] = [
            "debootstrap",
            "--variant=minbase",
            include,
            "bookworm",
            root,
            host.mirror(),
        ]
        run(words, log=log)
        download = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:"]
        target = ["--python-version=3.11", "--implementation=cp", f"--dest={wheels}"]
        run([*download, *target, *_singleuser_requirements()], log=log)
        run(["chroot", root, "python3", "-m", "venv", "/opt/venv"], log=log)
        pip = ["/opt/venv/bin/pip", "install", "-q", "--no-index", "--find-links=/wheels"]
        run(["chroot", root, *pip, *_singleuser_requirements()], log=log)
        run(["chroot", root, "useradd", "-m", "-u", "1000", "-s", "/bin/bash", "jovyan"], log=log)
    finally:
        unmount([work])
    for waste in ("wheels", "var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
        shutil.rmtree(root / waste, ignore_errors=True)
    run(["tar", "--numeric-owner", "-C", root, "-cf", work / "layer.tar", "."], log=log)
    shutil.rmtree(root)
    return [work / "layer.tar"]


def _inputs(build: Callable[..., Any], config: dict[str, Any], *more: object) -> str:
    """The hash of an image: its recipe's text, its configuration and what else goes in."""
    return digest(inspect.getsource(build), config, platform.machine(), *more)


def small_images() -> list[Image]:
    """The pause and busybox images; the package gcc must be installed."""
    pause = {"Entrypoint": ["/pause"], "User": "65534"}
    busybox = {"Cmd": ["sh"], "Env": [f"PATH={PATH}"]}
    entries = inspect.getsource(busybox_entries)
    return [
        Image(s.PAUSE_IMAGE, _inputs(_pause_layers, pause, PAUSE_SOURCE), pause, _pause_layers),
        Image(
            s.BUSYBOX_IMAGE,
            _inputs(_busybox_layers, busybox, entries),
            busybox,
            _busybox_layers,
        ),
    ]


def singleuser_image() -> Image:
    """Debian with JupyterHub and JupyterLab; user jovyan, uid 1000, home /home/jovyan."""
    wanted = (_singleuser_requirements(), SINGLEUSER_DEBIAN)
    inputs = _inputs(_singleuser_layers, SINGLEUSER_CONFIG, *wanted)
    return Image(s.SINGLEUSER_IMAGE, inputs, SINGLEUSER_CONFIG, _singleuser_layers)


def ensure_archive(image: Image, layout: Layout, progress: Progress) -> Path:
    """The image's archive, built when the cache lacks it; older ones of the image are removed."""
    path = layout.images / image.file
    if path.exists():
        return path
    layout.images.mkdir(parents=True, exist_ok=True)
    log = layout.logs / "images.log"
    with (
        progress.step(f"Build the image {image.reference}"),
        tempfile.TemporaryDirectory(prefix="building-", dir=layout.cache) as name,
    ):
        work = Path(name)
        layers = image.build(work, log)
        tags = (image.reference, image.key_tag)
        archive.write(work / "image.tar", tags, layers, image.config, platform.machine())
        os.replace(work / "image.tar", path)
    stem = image.file.rpartition("-")[0]
    for other in layout.images.glob(f"{stem}-*.tar"):
        if other != path:
            other.unlink()
    return path


def imported(layout: Layout) -> set[str]:
    """References of all images that containerd has."""
    return set(output([*layout.ctr, "images", "ls", "-q"]).split())


def ensure_imported(images: Sequence[Image], layout: Layout, progress: Progress) -> None:
    """Import each image that containerd lacks in this very version."""
    present = imported(layout)
    for image in images:
        if f"docker.io/{image.key_tag}" in present:
            continue
        path = ensure_archive(image, layout, progress)
        stale = f"docker.io/{image.key_tag.rpartition(':')[0]}:"
        with progress.step(f"Import the image {image.reference}"):
            run([*layout.ctr, "images", "import", path], log=layout.logs / "images.log")
            old = [
                name
                for name in present
                if name.startswith(stale) and name != f"docker.io/{image.reference}"
            ]
            if old:
                run([*layout.ctr, "images", "rm", *old], log=layout.logs / "images.log")
