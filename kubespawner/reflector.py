"""The public reflector names: a live copy of a set of resources, kept by an informer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import kubernetes_asyncio.client
from traitlets import Any as AnyTrait
from traitlets import Bool, Dict, Int, Unicode
from traitlets.config import LoggingConfigurable

from .clients import shared_client
from .kube.informer import SILENCE_SECONDS, Health, Informer
from .kube.pod_events import event_time

# Kinds whose collection URL is derived from the client's method name alone.
_SINGULAR = {
    "endpoints": "endpoints",
    "events": "event",
    "ingresses": "ingress",
    "pods": "pod",
    "services": "service",
}


class ResourceReflector(LoggingConfigurable):
    """Keeps a live copy of a set of Kubernetes resources. Construct inside a running event loop.

    Lists once, then watches and resumes; see :mod:`kubespawner.kube.informer`.
    """

    labels = Dict({}, config=True, help="Labels to select by: a label selector `k=v,...`.")
    fields = Dict({}, config=True, help="Fields to select by: a field selector `k=v,...`.")
    omit_namespace = Bool(False, config=True, help="Watch all namespaces.")
    request_timeout = Int(60, config=True, help="Seconds that one list may take.")
    timeout_seconds = Int(
        10,
        config=True,
        help="""Accepted for configurations of earlier versions; no effect.

        A watch runs for minutes and is resumed from where it ended, without a new list.
        """,
    )
    restart_seconds = Int(
        30,
        config=True,
        help="Accepted for configurations of earlier versions; no effect.",
    )
    namespace = Unicode(None, allow_none=True, help="Namespace to watch.")
    kind = Unicode("resource", help="Plural kind, set by subclasses.")
    list_method_name = Unicode("", help="Name of the client's list method; derived from `kind`.")
    api_group_name = Unicode("CoreV1Api", help="Name of the client's API class.")
    list_arguments = Dict(
        {},
        help="""Arguments of the list method other than the namespace.

        For custom resources: `api_group_name = "CustomObjectsApi"`, `list_method_name =
        "list_namespaced_custom_object"`, and `group`, `version` and `plural` here.
        """,
    )
    resources = AnyTrait(help='Mapping of "namespace/name" to the resource as a plain dict.')
    on_failure = AnyTrait(help="Called without arguments when the first list fails.")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.api = shared_client(self.api_group_name)
        self.label_selector = ",".join(f"{k}={v}" for k, v in self.labels.items())
        self.field_selector = ",".join(f"{k}={v}" for k, v in self.fields.items())
        if not self.list_method_name:
            self.list_method_name = self._derived_method_name()
        path = _path_of(
            self.api_group_name, self.list_method_name, self.namespace, self.list_arguments
        )
        self.first_load_future: asyncio.Future[None] = self._new_future()
        self.informer = Informer(
            lambda: self.api.api_client,
            path,
            label_selector=self.label_selector,
            field_selector=self.field_selector,
            log=self.log,
            name=f"{self.kind} in {'all namespaces' if self.omit_namespace else self.namespace}",
            list_timeout=self.request_timeout,
            silence_seconds=max(SILENCE_SECONDS, self.request_timeout),
        )
        self.informer.on_load(self._loaded)
        self.resources = self.informer.items_view

    def _new_future(self) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A caller that never awaits it must not cause a warning at exit.
        future.add_done_callback(lambda f: f.cancelled() or f.exception())
        return future

    def _loaded(self) -> None:
        if not self.first_load_future.done():
            self.first_load_future.set_result(None)

    def _derived_method_name(self) -> str:
        if self.kind not in _SINGULAR:
            raise RuntimeError(f"Set list_method_name: how to list {self.kind!r} is not known.")
        singular = _SINGULAR[self.kind]
        if self.omit_namespace:
            return f"list_{singular}_for_all_namespaces"
        return f"list_namespaced_{singular}"

    @property
    def watch_task(self) -> asyncio.Task[None] | None:
        """The running watch; None before :meth:`start` and after :meth:`stop`."""
        return self.informer.task

    async def start(self) -> None:
        """List once, and go on watching.

        Raises:
            RuntimeError: it runs already.
            Exception: the first list failed. Nothing runs then; start again for another attempt.
        """
        if self.watch_task and not self.watch_task.done():
            raise RuntimeError(f"The reflector of {self.kind} runs already")
        if self.first_load_future.done():
            self.first_load_future = self._new_future()
        self.informer.start()
        try:
            await self.informer.first_attempt()
        except BaseException as e:
            await self.informer.stop()
            if isinstance(e, Exception) and not self.first_load_future.done():
                self.first_load_future.set_exception(e)
                if self.on_failure:
                    self.on_failure()
            raise
        self._loaded()

    async def stop(self) -> None:
        """End the watch; returns within 5 seconds."""
        await self.informer.stop()

    @property
    def health(self) -> Health:
        """Whether the content is that of the cluster: never loaded, fresh or stale."""
        return self.informer.health


class _Recorder:
    """Stands in for a client's ``ApiClient``, to learn which path a method asks for."""

    client_side_validation = False

    def select_header_accept(self, accepts: Any) -> str:
        return "application/json"

    def call_api(
        self, path: str, method: str, path_params: Mapping[str, Any], *_: Any, **__: Any
    ) -> str:
        for name, value in path_params.items():
            path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
        return path


def _path_of(
    api_class: str, method_name: str, namespace: str | None, further: Mapping[str, Any]
) -> str:
    """Return the path that a client's list method asks for.

    Args:
        further: arguments of the method other than the namespace.

    Raises:
        RuntimeError: there is no such method.
    """
    api = getattr(kubernetes_asyncio.client, api_class, None)
    method = getattr(api, method_name, None)
    if api is None or method is None:
        raise RuntimeError(
            f"kubernetes_asyncio's {api_class} has no method {method_name!r}: "
            "set api_group_name and list_method_name."
        )
    arguments = {"namespace": namespace} if "_namespaced_" in method_name else {}
    return method(api(_Recorder()), **arguments, **further)


class NamespacedResourceReflector(ResourceReflector):
    """Watches one namespace."""

    omit_namespace = False


class MultiNamespaceResourceReflector(ResourceReflector):
    """Watches all namespaces."""

    omit_namespace = True


class PodReflector(ResourceReflector):
    """Watches pods."""

    kind = "pods"

    @property
    def pods(self) -> Mapping[str, dict[str, Any]]:
        """Mapping of ``namespace/name`` to the pod as a plain dict (API JSON)."""
        return self.resources


class EventReflector(ResourceReflector):
    """Watches events."""

    kind = "events"

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events as plain dicts, oldest first."""
        return sorted(self.resources.values(), key=event_time)
