"""The Pod Security Standards: what a pod needs to meet them, and what in it does not. Pure.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .utils import plain

Plain = Mapping[str, Any]

_BASELINE_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_RESTRICTED_CAPABILITIES = frozenset({"NET_BIND_SERVICE"})
_RESTRICTED_VOLUMES = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
        *("persistentVolumeClaim", "projected", "secret"),
    }
)
_PROFILES = frozenset({"RuntimeDefault", "Localhost"})
_SELINUX_TYPES = frozenset(
    {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
)
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
# Which setting makes what of the notebook container and of the pod.
_CONTAINER_SETTINGS = {
    "privileged": "privileged",
    "allowPrivilegeEscalation": "allow_privilege_escalation",
    "runAsUser": "uid",
    "ports": "extra_container_config",
    "lifecycle": "lifecycle_hooks",
    **dict.fromkeys(_PROBES, "extra_container_config"),
}


def harden(pod: Any) -> None:
    """Set in ``pod`` (a ``V1Pod``) what the level *restricted* asks for and nobody has set.

    What is set stays, also where it is against the rules: :func:`violations` tells of it.
    """
    context = plain(pod.spec.security_context) or {}
    context.setdefault("runAsNonRoot", True)
    context.setdefault("seccompProfile", {"type": "RuntimeDefault"})
    pod.spec.security_context = context
    for container in (*(pod.spec.init_containers or ()), *(pod.spec.containers or ())):
        # A hook may have added one as a dict.
        is_dict = isinstance(container, dict)
        own = container.pop("securityContext", None) if is_dict else container.security_context
        own = plain(own) or {}
        own.setdefault("allowPrivilegeEscalation", False)
        own["capabilities"] = {"drop": ["ALL"], **(own.get("capabilities") or {})}
        if is_dict:
            container["securityContext"] = own
        else:
            container.security_context = own


def violations(pod: Any, level: str) -> list[str]:
    """Return a sentence for all that ``level`` does not allow, naming both settings.

    Args:
        pod: a ``V1Pod`` or API JSON.
        level: ``baseline`` or ``restricted``; '' allows everything.
    """
    if not level:
        return []
    found = _baseline(_Pod.of(plain(pod)))
    if level == "restricted":
        found = _restricted(_Pod.of(plain(pod)), list(found))
    return [f"{what}, which KubeSpawner.pod_security = {level!r} does not allow" for what in found]


@dataclass(frozen=True)
class _Container:
    """A container, and how its settings are called."""

    item: Plain
    number: int
    is_init: bool

    @property
    def context(self) -> Plain:
        return self.item.get("securityContext") or {}

    def setting(self, field: str) -> str:
        if self.number == 0 and not self.is_init:
            return f"KubeSpawner.{_CONTAINER_SETTINGS.get(field, 'container_security_context')}"
        which = "init_containers" if self.is_init else "extra_containers"
        return f"KubeSpawner.{which}, container {self.item.get('name')!r}"


@dataclass(frozen=True)
class _Pod:
    """The parts of a pod that the rules are about."""

    annotations: Plain
    spec: Plain
    containers: list[_Container]

    @classmethod
    def of(cls, pod: Plain) -> _Pod:
        spec = pod.get("spec") or {}
        containers = [
            _Container(item, number, field == "initContainers")
            for field in ("containers", "initContainers")
            for number, item in enumerate(spec.get(field) or ())
        ]
        return cls((pod.get("metadata") or {}).get("annotations") or {}, spec, containers)

    @property
    def context(self) -> Plain:
        return self.spec.get("securityContext") or {}

    def contexts(self) -> Iterator[tuple[Plain, Callable[[str], str]]]:
        """Yield every security context, and what names the setting of one of its fields."""
        yield self.context, lambda field: "KubeSpawner.pod_security_context"
        for container in self.containers:
            yield container.context, container.setting


# ---- baseline ----------------------------------------------------------------------------


def _baseline(pod: _Pod) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(field):
            yield f"KubeSpawner.extra_pod_config: {field} is on"
    for volume in pod.spec.get("volumes") or ():
        if "hostPath" in volume:
            yield f"KubeSpawner.volumes: {volume.get('name')!r} is a hostPath"
    for sysctl in pod.context.get("sysctls") or ():
        if sysctl.get("name") not in _SYSCTLS:
            yield f"KubeSpawner.pod_security_context: the sysctl {sysctl.get('name')!r} is set"
    for key, profile in pod.annotations.items():
        if key.startswith(_APPARMOR) and not _is_apparmor(profile):
            yield f"KubeSpawner.extra_annotations: {key} is {profile!r}"
    for context, setting in pod.contexts():
        yield from _context(context, setting)
    for container in pod.containers:
        yield from _privileges(container)
        yield from _addresses(container)


def _is_apparmor(profile: Any) -> bool:
    return profile in ("", "runtime/default") or str(profile).startswith("localhost/")


def _context(context: Plain, setting: Callable[[str], str]) -> Iterator[str]:
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{setting('windowsOptions')}: windowsOptions.hostProcess is on"
    for field, allowed in (("seccompProfile", _PROFILES), ("appArmorProfile", _PROFILES)):
        kind = (context.get(field) or {}).get("type")
        if kind is not None and kind not in allowed:
            yield f"{setting(field)}: {field} is {kind!r}"
    labels = context.get("seLinuxOptions") or {}
    if labels.get("type", "") not in _SELINUX_TYPES:
        yield f"{setting('seLinuxOptions')}: seLinuxOptions.type is {labels['type']!r}"
    for field in ("user", "role"):
        if labels.get(field):
            yield f"{setting('seLinuxOptions')}: seLinuxOptions.{field} is set"


def _privileges(container: _Container) -> Iterator[str]:
    context = container.context
    if context.get("privileged"):
        yield f"{container.setting('privileged')}: privileged is on"
    if context.get("procMount", "Default") != "Default":
        yield f"{container.setting('procMount')}: procMount is {context['procMount']!r}"
    added = set((context.get("capabilities") or {}).get("add") or ())
    if added - _BASELINE_CAPABILITIES:
        names = ", ".join(sorted(added - _BASELINE_CAPABILITIES))
        yield f"{container.setting('capabilities')}: the capabilities {names} are added"


def _addresses(container: _Container) -> Iterator[str]:
    for port in container.item.get("ports") or ():
        if port.get("hostPort"):
            yield f"{container.setting('ports')}: hostPort is {port['hostPort']}"
    handlers = [(field, container.item.get(field) or {}) for field in _PROBES]
    lifecycle = container.item.get("lifecycle") or {}
    handlers += [("lifecycle", handler or {}) for handler in lifecycle.values()]
    for field, handler in handlers:
        for way in ("httpGet", "tcpSocket"):
            if (handler.get(way) or {}).get("host"):
                yield f"{container.setting(field)}: {field} asks another host"


# ---- restricted --------------------------------------------------------------------------


def _restricted(pod: _Pod, baseline: list[str]) -> Iterator[str]:
    yield from baseline
    for volume in pod.spec.get("volumes") or ():
        kinds = set(volume) - {"name"} - _RESTRICTED_VOLUMES - {"hostPath"}
        if kinds:
            yield f"KubeSpawner.volumes: {volume.get('name')!r} is a {', '.join(sorted(kinds))}"
    for context, setting in pod.contexts():
        if context.get("runAsUser") == 0:
            yield f"{setting('runAsUser')}: the user is 0, which is root"
        if context.get("runAsNonRoot") is False:
            yield f"{setting('runAsNonRoot')}: runAsNonRoot is off"
    for container in pod.containers:
        yield from _restricted_container(container, pod.context)


def _restricted_container(container: _Container, of_pod: Plain) -> Iterator[str]:
    context = container.context
    if not of_pod.get("runAsNonRoot") and context.get("runAsNonRoot") is None:
        yield f"{container.setting('runAsNonRoot')}: runAsNonRoot is not set"
    if not of_pod.get("seccompProfile") and not context.get("seccompProfile"):
        yield f"{container.setting('seccompProfile')}: seccompProfile is not set"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{container.setting('allowPrivilegeEscalation')}: privilege escalation is allowed"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield f"{container.setting('capabilities')}: not all capabilities are dropped"
    # What not even the baseline allows has been told.
    added = set(capabilities.get("add") or ()) & _BASELINE_CAPABILITIES - _RESTRICTED_CAPABILITIES
    if added:
        names = ", ".join(sorted(added))
        yield f"{container.setting('capabilities')}: the capabilities {names} are added"
