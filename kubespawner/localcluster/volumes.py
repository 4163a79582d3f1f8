"""Volumes of the embedded cluster: directories, and where a process finds them.

A local process has no mounts of its own. What would be mounted at a path is a directory of this
machine instead:

- A mount at the user's home (``/home/NAME`` or ``/root``), or at the container's working
  directory, becomes ``HOME`` and the working directory of the process.
- A mount below another mount appears inside of it, as a symbolic link.
- Mount paths are replaced by the directories wherever they stand in the container's command,
  arguments and environment.
- All mounts are symbolic links below ``$KUBESPAWNER_LOCALCLUSTER_ROOT``, in a directory that
  stands for the container's own file system.
- A ``hostPath`` that this machine has is used as it is; others are made below the cluster's root.

Kinds of volumes that can't be had locally, such as ``nfs``, fail to mount, with an event.
https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

import base64
import contextlib
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from .fields import FieldError, field_value

# Reads an object of the cluster: (kind, name) -> API JSON, or None.
Reader = Callable[[str, str], Awaitable["dict[str, Any] | None"]]

_HOME = re.compile(r"/home/[^/]+|/root")
_ANY_ADDRESS = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])")
_SOURCES = (("secret", "secret"), ("config_map", "configMap"))


class VolumeError(Exception):
    """A volume can't be provided; worded as by the kubelet."""


