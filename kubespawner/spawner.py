"""The spawner: one server's life, from click to goodbye.

:class:`KubeSpawner` tells the story; what it tells it with lives beside it: traits in
:mod:`kubespawner.config`, manifests in :mod:`kubespawner.manifests`, the choice of options in
:mod:`kubespawner.forms`, pods and claims in :mod:`kubespawner.pods` and
:mod:`kubespawner.claims`, the wait in :mod:`kubespawner.waiting`.
https://jupyterhub.readthedocs.io/en/stable/reference/spawners.html
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, ClassVar

from jupyterhub.spawner import Spawner
from kubernetes_asyncio.client import ApiException

from ._version import __version__
from .asking import ask
from .clients import shared_client
from .config import _sorted_dict_values, check_config_names
from .diagnosis import is_ready, restarted
from .ending import Ending
from .errors import SpawnError
from .failures import as_spawn_error, explained
from .feed import ProgressFeed, SlowSpawnNotice
from .figures import note_end_of_spawn
from .forms import ProfileForms
from .kube.requests import ApiUnavailable, Deadline
from .kube.timing import within
from .legacy import LegacyNames
from .manifests import SPAWN_ID
from .namespaces import Namespaces
from .ownership import Owner, is_pod_of, is_terminating, uid_of
from .phases import CREATING, phase_message
from .pods import GRACE_MARGIN, PodPlace, shielded
from .reflector import EventReflector, PodReflector
from .storage import Storage
from .sweeper import Sweeper
from .utils import loggable
from .waiting import Spawn
from .watching import Unknown

__all__ = ["EventReflector", "KubeSpawner", "MockObject", "PodReflector", "_sorted_dict_values"]

# Cleaning up after a spawn that failed or was cancelled may take this long; afterwards
# `poll()` finds what is left.
_CLEANUP_SECONDS = 10.0


class MockObject:
    """Stands for a user or a hub where ``KubeSpawner(_mock=True)`` is made without one."""


class KubeSpawner(LegacyNames, ProfileForms, Ending, Storage, Namespaces, Spawner):
    """Spawns every user's server as a pod in a Kubernetes cluster."""

    safe_chars = set("abcdefghijklmnopqrstuvwxyz0123456789")

    _checked_names: ClassVar[set[tuple[Any, ...]]] = set()

    _start_future: asyncio.Future[str] | None = None
    _last_event: str | None = None
    _state_kubespawner_version: str | None = None
    pod_id: str = ""

    # ---- construction ------------------------------------------------------------------

    def __init__(self, *args: Any, **kwargs: Any):
        if kwargs.pop("_mock", False):
            kwargs.setdefault("user", _mocked(name="mock@name", id="mock_id", url="mock_url"))
            hub = {"public_host": "mock_public_host", "url": "mock_url"}
            hub |= {"base_url": "mock_base_url", "api_url": "mock_api_url"}
            kwargs.setdefault("hub", _mocked(**hub))
        super().__init__(*args, **kwargs)
        self._check_config_names()
        self._check_profile_list()
        if self.enable_user_namespaces:
            self.namespace = self._expand_user_properties(self.user_namespace_template)
        self._configured_namespace = self.namespace
        self.pod_name = self._expand_user_properties(self.pod_name_template)
        self.pvc_name = self._expand_user_properties(self.pvc_name_template)
        self._pvc_exists = False
        if self.working_dir:
            self.working_dir = self._rendered_working_dir = self._expand_user_properties(
                self.working_dir
            )
        if self.port == 0:
            self.port = 8888
        self._feed = ProgressFeed()
        self._use_connection()
        self.api = shared_client("CoreV1Api")
        Sweeper.begin(self)

    def _check_config_names(self) -> None:
        """Refuse a misspelt setting, which traitlets would only warn about; once per content.

        Raises:
            ConfigurationError: naming section, setting and the nearest existing one.
        """
        config = self.config
        sections = frozenset(config).intersection(self.section_names())
        content = tuple((section, *sorted(config[section])) for section in sections)
        if content in type(self)._checked_names:
            return
        check_config_names(type(self), self.config)
        type(self)._checked_names.add(content)

    @property
    def _owner(self) -> Owner:  # type: ignore[override]
        return Owner(self.user.name, self.name, self.component_label)

    # ---- start -------------------------------------------------------------------------

    def start(self) -> asyncio.Future[str]:
        """Start the server; the returned future's result is its URL.

        Raises (through the future):
            SpawnError: with a sentence for the user, a machine reason, and what to log.
        """
        self._start_future = asyncio.ensure_future(self._start())
        return self._start_future

    async def _start(self) -> str:
        """Options, namespace, watches, claim, manifest, hook, create, companions, ready, URL."""
        # A moment before the hub's own limit, so that the user reads what was waited for.
        seconds = self.start_timeout - min(1.0, self.start_timeout / 20)
        spawn = Spawn(
            id=uuid.uuid4().hex,
            deadline=Deadline.after(seconds),
            started=datetime.now(timezone.utc),
        )
        self._spawn_id, self.pod_id = spawn.id, ""
        self._kept_uid = ""
        self._current_spawn = spawn
        if self._feed.entries:
            self._feed = ProgressFeed()
        slow = SlowSpawnNotice(
            self._feed,
            self.slow_spawn_message,
            self.slow_spawn_message_threshold,
            self.slow_spawn_message_frequency,
        )
        try:
            with slow:
                url = await self._run(spawn)
            note_end_of_spawn(None)
            return url
        except BaseException as e:
            # Its pod's end is told as the failure that it is, not as the end of a server.
            self._stopped_uid = spawn.uid
            error = as_spawn_error(e, self, spawn)
            note_end_of_spawn(error)
            if isinstance(error, SpawnError) and error.reason in ("Unexpected", "HookFailed"):
                self.log.error("%s", error, exc_info=e)
            await self._clean_up_after(spawn, error)
            if isinstance(error, SpawnError):
                await self._reword(error)
            if error is e:
                raise
            raise error from e
        finally:
            spawn.close()

    async def _run(self, spawn: Spawn) -> str:
        self._tell_last_exit()
        self._feed.tell_phase(phase_message({}, (), CREATING))
        # A class that begins starts all its servers at once.
        await self._starts.mine()
        spawn.enter("options")
        await self._choose_options()
        spawn.enter("namespace")
        await self._ensure_namespace(spawn.deadline)
        await self._ensure_metadata_block(spawn.deadline)
        spawn.enter("watches")
        await self._start_watching_pods()
        if self.events_enabled:
            await self._follow_events(spawn)
        await self._make(spawn)
        spawn.enter("ready")
        pod = await self._wait_ready(spawn)
        spawn.enter("url")
        self.pod_id = uid_of(pod)
        url = await self._pod_url(pod)
        self._restarts, _ = restarted(pod)
        self._last_exit = {}
        return url

    async def _make(self, spawn: Spawn) -> None:
        """Create claim, pod and companions.

        Apart from the wait: manifest and answer, a hundred objects each, end here, where those of
        five hundred starts would make the garbage collector look at everything the hub holds.
        """
        if self.storage_pvc_ensure:
            spawn.enter("claim")
            await self._choose_claim()
        # What many waited for has come for all of them.
        await within(self._requests.makers.mine(), spawn.deadline.remaining())
        spawn.enter("manifest")
        manifest = await self.get_pod_manifest()
        if not self.modify_pod_hook:
            # Before a claim is made for it; what a hook may still put right is checked after it.
            self._check_manifest(manifest)
        if self.storage_pvc_ensure:
            spawn.enter("claim")
            await self._ensure_claim(spawn.deadline)
            spawn.waits_for_claim(self.pvc_name)
        spawn.enter("manifest")
        manifest = await self._modified_manifest(manifest, spawn)
        spawn.enter("create")
        pod = await self._create_pod(spawn, manifest)
        spawn.enter("companions")
        await self._make_companions(pod, spawn.deadline)

    async def _follow_events(self, spawn: Spawn) -> None:
        watch = self._events_of_pods()
        spawn.follow(watch, self.namespace, self.pod_name)
        try:
            await watch.ready(spawn.deadline.sooner(self.k8s_api_request_timeout))
        except (ApiException, ApiUnavailable, OSError) as e:
            self.log.warning(
                "Progress of %s is told without events: %s", self._log_name, explained(e)
            )

    async def _choose_options(self) -> None:
        names = (self.namespace, self.dns_name)
        await self.load_user_options()
        if self.namespace != names[0]:
            self._profile_namespace = True
        if self._internal_tls and names != (self.namespace, self.dns_name):
            await self._remake_certificates()

    async def _modified_manifest(self, manifest: Any, spawn: Spawn) -> Any:
        if self.modify_pod_hook:
            modified = await ask("modify_pod_hook", self.modify_pod_hook, self, manifest)
            manifest = self._checked_hook_result(modified, manifest)
            self._harden(manifest)
        manifest.metadata.annotations = {
            **(manifest.metadata.annotations or {}),
            SPAWN_ID: spawn.id,
        }
        if self.modify_pod_hook:
            self._check_manifest(manifest)
        return manifest

    async def _create_pod(self, spawn: Spawn, manifest: Any) -> Mapping[str, Any]:
        known_uid = self._pod_uid
        spawn.created = True
        try:
            pod = await self._place().create(
                manifest,
                spawn_id=spawn.id,
                known_uid=known_uid,
                deadline=spawn.deadline,
                request_seconds=self.k8s_api_request_retry_timeout,
            )
        except ApiException as e:
            self.log.error(
                "The API server refused pod %s: %s %s", self._pod_key, e.status, e.reason
            )
            self.log.debug("The refused manifest: %s", loggable(manifest))
            raise
        self._pods().note_created(pod)
        self._pod_uid = spawn.uid = uid_of(pod)
        self._url_made_by = self._url_rule()
        spawn.is_pod(pod)
        return pod

    async def _clean_up_after(self, spawn: Spawn, error: BaseException) -> None:
        """Remove what this start made, never a claim; keep the first error.

        Shielded from the cancellation that may have brought us here.
        """
        if not spawn.created:
            return
        if not self.delete_stopped_pods and isinstance(error, SpawnError) and error.keep_pod:
            self._kept_uid = spawn.uid
            return
        self._unresolved = spawn.id
        place = self._place()
        if not spawn.uid:
            place.remove_when_it_appears(self._pods(), spawn.id)
        remove = place.remove(
            spawn_id=spawn.id, uid=spawn.uid, deadline=Deadline.after(_CLEANUP_SECONDS)
        )
        try:
            await shielded(remove, _CLEANUP_SECONDS)
        except (ApiException, ApiUnavailable, TimeoutError, asyncio.TimeoutError) as e:
            self.log.error(
                "Cleaning up after the failed start of %s did not succeed; "
                "it counts as running until the API server says otherwise: %s",
                self._log_name,
                e,
            )
            place.remove_when_possible(spawn_id=spawn.id, uid=spawn.uid)
            return
        self._unresolved = ""

    # ---- pods ---------------------------------------------------------------------------

    def is_pod_running(self, pod: Mapping[str, Any] | None) -> bool:
        """Whether the server in ``pod`` (API JSON) can be used.

        True if its phase is ``Running``, it has an IP, is not being deleted, and its notebook
        container (with ``pod_readiness = "all"``: every container) is ready.
        """
        if pod is None or is_terminating(pod):
            return False
        status = pod.get("status") or {}
        return (
            status.get("phase") == "Running"
            and bool(status.get("podIP"))
            and is_ready(pod, all_containers=self.pod_readiness == "all")
        )

    def pod_has_uid(self, pod: Mapping[str, Any] | None) -> bool:
        """Whether ``pod`` (API JSON) exists with a UID."""
        return pod is not None and bool(uid_of(pod))

    async def get_url(self) -> str:
        """Return the server's URL; finds it again when the hub restarted in mid-spawn.

        A pod that is still starting is waited for, at most ``start_timeout``.
        """
        pod = await self._find_pod()
        if isinstance(pod, Mapping) and not self.is_pod_running(pod):
            try:
                pod = await self._pods().wait_for(
                    self._pod_key,
                    lambda p: p is None or self.is_pod_running(p),
                    Deadline.after(self.start_timeout),
                )
            except (TimeoutError, asyncio.TimeoutError):
                self.log.warning("%s is still not ready", self._log_name)
            if isinstance(pod, Mapping) and self.is_pod_running(pod):
                await self._update_address(pod)
        return await super().get_url()

    # ---- stop --------------------------------------------------------------------------

    async def stop(self, now: bool = False) -> None:
        """Delete the server's pod and return once it is gone.

        Args:
            now: do not grant ``delete_grace_period`` seconds for a clean end.

        Raises:
            StuckPodError (a TimeoutError): the pod did not go; names the node or finalizer.
            SpawnError: the API server refused, or could not be asked.
        """
        await self._cancel_start()
        place = self._place()
        grace = 0 if now else self.delete_grace_period
        self._stopping = True
        uid = self._pod_uid
        try:
            uid = await self._uid_to_stop(place)
            if not uid:
                self.log.warning("No pod %s to delete; assuming it is gone", self._pod_key)
                return
            deadline = Deadline.after(self.k8s_api_request_retry_timeout)
            if await place.delete(uid=uid, grace_seconds=grace, deadline=deadline):
                limit = max(self.start_timeout, grace + GRACE_MARGIN)
                await place.gone(uid, Deadline.after(limit))
            self._stopped_uid, self._unresolved = uid, ""
        except (ApiException, ApiUnavailable) as e:
            if uid:
                place.remove_when_possible(spawn_id=self._spawn_id, uid=uid, grace_seconds=grace)
            raise as_spawn_error(e, self, None) from e
        finally:
            self._stopping = False

    async def _cancel_start(self) -> None:
        future = self._start_future
        if future is None or future.done() or future is asyncio.current_task():
            return
        future.cancel()
        await asyncio.wait([future])

    async def _uid_to_stop(self, place: PodPlace) -> str:
        pod = await self._find_pod()
        if pod is None or isinstance(pod, Unknown):
            if self._pod_uid and pod is None:
                return self._pod_uid
            pod = await place.read(Deadline.after(self.k8s_api_request_retry_timeout))
        if pod is None:
            return ""
        if is_pod_of(self._owner, pod) or uid_of(pod) == self._pod_uid:
            return uid_of(pod)
        self.log.warning("Pod %s is somebody else's; it is left alone", self._pod_key)
        return ""

    # ---- progress ----------------------------------------------------------------------

    @property
    def events(self) -> list[dict[str, Any]]:
        """The Kubernetes events of this server's pod in the current spawn, oldest first."""
        return self._current_spawn.events if self._current_spawn else []

    # ---- state -------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return what must survive a hub restart; JSON-able, readable by KubeSpawner 7.1."""
        state = super().get_state()
        state["kubespawner_version"] = __version__
        state["pod_name"] = self.pod_name
        state["namespace"] = self.namespace
        state["dns_name"] = self.dns_name
        state.update(self._claim_state())
        extra = {
            "pod_uid": self._pod_uid,
            "spawn_id": self._spawn_id if self._pod_uid else "",
            "namespace_from_profile": self._profile_namespace,
            "url_made_by": self._url_made_by,
            **self._exit_state(),
        }
        state.update({key: value for key, value in extra.items() if value})
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over ``state``, as written by any version since 0.8."""
        super().load_state(state)
        if not state:
            return
        self._state_kubespawner_version = state.get("kubespawner_version", "unknown")
        if self._state_kubespawner_version == "unknown":
            self.log.warning("State of %s is of an unknown, older version", self._log_name)
        for key in ("pod_name", "namespace", "dns_name"):
            if state.get(key):
                setattr(self, key, state[key])
        self._load_claim_state(state)
        self._pod_uid = state.get("pod_uid", "")
        self._spawn_id = state.get("spawn_id", "")
        self._profile_namespace = bool(state.get("namespace_from_profile"))
        self._url_made_by = state.get("url_made_by")
        self._load_exit_state(state)

    def clear_state(self) -> None:
        """Forget the pod, keep the claim; a namespace chosen by a profile ends with its server."""
        super().clear_state()
        if self._profile_namespace:
            self._profile_namespace = False
            self.namespace = self._configured_namespace
        self.pod_name = self._expand_user_properties(self.pod_name_template)
        self._own_dns_name = None
        self._pod_uid = self._spawn_id = ""
        self._restarts = 0
        self._seen_running = None
        self._url_made_by = None
        if self._start_future is not None and self._start_future.done():
            self._start_future = None
            self._feed = ProgressFeed()


def _mocked(**attributes: str) -> MockObject:
    mock = MockObject()
    for name, value in attributes.items():
        setattr(mock, name, value)
    return mock
