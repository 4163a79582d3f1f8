"""What goes with a pod: its TLS secret, its Service, and the hook after its creation.

:class:`Companions` is a mixin of ``KubeSpawner``. All companions are owned by the pod, so the
cluster removes them with it.
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kubernetes_asyncio.client import ApiException

from .addresses import Addresses
from .asking import ask, resolve
from .errors import ConfigurationError, SpawnError
from .kube.requests import ApiUnavailable, Deadline
from .objects import make_owner_reference
from .ownership import Owner, described_owner, is_pod_of, uid_of
from .watching import Watching


class Companions(Watching, Addresses):
    """Secret, Service and ``after_pod_created_hook`` of one pod."""

    _owner: Owner

    async def _make_companions(self, pod: Mapping[str, Any], deadline: Deadline) -> None:
        """Make what the configuration asks for beside ``pod`` (API JSON), then call the hook."""
        reference = make_owner_reference(self.pod_name, uid_of(pod))
        if self._internal_tls:
            await self._put("secret", self.get_secret_manifest(reference), deadline)
        if self._internal_tls or self.services_enabled:
            service = self.get_service_manifest(reference, self._get_pod_port(pod))
            await self._put("service", service, deadline)
        if self.after_pod_created_hook:
            await ask("after_pod_created_hook", self.after_pod_created_hook, self, dict(pod))

    async def _put(self, kind: str, manifest: Any, deadline: Deadline) -> None:
        """Create ``manifest``, or replace in place what an earlier pod of this server left.

        Raises:
            SpawnError: an object of that name belongs to somebody else.
        """
        name = manifest.metadata.name
        while True:
            try:
                await self._requests.create(
                    self.api, kind, manifest, self.namespace, deadline=deadline
                )
                return
            except ApiException as e:
                if e.status != 409:
                    raise
            present = await self._requests.read(
                self.api, kind, name, self.namespace, deadline=deadline
            )
            if present is None:
                continue
            self._check_replaceable(kind, name, present)
            if await self._replace(kind, manifest, present, deadline):
                return

    def _check_replaceable(self, kind: str, name: str, present: Mapping[str, Any]) -> None:
        # Companions carry no component label of their own; the pod check's user and server
        # annotations decide, with the label taken as given.
        marked = {
            "metadata": {
                **(present.get("metadata") or {}),
                "labels": {"component": self.component_label},
            }
        }
        if is_pod_of(self._owner, marked):
            return
        raise SpawnError(
            "Another server already uses a name that yours would get. "
            "Please tell the administrator of this hub.",
            reason="NameCollision",
            admin_message=(
                f"The {kind} {self.namespace}/{name} belongs to {described_owner(present)}, "
                f"not to {self._owner}; it is left alone."
            ),
            status_code=409,
        )

    async def _replace(
        self, kind: str, manifest: Any, present: Mapping[str, Any], deadline: Deadline
    ) -> bool:
        """Replace ``present`` by ``manifest``; False if it has to be created after all."""
        manifest.metadata.resource_version = present["metadata"]["resourceVersion"]
        if kind == "service":
            # Immutable once given: https://kubernetes.io/docs/concepts/services-networking/service/
            spec = present.get("spec") or {}
            manifest.spec.cluster_ip = spec.get("clusterIP")
            manifest.spec.cluster_i_ps = spec.get("clusterIPs")
        name = manifest.metadata.name
        try:
            await self._requests.replace(
                self.api, kind, name, manifest, self.namespace, deadline=deadline
            )
            return True
        except ApiException as e:
            if e.status not in (404, 409, 422):
                raise
            if e.status == 422:
                # A field that can't be changed in place; the next round creates it anew.
                await self._requests.delete(
                    self.api, kind, name, self.namespace, uid=uid_of(present), deadline=deadline
                )
        finally:
            manifest.metadata.resource_version = None
            if kind == "service":
                manifest.spec.cluster_ip = manifest.spec.cluster_i_ps = None
        return False

    async def create_certs(self) -> dict[str, str]:
        """Make the server's TLS certificates, for the names that it has now; return their paths."""
        self._follow_names()
        return await resolve(super().create_certs())  # type: ignore[misc]

    async def _remake_certificates(self) -> None:
        """Make the TLS certificates anew after the options changed the names they are for."""
        self.cert_paths = await resolve(self.create_certs())
        self.cert_paths = await resolve(self.move_certs(self.cert_paths))  # type: ignore[attr-defined]

    # ---- helpers that published hooks call ---------------------------------------------

    async def _ensure_not_exists(self, kind: str, name: str) -> bool:
        """Delete the object; True once it is gone, False for "try again".

        Args:
            kind: ``secret``, ``service``, or another namespaced kind of the core API.
        """
        place = (self.api, kind, name, self.namespace)
        deadline = Deadline.after(self.k8s_api_request_timeout)
        try:
            if not await self._requests.delete(*place, deadline=deadline):
                return True
            return await self._requests.read(*place, deadline=deadline) is None
        except (ApiException, ApiUnavailable) as e:
            self.log.warning("Deleting %s %s/%s: %s", kind, self.namespace, name, e)
            return False

    async def _make_create_resource_request(self, kind: str, manifest: Any) -> bool:
        """Create the object; True on success or if it exists, False for "try again".

        Raises:
            ApiException: the API server refused it.
        """
        try:
            await self._requests.create(
                self.api,
                kind,
                manifest,
                self.namespace,
                deadline=Deadline.after(self.k8s_api_request_timeout),
            )
        except ApiUnavailable:
            return False
        except ApiException as e:
            if e.status != 409:
                raise
        return True

    def _checked_hook_result(self, pod: Any, before: Any) -> Any:
        """Return what ``modify_pod_hook`` returned, or say what is wrong with it."""
        hook = f"KubeSpawner.modify_pod_hook ({getattr(self.modify_pod_hook, '__name__', 'hook')})"
        parts = [getattr(pod, part, None) for part in ("metadata", "spec")]
        if inspect.isawaitable(pod) or None in parts:
            raise ConfigurationError(
                f"{hook} returned {type(pod).__name__}; it must return the pod to create: a V1Pod "
                "with metadata and spec."
            )
        for field, value in (("name", self.pod_name), ("namespace", self.namespace)):
            changed = getattr(pod.metadata, field, None)
            if changed not in (None, value):
                raise ConfigurationError(
                    f"{hook} changed metadata.{field} from {value!r} to {changed!r}; "
                    f"set KubeSpawner.{'pod_name_template' if field == 'name' else 'namespace'}."
                )
        labels = pod.metadata.labels = dict(pod.metadata.labels or {})
        if labels.get("component") != self.component_label:
            self.log.warning(
                "%s removed or changed the label 'component', by which this hub finds its pods; "
                "it is put back to %r",
                hook,
                self.component_label,
            )
            labels["component"] = self.component_label
        return pod
