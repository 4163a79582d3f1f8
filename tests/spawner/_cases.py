"""For every setting a value, and where its effect is seen in what reached the API server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# How a setting is given: c.KubeSpawner.x, spawner.x, or a profile's kubespawner_override.
WAYS = ("config", "attribute", "override")
# Names are rendered, and namespaces chosen, when a spawner is made.
AT_CONSTRUCTION = ("config",)

STORAGE = {"storage_pvc_ensure": True, "storage_capacity": "1Gi"}
USER_NAMESPACES = {"enable_user_namespaces": True}


@dataclass(frozen=True)
class Case:
    """One setting.

    Args:
        value: what it is set to.
        see: given the objects that reached the API server (kind to API JSON), returns the part
            in which the setting shows; None if it is absent.
        expected: that part; it must be another one without the setting.
        beside: further settings, without which this one has no effect.
        ways: how it can be set.
        username: whose server.
        servername: which server.
        tls: whether JupyterHub's internal_ssl is on.
    """

    value: Any
    see: Callable[[Mapping[str, Any]], Any]
    expected: Any
    beside: Mapping[str, Any] = field(default_factory=dict)
    ways: tuple[str, ...] = WAYS
    username: str = "alice"
    servername: str = ""
    tls: bool = False


def dig(obj: Any, *keys: Any) -> Any:
    """Return the part of ``obj`` at a path of keys and indexes; None if there is none."""
    for key in keys:
        try:
            obj = obj[key]
        except (KeyError, IndexError, TypeError):
            return None
    return obj


def seen(*path: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that finds ``path`` in the objects."""
    return lambda objects: dig(objects, *path)


def pod(*path: Any) -> Callable[[Mapping[str, Any]], Any]:
    return seen("pod", "spec", *path)


def notebook(*path: Any) -> Callable[[Mapping[str, Any]], Any]:
    return pod("containers", 0, *path)


def claim(*path: Any) -> Callable[[Mapping[str, Any]], Any]:
    return seen("persistentvolumeclaim", *path)


def meta(*path: Any) -> Callable[[Mapping[str, Any]], Any]:
    return seen("pod", "metadata", *path)


