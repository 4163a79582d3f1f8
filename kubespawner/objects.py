"""Plain values in, Kubernetes objects out; the manifests of everything the spawner creates.

All results are ``kubernetes_asyncio`` models.
https://kubernetes.io/docs/reference/kubernetes-api/
"""

from __future__ import annotations

import base64
import copy
import functools
import inspect
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kubernetes_asyncio.client import models
from kubernetes_asyncio.client.models import (
    V1Container,
    V1ContainerPort,
    V1Lifecycle,
    V1Namespace,
    V1ObjectMeta,
    V1OwnerReference,
    V1PersistentVolumeClaim,
    V1PersistentVolumeClaimSpec,
    V1Pod,
    V1PodSpec,
    V1ResourceRequirements,
    V1Secret,
    V1Service,
    V1ServicePort,
    V1ServiceSpec,
    V1Toleration,
    V1Volume,
    V1VolumeMount,
)

try:
    from kubernetes_asyncio.client.models import V1VolumeResourceRequirements as _ClaimResources
except ImportError:  # clients before 29
    _ClaimResources = V1ResourceRequirements  # type: ignore[assignment, misc]

from . import podparts as parts
from .routes import SERVICE_DNS_PATTERN, make_endpoint_slice, make_ingress
from .utils import get_k8s_model, update_k8s_model

__all__ = [
    "SERVICE_DNS_PATTERN",
    "make_endpoint_slice",
    "make_ingress",
    "make_namespace",
    "make_owner_reference",
    "make_pod",
    "make_pvc",
    "make_secret",
    "make_service",
]

# Old keyword -> today's.
_OLD_POD_KEYWORDS = {
    "image_spec": "image",
    "image_pull_secret": "image_pull_secrets",
    "run_as_uid": "uid",
    "run_privileged": "privileged",
}
_STORAGE_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_TLS_VOLUME = "jupyterhub-internal-certs"
_NOT_GIVEN: Any = object()


def __getattr__(name: str) -> Any:
    """Return a model of the client: deployments import them from here, whichever we use."""
    if name.startswith("V1"):
        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _accepting_old_keywords(function: Any) -> Any:
    """Let ``function`` take the keywords of the 0.8 documentation too; today's win."""
    places = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def make_pod(*args: Any, **kwargs: Any) -> V1Pod:
        for old, new in _OLD_POD_KEYWORDS.items():
            if old not in kwargs:
                continue
            value = kwargs.pop(old)
            warnings.warn(
                f"make_pod({old}=…) is deprecated; use {new}", DeprecationWarning, stacklevel=2
            )
            if places.index(new) >= len(args):
                kwargs.setdefault(new, value)
        return function(*args, **kwargs)

    return make_pod


