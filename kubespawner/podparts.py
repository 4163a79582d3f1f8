"""Parts of a pod, each from the plain values that say what it is. Pure.

:func:`kubespawner.objects.make_pod` puts them together.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kubernetes_asyncio.client.models import (
    V1Affinity,
    V1EnvVar,
    V1LocalObjectReference,
    V1NodeAffinity,
    V1NodeSelector,
    V1NodeSelectorTerm,
    V1PodAffinity,
    V1PodAffinityTerm,
    V1PodAntiAffinity,
    V1PreferredSchedulingTerm,
    V1WeightedPodAffinityTerm,
)

from .utils import get_k8s_model

_TLS_FILES = {
    "JUPYTERHUB_SSL_KEYFILE": "ssl.key",
    "JUPYTERHUB_SSL_CERTFILE": "ssl.crt",
    "JUPYTERHUB_SSL_CLIENT_CA": "notebooks-ca_trust.crt",
}
# `$$` stands for a dollar sign, so that `$$(X)` is no reference; its group is empty.
_REFERENCE = re.compile(r"\$\$|\$\(([^)]+)\)")


def resources(cpu: Any, memory: Any, extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return limits or requests; ``extra`` wins, and what is None or 0 is left out."""
    amounts = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value}
    return {**amounts, **(extra or {})}


def pull_secrets(secrets: Any) -> list[V1LocalObjectReference] | None:
    """Return references to secrets given as names, dicts or models, or as one name."""
    if secrets is None:
        return None
    if isinstance(secrets, str):
        secrets = [secrets] if secrets else []
    return [
        get_k8s_model(V1LocalObjectReference, {"name": s} if isinstance(s, str) else s)
        for s in secrets
    ]


def _checked_context(context: Mapping[str, Any] | None, parameter: str) -> dict[str, Any]:
    wrong = [key for key in context or {} if "_" in key]
    if wrong:
        raise ValueError(
            f"{parameter} has the keys {wrong}; keys must be camelCase, as in runAsUser"
        )
    return copy.deepcopy(dict(context or {}))


def pod_security_context(
    fs_gid: int | None,
    supplemental_gids: Iterable[int] | None,
    extra: Mapping[str, Any] | None,
) -> Any:
    """Return the security context of a pod; ``extra`` wins key by key.

    Raises:
        ValueError: a key of ``extra`` is not camelCase.
    """
    context: dict[str, Any] = {}
    if fs_gid is not None:
        context["fsGroup"] = int(fs_gid)
    if supplemental_gids:
        context["supplementalGroups"] = [int(gid) for gid in supplemental_gids]
    return {**context, **_checked_context(extra, "pod_security_context")}


def container_security_context(
    uid: int | None,
    gid: int | None,
    privileged: bool | None,
    allow_privilege_escalation: bool | None,
    extra: Mapping[str, Any] | None,
) -> Any:
    """Return the security context of a container; ``extra`` wins key by key.

    Raises:
        ValueError: a key of ``extra`` is not camelCase.
    """
    context: dict[str, Any] = {}
    if uid is not None:
        context["runAsUser"] = int(uid)
    if gid is not None:
        context["runAsGroup"] = int(gid)
    if privileged:
        context["privileged"] = True
    if allow_privilege_escalation is not None:
        context["allowPrivilegeEscalation"] = allow_privilege_escalation
    return {**context, **_checked_context(extra, "container_security_context")}


def with_tls_paths(env: Mapping[str, Any], directory: str) -> dict[str, Any]:
    """Return ``env`` with where the TLS files are, last, so that no other entry replaces it."""
    paths = {key: f"{directory.rstrip('/')}/{file}" for key, file in _TLS_FILES.items()}
    return {**{key: value for key, value in env.items() if key not in paths}, **paths}


def tls_mode(pod_context: Any, container_context: Any) -> int:
    """Return the tightest mode under which the server can read its key.

    Secret files belong to root; only with an fsGroup does the kubelet give them to a group.
    https://kubernetes.io/docs/concepts/configuration/secret/
    """

    def value(context: Any, field: str, attribute: str) -> Any:
        if isinstance(context, Mapping):
            return context.get(field, context.get(attribute))
        return getattr(context, attribute, None)

    if value(pod_context, "fsGroup", "fs_group") is not None:
        return 0o440
    uid = value(container_context, "runAsUser", "run_as_user")
    if uid is None:
        uid = value(pod_context, "runAsUser", "run_as_user")
    return 0o400 if uid == 0 else 0o444


def _env_var(key: str, value: Any) -> V1EnvVar:
    if isinstance(value, V1EnvVar):
        var = copy.deepcopy(value)
    elif isinstance(value, Mapping):
        var = get_k8s_model(V1EnvVar, {"name": key, **value})
    else:
        var = V1EnvVar(name=key, value=value)
    if var.value is not None:
        var.value = str(var.value)
    return var


def env_list(env: Mapping[str, Any]) -> list[V1EnvVar]:
    """Return the variables so that each stands behind those that its value refers to.

    Kubernetes fills in ``$(OTHER)`` only if OTHER stands before; independent ones come first.
    https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
    """
    by_name: dict[str, tuple[str, V1EnvVar]] = {}
    for key, value in env.items():
        var = _env_var(key, value)
        by_name[var.name] = (key, var)
    # A reference to what is not here can't be waited for.
    needs = {
        name: (set(_REFERENCE.findall(var.value or "")) - {name}) & by_name.keys()
        for name, (_, var) in by_name.items()
    }
    ordered: list[V1EnvVar] = []
    placed: set[str] = set()
    remaining = sorted(by_name, key=lambda name: by_name[name][0])
    while remaining:
        # Where nothing can be placed, what is left refers to itself in a circle.
        ready = [name for name in remaining if needs[name] <= placed] or remaining
        ordered += [by_name[name][1] for name in ready]
        placed.update(ready)
        remaining = [name for name in remaining if name not in placed]
    return ordered


def affinity(
    node_preferred: Iterable[Any] | None,
    node_required: Iterable[Any] | None,
    pod_preferred: Iterable[Any] | None,
    pod_required: Iterable[Any] | None,
    anti_preferred: Iterable[Any] | None,
    anti_required: Iterable[Any] | None,
) -> V1Affinity | None:
    """Return the affinity of these terms, dicts or models; None without any."""

    def models(model_type: Any, items: Iterable[Any] | None) -> list[Any] | None:
        return [get_k8s_model(model_type, item) for item in items or []] or None

    def pod_terms(kind: Any, preferred: Any, required: Any) -> Any:
        preferred = models(V1WeightedPodAffinityTerm, preferred)
        required = models(V1PodAffinityTerm, required)
        if not preferred and not required:
            return None
        return kind(
            preferred_during_scheduling_ignored_during_execution=preferred,
            required_during_scheduling_ignored_during_execution=required,
        )

    node = None
    preferred = models(V1PreferredSchedulingTerm, node_preferred)
    required = models(V1NodeSelectorTerm, node_required)
    if preferred or required:
        node = V1NodeAffinity(
            preferred_during_scheduling_ignored_during_execution=preferred,
            required_during_scheduling_ignored_during_execution=(
                V1NodeSelector(node_selector_terms=required) if required else None
            ),
        )
    pod = pod_terms(V1PodAffinity, pod_preferred, pod_required)
    anti = pod_terms(V1PodAntiAffinity, anti_preferred, anti_required)
    if not (node or pod or anti):
        return None
    return V1Affinity(node_affinity=node, pod_affinity=pod, pod_anti_affinity=anti)
