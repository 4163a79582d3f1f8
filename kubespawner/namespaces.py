"""One namespace per user, made when the user's first server starts.

:class:`Namespaces` is a mixin of ``KubeSpawner``.
https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes_asyncio.client import ApiException

from .checks import check_name
from .clients import shared_client
from .companions import Companions
from .errors import ConfigurationError, SpawnError
from .failures import explained
from .isolation import make_metadata_block
from .kube.requests import Deadline
from .objects import make_namespace
from .ownership import is_terminating, uid_of
from .slugs import safe_slug


class Namespaces(Companions):
    """The namespace that a server lives in."""

    async def _ensure_namespace(self, deadline: Deadline | None = None) -> None:
        """Create the user's namespace, only with ``enable_user_namespaces``; present is fine.

        Raises:
            ConfigurationError: its name can't be one.
            SpawnError: an earlier namespace of that name does not finish its deletion.
            ApiException: the API server refuses, and the namespace can't be read either.
        """
        if not self.enable_user_namespaces:
            return
        template = self.user_namespace_template
        problem = check_name("namespace", self.namespace, "user_namespace_template", template)
        if problem:
            raise ConfigurationError(problem, reason="InvalidManifest")
        deadline = deadline or Deadline.after(self.start_timeout)
        manifest = make_namespace(
            self.namespace,
            labels=self._expand_all(self.user_namespace_labels),
            annotations=self._expand_all(self.user_namespace_annotations),
        )
        while True:
            limit = deadline.sooner(self.k8s_api_request_retry_timeout)
            refusal: ApiException | None = None
            try:
                await self._requests.create(self.api, "namespace", manifest, None, deadline=limit)
                return
            except ApiException as e:
                if e.status not in (403, 409):
                    raise
                refusal = e
            present = await self._present_namespace(refusal, limit)
            if present is None:
                continue
            if not is_terminating(present):
                return
            # That takes as long as the last of its pods has to end.
            await self._namespace_gone(present, deadline)

    async def _ensure_metadata_block(self, deadline: Deadline) -> None:
        """Create the policy that ``block_cloud_metadata`` asks for, unless it is there.

        Raises:
            ApiException: the API server refuses; without the policy no pod is started.
        """
        if not self.block_cloud_metadata:
            return
        labels = {**self.common_labels, "app.kubernetes.io/component": self.component_label}
        name = f"{safe_slug(self.component_label, max_length=40)}-no-cloud-metadata"
        try:
            await self._requests.create(
                shared_client("NetworkingV1Api"),
                "network_policy",
                make_metadata_block(name, self.component_label, labels),
                self.namespace,
                deadline=deadline.sooner(self.k8s_api_request_retry_timeout),
            )
        except ApiException as e:
            if e.status != 409:
                raise

    async def _present_namespace(
        self, refusal: ApiException, deadline: Deadline
    ) -> Mapping[str, Any] | None:
        """Return the namespace; None if there is none and creating it may be tried again."""
        try:
            present = await self._requests.read(
                self.api, "namespace", self.namespace, None, deadline=deadline
            )
        except ApiException as e:
            if e.status == 403 and refusal.status == 409:
                self.log.warning(
                    "Whether namespace %s is being deleted is unknown: %s",
                    self.namespace,
                    explained(e),
                )
                return {}
            raise refusal from e
        if present is None and refusal.status == 403:
            raise refusal
        return present

    async def _namespace_gone(self, present: Mapping[str, Any], deadline: Deadline) -> None:
        self.log.warning("Namespace %s is being deleted; waiting for it to go", self.namespace)
        key = f"/{self.namespace}"
        try:
            await self._watch_until_gone("/api/v1/namespaces", key, uid_of(present), deadline)
        except TimeoutError as e:
            conditions = (present.get("status") or {}).get("conditions") or []
            why = "; ".join(c["message"] for c in conditions if c.get("message")) or "unknown"
            raise SpawnError(
                "Your space in the cluster is still being removed. Please try again later.",
                reason="NamespaceTerminating",
                admin_message=f"Namespace {self.namespace} is stuck in deletion: {why}",
                status_code=503,
            ) from e