@_accepting_old_keywords
def make_pod(
    name: str,
    cmd: list[str] | None,
    port: int,
    image: str,
    image_pull_policy: str | None = None,
    image_pull_secrets: Any = None,
    node_selector: Mapping[str, str] | None = None,
    uid: int | None = None,
    gid: int | None = None,
    fs_gid: int | None = None,
    supplemental_gids: Iterable[int] | None = None,
    privileged: bool | None = False,
    allow_privilege_escalation: bool | None = False,
    container_security_context: Mapping[str, Any] | None = None,
    pod_security_context: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    working_dir: str | None = None,
    volumes: Iterable[Any] | None = None,
    volume_mounts: Iterable[Any] | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    cpu_limit: float | str | None = None,
    cpu_guarantee: float | str | None = None,
    mem_limit: int | str | None = None,
    mem_guarantee: int | str | None = None,
    extra_resource_limits: Mapping[str, Any] | None = None,
    extra_resource_guarantees: Mapping[str, Any] | None = None,
    lifecycle_hooks: Mapping[str, Any] | None = None,
    init_containers: Iterable[Any] | None = None,
    service_account: str | None = None,
    automount_service_account_token: bool | None = None,
    extra_container_config: Any = None,
    extra_pod_config: Any = None,
    extra_containers: Iterable[Any] | None = None,
    scheduler_name: str | None = None,
    tolerations: Iterable[Any] | None = None,
    node_affinity_preferred: Iterable[Any] | None = None,
    node_affinity_required: Iterable[Any] | None = None,
    pod_affinity_preferred: Iterable[Any] | None = None,
    pod_affinity_required: Iterable[Any] | None = None,
    pod_anti_affinity_preferred: Iterable[Any] | None = None,
    pod_anti_affinity_required: Iterable[Any] | None = None,
    priority_class_name: str | None = None,
    ssl_secret_name: str | None = None,
    ssl_secret_mount_path: str | None = None,
    logger: Any = None,
) -> V1Pod:
    """Return the pod of a notebook server.

    Dicts that stand for Kubernetes objects may have camelCase or snake_case keys at their top
    level; what is nested is passed on as it is and must be camelCase. Arguments are not changed.

    Args:
        cmd: the notebook container's `args`; its entrypoint stays the image's.
        port: container port, named `notebook-port`.
        uid, gid: of the notebook container's processes; 0 is root.
        env: name to text, or to an EnvVar object such as `{"valueFrom": {...}}`.
        extra_container_config, extra_pod_config: replace whole fields of the finished notebook
            container and pod spec.
        ssl_secret_name, ssl_secret_mount_path: secret with TLS files, and where it is mounted.
        logger: told about values that the two extra configurations replace.

    Raises:
        ValueError: unknown key of an object, or a snake_case key in a security context.
    """
    volumes = [get_k8s_model(V1Volume, v) for v in volumes or []]
    mounts = [get_k8s_model(V1VolumeMount, m) for m in volume_mounts or []]
    pod_context = parts.pod_security_context(fs_gid, supplemental_gids, pod_security_context)
    container_context = parts.container_security_context(
        uid, gid, privileged, allow_privilege_escalation, container_security_context
    )
    tls_secret: Any = None
    if ssl_secret_name and ssl_secret_mount_path:
        tls_secret = {"secretName": ssl_secret_name}
        volumes.append(V1Volume(name=_TLS_VOLUME, secret=tls_secret))
        mounts.append(V1VolumeMount(name=_TLS_VOLUME, mount_path=ssl_secret_mount_path))
        env = parts.with_tls_paths(env or {}, ssl_secret_mount_path)

    container = V1Container(
        name="notebook",
        image=image,
        args=list(cmd) if isinstance(cmd, (list, tuple)) else cmd,
        ports=[V1ContainerPort(name="notebook-port", container_port=port)],
        env=parts.env_list(env or {}),
        volume_mounts=mounts,
        working_dir=working_dir,
        resources=V1ResourceRequirements(
            requests=parts.resources(cpu_guarantee, mem_guarantee, extra_resource_guarantees),
            limits=parts.resources(cpu_limit, mem_limit, extra_resource_limits),
        ),
        image_pull_policy=image_pull_policy,
        security_context=container_context or None,
        lifecycle=get_k8s_model(V1Lifecycle, lifecycle_hooks) if lifecycle_hooks else None,
    )
    if extra_container_config:
        update_k8s_model(
            container,
            extra_container_config,
            logger=logger,
            target_name="notebook_container",
            changes_name="extra_container_config",
        )

    spec = V1PodSpec(
        containers=[container, *(get_k8s_model(V1Container, c) for c in extra_containers or [])],
        restart_policy="OnFailure",
        volumes=volumes,
        security_context=pod_context or None,
        image_pull_secrets=parts.pull_secrets(image_pull_secrets),
        node_selector=dict(node_selector) if node_selector else None,
        init_containers=[get_k8s_model(V1Container, c) for c in init_containers or []] or None,
        service_account_name=service_account or None,
        automount_service_account_token=(
            False
            if automount_service_account_token is None and not service_account
            else automount_service_account_token
        ),
        scheduler_name=scheduler_name or None,
        priority_class_name=priority_class_name or None,
        tolerations=[get_k8s_model(V1Toleration, t) for t in tolerations or []] or None,
        affinity=parts.affinity(
            node_affinity_preferred,
            node_affinity_required,
            pod_affinity_preferred,
            pod_affinity_required,
            pod_anti_affinity_preferred,
            pod_anti_affinity_required,
        ),
    )
    if extra_pod_config:
        update_k8s_model(
            spec,
            extra_pod_config,
            logger=logger,
            target_name="pod.spec",
            changes_name="extra_pod_config",
        )
    if tls_secret:
        # The two extra configurations may have replaced the security contexts.
        tls_secret["defaultMode"] = parts.tls_mode(
            spec.security_context, container.security_context
        )
    return V1Pod(
        api_version="v1",
        kind="Pod",
        metadata=V1ObjectMeta(
            name=name, labels=dict(labels or {}), annotations=dict(annotations or {})
        ),
        spec=spec,
    )


