"""Kubernetes' own binaries, built once from Debian's source package and kept by their recipe."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
from pathlib import Path

from . import host
from . import settings as s
from .commands import Binaries
from .settings import Layout, digest
from .steps import Progress, StepFailed, output, run

#: The recipe; part of the key, so a change of it builds anew.
#: CGO off makes static binaries; -s -w leaves the debugger's tables out.
BUILD_ENV = {"CGO_ENABLED": "0", "GOFLAGS": "", "GO111MODULE": "off"}
BUILD_FLAGS = "GOLDFLAGS=-s -w"
#: Vendored libraries that are taken from another package, by import path. reflect2 before 1.0.2
#: calls the runtime's map iterator as Go had it before 1.18; with Debian's Go it overwrites
#: memory, and the API server dies of it once in a while.
#: https://github.com/modern-go/reflect2/releases/tag/v1.0.2
REPLACED = {"github.com/modern-go/reflect2": "golang-github-modern-go-reflect2-dev"}
_GOARCH = {"x86_64": "amd64", "aarch64": "arm64"}


def key(version: str, machine: str) -> str:
    """The name of the cache directory for a package version on a machine type."""
    recipe = (s.COMPONENTS, BUILD_ENV, BUILD_FLAGS, REPLACED)
    return digest(s.SOURCE_PACKAGE, version, machine, *recipe)


def intact(folder: Path) -> bool:
    """Whether a cached build has all binaries, byte for byte as they were built."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return False
    sums = json.loads(manifest.read_text())["sha256"]
    return set(sums) == set(s.COMPONENTS) and all(
        (folder / name).exists() and s.sha256(folder / name) == value
        for name, value in sums.items()
    )


def minor_version(text: str) -> int:
    """20 for ``Kubernetes v1.20.2``. Raises ValueError for anything else."""
    found = re.search(r"\bv1\.(\d+)", text)
    if not found:
        raise ValueError(f"not a version of Kubernetes: {text!r}")
    return int(found[1])


def named_by_environment(folder: Path) -> Binaries | None:
    """The binaries that ``KUBEBUILDER_ASSETS`` names, when all are there that run pods."""
    if not all(os.access(folder / name, os.X_OK) for name in s.COMPONENTS):
        return None
    return Binaries(folder, minor_version(output([folder / "kube-apiserver", "--version"])))


def ensure(layout: Layout, progress: Progress) -> Binaries:
    """The binaries: those of ``KUBEBUILDER_ASSETS`` if complete, else built and cached."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        named = named_by_environment(Path(assets))
        if named:
            progress.say(f"Using the binaries in {assets} (KUBEBUILDER_ASSETS).")
            return named
        progress.say(
            f"KUBEBUILDER_ASSETS={assets} lacks some of {', '.join(s.COMPONENTS)}: "
            "pods could not run with it, so these are built."
        )
    return Binaries(_built(layout, progress))


def _built(layout: Layout, progress: Progress) -> Path:
    log = layout.logs / "build.log"
    lists = host.SourceLists(layout.cache / "apt")
    version = lists.version(s.SOURCE_PACKAGE)
    if not version:
        with progress.step("Fetch the index of Debian's sources"):
            lists.update(log)
        version = lists.version(s.SOURCE_PACKAGE)
    if not version:
        raise StepFailed(f"Debian's sources have no package {s.SOURCE_PACKAGE}", log=log)
    folder = layout.binaries / key(version, platform.machine())
    with progress.step(f"Check the cached binaries of Kubernetes {version}"):
        if intact(folder):
            return folder
    missing = host.missing_packages(s.BUILD_PACKAGES)
    if missing:
        with progress.step(f"Install the packages for building: {', '.join(missing)}"):
            host.install(missing, log)
    _build(lists, version, folder, layout, progress)
    for other in layout.binaries.iterdir():
        if other != folder:
            shutil.rmtree(other)
    return folder


def _build(
    lists: host.SourceLists, version: str, folder: Path, layout: Layout, progress: Progress
) -> None:
    log = layout.logs / "build.log"
    layout.binaries.mkdir(parents=True, exist_ok=True)
    host.check_disk(layout.cache)
    with tempfile.TemporaryDirectory(prefix="building-", dir=layout.cache) as name:
        work = Path(name)
        with progress.step(f"Download and unpack the source of Kubernetes {version}"):
            lists.update(log)
            package = lists.fetch(s.SOURCE_PACKAGE, work, log)
            run(["dpkg-source", "-x", package, work / "src"], log=log)
        source = work / "src"
        _replace_libraries(source / "vendor", work, log)
        # The makefile works in GOPATH mode only, so the tree must seem to lie in a GOPATH.
        link = source / ".go" / "src" / "k8s.io" / "kubernetes"
        link.parent.mkdir(parents=True)
        link.symlink_to(source)
        env = {**BUILD_ENV, "GOPATH": str(source / ".go"), "GOCACHE": str(work / "gocache")}
        done = work / "bin"
        done.mkdir()
        built = source / "_output" / "local" / "bin" / "linux" / _GOARCH[platform.machine()]
        for number, component in enumerate(s.COMPONENTS, 1):
            title = f"Build {component} ({number} of {len(s.COMPONENTS)})"
            with progress.step(title):
                words = ["nice", "-n", "10", "make", f"WHAT=cmd/{component}", BUILD_FLAGS]
                run(words, cwd=source, env=env, log=log)
                shutil.move(built / component, done / component)
        sums = {component: s.sha256(done / component) for component in s.COMPONENTS}
        manifest = {"version": version, "sha256": sums}
        (done / "manifest.json").write_text(json.dumps(manifest, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        # Complete or not there at all, whatever happens in between.
        os.replace(done, folder)


def _replace_libraries(vendor: Path, work: Path, log: Path) -> None:
    for path, package in REPLACED.items():
        run(["apt-get", "-o", "APT::Sandbox::User=root", "download", package], cwd=work, log=log)
        run(["dpkg", "-x", next(work.glob(f"{package}_*.deb")), work / package], log=log)
        shutil.rmtree(vendor / path)
        code = work / package / "usr" / "share" / "gocode" / "src" / path
        shutil.copytree(code, vendor / path, ignore=shutil.ignore_patterns("*_test.go", "*-tests"))
