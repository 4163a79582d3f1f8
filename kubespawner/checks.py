"""What can be seen to be wrong with a pod before it is created, and which setting it comes from.

Pure. The API server knows more, but answers in field paths of a manifest that the reader of the
message has never seen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from .slugs import is_valid_label

_SUBDOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*", re.ASCII
)
_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
# A Service's name must begin with a letter before Kubernetes 1.36.
_SERVICE_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_KEY_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_PORT_NAME = re.compile(r"(?=.{1,15}\Z)(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
# Kubernetes before 1.34 allows less; what it refuses it can say itself.
_ENV_NAME = re.compile(r"[ -<>-~]+", re.ASCII)
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,3})?",
    re.ASCII,
)
_SUFFIXES = {
    **{f"{prefix}i": Decimal(1024) ** power for power, prefix in enumerate("KMGTPE", 1)},
    **{prefix: Decimal(1000) ** power for power, prefix in enumerate("kMGTPE", 1)},
    "m": Decimal("1e-3"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
}
_MOST_ANNOTATION_BYTES = 256 * 1024
_NAME_LENGTH = {"service": 63, "namespace": 63}


@lru_cache(maxsize=256)
def _camel(attribute: str) -> str:
    head, *tail = attribute.split("_")
    return head + "".join(part.title() for part in tail)


def _get(item: Any, attribute: str) -> Any:
    """Read a field of a client model, or of a dict in either spelling; None if it has none."""
    if isinstance(item, Mapping):
        value = item.get(_camel(attribute))
        return item.get(attribute) if value is None else value
    return getattr(item, attribute, None)


def check_name(kind: str, name: str, template_trait: str, template: str) -> str | None:
    """Return what is wrong with an object's name that a template gave, or None.

    Names of services and namespaces have 1 to 63 characters, without dots; others up to 253.
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names/

    Args:
        kind: such as ``pod``, ``service``, ``namespace``, ``claim``.
        template_trait: the setting with the template, such as ``pod_name_template``.
    """
    most = _NAME_LENGTH.get(kind.lower(), 253)
    pattern = {"service": _SERVICE_NAME, "namespace": _DNS_LABEL}.get(kind.lower(), _SUBDOMAIN)
    problem = _name_problem(name, pattern, most)
    if problem is None:
        return None
    return f"KubeSpawner.{template_trait} = {template!r} gives the {kind} name {name!r}, {problem}"


def _name_problem(name: str, pattern: re.Pattern[str], most: int) -> str | None:
    if pattern.fullmatch(name):
        return None
    what = (
        "is empty"
        if not name
        else f"is too long ({len(name)} characters)"
        if len(name) > most
        else "is not valid"
    )
    first = "a letter" if pattern is _SERVICE_NAME else "one of a-z and 0-9"
    dots = " '.'" if pattern is _SUBDOMAIN else ""
    return (
        f"which {what}; it must have 1 to {most} of a-z, 0-9, '-'{dots}, begin with {first}, and "
        "end with one of a-z and 0-9"
    )


def check_pod(pod: Any, *, service: bool = False, port: str = "") -> list[str]:
    """Return a sentence for everything that is wrong with a pod, naming the setting.

    Args:
        pod: a ``V1Pod``, or a dict in camelCase or snake_case; parts of it may be either.
        service: its name will be a Service's as well, which is shorter and has no dots.
        port: name of a port that one of its containers must have; '' if none must.
    """
    metadata, spec = _get(pod, "metadata"), _get(pod, "spec")
    problems = _check_metadata(metadata, service)
    containers = [(c, False) for c in _get(spec, "containers") or ()]
    if not containers:
        problems.append("the pod has no containers: check KubeSpawner.extra_pod_config")
    ports = (each for container, _ in containers for each in _get(container, "ports") or ())
    if port and containers and not any(_get(each, "name") == port for each in ports):
        problems.append(
            f"no container has a port named {port!r}, at which the server is reached: check "
            "KubeSpawner.extra_container_config, extra_pod_config and modify_pod_hook"
        )
    everything = [*containers, *((c, True) for c in _get(spec, "init_containers") or ())]
    volumes = [_get(volume, "name") for volume in _get(spec, "volumes") or ()]
    problems += _check_volumes(volumes)
    problems += [
        f"two containers are named {name!r}: check KubeSpawner.init_containers and extra_containers"
        for name in _repeated(_get(container, "name") for container, _ in everything)
    ]
    problems += [
        f"KubeSpawner.node_selector: {problem}"
        for problem in _check_labels(_get(spec, "node_selector") or {})
    ]
    for number, (container, is_init) in enumerate(everything):
        problems += _check_container(container, set(volumes), is_init, number == 0)
    return problems


def _repeated(names: Iterable[Any]) -> list[Any]:
    return [name for name, count in Counter(names).items() if count > 1]


# ---- metadata ----------------------------------------------------------------------------


def _check_metadata(metadata: Any, service: bool) -> list[str]:
    name = _get(metadata, "name") or ""
    pattern, most = (_SERVICE_NAME, 63) if service else (_SUBDOMAIN, 253)
    problem = _name_problem(name, pattern, most)
    problems = [f"KubeSpawner.pod_name_template gives the name {name!r}, {problem}"]
    if problem is None:
        problems = []
    elif service and _SUBDOMAIN.fullmatch(name):
        problems[0] += " (since KubeSpawner.services_enabled makes it a service's name as well)"
    problems += [
        f"{problem} (check KubeSpawner.extra_labels and common_labels)"
        for problem in _check_labels(_get(metadata, "labels") or {})
    ]
    return problems + _check_annotations(_get(metadata, "annotations") or {})


def _check_labels(labels: Mapping[Any, Any]) -> list[str]:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/"""
    problems = []
    for key, value in labels.items():
        if not _is_key(key):
            problems.append(f"the label key {key!r} is not valid: {_KEY_RULE}")
        if not isinstance(value, str):
            problems.append(f"the label {key}: {value!r} is not valid: its value must be a text")
        elif not is_valid_label(value):
            problems.append(
                f"the label {key}: {value!r} is not valid: a value has at most 63 of letters, "
                "digits, '-', '_', '.', and begins and ends with a letter or digit"
            )
    return problems


