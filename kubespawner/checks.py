"""What can be seen to be wrong with a pod before it is created. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from .slugs import is_valid_label

_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
# A Service's name must begin with a letter before Kubernetes 1.36.
_SERVICE_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)


def _get(item: Any, attribute: str, field: str) -> Any:
    """Read a field of a model or of a plain dict."""
    if isinstance(item, dict):
        return item.get(field, item.get(attribute))
    return getattr(item, attribute, None)


def check_name(kind: str, name: str, template_trait: str, template: str) -> str | None:
    """Return what is wrong with an object's name that a template gave, or None."""
    if name and _SUBDOMAIN.fullmatch(name) and len(name) <= 63:
        return None
    problem = "is empty" if not name else "is too long" if len(name) > 63 else "is not valid"
    return (
        f"KubeSpawner.{template_trait} = {template!r} gives the {kind} name {name!r}, which "
        f"{problem}; it must have 1 to 63 of a-z, 0-9 and '-', beginning and ending with one of "
        "a-z and 0-9"
    )


def check_pod(pod: Any, *, service: bool = False) -> list[str]:
    """Return a sentence for everything wrong with a pod (a ``V1Pod``), naming the setting.

    Args:
        service: its name will be a Service's as well.
    """
    spec, metadata = pod.spec, pod.metadata
    problems = _check_metadata(metadata, service)
    containers = list(spec.containers or [])
    if not containers:
        problems.append("the pod has no containers: check KubeSpawner.extra_pod_config")
    volumes = [_get(volume, "name", "name") for volume in spec.volumes or []]
    problems += [
        f"KubeSpawner.volumes has two volumes named {name!r}" for name in _repeated(volumes)
    ]
    everything = [*containers, *(spec.init_containers or [])]
    names = [_get(container, "name", "name") for container in everything]
    problems += [
        f"two containers are named {name!r}: check KubeSpawner.init_containers and extra_containers"
        for name in _repeated(names)
    ]
    for container in everything:
        problems += _check_container(container, set(volumes))
    return problems


def _repeated(names: Iterable[Any]) -> list[Any]:
    return [name for name, count in Counter(names).items() if count > 1]


def _check_metadata(metadata: Any, service: bool) -> list[str]:
    name = metadata.name or ""
    problems = []
    pattern = _SERVICE_NAME if service else _DNS_LABEL
    if not pattern.fullmatch(name):
        what = "is empty" if not name else "is too long" if len(name) > 63 else "is not valid"
        problems.append(
            f"KubeSpawner.pod_name_template gives the name {name!r}, which {what}; it must have "
            "1 to 63 of a-z, 0-9 and '-', beginning and ending with one of a-z and 0-9"
        )
    for key, value in (metadata.labels or {}).items():
        if not isinstance(value, str) or not is_valid_label(value):
            problems.append(
                f"the label {key}: {value!r} is not valid (check KubeSpawner.extra_labels and "
                "common_labels); a value has at most 63 of letters, digits, '-', '_', '.'"
            )
    return problems


def _check_container(container: Any, volumes: set[Any]) -> list[str]:
    name = _get(container, "name", "name")
    setting = "KubeSpawner.volume_mounts" if name == "notebook" else f"container {name!r}"
    problems = []
    if not _DNS_LABEL.fullmatch(str(name or "")):
        problems.append(f"the container name {name!r} is not valid")
    if not _get(container, "image", "image"):
        trait = "KubeSpawner.image" if name == "notebook" else f"the image of container {name!r}"
        problems.append(f"{trait} is empty")
    paths = []
    for mount in _get(container, "volume_mounts", "volumeMounts") or []:
        volume, path = _get(mount, "name", "name"), _get(mount, "mount_path", "mountPath")
        paths.append(path)
        if volume not in volumes:
            known = ", ".join(sorted(map(str, volumes))) or "none"
            problems.append(
                f"{setting}: the volume {volume!r} mounted at {path!r} is not in "
                f"KubeSpawner.volumes (there: {known})"
            )
    problems += [f"{setting}: two mounts at {path!r}" for path in _repeated(paths)]
    for port in _get(container, "ports", "ports") or []:
        number = _get(port, "container_port", "containerPort")
        if not isinstance(number, int) or not 1 <= number <= 65535:
            problems.append(f"the port {number!r} of container {name!r} is not from 1 to 65535")
    return problems
