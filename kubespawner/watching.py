"""The watches that all spawners of one hub share, and how one spawner asks them.

:class:`Watching` is a mixin of ``KubeSpawner``. One pod watch serves every server of a namespace
(of the cluster, with ``enable_user_namespaces``); it outlives every single server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from kubernetes_asyncio.client import ApiException

from .clients import load_config
from .config import SpawnerConfig
from .kube.informer import Health, Informer
from .kube.pod_events import PodEvents
from .kube.requests import ApiUnavailable, Deadline, Requests
from .kube.turns import Turns
from .ownership import uid_of
from .reflector import EventReflector, PodReflector, ResourceReflector

# How long a poll waits for the next object of a first list before it answers "unknown".
# The API server writes a list of 30,000 pods out before it sends the first byte. JupyterHub itself
# goes on after ten seconds (init_spawners_timeout).
_FIRST_LIST_PATIENCE = 10.0


class Unknown:
    """What is known of a pod while the cluster can't be asked; never to be read as "gone"."""

    def __init__(self, cause: Exception):
        self.cause = cause


class Watching(SpawnerConfig):
    """Shared watches of pods and events, and bounded requests to the API server."""

    log: Any
    api: Any
    pod_name: str
    # The start under way, if any, and what it knows.
    _start_future: asyncio.Future[str] | None = None
    _current_spawn: Any = None

    # Shared by all spawners of the process, subclasses included.
    reflectors: ClassVar[dict[tuple[Any, ...], Any]] = {}
    _pod_events: ClassVar[dict[tuple[Any, ...], PodEvents]] = {}
    _requests_of_loop: ClassVar[dict[tuple[Any, ...], Requests]] = {}
    # Which of the reflectors, and under which key, a spawner with these settings uses.
    _pod_watches: ClassVar[dict[tuple[Any, ...], tuple[tuple[Any, ...], Any]]] = {}
    # What many servers may want to do at once, by how long it takes.
    _polls: ClassVar[Turns] = Turns()
    _starts: ClassVar[Turns] = Turns()

    # ---- connection --------------------------------------------------------------------

    def _use_connection(self) -> None:
        """Make this spawner's connection the one that clients are made for; free if it is."""
        load_config(
            host=self.k8s_api_host or None,
            ssl_ca_cert=self.k8s_api_ssl_ca_cert or None,
            verify_ssl=self.k8s_api_verify_ssl,
        )

    # ---- requests ----------------------------------------------------------------------

    @property
    def _requests(self) -> Requests:
        """The request layer; shared, so that concurrency towards one API server is bounded."""
        key = (
            asyncio.get_running_loop(),
            self.k8s_api_request_timeout,
            self.k8s_api_request_retry_timeout,
        )
        requests = self._requests_of_loop.get(key)
        if requests is None:
            for stale in [k for k in self._requests_of_loop if k[0].is_closed()]:
                del self._requests_of_loop[stale]
            requests = self._requests_of_loop[key] = Requests(
                request_timeout=self.k8s_api_request_timeout,
                retry_timeout=self.k8s_api_request_retry_timeout,
                log=self.log,
            )
        return requests

    # ---- reflectors --------------------------------------------------------------------

    def _get_reflector_key(self, kind: str) -> tuple[str, str | None]:
        """Return the key of this spawner's watch of ``kind`` in ``reflectors``."""
        return (kind, None if self.enable_user_namespaces else self.namespace)

    def _reflector_slot(self, kind: str) -> tuple[Any, ...]:
        # The first configuration of a process gets the plain key; one that selects other pods
        # gets a slot of its own, so that neither sees the other's.
        key = self._get_reflector_key(kind)
        present = self.reflectors.get(key)
        if present is None:
            return key
        if not self._asks_our_server(present):
            return (*key, self.component_label, _host(self.api))
        if self._selects_ours(present) or kind != "pods":
            return key
        return (*key, self.component_label)

    def _asks_our_server(self, reflector: Any) -> bool:
        # What is missing at another API server is not gone.
        asked, ours = _host(getattr(reflector, "api", None)), _host(self.api)
        return "" in (asked, ours) or asked == ours

    def _selects_ours(self, reflector: Any) -> bool:
        labels = getattr(reflector, "labels", None) or {}
        return labels.get("component", self.component_label) == self.component_label

    def _registered(self, kind: str) -> Any:
        slot = self._reflector_slot(kind)
        reflector = self.reflectors.get(slot)
        future = getattr(reflector, "first_load_future", None)
        # Nothing of a dead event loop is of use.
        if isinstance(future, asyncio.Future) and future.get_loop() is not (
            asyncio.get_running_loop()
        ):
            del self.reflectors[slot]
            return None
        return reflector

    @property
    def pod_reflector(self) -> Any:
        """The watch of this spawner's pods; None before it was needed."""
        return self.reflectors.get(self._reflector_slot("pods"))

    @property
    def event_reflector(self) -> Any:
        """The watch of all pods' events, if something asked for one; None if events are off."""
        if not self.events_enabled:
            return None
        return self.reflectors.get(self._reflector_slot("events"))

    def _make_reflector(
        self, kind: str, reflector_class: type[ResourceReflector], replace: bool, kwargs: Any
    ) -> Any:
        present = self._registered(kind)
        if present is not None and not replace:
            return present
        self._use_connection()
        reflector = reflector_class(
            parent=self,
            namespace=self.namespace,
            omit_namespace=self.enable_user_namespaces,
            **kwargs,
        )
        self.reflectors[self._reflector_slot(kind)] = reflector
        return reflector

    async def _start_reflector(
        self,
        kind: str,
        reflector_class: type[ResourceReflector] = ResourceReflector,
        replace: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the shared reflector of ``kind``, started and loaded.

        A first list that fails is tried again by the reflector itself; until then its content
        counts as unknown, not as empty. What the Role does not allow is not waited for.

        Args:
            replace: make and start a new one, and stop the old.

        Raises:
            ApiException: the API server refuses to list or to watch (HTTP 403).
            ApiUnavailable: the first list did not succeed within what is left of the start under
                way; without one, within ``start_timeout``.
        """
        old = self._registered(kind) if replace else None
        reflector = self._make_reflector(kind, reflector_class, replace, kwargs)
        # Also one that is there already: nothing if it runs, else it is taken up again.
        reflector.informer.start()
        await reflector.informer.under_way(self._start_deadline())
        if old is not None:
            await old.stop()
        return reflector

    def _start_deadline(self) -> Deadline:
        future, spawn = self._start_future, self._current_spawn
        if spawn is not None and future is not None and not future.done():
            return spawn.deadline
        return Deadline.after(self.start_timeout)

    async def _start_watching_pods(self, replace: bool = False) -> Any:
        """Return the pod reflector, started and loaded."""
        return await self._start_reflector(
            "pods", PodReflector, replace=replace, labels={"component": self.component_label}
        )

    async def _start_watching_events(self, replace: bool = False) -> Any:
        """Return a reflector of every pod's events in the namespace, for callers that want all.

        The spawner itself follows only the pods that it waits for.
        """
        return await self._start_reflector(
            "events", EventReflector, replace=replace, fields={"involvedObject.kind": "Pod"}
        )

    @classmethod
    async def _stop_all_reflectors(cls) -> None:
        """Stop every shared watch; raises the first error after all were told to stop."""
        watches = [*cls.reflectors.values(), *cls._pod_events.values()]
        cls.reflectors.clear()
        cls._pod_events.clear()
        cls._pod_watches.clear()
        cls._requests_of_loop.clear()
        results = await asyncio.gather(*(w.stop() for w in watches), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    # ---- asking ------------------------------------------------------------------------

    def _pods(self) -> Informer:
        """Return the pod informer, running; it may not be loaded yet."""
        label = self.component_label
        # Found once for all spawners alike: every poll asks for it.
        key = (asyncio.get_running_loop(), *self._get_reflector_key("pods"), label, self.api)
        slot, reflector = self._pod_watches.get(key, ((), None))
        if reflector is None or self.reflectors.get(slot) is not reflector:
            reflector = self._make_reflector(
                "pods", PodReflector, False, {"labels": {"component": label}}
            )
            self._forget_watches_replaced()
            self._pod_watches[key] = (self._reflector_slot("pods"), reflector)
        reflector.informer.start()
        return reflector.informer

    def _forget_watches_replaced(self) -> None:
        for key, (slot, reflector) in list(self._pod_watches.items()):
            if self.reflectors.get(slot) is not reflector:
                del self._pod_watches[key]

    def _events_of_pods(self) -> PodEvents:
        """Return the followed-pods event watch of this loop and namespace."""
        loop = asyncio.get_running_loop()
        key = (loop, *self._get_reflector_key("events"), _host(self.api))
        watch = self._pod_events.get(key)
        if watch is None:
            for stale in [k for k in self._pod_events if k[0].is_closed()]:
                del self._pod_events[stale]
            api_client = self.api.api_client
            watch = self._pod_events[key] = PodEvents(lambda: api_client, key[2], log=self.log)
        return watch

    @property
    def _pod_key(self) -> str:
        return f"{self.namespace}/{self.pod_name}"

    async def _find_pod(self) -> dict[str, Any] | Unknown | None:
        """Return this server's pod, None if there certainly is none, or why it is unknown."""
        informer = self._pods()
        try:
            await informer.turn(_FIRST_LIST_PATIENCE)
            if informer.health is Health.NEVER_LOADED:
                await informer.loaded(Deadline.after(0))
            if informer.health is Health.FRESH:
                return informer.get(self._pod_key)
            return await self._read_pod()
        except (ApiUnavailable, ApiException) as e:
            return Unknown(e)

    async def _read_pod(self) -> dict[str, Any] | None:
        return await self._requests.read(
            self.api,
            "pod",
            self.pod_name,
            self.namespace,
            deadline=Deadline.after(self.k8s_api_request_timeout),
        )

    async def _wait_gone(self, name: str, uid: str, deadline: Deadline) -> dict[str, Any] | None:
        """Wait until pod ``name`` with ``uid`` is gone; return it if it still is at the deadline."""
        informer = self._pods()
        key = f"{self.namespace}/{name}"
        try:
            present = informer.header(key)
            if (
                informer.health is not Health.NEVER_LOADED
                and present is not None
                and present.metadata.uid == uid
            ):
                await informer.wait_gone(key, uid, deadline)
            else:
                # Not among those the shared watch selects (or it is not loaded).
                path = f"/api/v1/namespaces/{self.namespace}/pods"
                await self._watch_until_gone(path, key, uid, deadline)
            return None
        except (TimeoutError, asyncio.TimeoutError, ApiUnavailable):
            left = await self._requests.read(
                self.api,
                "pod",
                name,
                self.namespace,
                deadline=Deadline.after(self.k8s_api_request_timeout),
            )
            return None if _gone(left, uid) else left

    async def _watch_until_gone(self, path: str, key: str, uid: str, deadline: Deadline) -> None:
        """Watch one object until that with ``uid`` is gone.

        Args:
            path: its collection.
            key: ``namespace/name``, with an empty namespace for what has none.

        Raises:
            TimeoutError: it is still there at the deadline.
            ApiUnavailable: the API server could not be asked.
        """
        informer = Informer(
            lambda: self.api.api_client,
            path,
            field_selector=f"metadata.name={key.split('/')[1]}",
            log=self.log,
            name=f"{path.rsplit('/', 1)[1]} {key}",
        )
        informer.start()
        try:
            await informer.under_way(deadline)
            await informer.wait_gone(key, uid, deadline)
        finally:
            await informer.stop()


def _host(api: Any) -> str:
    """Return the URL of the API server that ``api`` asks; '' if that can't be told."""
    configuration = getattr(getattr(api, "api_client", None), "configuration", None)
    host = getattr(configuration, "host", "")
    return host if isinstance(host, str) else ""


def _gone(item: Mapping[str, Any] | None, uid: str) -> bool:
    return item is None or uid_of(item) != uid