_KEY_RULE = (
    "it must be 1 to 63 of letters, digits, '-', '_', '.', beginning and ending with a letter or "
    "digit, behind an optional prefix such as 'example.com/'"
)


def _is_key(key: Any) -> bool:
    if not isinstance(key, str):
        return False
    prefix, slash, name = key.rpartition("/")
    return bool(_KEY_NAME.fullmatch(name)) and (not slash or bool(_SUBDOMAIN.fullmatch(prefix)))


def _check_annotations(annotations: Mapping[Any, Any]) -> list[str]:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/"""
    problems, size = [], 0
    for key, value in annotations.items():
        # The API server compares keys of annotations in lower case.
        if not isinstance(key, str) or not _is_key(key.lower()):
            problems.append(
                f"KubeSpawner.extra_annotations: the key {key!r} is not valid: {_KEY_RULE}"
            )
        if not isinstance(value, str):
            problems.append(
                f"KubeSpawner.extra_annotations[{key!r}] is {value!r}; it must be a text"
            )
            continue
        size += len(str(key).encode()) + len(value.encode())
    if size > _MOST_ANNOTATION_BYTES:
        problems.append(
            f"KubeSpawner.extra_annotations: all annotations together have {size} bytes; at most "
            f"{_MOST_ANNOTATION_BYTES} are allowed"
        )
    return problems


# ---- volumes -----------------------------------------------------------------------------


def _check_volumes(names: list[Any]) -> list[str]:
    problems = [f"KubeSpawner.volumes has two volumes named {name!r}" for name in _repeated(names)]
    for name in dict.fromkeys(names):
        if not isinstance(name, str) or not _DNS_LABEL.fullmatch(name):
            problems.append(
                f"KubeSpawner.volumes: the name {name!r} is not valid; it must have 1 to 63 of "
                "a-z, 0-9, '-', and begin and end with one of a-z and 0-9"
            )
    return problems


def _check_mounts(mounts: Iterable[Any], volumes: set[Any], setting: str) -> list[str]:
    problems, paths = [], []
    for mount in mounts:
        volume, path = _get(mount, "name"), _get(mount, "mount_path")
        if volume not in volumes:
            known = ", ".join(sorted(map(str, volumes))) or "none"
            problems.append(
                f"{setting}: the volume {volume!r} mounted at {path!r} is not in "
                f"KubeSpawner.volumes (there: {known})"
            )
        if not path or not isinstance(path, str) or ":" in path:
            problems.append(
                f"{setting}: the mount path {path!r} of the volume {volume!r} is not valid; it "
                "must be a path without ':'"
            )
            continue
        paths.append(path)
        below = _get(mount, "sub_path") or ""
        if not isinstance(below, str) or below.startswith("/") or ".." in below.split("/"):
            problems.append(
                f"{setting}: the subPath {below!r} at {path!r} must be a relative path without '..'"
            )
    return problems + [f"{setting}: two mounts at {path!r}" for path in _repeated(paths)]


# ---- containers --------------------------------------------------------------------------


def _check_container(
    container: Any, volumes: set[Any], is_init: bool, is_notebook: bool
) -> list[str]:
    name = _get(container, "name")
    where = (
        f"KubeSpawner.{'init_containers' if is_init else 'extra_containers'}, container {name!r}"
    )

    def setting(trait: str) -> str:
        return f"KubeSpawner.{trait}" if is_notebook else where

    problems = []
    if not isinstance(name, str) or not _DNS_LABEL.fullmatch(name):
        problems.append(
            f"{setting('extra_container_config')}: the container name {name!r} is not valid; it "
            "must have 1 to 63 of a-z, 0-9, '-', and begin and end with one of a-z and 0-9"
        )
    image = _get(container, "image")
    if not image:
        problems.append(f"{setting('image')}: the image is empty")
    elif not isinstance(image, str) or image != image.strip():
        problems.append(
            f"{setting('image')}: the image {image!r} is not a text without spaces around it"
        )
    problems += _check_mounts(
        _get(container, "volume_mounts") or (), volumes, setting("volume_mounts")
    )
    problems += _check_ports(_get(container, "ports") or (), setting("port"))
    problems += _check_env(_get(container, "env") or (), setting("environment"))
    problems += _check_resources(_get(container, "resources"), None if is_notebook else where)
    return problems


def _check_ports(ports: Iterable[Any], setting: str) -> list[str]:
    problems, names = [], []
    for port in ports:
        number, name = _get(port, "container_port"), _get(port, "name")
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 65535:
            problems.append(f"{setting}: the port {number!r} is not a number from 1 to 65535")
        if name is None:
            continue
        names.append(name)
        if not isinstance(name, str) or not _PORT_NAME.fullmatch(name):
            problems.append(
                f"{setting}: the port name {name!r} is not valid; it must have 1 to 15 of a-z, "
                "0-9, '-', and at least one letter"
            )
    return problems + [f"{setting}: two ports are named {name!r}" for name in _repeated(names)]


def _check_env(env: Iterable[Any], setting: str) -> list[str]:
    problems = []
    for variable in env:
        name, value = _get(variable, "name"), _get(variable, "value")
        if not isinstance(name, str) or not _ENV_NAME.fullmatch(name):
            problems.append(
                f"{setting}: the variable name {name!r} is not valid; it must not be empty, and "
                "may have printable ASCII characters except '='"
            )
        if value is not None and not isinstance(value, str):
            problems.append(f"{setting}[{name!r}] is {value!r}; it must be a text")
        if value and _get(variable, "value_from"):
            problems.append(f"{setting}[{name!r}] has both a value and valueFrom")
    return problems


# ---- resources ---------------------------------------------------------------------------

_LIMIT_SETTINGS = {"cpu": "cpu_limit", "memory": "mem_limit"}
_REQUEST_SETTINGS = {"cpu": "cpu_guarantee", "memory": "mem_guarantee"}


def amount(quantity: Any) -> Decimal | None:
    """Return a quantity as a number; None if it is not one.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    if isinstance(quantity, bool):
        return None
    found = _QUANTITY.fullmatch(str(quantity))
    if found is None:
        return None
    number, suffix = Decimal(found["number"]), found["suffix"] or ""
    if suffix in _SUFFIXES:
        return number * _SUFFIXES[suffix]
    return number.scaleb(int(suffix[1:])) if suffix else number


