"""Which setting a field of a manifest comes from."""

from __future__ import annotations

import re

_INDEX = re.compile(r"\[[^\]]*\]")

# Beginning of a field path, without indexes -> settings. The first that fits counts.
_CONTAINER = (
    ("image", "image"),
    ("imagePullPolicy", "image_pull_policy"),
    ("ports", "port"),
    ("env", "environment"),
    ("resources.limits.cpu", "cpu_limit"),
    ("resources.limits.memory", "mem_limit"),
    ("resources.limits", "extra_resource_limits"),
    ("resources.requests.cpu", "cpu_guarantee"),
    ("resources.requests.memory", "mem_guarantee"),
    ("resources.requests", "extra_resource_guarantees"),
    ("volumeMounts", "volume_mounts"),
    ("workingDir", "working_dir"),
    ("lifecycle", "lifecycle_hooks"),
    ("command", "cmd"),
    ("args", "cmd"),
    ("securityContext.runAsUser", "uid"),
    ("securityContext.runAsGroup", "gid"),
    ("securityContext.privileged", "privileged"),
    ("securityContext.allowPrivilegeEscalation", "allow_privilege_escalation"),
    ("securityContext", "container_security_context"),
    ("", "extra_container_config"),
)
_POD = (
    ("spec.initContainers", "init_containers"),
    ("spec.volumes", "volumes"),
    ("spec.nodeSelector", "node_selector"),
    ("spec.tolerations", "tolerations"),
    ("spec.serviceAccountName", "service_account"),
    ("spec.automountServiceAccountToken", "automount_service_account_token"),
    ("spec.schedulerName", "scheduler_name"),
    ("spec.priorityClassName", "priority_class_name"),
    ("spec.imagePullSecrets", "image_pull_secrets"),
    ("spec.securityContext.fsGroup", "fs_gid"),
    ("spec.securityContext.supplementalGroups", "supplemental_gids"),
    ("spec.securityContext", "pod_security_context"),
    ("spec.affinity.nodeAffinity.required", "node_affinity_required"),
    ("spec.affinity.nodeAffinity", "node_affinity_preferred"),
    ("spec.affinity.podAffinity.required", "pod_affinity_required"),
    ("spec.affinity.podAffinity", "pod_affinity_preferred"),
    ("spec.affinity.podAntiAffinity.required", "pod_anti_affinity_required"),
    ("spec.affinity.podAntiAffinity", "pod_anti_affinity_preferred"),
    ("metadata.name", "pod_name_template"),
    ("metadata.labels", "extra_labels"),
    ("metadata.annotations", "extra_annotations"),
    ("metadata.namespace", "namespace"),
    ("spec", "extra_pod_config"),
)
_CLAIM = (
    ("spec.resources", "storage_capacity"),
    ("spec.accessModes", "storage_access_modes"),
    ("spec.storageClassName", "storage_class"),
    ("spec.selector", "storage_selector"),
    ("metadata.name", "pvc_name_template"),
    ("metadata.labels", "storage_extra_labels"),
    ("metadata.annotations", "storage_extra_annotations"),
)
_NAMESPACE = (
    ("metadata.name", "user_namespace_template"),
    ("metadata.labels", "user_namespace_labels"),
    ("metadata.annotations", "user_namespace_annotations"),
)
_SERVICE = (
    ("metadata.name", "pod_name_template"),
    ("metadata.labels", "common_labels"),
    ("metadata.annotations", "extra_annotations"),
    ("spec.ports", "port"),
)
_SECRET = (("metadata.name", "secret_name_template"), ("metadata.labels", "common_labels"))
_KINDS = {
    "pod": _POD,
    "pods": _POD,
    "persistentvolumeclaim": _CLAIM,
    "persistentvolumeclaims": _CLAIM,
    "namespace": _NAMESPACE,
    "namespaces": _NAMESPACE,
    "service": _SERVICE,
    "services": _SERVICE,
    "secret": _SECRET,
    "secrets": _SECRET,
}


def setting_of(field: str, kind: str = "Pod") -> str | None:
    """Return the setting that a field comes from, such as ``image``; None if that is not known.

    Args:
        field: as the API server writes it, such as ``spec.containers[0].image``.
        kind: of the object, or its resource (``pods``), in any case.
    """
    table = _KINDS.get(kind.lower())
    if table is None:
        return None
    # Keys in brackets can hold dots: `limits[nvidia.com/gpu]`.
    container = re.match(r"spec\.containers(?:\[(\d+)\])?(?:\.(.+))?$", field)
    if container and table is _POD:
        if int(container[1] or 0) > 0:
            return "extra_containers"
        inner = container[2] or ""
        # Before Kubernetes 1.2x: `limits.cpu`, else `limits[cpu]`.
        inner = re.sub(r"(limits|requests)\[([^\]]*)\]", r"\1.\2", inner)
        return _first(_CONTAINER, _INDEX.sub("", inner))
    return _first(table, _INDEX.sub("", field))


def _first(table: tuple[tuple[str, str], ...], path: str) -> str | None:
    for beginning, setting in table:
        # `required` stands for requiredDuringSchedulingIgnoredDuringExecution.
        if not beginning or path == beginning or path.startswith(f"{beginning}."):
            return setting
        if beginning.endswith(".required") and path.startswith(beginning):
            return setting
    return None
