"""The environment of a container: values, references, and what they refer to.

https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .fields import FieldError, field_value
from .volumes import Reader, contents

_REFERENCE = re.compile(r"\$\$|\$\(([^)]+)\)")


class EnvError(Exception):
    """A variable refers to what does not exist; worded as by the kubelet."""


def base_environment() -> dict[str, str]:
    """Return what an image would bring: the programs of this Python environment, and a language.

    Nothing else of the environment of the cluster's own process gets into pods.
    """
    programs = str(Path(sys.executable).parent)
    return {
        "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
        "LANG": "C.UTF-8",
    }


def expanded(text: str, known: Mapping[str, str]) -> str:
    """Fill in ``$(NAME)``; unknown names stay, ``$$`` is a dollar sign."""

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return known.get(match[1], match[0])

    return _REFERENCE.sub(replace, text)


async def container_environment(
    pod: Mapping[str, Any], container: Mapping[str, Any], read: Reader, pod_ip: str
) -> dict[str, str]:
    """Return the variables that the manifest gives to ``container``.

    Raises:
        EnvError: a secret, config map, key or field is missing.
    """
    env: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix", "")
        for kind, field in (("config_map", "configMapRef"), ("secret", "secretRef")):
            if field in source:
                data = await _data(kind, source[field], read)
                env.update({prefix + key: value for key, value in (data or {}).items()})
    for variable in container.get("env") or ():
        origin = variable.get("valueFrom")
        if origin:
            value = await _referred(origin, pod, container, read, pod_ip)
            if value is None:
                continue
        else:
            value = expanded(variable.get("value") or "", env)
        env[variable["name"]] = value
    return env


async def _data(kind: str, reference: Mapping[str, Any], read: Reader) -> dict[str, str] | None:
    item = await read(kind, reference["name"])
    if item is None:
        if reference.get("optional"):
            return None
        raise EnvError(f'{kind.replace("_", "")} "{reference["name"]}" not found')
    return {key: value.decode(errors="replace") for key, value in contents(kind, item).items()}


async def _referred(
    origin: Mapping[str, Any],
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    read: Reader,
    pod_ip: str,
) -> str | None:
    if "fieldRef" in origin or "resourceFieldRef" in origin:
        try:
            return field_value(origin, pod, container, pod_ip)
        except FieldError as e:
            raise EnvError(str(e)) from e
    for kind, field, title in (
        ("secret", "secretKeyRef", "Secret"),
        ("config_map", "configMapKeyRef", "ConfigMap"),
    ):
        if field not in origin:
            continue
        reference = origin[field]
        data = await _data(kind, reference, read)
        if data is not None and reference["key"] in data:
            return data[reference["key"]]
        if reference.get("optional"):
            return None
        where = f"{pod['metadata']['namespace']}/{reference['name']}"
        raise EnvError(f"couldn't find key {reference['key']} in {title} {where}")
    return None