def _check_resources(resources: Any, where: str | None) -> list[str]:
    """https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/"""
    limits, requests = _get(resources, "limits") or {}, _get(resources, "requests") or {}
    problems = []
    for amounts, own, extra in (
        (limits, _LIMIT_SETTINGS, "extra_resource_limits"),
        (requests, _REQUEST_SETTINGS, "extra_resource_guarantees"),
    ):
        for name, quantity in amounts.items():
            found = amount(quantity)
            if found is None or found < 0:
                setting = where or f"KubeSpawner.{own.get(name, extra)}"
                problems.append(
                    f"{setting}: {quantity!r} of {name} is not an amount; examples are 2, '500m', "
                    "'1.5Gi'"
                )
    for name, quantity in requests.items():
        wanted, limit = amount(quantity), amount(limits.get(name))
        if wanted is None or limit is None:
            continue
        low = f"KubeSpawner.{_REQUEST_SETTINGS.get(name, 'extra_resource_guarantees')}"
        high = f"KubeSpawner.{_LIMIT_SETTINGS.get(name, 'extra_resource_limits')}"
        settings = where or f"{low} and {high}"
        if wanted > limit:
            problems.append(
                f"{settings}: {quantity} of {name} guaranteed, which is above the limit of "
                f"{limits[name]}"
            )
        elif wanted != limit and _is_device(name):
            problems.append(
                f"{settings}: {quantity} of {name} guaranteed and {limits[name]} as the limit; of "
                "devices both must be equal"
            )
    return problems


def _is_device(resource: str) -> bool:
    """Whether the resource can't be overcommitted: extended resources and huge pages.

    https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#extended-resources
    """
    prefix, slash, _ = resource.rpartition("/")
    return resource.startswith("hugepages-") or (bool(slash) and "kubernetes.io" not in prefix)