class Mounts:
    """Where the volumes of one container are.

    Args:
        at: mount path to directory or file.
        pod_ip: what a server binds to instead of all addresses, which it shares with other pods.
        working_directory: the container's, if the manifest has one.
    """

    def __init__(self, at: Mapping[str, Path], pod_ip: str, working_directory: str = ""):
        self._at = dict(at)
        self._pod_ip = pod_ip
        self._working_directory = working_directory.rstrip("/")
        paths = sorted(self._at, key=len, reverse=True)
        self._pattern = (
            re.compile(r"(?<![\w./-])(" + "|".join(map(re.escape, paths)) + r")(?=$|[^\w.-])")
            if paths
            else None
        )

    def path(self, text: str) -> str:
        """Return ``text`` with mount paths replaced by what is there."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: str(self._at[match[1]]), text)

    def argument(self, text: str) -> str:
        """Return a word of a command line, with mount paths and ``0.0.0.0`` replaced."""
        return _ANY_ADDRESS.sub(self._pod_ip, self.path(text))

    def variable(self, name: str, value: str) -> str:
        """Return a variable's value as the process gets it.

        Paths of URLs (``…_URL``, ``…_PREFIX``) are no paths of files. ``JUPYTERHUB_SERVICE_URL``
        tells a server where to listen: instead of on all addresses it does on its pod's.
        """
        if name == "JUPYTERHUB_SERVICE_URL":
            return re.sub(r"^(https?://)(0\.0\.0\.0|\[::\])?(?=:)", rf"\g<1>{self._pod_ip}", value)
        if name.endswith(("_URL", "_PREFIX")):
            return value
        return self.path(value)

    def home(self) -> Path | None:
        """Return the directory mounted at the home or working directory, if one is."""
        if self._working_directory in self._at:
            return self._at[self._working_directory]
        homes = [path for path in self._at if _HOME.fullmatch(path)]
        return self._at[homes[0]] if homes else None

    def link(self, root: Path) -> list[Path]:
        """Lay symbolic links below ``root`` and in outer mounts; return those in volumes."""
        inside = []
        for path in sorted(self._at, key=len):
            outer = next(
                (p for p in sorted(self._at, key=len, reverse=True) if path.startswith(f"{p}/")),
                None,
            )
            if outer is None:
                link = root / path.lstrip("/")
            elif self._at[outer].is_dir():
                link = self._at[outer] / path.removeprefix(f"{outer}/")
                inside.append(link)
            else:
                continue
            _link(link, self._at[path])
        return inside


def _link(link: Path, target: Path) -> None:
    # An occupied place stays as it is: a mount would hide it, a link would have to destroy it.
    with contextlib.suppress(OSError):
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        elif link.is_dir():
            link.rmdir()
        link.symlink_to(target)


class Volumes:
    """The directories of one node.

    Args:
        root: where claims and the volumes of pods live.
    """

    def __init__(self, root: Path):
        self._claims = root / "claims"
        self._pods = root / "pods"
        self._host = root / "host"
        self._links: dict[str, list[Path]] = {}

    def claim(self, namespace: str, name: str) -> Path:
        """Return the directory of a claim."""
        return self._claims / namespace / name

    def provision(self, namespace: str, name: str) -> Path:
        """Make the directory of a claim; what an earlier cluster of this root left is kept."""
        directory = self.claim(namespace, name)
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def remove_claim(self, namespace: str, name: str) -> None:
        """Remove the directory of a claim with all that is in it."""
        _remove(self.claim(namespace, name))

    def pod(self, uid: str) -> Path:
        """Return the directory of a pod's own files."""
        return self._pods / uid

    def remove_pod(self, uid: str) -> None:
        """Remove a pod's own files, and its links in the volumes that stay."""
        for link in self._links.pop(uid, ()):
            if link.is_symlink():
                link.unlink()
        _remove(self.pod(uid))

    def mounts(
        self,
        pod: Mapping[str, Any],
        container: Mapping[str, Any],
        volumes: Mapping[str, Path],
        pod_ip: str,
        expand: Callable[[str], str] = str,
    ) -> tuple[Mounts, Path]:
        """Return where a container finds its volumes, and the root that stands for its own.

        Args:
            volumes: from :meth:`prepare`.
            expand: fills in variables, for ``subPathExpr``.

        Raises:
            VolumeError: a ``subPath`` leads out of its volume.
        """
        at = {}
        for mount in container.get("volumeMounts") or ():
            where = volumes[mount["name"]]
            below = mount.get("subPath") or expand(mount.get("subPathExpr") or "")
            if ".." in Path(below).parts or below.startswith("/"):
                raise VolumeError(f"failed to prepare subPath for volumeMount: {below!r}")
            if below:
                where = where / below
                if not where.exists():
                    where.mkdir(parents=True)
            at[mount["mountPath"].rstrip("/") or "/"] = where
        uid = pod["metadata"]["uid"]
        root = self.pod(uid) / "roots" / container["name"]
        root.mkdir(parents=True, exist_ok=True)
        mounts = Mounts(at, pod_ip, container.get("workingDir") or "")
        self._links.setdefault(uid, []).extend(mounts.link(root))
        return mounts, root

    async def prepare(
        self, pod: Mapping[str, Any], read: Reader, pod_ip: str = ""
    ) -> dict[str, Path]:
        """Provide every volume of ``pod``; returns name to directory (or file of the host).

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
                found[name] = self._host_path(name, volume["hostPath"])
            else:
                directory = found[name] = base / name
                directory.mkdir(parents=True, exist_ok=True)
                await _fill(directory, volume, pod, read, pod_ip)
        return found

    def _host_path(self, name: str, source: Mapping[str, Any]) -> Path:
        path, kind = Path(source["path"]), source.get("type") or ""
        if path.exists():
            if kind.startswith("Directory") and not path.is_dir():
                raise _failed(name, f"hostPath type check failed: {path} is not a directory")
            if kind.startswith("File") and not path.is_file():
                raise _failed(name, f"hostPath type check failed: {path} is not a file")
            return path
        if kind not in {"", "DirectoryOrCreate", "FileOrCreate"}:
            raise _failed(name, f"hostPath type check failed: {path} is not a {kind.lower()}")
        own = self._host / str(path).lstrip("/")
        if kind == "FileOrCreate":
            own.parent.mkdir(parents=True, exist_ok=True)
            own.touch()
        else:
            own.mkdir(parents=True, exist_ok=True)
        return own


def _remove(directory: Path) -> None:
    if directory.is_dir():
        # A process may have taken away its own permissions.
        for path in [directory, *directory.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(directory)


def _failed(name: str, why: str) -> VolumeError:
    return VolumeError(f'MountVolume.SetUp failed for volume "{name}" : {why}')


async def _fill(
    directory: Path, volume: Mapping[str, Any], pod: Mapping[str, Any], read: Reader, pod_ip: str
) -> None:
    """Fill the directory of a volume that is made for one pod."""
    name = volume["name"]
    if "emptyDir" in volume:
        return
    if "projected" in volume:
        sources = volume["projected"].get("sources") or ()
        mode = volume["projected"].get("defaultMode")
    else:
        sources = (volume,)
        mode = None
    for source in sources:
        known = False
        for kind, field in _SOURCES:
            if field in source:
                known = True
                await _copy(directory, name, kind, source[field], read, mode)
        if "downwardAPI" in source:
            known = True
            _write_fields(directory, name, source["downwardAPI"], pod, pod_ip)
        if "serviceAccountToken" in source:
            known = True
            _write(directory / source["serviceAccountToken"]["path"], b"", mode)
        if not known:
            kinds = ", ".join(key for key in source if key != "name")
            raise _failed(name, f"the embedded cluster has no volumes of the kind {kinds}")


async def _copy(
    directory: Path,
    volume: str,
    kind: str,
    source: Mapping[str, Any],
    read: Reader,
    mode: int | None,
) -> None:
    """Write the content of a secret or config map into a directory."""
    name = source.get("secretName") or source["name"]
    item = await read(kind, name)
    if item is None:
        if source.get("optional"):
            return
        raise _failed(volume, f'{kind.replace("_", "")} "{name}" not found')
    content = contents(kind, item)
    modes: dict[str, int] = {}
    if source.get("items"):
        for entry in source["items"]:
            if entry["key"] not in content and not source.get("optional"):
                raise _failed(volume, f"references non-existent {kind} key: {entry['key']}")
        chosen = [entry for entry in source["items"] if entry["key"] in content]
        modes = {entry["path"]: entry["mode"] for entry in chosen if "mode" in entry}
        content = {entry["path"]: content[entry["key"]] for entry in chosen}
    for file, data in content.items():
        _write(directory / file, data, modes.get(file) or source.get("defaultMode") or mode)


def _write_fields(
    directory: Path,
    volume: str,
    source: Mapping[str, Any],
    pod: Mapping[str, Any],
    pod_ip: str,
) -> None:
    for entry in source.get("items") or ():
        try:
            text = field_value(entry, pod, {}, pod_ip)
        except FieldError as e:
            raise _failed(volume, str(e)) from e
        _write(directory / entry["path"], text.encode(), entry.get("mode"))


def _write(target: Path, data: bytes, mode: int | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    # At least readable for its owner, as volumes are on a node, where the kubelet owns them.
    target.chmod((mode or 0o644) | 0o400)


def contents(kind: str, item: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the keys of a ``secret`` or ``config_map`` (API JSON) with their content."""
    data = item.get("data") or {}
    if kind == "secret":
        return {key: base64.b64decode(value) for key, value in data.items()}
    binary = item.get("binaryData") or {}
    return {
        **{key: value.encode() for key, value in data.items()},
        **{key: base64.b64decode(value) for key, value in binary.items()},
    }
