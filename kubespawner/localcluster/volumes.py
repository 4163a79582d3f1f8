"""Volumes of the embedded cluster: directories, and where a process finds them.

A local process has no mounts of its own. What would be mounted at a path is a directory of this
machine, and the path is replaced by it wherever it stands in the container's command, arguments
and environment. The claim mounted at the user's home becomes ``HOME`` and working directory.
"""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

# Reads an object of the cluster: (kind, name) -> API JSON, or None.
Reader = Callable[[str, str], Awaitable["dict[str, Any] | None"]]


class VolumeError(Exception):
    """A volume can't be provided; worded as by the kubelet."""


class Mounts:
    """Where the volumes of one container are.

    Args:
        at: mount path to directory.
        pod_ip: what a server binds to instead of all addresses, which it shares with other pods.
    """

    def __init__(self, at: Mapping[str, Path], pod_ip: str):
        self._at = dict(at)
        self._pod_ip = pod_ip
        paths = sorted(self._at, key=len, reverse=True)
        self._pattern = (
            re.compile(r"(?<![\w./-])(" + "|".join(map(re.escape, paths)) + r")(?=$|[^\w.-])")
            if paths
            else None
        )

    def real(self, text: str) -> str:
        """Return ``text`` with mount paths and the wildcard address replaced by this pod's."""
        if self._pattern:
            text = self._pattern.sub(lambda match: str(self._at[match[1]]), text)
        return text.replace("0.0.0.0", self._pod_ip)

    def home(self) -> Path | None:
        """Return the directory mounted at a home directory, if one is."""
        homes = [path for path in self._at if re.fullmatch(r"/home/[^/]+|/root", path)]
        return self._at[homes[0]] if homes else None

    def at(self, path: str) -> Path | None:
        return self._at.get(path.rstrip("/") or "/")


class Volumes:
    """The directories of one node.

    Args:
        root: where claims and the volumes of pods live.
    """

    def __init__(self, root: Path):
        self._claims = root / "claims"
        self._pods = root / "pods"

    def claim(self, namespace: str, name: str) -> Path:
        """Return the directory of a claim."""
        return self._claims / namespace / name

    def provision(self, namespace: str, name: str) -> Path:
        directory = self.claim(namespace, name)
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def remove_claim(self, namespace: str, name: str) -> None:
        shutil.rmtree(self.claim(namespace, name), ignore_errors=True)

    def pod(self, uid: str) -> Path:
        """Return the directory of a pod's own files."""
        return self._pods / uid

    def remove_pod(self, uid: str) -> None:
        shutil.rmtree(self.pod(uid), ignore_errors=True)

    async def prepare(self, pod: Mapping[str, Any], read: Reader) -> dict[str, Path]:
        """Provide every volume of ``pod``; returns name to directory.

        Raises:
            VolumeError: one can't be provided (yet).
        """
        metadata = pod["metadata"]
        base = self.pod(metadata["uid"]) / "volumes"
        found = {}
        for volume in pod["spec"].get("volumes") or ():
            name = volume["name"]
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                found[name] = self.provision(metadata["namespace"], claim)
            elif "hostPath" in volume:
                found[name] = Path(volume["hostPath"]["path"])
            else:
                directory = found[name] = base / name
                directory.mkdir(parents=True, exist_ok=True)
                await self._fill(directory, volume, read)
        return found

    async def _fill(self, directory: Path, volume: Mapping[str, Any], read: Reader) -> None:
        for kind, field, key in (
            ("secret", "secret", "secretName"),
            ("config_map", "configMap", "name"),
        ):
            if field not in volume:
                continue
            source = volume[field]
            data = await read(kind, source[key])
            if data is None:
                if source.get("optional"):
                    return
                raise VolumeError(
                    f'MountVolume.SetUp failed for volume "{volume["name"]}" : '
                    f'{field.lower()} "{source[key]}" not found'
                )
            for file, content in _files(kind, data, source.get("items")).items():
                target = directory / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
                target.chmod(source.get("defaultMode") or 0o644)


def _files(kind: str, item: Mapping[str, Any], chosen: Any) -> dict[str, bytes]:
    texts = {key: value.encode() for key, value in (item.get("data") or {}).items()}
    if kind == "secret":
        texts = {key: base64.b64decode(value) for key, value in texts.items()}
    for key, value in (item.get("binaryData") or {}).items():
        texts[key] = base64.b64decode(value)
    if chosen:
        return {entry["path"]: texts[entry["key"]] for entry in chosen if entry["key"] in texts}
    return texts
