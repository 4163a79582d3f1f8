"""From traits to manifests: what of one server goes to the API server, and under which names.

:class:`Manifests` is a mixin of ``KubeSpawner``. It reads traits, expands templates and hands
plain values to :mod:`kubespawner.objects`; it talks to nobody.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jupyterhub
from kubernetes_asyncio.client.models import (
    V1OwnerReference,
    V1PersistentVolumeClaim,
    V1Pod,
    V1Secret,
    V1Service,
)

from . import naming
from ._version import __version__
from .asking import ask
from .config import SpawnerConfig, _sorted_dict_values
from .errors import ConfigurationError
from .hubplace import hub_namespace
from .objects import make_pod, make_pvc, make_secret, make_service
from .podsecurity import harden
from .slugs import is_valid_label, safe_slug

USERNAME = "hub.jupyter.org/username"
SERVERNAME = "hub.jupyter.org/servername"
SPAWN_ID = "hub.jupyter.org/spawn-id"
# Which hub made an object: its namespace and component label.
HUB = "hub.jupyter.org/hub"


class Manifests(SpawnerConfig):
    """Names, labels, environment and manifests of one server."""

    # What the hub's Spawner provides beside the traits.
    user: Any
    name: str
    hub: Any
    log: Any
    cert_paths: dict[str, str]
    get_args: Callable[[], list[str]]
    is_configured: Callable[[str], bool]

    pod_name: str
    pvc_name: str
    # The rendered value of `working_dir`, so that it is not expanded a second time.
    _rendered_working_dir: str | None = None
    # None: follow pod name and namespace; text: set by state, a hook or a subclass.
    _own_dns_name: str | None = None
    _own_secret_name: str | None = None
    _spawn_id: str = ""

    # ---- names -------------------------------------------------------------------------

    @property
    def dns_name(self) -> str:
        """DNS name under which the server's Service is reached; follows pod name and namespace."""
        return self._own_dns_name or self._render_dns_name()

    @dns_name.setter
    def dns_name(self, value: str) -> None:
        self._own_dns_name = value

    @property
    def secret_name(self) -> str:
        """Name of the TLS secret; follows pod name and namespace."""
        return self._own_secret_name or self._expand_user_properties(self.secret_name_template)

    @secret_name.setter
    def secret_name(self, value: str) -> None:
        self._own_secret_name = value

    def _render_dns_name(self) -> str:
        return self.dns_name_template.format(namespace=self.namespace, name=self.pod_name)

    def _identity(self) -> naming.ServerIdentity:
        return naming.ServerIdentity(
            username=self.user.name,
            servername=self.name,
            userid=self.user.id,
            hub_namespace=hub_namespace(),
            slug_scheme=self.slug_scheme,
        )

    def _template_fields(self, slug_scheme: str | None = None) -> Mapping[str, object]:
        return naming.template_fields(
            self._identity(),
            slug_scheme=slug_scheme,
            pod_name=getattr(self, "pod_name", None),
            pvc_name=getattr(self, "pvc_name", None),
            namespace=self.namespace,
        )

    def _expand_user_properties(self, template: str, slug_scheme: str | None = None) -> str:
        """Return ``template`` with this server's fields filled in (``config.md`` of the docs).

        Raises:
            KeyError, ValueError, IndexError: unknown field, stray brace, positional field.
        """
        return naming.expand(template, self._template_fields(slug_scheme))

    def _render_for(self, servername: str, template: str) -> str:
        """Return ``template`` as another server of the same user would render it."""
        identity = naming.ServerIdentity(
            username=self.user.name,
            servername=servername,
            userid=self.user.id,
            hub_namespace=hub_namespace(),
            slug_scheme=self.slug_scheme,
        )
        fields = naming.template_fields(identity, namespace=self.namespace)
        if "{pod_name" in template:
            pod_name = naming.expand(self.pod_name_template, fields)
            fields = naming.template_fields(identity, pod_name=pod_name, namespace=self.namespace)
        return naming.expand(template, fields)

    def _expand_all(self, src: Any) -> Any:
        """Expand every string in ``src``: list items and dict values in depth, nothing else."""
        return naming.expand_all(src, self._template_fields())

    def _working_dir(self) -> str | None:
        if not self.working_dir or self.working_dir == self._rendered_working_dir:
            return self.working_dir
        return self._expand_user_properties(self.working_dir)

    # ---- labels and annotations --------------------------------------------------------

    def _build_common_labels(self, extra_labels: Mapping[str, str]) -> dict[str, str]:
        """Return the labels of every object: user name, then ``extra_labels``, then common ones."""
        return {
            USERNAME: safe_slug(self.user.name, is_valid=is_valid_label),
            **extra_labels,
            **self.common_labels,
        }

    def _build_pod_labels(self, extra_labels: Mapping[str, str]) -> dict[str, str]:
        """Return the labels of the pod; its ``component`` is what the hub watches by."""
        return {
            **self._build_common_labels(extra_labels),
            "app.kubernetes.io/component": self.component_label,
            "component": self.component_label,
            SERVERNAME: safe_slug(self.name, is_valid=is_valid_label) if self.name else "",
        }

    def _build_common_annotations(self, extra_annotations: Mapping[str, str]) -> dict[str, str]:
        """Return the annotations of every object: raw names and versions, then the extra ones."""
        annotations = {USERNAME: self.user.name}
        if self.name:
            annotations[SERVERNAME] = self.name
        annotations[HUB] = f"{hub_namespace()}/{self.component_label}"
        annotations["hub.jupyter.org/kubespawner-version"] = __version__
        annotations["hub.jupyter.org/jupyterhub-version"] = jupyterhub.__version__
        annotations.update(extra_annotations)
        return annotations

    # ---- environment -------------------------------------------------------------------

    def get_env(self) -> dict[str, Any]:
        """Return the environment of the notebook container.

        JupyterHub's own, then ``JUPYTER_IMAGE`` and ``JUPYTER_IMAGE_SPEC``, then the expanded
        entries of ``environment``, which win over all of it.

        Raises:
            ConfigurationError: a value that is no text, number or EnvVar object.
        """
        env = super().get_env()  # type: ignore[misc]
        env["JUPYTER_IMAGE_SPEC"] = env["JUPYTER_IMAGE"] = self.image
        env.update(self._expand_env(self.environment))
        return {name: self._env_value(name, value) for name, value in env.items()}

    def _expand_env(self, env: Mapping[str, Any]) -> dict[str, Any]:
        """Expand the configured entries; results of callables are the hub's and stay as they are."""
        return {
            name: self._expand_all(value)
            for name, value in env.items()
            if isinstance(value, (str, list, dict))
        }

    def _env_value(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, (str, dict)) or hasattr(value, "attribute_map"):
            return value
        if isinstance(value, (bool, int, float)):
            return str(value)
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise ConfigurationError(
                f"KubeSpawner.environment[{name!r}] is a callable that returns an awaitable; "
                "JupyterHub does not await it. Use pre_spawn_hook for asynchronous work."
            )
        raise ConfigurationError(
            f"KubeSpawner.environment[{name!r}] is {value!r}, of type {type(value).__name__}; "
            'it must be text, a number, or an EnvVar object such as {"valueFrom": {...}}.'
        )

    # ---- manifests ---------------------------------------------------------------------

    def _command(self) -> list[str] | None:
        if self.cmd:
            return list(self.cmd) + list(self.get_args())
        if self.args:
            self.log.warning(
                "KubeSpawner.args is ignored without KubeSpawner.cmd: a container's args replace "
                "its image's command, which is unknown here. Set cmd as well. args: %s",
                self.args,
            )
        return None

    def _allow_privilege_escalation(self, context: Mapping[str, Any]) -> bool | None:
        # The API server refuses `privileged: true` beside `allowPrivilegeEscalation: false`, and
        # False is merely our default: https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
        privileged = context.get("privileged", self.privileged)
        if privileged and self.allow_privilege_escalation is False:
            return False if self.is_configured("allow_privilege_escalation") else None
        return self.allow_privilege_escalation

    async def _answer(self, setting: str) -> Any:
        """Return the value of a setting that may be a callable, possibly async.

        Raises:
            HookError: the callable failed.
        """
        return await ask(setting, getattr(self, setting), self)

    async def _unix_id(self, setting: str) -> int | None:
        value = await self._answer(setting)
        return None if value is None else _as_id(setting, value)

    async def _unix_ids(self, setting: str) -> list[int]:
        values = await self._answer(setting)
        if not isinstance(values, (list, tuple, set, type(None))):
            raise _wrong_answer(setting, values, "a list of group IDs")
        return [_as_id(setting, value) for value in values or ()]

    async def _context(self, setting: str) -> Mapping[str, Any]:
        value = await self._answer(setting)
        if value is not None and not isinstance(value, Mapping):
            raise _wrong_answer(setting, value, "a dict with camelCase keys")
        return value or {}

    async def get_pod_manifest(self) -> V1Pod:
        """Return the manifest of this server's pod, before ``modify_pod_hook``."""
        expand = self._expand_all
        container_context = await self._context("container_security_context")
        pod = make_pod(
            name=self.pod_name,
            cmd=self._command(),
            port=self.port,
            image=self.image,
            image_pull_policy=self.image_pull_policy,
            image_pull_secrets=self.image_pull_secrets,
            node_selector=self.node_selector,
            uid=await self._unix_id("uid"),
            gid=await self._unix_id("gid"),
            fs_gid=await self._unix_id("fs_gid"),
            supplemental_gids=await self._unix_ids("supplemental_gids"),
            privileged=self.privileged,
            allow_privilege_escalation=self._allow_privilege_escalation(container_context),
            container_security_context=container_context,
            pod_security_context=await self._context("pod_security_context"),
            env=self.get_env(),
            working_dir=self._working_dir(),
            volumes=expand(_sorted_dict_values(self.volumes)),
            volume_mounts=expand(_sorted_dict_values(self.volume_mounts)),
            labels=self._build_pod_labels(expand(self.extra_labels)),
            annotations=self._build_common_annotations(expand(self.extra_annotations)),
            cpu_limit=self.cpu_limit,
            cpu_guarantee=self.cpu_guarantee,
            mem_limit=self.mem_limit,
            mem_guarantee=self.mem_guarantee,
            extra_resource_limits=self.extra_resource_limits,
            extra_resource_guarantees=self.extra_resource_guarantees,
            lifecycle_hooks=self.lifecycle_hooks,
            init_containers=expand(_sorted_dict_values(self.init_containers)),
            service_account=expand(self.service_account) or None,
            automount_service_account_token=self.automount_service_account_token,
            extra_container_config=self.extra_container_config,
            extra_pod_config=expand(self.extra_pod_config),
            extra_containers=expand(_sorted_dict_values(self.extra_containers)),
            scheduler_name=self.scheduler_name,
            tolerations=_sorted_dict_values(self.tolerations),
            node_affinity_preferred=_sorted_dict_values(self.node_affinity_preferred),
            node_affinity_required=_sorted_dict_values(self.node_affinity_required),
            pod_affinity_preferred=_sorted_dict_values(self.pod_affinity_preferred),
            pod_affinity_required=_sorted_dict_values(self.pod_affinity_required),
            pod_anti_affinity_preferred=_sorted_dict_values(self.pod_anti_affinity_preferred),
            pod_anti_affinity_required=_sorted_dict_values(self.pod_anti_affinity_required),
            priority_class_name=self.priority_class_name,
            ssl_secret_name=self.secret_name if self._internal_tls else None,
            ssl_secret_mount_path=self.secret_mount_path,
            logger=self.log,
        )
        self._harden(pod)
        return pod

    def _harden(self, pod: V1Pod) -> None:
        if self.pod_security == "restricted":
            harden(pod)

    @property
    def _internal_tls(self) -> bool:
        return bool(self.internal_ssl)  # type: ignore[attr-defined]

    def get_pvc_manifest(self) -> V1PersistentVolumeClaim:
        """Return the manifest of this server's claim."""
        labels = self._build_common_labels(self._expand_all(self.storage_extra_labels))
        labels.update(
            {"app.kubernetes.io/component": self.component_label, "component": "singleuser-storage"}
        )
        return make_pvc(
            name=self.pvc_name,
            storage_class=self.storage_class,
            access_modes=self.storage_access_modes,
            selector=self._expand_all(self.storage_selector),
            storage=self.storage_capacity,
            labels=labels,
            annotations=self._build_common_annotations(
                self._expand_all(self.storage_extra_annotations)
            ),
        )

    def get_secret_manifest(self, owner_reference: V1OwnerReference) -> V1Secret:
        """Return the secret with the server's TLS certificates, owned by its pod.

        Reads the certificate files that the hub made (``cert_paths``).
        """
        return make_secret(
            name=self.secret_name,
            username=self.user.name,
            cert_paths=self.cert_paths,
            hub_ca=self.internal_trust_bundles["hub-ca"],  # type: ignore[attr-defined]
            owner_references=[owner_reference],
            labels=self._build_common_labels(self._expand_all(self.extra_labels)),
            annotations=self._build_common_annotations(self._expand_all(self.extra_annotations)),
        )

    def get_service_manifest(self, owner_reference: V1OwnerReference, port: int) -> V1Service:
        """Return the Service named like the pod, selecting it by its labels."""
        labels = self._expand_all(self.extra_labels)
        return make_service(
            name=self.pod_name,
            port=port,
            selector=self._build_pod_labels(labels),
            owner_references=[owner_reference],
            labels=self._build_common_labels(labels),
            annotations=self._build_common_annotations(self._expand_all(self.extra_annotations)),
        )


def _as_id(setting: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise _wrong_answer(setting, value, "a whole number") from None


def _wrong_answer(setting: str, value: Any, expected: str) -> ConfigurationError:
    return ConfigurationError(f"KubeSpawner.{setting} gave {value!r}; it must give {expected}")
