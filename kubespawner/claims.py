"""A user's claim (PVC): found, verified, created, and deleted only when it is certainly theirs.

What a claim holds is a user's work. Everything here prefers to fail with a sentence over
mounting, replacing or deleting a claim on a guess.
https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.client.models import V1PersistentVolumeClaim

from .checks import amount
from .errors import SpawnError
from .failures import explained
from .kube.requests import ApiUnavailable, Deadline, Requests
from .manifests import USERNAME
from .ownership import (
    Owner,
    annotations_of,
    described_owner,
    is_claim_of,
    is_terminating,
    labels_of,
    uid_of,
)

KIND = "persistent_volume_claim"

# A start does not wait longer for a claim to be allowed to grow; the next one asks again.
_EXPANSION_SECONDS = 10.0


@dataclass
class ClaimBook:
    """Which claim a server has in which namespace, as far as known; part of its state."""

    claims: dict[str, dict[str, str]] = field(default_factory=dict)

    def name_in(self, namespace: str) -> str | None:
        return self.claims.get(namespace, {}).get("name")

    def uid_in(self, namespace: str) -> str:
        return self.claims.get(namespace, {}).get("uid", "")

    def record(self, namespace: str, name: str, uid: str = "") -> None:
        self.claims[namespace] = {"name": name, "uid": uid} if uid else {"name": name}

    def forget(self, namespace: str) -> None:
        self.claims.pop(namespace, None)

    def names(self) -> set[str]:
        return {claim["name"] for claim in self.claims.values()}


@dataclass(frozen=True)
class ClaimPlace:
    """One claim of one owner: a name in a namespace."""

    requests: Requests
    api: Any
    name: str
    namespace: str
    owner: Owner
    wait_gone: Callable[[str, str, Deadline], Awaitable[Mapping[str, Any] | None]]
    pods_using: Callable[[str], Iterable[str]]
    log: Any
    tell_user: Callable[[str], None]

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    async def ensure(
        self,
        manifest: V1PersistentVolumeClaim,
        *,
        known_uid: str | None,
        expand: bool,
        deadline: Deadline,
    ) -> str:
        """Return the UID of a claim that is fit to be mounted, creating it where there is none.

        Args:
            known_uid: None if the server never had this claim; else its UID, '' if unrecorded.
            expand: whether an existing claim that is smaller than the manifest's is to grow.

        Returns:
            The UID; '' where the Role allows creating but not reading claims.

        Raises:
            SpawnError: the claim is another user's, lost, or stuck in deletion.
            ApiException: refused by quota, policy or Role, and no such claim exists.
        """
        if known_uid is None:
            uid = await self._create_first(manifest, deadline)
            if uid is not None:
                return uid
        while True:
            try:
                claim = await self.requests.read(
                    self.api, KIND, self.name, self.namespace, deadline=deadline
                )
            except ApiException as e:
                if e.status != 403:
                    raise
                self.log.warning(
                    "Claim %s is used unseen, so whose it is is unknown: %s", self, explained(e)
                )
                return await self._create_unseen(manifest, deadline)
            if claim is not None:
                if is_terminating(claim):
                    await self._gone(uid_of(claim), deadline)
                    continue
                self._check_usable(claim)
                if known_uid and uid_of(claim) != known_uid:
                    self._warn_new_volume(
                        "is not the one this server had before (it was deleted and made anew)"
                    )
                if expand:
                    await self._expand(claim, manifest, deadline)
                return uid_of(claim)
            try:
                created = await self.requests.create(
                    self.api, KIND, manifest, self.namespace, deadline=deadline
                )
            except ApiException as e:
                if e.status != 409:
                    raise
                continue
            if known_uid is not None:
                self._warn_new_volume("was gone and has been created anew, empty")
            return uid_of(created)

    async def _create_first(
        self, manifest: V1PersistentVolumeClaim, deadline: Deadline
    ) -> str | None:
        """Create the claim of a server that has had none, without looking first; return its UID.

        None if that was refused, for instance since there is one: that has to be looked at.
        """
        try:
            created = await self.requests.create(
                self.api, KIND, manifest, self.namespace, deadline=deadline
            )
        except ApiException as e:
            if e.status == 401 or e.status >= 500:
                raise
            return None
        return uid_of(created)

    async def _create_unseen(self, manifest: V1PersistentVolumeClaim, deadline: Deadline) -> str:
        try:
            created = await self.requests.create(
                self.api, KIND, manifest, self.namespace, deadline=deadline
            )
        except ApiException as e:
            if e.status == 409:
                return ""
            raise
        return uid_of(created)

    async def _expand(
        self, claim: Mapping[str, Any], manifest: V1PersistentVolumeClaim, deadline: Deadline
    ) -> None:
        """Let a claim that is too small grow; it never shrinks, and a start never fails of it.

        https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims
        """
        has, wanted = _storage(claim), str(manifest.spec.resources.requests["storage"])
        before, after = amount(has), amount(wanted)
        if before is None or after is None or after <= before:
            return
        if (claim.get("status") or {}).get("phase") != "Bound":
            self.log.info("Claim %s stays at %s until it is bound to a volume", self, has)
            return
        body = {
            # Only this claim, not one that was made anew meanwhile.
            "metadata": {"uid": uid_of(claim)},
            "spec": {"resources": {"requests": {"storage": wanted}}},
        }
        try:
            await self.requests.patch(
                self.api,
                KIND,
                self.name,
                body,
                self.namespace,
                deadline=deadline.sooner(_EXPANSION_SECONDS),
            )
        except (ApiException, ApiUnavailable) as e:
            self.log.warning(
                "Claim %s of %s stays at %s; it can't be expanded to %s "
                "(KubeSpawner.storage_capacity): %s",
                self,
                self.owner,
                has,
                wanted,
                explained(e),
            )
            return
        self.log.info("Expanding claim %s of %s from %s to %s", self, self.owner, has, wanted)

    def _warn_new_volume(self, what: str) -> None:
        self.log.warning("Claim %s of %s %s.", self, self.owner, what)
        self.tell_user(
            "Your storage volume is new and empty: the one you had before no longer exists. "
            "If you miss files, tell the administrator of this hub."
        )

    def _check_usable(self, claim: Mapping[str, Any]) -> None:
        if not is_claim_of(self.owner, claim):
            raise SpawnError(
                "The storage volume that your server would get belongs to another user. "
                "Please tell the administrator of this hub.",
                reason="ClaimCollision",
                admin_message=(
                    f"Claim {self} belongs to {described_owner(claim)}, not to {self.owner}; "
                    "it is neither mounted nor replaced. Check KubeSpawner.pvc_name_template."
                ),
                status_code=409,
            )
        if (claim.get("status") or {}).get("phase") == "Lost":
            raise SpawnError(
                "Your storage volume can't be found by the cluster any more. "
                "Please tell the administrator of this hub.",
                reason="ClaimLost",
                admin_message=(
                    f"Claim {self} of {self.owner} is in phase Lost: its PersistentVolume "
                    f"{(claim.get('spec') or {}).get('volumeName')!r} is gone."
                ),
            )

    async def _gone(self, uid: str, deadline: Deadline) -> None:
        self.log.warning("Claim %s is being deleted; waiting for it to go", self)
        if await self.wait_gone(self.name, uid, deadline) is None:
            return
        users = ", ".join(self.pods_using(self.name)) or "no pod that this hub knows"
        raise SpawnError(
            "Your storage volume is being deleted and still in use. "
            "Please tell the administrator of this hub.",
            reason="ClaimTerminating",
            admin_message=f"Claim {self} (uid {uid}) is in deletion; it is held by {users}.",
            status_code=409,
        )

    async def delete_if_theirs(
        self, *, ensured: bool, uid: str = "", deadline: Deadline | None = None
    ) -> None:
        """Delete the claim if it is this owner's by what is written on it; log what was kept.

        Args:
            ensured: whether the configuration says that this hub makes the claims.
            uid: UID of the claim that the server was known to have, '' if unknown.
        """
        try:
            claim = await self.requests.read(
                self.api, KIND, self.name, self.namespace, deadline=deadline
            )
        except ApiException as e:
            if e.status != 403:
                raise
            self.log.warning(
                "Keeping claim %s, since whose it is is unknown: %s", self, explained(e)
            )
            return
        if claim is None:
            self.log.info("No claim %s to delete", self)
            return
        kept = self._why_keep(claim, ensured)
        if kept:
            self.log.warning("Keeping claim %s: %s", self, kept)
            return
        if uid and uid != uid_of(claim):
            self.log.info("Claim %s was made anew since (uid %s)", self, uid_of(claim))
        await self.requests.delete(
            self.api, KIND, self.name, self.namespace, uid=uid_of(claim), deadline=deadline
        )
        self.log.info("Deleted claim %s (uid %s) of %s", self, uid_of(claim), self.owner)

    def _why_keep(self, claim: Mapping[str, Any], ensured: bool) -> str:
        labels = labels_of(claim)
        marked_ours = labels.get("component") == "singleuser-storage"
        if not ensured and not marked_ours:
            return "storage_pvc_ensure is off and the claim does not carry this hub's labels"
        hub = labels.get("app.kubernetes.io/component", self.owner.component)
        if marked_ours and hub != self.owner.component:
            return f"it belongs to another hub (component {hub!r})"
        if not is_claim_of(self.owner, claim):
            return f"it belongs to {described_owner(claim)}"
        if USERNAME not in annotations_of(claim):
            return f"it has no annotation {USERNAME} that says whose it is"
        return ""


def _storage(claim: Mapping[str, Any]) -> str:
    """Return the size that a claim asks for, '' if it says none."""
    resources = (claim.get("spec") or {}).get("resources") or {}
    return str((resources.get("requests") or {}).get("storage") or "")
