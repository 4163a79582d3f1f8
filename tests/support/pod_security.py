"""The Pod Security Standards as their page has them: a table of fields and allowed values.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ (as of 1.34). Written beside
``kubespawner.podsecurity`` and by other means, so that each checks the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

ABSENT = object()
_EACH_CONTAINER = ("spec.containers[*]", "spec.initContainers[*]", "spec.ephemeralContainers[*]")


@dataclass(frozen=True)
class Control:
    name: str
    level: str
    fields: tuple[str, ...]
    allowed: Callable[[Any], bool]


def one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: any(value is v or (value == v and type(value) is type(v)) for v in values)


def each_container(field: str) -> tuple[str, ...]:
    return tuple(f"{container}.{field}" for container in _EACH_CONTAINER)


def everywhere(field: str) -> tuple[str, ...]:
    return (f"spec.{field}", *each_container(field))


_UNSET = (ABSENT, None)
_HANDLERS = [
    *(f"{probe}Probe" for probe in ("liveness", "readiness", "startup")),
    *("lifecycle.postStart", "lifecycle.preStop"),
]
_BASELINE_CAPABILITIES = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
]
_SYSCTLS = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
]
_VOLUMES = [
    "name",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
]

BASELINE = [
    Control(
        "HostProcess",
        "baseline",
        everywhere("securityContext.windowsOptions.hostProcess"),
        one_of(*_UNSET, False),
    ),
    Control(
        "Host Namespaces",
        "baseline",
        ("spec.hostNetwork", "spec.hostPID", "spec.hostIPC"),
        one_of(*_UNSET, False),
    ),
    Control(
        "Privileged Containers",
        "baseline",
        each_container("securityContext.privileged"),
        one_of(*_UNSET, False),
    ),
    Control(
        "Capabilities",
        "baseline",
        each_container("securityContext.capabilities.add[*]"),
        one_of(*_UNSET, *_BASELINE_CAPABILITIES),
    ),
    Control("HostPath Volumes", "baseline", ("spec.volumes[*].hostPath",), one_of(*_UNSET)),
    Control("Host Ports", "baseline", each_container("ports[*].hostPort"), one_of(*_UNSET, 0)),
    Control(
        "Host Probes / Lifecycle Hooks",
        "baseline",
        tuple(
            path
            for handler in _HANDLERS
            for way in ("httpGet", "tcpSocket")
            for path in each_container(f"{handler}.{way}.host")
        ),
        one_of(*_UNSET, ""),
    ),
    Control(
        "AppArmor",
        "baseline",
        everywhere("securityContext.appArmorProfile.type"),
        one_of(*_UNSET, "RuntimeDefault", "Localhost"),
    ),
    Control(
        "SELinux types",
        "baseline",
        everywhere("securityContext.seLinuxOptions.type"),
        one_of(
            *_UNSET,
            *("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"),
        ),
    ),
    Control(
        "SELinux user and role",
        "baseline",
        (
            *everywhere("securityContext.seLinuxOptions.user"),
            *everywhere("securityContext.seLinuxOptions.role"),
        ),
        one_of(*_UNSET, ""),
    ),
    Control(
        "/proc Mount Type",
        "baseline",
        each_container("securityContext.procMount"),
        one_of(*_UNSET, "Default"),
    ),
    Control(
        "Seccomp",
        "baseline",
        everywhere("securityContext.seccompProfile.type"),
        one_of(*_UNSET, "RuntimeDefault", "Localhost"),
    ),
    Control(
        "Sysctls",
        "baseline",
        ("spec.securityContext.sysctls[*].name",),
        one_of(*_UNSET, *_SYSCTLS),
    ),
]
RESTRICTED = [
    Control("Volume Types", "restricted", ("spec.volumes[*].<key>",), one_of(ABSENT, *_VOLUMES)),
    Control(
        "Privilege Escalation",
        "restricted",
        each_container("securityContext.allowPrivilegeEscalation"),
        one_of(False),
    ),
    Control(
        "Running as Non-root user",
        "restricted",
        everywhere("securityContext.runAsUser"),
        lambda value: value is ABSENT or value is None or value != 0,
    ),
    Control(
        "Capabilities added",
        "restricted",
        each_container("securityContext.capabilities.add[*]"),
        one_of(*_UNSET, "NET_BIND_SERVICE"),
    ),
]


def values(item: Any, path: list[str]) -> Iterator[Any]:
    """Yield what is at ``path``: every item of ``x[*]``, every key at ``<key>``."""
    if not path:
        yield item
        return
    step, *rest = path
    if step == "<key>":
        yield from item
        return
    each = step.endswith("[*]")
    found = item.get(step.removesuffix("[*]"), ABSENT) if isinstance(item, dict) else ABSENT
    if found is None or found is ABSENT:
        # A list that is absent has no items that could be wrong.
        if not each:
            yield ABSENT
    elif each:
        for part in found:
            yield from values(part, rest)
    else:
        yield from values(found, rest)


def _of_pod_or_container(pod: Any, field: list[str], allowed: Callable[[Any], bool]) -> bool:
    """Whether every container has an allowed value of its own, or none and the pod has one."""
    (of_pod,) = values(pod, ["spec", "securityContext", *field])
    if of_pod is not ABSENT and of_pod is not None and not allowed(of_pod):
        return False
    for container in _EACH_CONTAINER:
        for own in values(pod, [*container.split("."), "securityContext", *field]):
            unset = own is ABSENT or own is None
            if not allowed(of_pod if unset else own):
                return False
    return True


def broken_controls(pod: dict[str, Any], level: str) -> list[str]:
    """Return the names of the controls that ``pod`` (API JSON) does not meet."""
    controls = BASELINE + (RESTRICTED if level == "restricted" else [])
    broken = [
        control.name
        for control in controls
        if not all(
            control.allowed(value)
            for field in control.fields
            for value in values(pod, field.split("."))
        )
    ]
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    for key, value in annotations.items():
        if key.startswith("container.apparmor.security.beta.kubernetes.io/") and not (
            value in ("", "runtime/default") or value.startswith("localhost/")
        ):
            broken.append("AppArmor annotation")
    if level == "restricted":
        if not _of_pod_or_container(pod, ["runAsNonRoot"], one_of(True)):
            broken.append("Running as Non-root")
        profiles = one_of("RuntimeDefault", "Localhost")
        if not _of_pod_or_container(pod, ["seccompProfile", "type"], profiles):
            broken.append("Seccomp required")
        for container in _EACH_CONTAINER:
            for drop in values(
                pod, [*container.split("."), "securityContext", "capabilities", "drop"]
            ):
                if drop is ABSENT or drop is None or "ALL" not in drop:
                    broken.append("Capabilities dropped")
    return broken