def variable(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that finds an environment variable of the notebook container."""

    def see(objects: Mapping[str, Any]) -> Any:
        variables = dig(objects, "pod", "spec", "containers", 0, "env") or []
        return next((v.get("value", v) for v in variables if v["name"] == name), None)

    return see


def _tls_mount(objects: Mapping[str, Any]) -> Any:
    mounts = dig(objects, "pod", "spec", "containers", 0, "volumeMounts") or []
    return [m["mountPath"] for m in mounts if m["name"] == "jupyterhub-internal-certs"]


def _set_annotation(spawner: Any, pod: Any) -> Any:
    pod.metadata.annotations["hook"] = f"was here for {spawner.user.name}"
    return pod


_HOME = {"name": "home", "emptyDir": {}}
_EXPRESSION = {"key": "zone", "operator": "In", "values": ["a", "b"]}
_PREFERRED_NODE = {"weight": 7, "preference": {"matchExpressions": [_EXPRESSION]}}
_REQUIRED_NODE = {"matchExpressions": [_EXPRESSION]}
_NEAR = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}}
_WEIGHTED = {"weight": 9, "podAffinityTerm": _NEAR}
_TOLERATION = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
_EXPOSED = {"exec": {"command": ["true"]}}

CONTAINER = {
    "image": Case("registry.example/lab:7", notebook("image"), "registry.example/lab:7"),
    "image_pull_policy": Case("Never", notebook("imagePullPolicy"), "Never"),
    "image_pull_secrets": Case(["pull"], pod("imagePullSecrets"), [{"name": "pull"}]),
    "cmd": Case(["run", "it"], notebook("args"), ["run", "it"]),
    "args": Case(
        ["--flag={username}"], notebook("args"), ["run", "--flag={username}"], {"cmd": ["run"]}
    ),
    "working_dir": Case("/srv/{username}", notebook("workingDir"), "/srv/alice"),
    "environment": Case({"GREETING": "hello {username}"}, variable("GREETING"), "hello alice"),
    "env_keep": Case(["KEPT_FOR_SERVERS"], variable("KEPT_FOR_SERVERS"), "kept"),
    "ip": Case("::", variable("JUPYTERHUB_SERVICE_URL"), "http://[::]:8888/"),
    "port": Case(9000, notebook("ports", 0, "containerPort"), 9000),
    "init_containers": Case(
        [{"name": "init", "image": "busybox:1", "command": ["echo", "{username}"]}],
        pod("initContainers", 0, "command"),
        ["echo", "alice"],
    ),
    "extra_containers": Case(
        {"b": {"name": "side", "image": "busybox:1", "args": ["{username}"]}},
        pod("containers", 1, "args"),
        ["alice"],
    ),
    "lifecycle_hooks": Case(
        {"postStart": _EXPOSED}, notebook("lifecycle"), {"postStart": _EXPOSED}
    ),
    "extra_container_config": Case(
        {"envFrom": [{"configMapRef": {"name": "more"}}]},
        notebook("envFrom"),
        [{"configMapRef": {"name": "more"}}],
    ),
    "extra_pod_config": Case({"hostname": "{username}-host"}, pod("hostname"), "alice-host"),
}

RESOURCES = {
    "cpu_limit": Case(1.5, notebook("resources", "limits", "cpu"), "1500m"),
    "cpu_guarantee": Case(0.5, notebook("resources", "requests", "cpu"), "500m"),
    "mem_limit": Case("1G", notebook("resources", "limits", "memory"), str(2**30)),
    "mem_guarantee": Case("512M", notebook("resources", "requests", "memory"), str(2**29)),
    "extra_resource_limits": Case(
        {"nvidia.com/gpu": "1"}, notebook("resources", "limits", "nvidia.com/gpu"), "1"
    ),
    "extra_resource_guarantees": Case(
        {"ephemeral-storage": "2Gi"}, notebook("resources", "requests", "ephemeral-storage"), "2Gi"
    ),
}

SECURITY = {
    "pod_security": Case(
        "restricted",
        pod("securityContext"),
        {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    ),
    "uid": Case(1001, notebook("securityContext", "runAsUser"), 1001),
    "gid": Case(1002, notebook("securityContext", "runAsGroup"), 1002),
    "fs_gid": Case(1003, pod("securityContext", "fsGroup"), 1003),
    "supplemental_gids": Case([7, 8], pod("securityContext", "supplementalGroups"), [7, 8]),
    "privileged": Case(True, notebook("securityContext", "privileged"), True),
    "allow_privilege_escalation": Case(
        True, notebook("securityContext", "allowPrivilegeEscalation"), True
    ),
    "container_security_context": Case(
        {"capabilities": {"drop": ["ALL"]}},
        notebook("securityContext", "capabilities"),
        {"drop": ["ALL"]},
    ),
    "pod_security_context": Case(
        {"fsGroupChangePolicy": "OnRootMismatch"},
        pod("securityContext", "fsGroupChangePolicy"),
        "OnRootMismatch",
    ),
    "service_account": Case("for-{username}", pod("serviceAccountName"), "for-alice"),
    "automount_service_account_token": Case(True, pod("automountServiceAccountToken"), True),
}

STORAGE_CASES = {
    "storage_pvc_ensure": Case(
        True, claim("metadata", "name"), "claim-alice", {"storage_capacity": "1Gi"}
    ),
    "storage_capacity": Case(
        "3Gi", claim("spec", "resources", "requests", "storage"), "3Gi", STORAGE
    ),
    "storage_class": Case("fast", claim("spec", "storageClassName"), "fast", STORAGE),
    "storage_access_modes": Case(
        ["ReadWriteMany"], claim("spec", "accessModes"), ["ReadWriteMany"], STORAGE
    ),
    "storage_selector": Case(
        {"matchLabels": {"of": "{username}"}},
        claim("spec", "selector"),
        {"matchLabels": {"of": "alice"}},
        STORAGE,
    ),
    "storage_extra_labels": Case(
        {"of": "{username}"}, claim("metadata", "labels", "of"), "alice", STORAGE
    ),
    "storage_extra_annotations": Case(
        {"of": "{username} {servername}"},
        claim("metadata", "annotations", "of"),
        "alice ",
        STORAGE,
    ),
    "pvc_name_template": Case(
        "home-of-{username}",
        claim("metadata", "name"),
        "home-of-alice",
        STORAGE,
        AT_CONSTRUCTION,
    ),
    "volumes": Case(
        [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}],
        pod("volumes", 0, "persistentVolumeClaim", "claimName"),
        "claim-alice",
        STORAGE,
    ),
    "volume_mounts": Case(
        [{"name": "home", "mountPath": "/home/{username}"}],
        notebook("volumeMounts", 0, "mountPath"),
        "/home/alice",
        {"volumes": [_HOME]},
    ),
}

_AFFINITY = {
    "preferred": "preferredDuringSchedulingIgnoredDuringExecution",
    "required": "requiredDuringSchedulingIgnoredDuringExecution",
}


def _affinity(kind: str, how: str, value: Any, *path: Any) -> Case:
    return Case([value], pod("affinity", kind, _AFFINITY[how], *path), [value])


SCHEDULING = {
    "node_selector": Case({"disk": "ssd"}, pod("nodeSelector"), {"disk": "ssd"}),
    "scheduler_name": Case("packing", pod("schedulerName"), "packing"),
    "priority_class_name": Case("users", pod("priorityClassName"), "users"),
    "tolerations": Case([_TOLERATION], pod("tolerations", 0), _TOLERATION),
    "node_affinity_preferred": _affinity("nodeAffinity", "preferred", _PREFERRED_NODE),
    "node_affinity_required": _affinity(
        "nodeAffinity", "required", _REQUIRED_NODE, "nodeSelectorTerms"
    ),
    "pod_affinity_preferred": _affinity("podAffinity", "preferred", _WEIGHTED),
    "pod_affinity_required": _affinity("podAffinity", "required", _NEAR),
    "pod_anti_affinity_preferred": _affinity("podAntiAffinity", "preferred", _WEIGHTED),
    "pod_anti_affinity_required": _affinity("podAntiAffinity", "required", _NEAR),
}

NAMES = {
    "namespace": Case("elsewhere", meta("namespace"), "elsewhere"),
    "enable_user_namespaces": Case(True, meta("namespace"), "user-alice", ways=AT_CONSTRUCTION),
    "user_namespace_template": Case(
        "ns-of-{username}",
        seen("namespace", "metadata", "name"),
        "ns-of-alice",
        USER_NAMESPACES,
        AT_CONSTRUCTION,
    ),
    "user_namespace_labels": Case(
        {"of": "{username}"},
        seen("namespace", "metadata", "labels", "of"),
        "alice",
        USER_NAMESPACES,
    ),
    "user_namespace_annotations": Case(
        {"of": "{username}"},
        seen("namespace", "metadata", "annotations", "of"),
        "alice",
        USER_NAMESPACES,
    ),
    "slug_scheme": Case(
        "escape", meta("name"), "jupyter-a-40b", ways=AT_CONSTRUCTION, username="a@b"
    ),
    "pod_name_template": Case(
        "server-{servername}-of-{username}",
        meta("name"),
        "server-lab-of-alice",
        ways=AT_CONSTRUCTION,
        servername="lab",
    ),
    "secret_name_template": Case(
        "tls-of-{username}", seen("secret", "metadata", "name"), "tls-of-alice", tls=True
    ),
    "secret_mount_path": Case("/run/tls", _tls_mount, ["/run/tls/"], tls=True),
    "component_label": Case("other-hub", meta("labels", "component"), "other-hub"),
    "services_enabled": Case(True, seen("service", "metadata", "name"), "jupyter-alice"),
    "hub_connect_ip": Case(
        "hub.example", variable("JUPYTERHUB_API_URL"), "http://hub.example:8081/hub/api"
    ),
    "hub_connect_port": Case(9999, variable("JUPYTERHUB_API_URL"), "http://127.0.0.1:9999/hub/api"),
}

METADATA = {
    "common_labels": Case({"app": "classroom"}, meta("labels", "app"), "classroom"),
    "extra_labels": Case({"of": "{username}"}, meta("labels", "of"), "alice"),
    "extra_annotations": Case({"of": "<{username}>"}, meta("annotations", "of"), "<alice>"),
    "modify_pod_hook": Case(_set_annotation, meta("annotations", "hook"), "was here for alice"),
}

# Settings of KubeSpawner itself whose effect is in an object.
MANIFESTS = {
    **CONTAINER,
    **RESOURCES,
    **SECURITY,
    **STORAGE_CASES,
    **SCHEDULING,
    **NAMES,
    **METADATA,
}

# Settings of JupyterHub that the seed documentation lists as well.
OF_JUPYTERHUB = {
    "debug": Case(True, variable("JUPYTERHUB_DEBUG"), "1"),
    "default_url": Case("/lab", variable("JUPYTERHUB_DEFAULT_URL"), "/lab"),
    "disable_user_config": Case(True, variable("JUPYTERHUB_DISABLE_USER_CONFIG"), "1"),
    "notebook_dir": Case("/work", variable("JUPYTERHUB_ROOT_DIR"), "/work"),
}

# Every setting of the seed documentation, with today's name.
SEED = {
    **{
        name: name
        for name in [
            "args",
            "cmd",
            "cpu_guarantee",
            "cpu_limit",
            "debug",
            "default_url",
            "disable_user_config",
            "env_keep",
            "environment",
            "extra_resource_guarantees",
            "extra_resource_limits",
            "http_timeout",
            "hub_connect_ip",
            "hub_connect_port",
            "ip",
            "k8s_api_threadpool_workers",
            "mem_guarantee",
            "mem_limit",
            "modify_pod_hook",
            "namespace",
            "notebook_dir",
            "options_form",
            "pod_name_template",
            "poll_interval",
            "port",
            "pre_spawn_hook",
            "pvc_name_template",
            "start_timeout",
            "volume_mounts",
            "volumes",
        ]
    },
    **{
        f"singleuser_{name}": name
        for name in [
            "extra_annotations",
            "extra_container_config",
            "extra_containers",
            "extra_labels",
            "extra_pod_config",
            "fs_gid",
            "image_pull_policy",
            "image_pull_secrets",
            "init_containers",
            "lifecycle_hooks",
            "node_selector",
            "privileged",
            "service_account",
            "uid",
            "working_dir",
        ]
    },
    "singleuser_image_spec": "image",
    **{
        f"user_storage_{name}": f"storage_{name}"
        for name in ["access_modes", "capacity", "class", "extra_labels", "pvc_ensure"]
    },
}

# Settings whose effect is no field of an object -> tests that show it.
BEHAVIOURS: dict[str, list[str]] = {}


def shows(*names: str) -> Callable[[Any], Any]:
    """Mark a test as the one that sets ``names`` and sees their effect."""

    def mark(test: Any) -> Any:
        for name in names:
            BEHAVIOURS.setdefault(name, []).append(test.__name__)
        return test

    return mark