def make_pvc(
    name: str,
    storage_class: str | None,
    access_modes: list[str],
    selector: Any = None,
    storage: Any = _NOT_GIVEN,
    labels: Any = None,
    annotations: Mapping[str, str] | None = None,
) -> V1PersistentVolumeClaim:
    """Return a claim.

    The order of the 0.8 documentation (``…, access_modes, storage, labels, annotations``) is
    understood as well: a text in fourth place is the size.

    Args:
        storage_class: '' means "no class", None the cluster's default.
        access_modes: such as `["ReadWriteOnce"]`.
        selector: label selector over volumes, such as `{"matchLabels": {...}}`.
        storage: size as a quantity, such as `"10Gi"`.
    """
    if isinstance(selector, str):
        if storage is not _NOT_GIVEN:
            labels, annotations = storage, labels if annotations is None else annotations
        selector, storage = None, selector
    elif storage is _NOT_GIVEN:
        storage = None
    annotations = dict(annotations or {})
    if storage_class is not None:
        # Deprecated since Kubernetes 1.6; the 0.8 documentation promises it.
        annotations[_STORAGE_CLASS_ANNOTATION] = storage_class
    return V1PersistentVolumeClaim(
        api_version="v1",
        kind="PersistentVolumeClaim",
        metadata=V1ObjectMeta(name=name, labels=dict(labels or {}), annotations=annotations),
        spec=V1PersistentVolumeClaimSpec(
            access_modes=list(access_modes),
            resources=_ClaimResources(requests={"storage": storage}),
            storage_class_name=storage_class,
            selector=copy.deepcopy(selector) or None,
        ),
    )


def make_secret(
    name: str,
    username: str,
    cert_paths: Mapping[str, str],
    hub_ca: str,
    owner_references: list[V1OwnerReference],
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> V1Secret:
    """Return the secret with a server's TLS key, certificate and trusted authorities.

    Args:
        cert_paths: local paths ``keyfile``, ``certfile`` and ``cafile``, as the hub made them.
        hub_ca: path of the hub's CA bundle.

    Raises:
        OSError: a file can't be read.
    """
    authorities = Path(cert_paths["cafile"]).read_bytes().strip(b"\n")
    data = {
        "ssl.key": Path(cert_paths["keyfile"]).read_bytes(),
        "ssl.crt": Path(cert_paths["certfile"]).read_bytes(),
        "notebooks-ca_trust.crt": authorities + b"\n" + Path(hub_ca).read_bytes(),
    }
    return V1Secret(
        api_version="v1",
        kind="Secret",
        metadata=V1ObjectMeta(
            name=name,
            labels=dict(labels or {}),
            annotations=dict(annotations or {}),
            owner_references=owner_references,
        ),
        data={key: base64.b64encode(value).decode() for key, value in data.items()},
    )


def make_service(
    name: str,
    port: int,
    selector: Mapping[str, str],
    owner_references: list[V1OwnerReference],
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> V1Service:
    """Return a ClusterIP Service in front of the pods that ``selector`` finds."""
    return V1Service(
        kind="Service",
        metadata=V1ObjectMeta(
            name=name,
            labels=dict(labels or {}),
            annotations=dict(annotations or {}),
            owner_references=owner_references,
        ),
        spec=V1ServiceSpec(
            type="ClusterIP",
            ports=[V1ServicePort(name="http", port=port, target_port=port)],
            selector=dict(selector) if selector is not None else None,
        ),
    )


def make_namespace(
    name: str,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> V1Namespace:
    """Return a namespace."""
    return V1Namespace(
        metadata=V1ObjectMeta(
            name=name, labels=dict(labels or {}), annotations=dict(annotations or {})
        )
    )


def make_owner_reference(name: str, uid: str) -> V1OwnerReference:
    """Return a reference to the pod that owns an object, which goes when the pod goes."""
    return V1OwnerReference(
        api_version="v1",
        kind="Pod",
        name=name,
        uid=uid,
        block_owner_deletion=True,
        controller=False,
    )
