"""Which claim a server gets, across upgrades, renamed templates, namespaces and hub restarts.

:class:`Storage` is a mixin of ``KubeSpawner``; :mod:`kubespawner.claims` does the requests.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from kubernetes_asyncio.client import ApiException

from . import naming
from ._version import __version__
from .checks import check_name
from .claims import KIND, ClaimBook, ClaimPlace
from .commits import Commits
from .companions import Companions
from .errors import ConfigurationError
from .failures import as_spawn_error, explained
from .kube.requests import ApiUnavailable, Deadline
from .ownership import Owner


class Storage(Companions):
    """The claim of one server."""

    _log_name: str
    db: Any
    orm_spawner: Any
    _pvc_exists: bool = False
    # Whether `delete_forever` was called since the last start.
    _given_up: bool = False
    _state_kubespawner_version: str | None = None
    _commits: ClassVar[Commits] = Commits()

    # ---- which one ---------------------------------------------------------------------

    @property
    def _claim_book(self) -> ClaimBook:
        book = self.__dict__.get("_claims")
        if book is None:
            book = self.__dict__["_claims"] = ClaimBook()
        return book

    def _claim_place(self, name: str | None = None, namespace: str | None = None) -> ClaimPlace:
        return ClaimPlace(
            requests=self._requests,
            api=self.api,
            name=name or self.pvc_name,
            namespace=namespace or self.namespace,
            owner=Owner(self.user.name, self.name, self.component_label),
            wait_gone=self._wait_claim_gone,
            pods_using=self._pods_using_claim,
            log=self.log,
            tell_user=lambda message: self._feed.add(message),  # type: ignore[attr-defined]
        )

    def _rendered_pvc_name(self) -> str:
        return self._expand_user_properties(self.pvc_name_template)

    def _select_claim(self) -> None:
        """Let ``pvc_name`` and ``_pvc_exists`` speak of the namespace that this start is in."""
        recorded = self._claim_book.name_in(self.namespace)
        if self.remember_pvc_name and recorded:
            self.pvc_name, self._pvc_exists = recorded, True
        elif self.pvc_name in self._claim_book.names() or not self.remember_pvc_name:
            # Recorded for another namespace only, or not to be remembered.
            self.pvc_name, self._pvc_exists = self._rendered_pvc_name(), False

    async def _check_pvc_exists(self, pvc_name: str, namespace: str) -> bool:
        """Whether the claim exists.

        Raises:
            ApiException: the API server refused to tell.
        """
        claim = await self._requests.read(
            self.api,
            KIND,
            pvc_name,
            namespace,
            deadline=Deadline.after(self.k8s_api_request_retry_timeout),
        )
        return claim is not None

    def _legacy_claim_names(self) -> list[str]:
        """Return how earlier versions named this claim: before 7, and in 7."""
        template = self.pvc_name_template
        # 7 put adjacent fields together without anything between them.
        joined = naming.expand(template, self._template_fields(), join=False)
        escaped = self._expand_user_properties(template, slug_scheme="escape")
        return list(dict.fromkeys([escaped, joined]))

    async def _find_legacy_claim(self) -> None:
        """Use the claim of an earlier version if there is one and none under today's name."""
        if not (self.handle_legacy_names and self.remember_pvc_name) or self._pvc_exists:
            return
        legacy = [name for name in self._legacy_claim_names() if name != self.pvc_name]
        if not legacy:
            return
        try:
            if await self._check_pvc_exists(self.pvc_name, self.namespace):
                self._pvc_exists = True
                return
            for name in legacy:
                if await self._check_pvc_exists(name, self.namespace):
                    self.log.warning(
                        "Using claim %s of an earlier version for %s", name, self._log_name
                    )
                    self.pvc_name, self._pvc_exists = name, True
                    return
        except ApiException as e:
            if e.status != 403:
                raise
            self.log.warning(
                "Claims of earlier versions (here: %s) can't be looked for: %s",
                ", ".join(legacy),
                explained(e),
            )

    # ---- having it ---------------------------------------------------------------------

    async def _choose_claim(self) -> None:
        """Settle which claim the server gets, without creating anything.

        Raises:
            ConfigurationError: its size is not said, or its name can't be one.
        """
        self._given_up = False
        self._select_claim()
        self._check_claim_settings()
        await self._find_legacy_claim()

    def _check_claim_settings(self) -> None:
        """Raise ConfigurationError if the chosen claim can't be made: no size, or a wrong name."""
        if not self.storage_capacity:
            raise ConfigurationError(
                "KubeSpawner.storage_pvc_ensure is on, but KubeSpawner.storage_capacity is "
                f"{self.storage_capacity!r}; set it to the size of a claim, such as '10Gi'."
            )
        problem = check_name("claim", self.pvc_name, "pvc_name_template", self.pvc_name_template)
        if problem:
            raise ConfigurationError(problem, reason="InvalidManifest")

    async def _ensure_claim(self, deadline: Deadline) -> None:
        """Make sure that the chosen claim exists and is fit to be mounted."""
        known_uid = self._claim_book.uid_in(self.namespace) if self._pvc_exists else None
        uid = await self._claim_place().ensure(
            self.get_pvc_manifest(),
            known_uid=known_uid,
            expand=self.storage_expand,
            deadline=deadline.sooner(self.k8s_api_request_retry_timeout),
        )
        self._pvc_exists = True
        self._claim_book.record(self.namespace, self.pvc_name, uid)
        await self._store_claims()

    async def _store_claims(self) -> None:
        """Put the claims into the hub's database, before any pod can write to them.

        The hub itself stores a server's state only once it has started. If the hub ended before
        and came back with other templates, the server would get another claim.
        """
        if self.orm_spawner is None:
            return
        # `Spawner.db` is the same session, but warns of its use.
        db = getattr(self.user, "db", None) or self.db
        stored = self.orm_spawner.state
        state = dict(stored) if isinstance(stored, Mapping) else {}
        if state.get("claims") == self._claim_book.claims:
            # Perhaps noted by a start that was given up, and on its way to the disk.
            await self._commits.settled(db)
            return
        state.setdefault("kubespawner_version", __version__)
        state["claims"] = copy.deepcopy(self._claim_book.claims)
        self.orm_spawner.state = state
        await self._commits.commit(db)

    async def _wait_claim_gone(
        self, name: str, uid: str, deadline: Deadline
    ) -> Mapping[str, Any] | None:
        path = f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims"
        try:
            await self._watch_until_gone(path, f"{self.namespace}/{name}", uid, deadline)
            return None
        except TimeoutError:
            return {"metadata": {"name": name, "uid": uid}}

    def _pods_using_claim(self, claim: str) -> Iterable[str]:
        for key, pod in self._pods().items_view.items():
            for volume in (pod.get("spec") or {}).get("volumes") or []:
                if (volume.get("persistentVolumeClaim") or {}).get("claimName") == claim:
                    yield key

    # ---- losing it ---------------------------------------------------------------------

    async def delete_forever(self) -> None:
        """Delete the claims of a deleted user or server that are theirs alone.

        Each claim that the server has or had, in whatever namespace, is deleted or named in the
        log with the reason why it is kept.

        Raises:
            SpawnError: a claim could not be asked about or deleted, and is still there; the
                others have been tried all the same.
        """
        self._select_claim()
        if self.delete_pvc and self.storage_pvc_ensure:
            try:
                await self._find_legacy_claim()
            except (ApiException, ApiUnavailable) as e:
                raise as_spawn_error(e, self, None) from e
        claims = self._claims_to_delete()
        if not self.delete_pvc:
            names = ", ".join(f"{namespace}/{name}" for namespace, name in claims)
            self.log.info("Keeping claim %s: KubeSpawner.delete_pvc is off", names)
            return
        self._given_up = True
        failed: Exception | None = None
        for namespace, name in claims:
            try:
                await self._delete_claim(namespace, name)
            except (ApiException, ApiUnavailable) as e:
                self.log.error("Keeping claim %s/%s: %s", namespace, name, explained(e))
                failed = e
        if failed is not None:
            raise as_spawn_error(failed, self, None) from failed

    def _claims_to_delete(self) -> list[tuple[str, str]]:
        """Return namespace and name of the claim of the next start, and of all recorded ones."""
        recorded = [(place, claim["name"]) for place, claim in self._claim_book.claims.items()]
        return list(dict.fromkeys([(self.namespace, self.pvc_name), *recorded]))

    async def _delete_claim(self, namespace: str, name: str) -> None:
        sharing = self._servers_sharing_claim(namespace, name)
        if sharing:
            self.log.info(
                "Keeping claim %s/%s: it is also that of %s", namespace, name, ", ".join(sharing)
            )
            return
        await self._claim_place(name, namespace).delete_if_theirs(
            ensured=self.storage_pvc_ensure,
            uid=self._claim_book.uid_in(namespace),
            deadline=Deadline.after(self.k8s_api_request_retry_timeout),
        )
        self._claim_book.forget(namespace)
        if namespace == self.namespace:
            self._pvc_exists = False

    def _servers_sharing_claim(self, namespace: str, name: str) -> list[str]:
        """Return the user's other servers that render or remember the same claim.

        The default server is deleted only with its user, and then the others go as well.
        """
        if not self.name:
            return []
        orm_user = getattr(self.user, "orm_user", None)
        others: dict[str, Any] = {"": None}
        for server, orm_spawner in dict(getattr(orm_user, "orm_spawners", None) or {}).items():
            others[server] = getattr(orm_spawner, "state", None)
        # With its user each server is deleted in turn: those before this one do not count.
        for server, spawner in dict(getattr(self.user, "spawners", None) or {}).items():
            if getattr(spawner, "_given_up", False):
                others.pop(server, None)
        others.pop(self.name, None)
        return [
            f"server {server!r}" if server else "the default server"
            for server, state in others.items()
            if (namespace, name) in self._claims_of(server, state, namespace)
        ]

    def _claims_of(self, servername: str, state: Any, namespace: str) -> set[tuple[str, str]]:
        """Return the claims of another server of this user: those it has, and its next one.

        Args:
            namespace: in which it might be started next.
        """
        rendered = (namespace, self._render_for(servername, self.pvc_name_template))
        if not self.remember_pvc_name or not isinstance(state, Mapping):
            return {rendered}
        book = state.get("claims")
        claims = dict(book) if isinstance(book, Mapping) else {}
        if state.get("pvc_name"):
            # As written by versions before 8, it is the only one.
            claims.setdefault(state.get("namespace") or namespace, {"name": state["pvc_name"]})
        found = {(place, claim["name"]) for place, claim in claims.items()}
        return found if namespace in claims else {*found, rendered}

    # ---- remembering it ----------------------------------------------------------------

    def _claim_state(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        if self._pvc_exists:
            if self.pvc_name not in self._claim_book.names():
                # Set by a subclass, or in a test.
                self._claim_book.record(self.namespace, self.pvc_name)
            # A claim of another namespace, which a profile had chosen, is none of this one.
            here = self._claim_book.name_in(self.namespace)
            if here:
                state["pvc_name"] = here
        if self._claim_book.claims:
            state["claims"] = copy.deepcopy(self._claim_book.claims)
        return state

    def _load_claim_state(self, state: Mapping[str, Any]) -> None:
        if not self.remember_pvc_name:
            return
        claims = state.get("claims")
        if isinstance(claims, Mapping):
            for namespace, claim in claims.items():
                self._claim_book.record(namespace, claim["name"], claim.get("uid", ""))
        if state.get("pvc_name"):
            self.pvc_name, self._pvc_exists = state["pvc_name"], True
            if self._claim_book.name_in(self.namespace) != self.pvc_name:
                self._claim_book.record(self.namespace, self.pvc_name)
