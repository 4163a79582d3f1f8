"""Image archives in the form that ``docker save`` writes and containerd imports.

https://github.com/moby/docker-image-spec/blob/main/spec.md (the combined image JSON)
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .settings import sha256


@dataclass(frozen=True)
class Entry:
    """One file of a layer: bytes, a link's target, or a directory when neither is given."""

    data: bytes | None = None
    link: str = ""
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


def layer(path: Path, entries: Mapping[str, Entry]) -> None:
    """Write a layer tarball; the same entries always give the same bytes."""
    with tarfile.open(path, "w") as tar:
        for name, entry in entries.items():
            info = tarfile.TarInfo(name)
            info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
            if entry.link:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
            elif entry.data is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(entry.data)
            tar.addfile(info, io.BytesIO(entry.data) if entry.data is not None else None)


def image_config(config: Mapping[str, Any], layers: Sequence[str], machine: str) -> dict[str, Any]:
    """The image's JSON; ``layers`` are the SHA-256 sums of the uncompressed layers."""
    return {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{value}" for value in layers]},
        "history": [{"created": "1970-01-01T00:00:00Z"} for _ in layers],
    }


def write(
    path: Path,
    tags: Sequence[str],
    layers: Sequence[Path],
    config: Mapping[str, Any],
    machine: str,
) -> None:
    """Write an image archive of layer tarballs, bottom layer first."""
    sums = [sha256(file) for file in layers]
    image = json.dumps(image_config(config, sums, machine), sort_keys=True).encode()
    name = f"{hashlib.sha256(image).hexdigest()}.json"
    manifest = [
        {
            "Config": name,
            "RepoTags": list(tags),
            "Layers": [f"{value}/layer.tar" for value in sums],
        }
    ]
    with tarfile.open(path, "w") as tar:
        for member, data in ((name, image), ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(member)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
        for value, file in zip(sums, layers, strict=True):
            info = tarfile.TarInfo(f"{value}/layer.tar")
            info.size, info.mode = file.stat().st_size, 0o644
            with file.open("rb") as stream:
                tar.addfile(info, stream)
