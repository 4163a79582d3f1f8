"""What the real cluster's controller manager does, as far as a spawner can tell.

Garbage collection by owner reference, the end of namespaces, protection of claims in use, the
default service account, the status of quotas. All of it is woken by changes of the store.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from kubespawner.localcluster.admission import CLAIM_PROTECTION
from kubespawner.localcluster.lifecycle import create, delete, update
from kubespawner.localcluster.quotas import Quotas, amount_text
from kubespawner.localcluster.resources import (
    CLAIMS,
    CONFIG_MAPS,
    NAMESPACES,
    PODS,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
    Resource,
)
from kubespawner.localcluster.store import Change, Record, Store

log = logging.getLogger(__name__)

_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"


class Controllers:
    """Works through the changes of a store, one after the other, in a task of its own.

    Args:
        store: whose changes to react to.
        quotas: know the usage that is written into the status of quotas.
    """

    def __init__(self, store: Store, quotas: Quotas):
        self._store = store
        self._quotas = quotas
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe = lambda: None
        # uid of an owner -> objects that name it, so that no deletion has to search everything.
        self._dependents: dict[str, set[tuple[Resource, str, str]]] = {}
        # (namespace, claim) -> pods that mount it.
        self._mounts: dict[tuple[str, str], set[str]] = {}

    def start(self) -> None:
        """Begin to react; needs a running event loop."""
        self._unsubscribe = self._store.subscribe(self._changes.put_nowait)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="controllers")

    async def stop(self) -> None:
        """Stop reacting."""
        self._unsubscribe()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            touched = {self._guarded(await self._changes.get())}
            while not self._changes.empty():
                touched.add(self._guarded(self._changes.get_nowait()))
            for namespace in touched:
                self._refresh_quotas(namespace)

    def _guarded(self, change: Change) -> str:
        """React to one change; a failure concerns that change only and must not end the task."""
        try:
            return self.react(change)
        except Exception:
            log.exception("controllers: %s of %s", change.type, change.after.key)
            return change.after.key[0]

    def react(self, change: Change) -> str:
        """Do what follows from one change; return the namespace that it was in."""
        self._note(change)
        record, resource = change.after, change.resource
        if resource is NAMESPACES:
            self._namespace(change)
        if resource.namespaced:
            self._finish_namespace(record.obj["metadata"]["namespace"], change)
        if resource is CLAIMS and change.type != "DELETED":
            self._release_claim(*record.key)
        if resource is PODS:
            for claim in _claims(record.obj):
                self._release_claim(record.key[0], claim)
        self._collect(change)
        return record.key[0]

    def _note(self, change: Change) -> None:
        """Keep the indexes of owners and mounts."""
        namespace, name = change.after.key
        place = (change.resource, namespace, name)
        for owner in _owners(change.before):
            self._dependents.get(owner["uid"], set()).discard(place)
        if change.type != "DELETED":
            for owner in _owners(change.after):
                self._dependents.setdefault(owner["uid"], set()).add(place)
        if change.resource is PODS:
            for claim in _claims(change.after.obj):
                pods = self._mounts.setdefault((namespace, claim), set())
                pods.discard(name)
                if change.type != "DELETED":
                    pods.add(name)
                if not pods:
                    del self._mounts[namespace, claim]

    # Garbage collection

    def _collect(self, change: Change) -> None:
        meta = change.after.obj["metadata"]
        if change.type == "DELETED":
            for place in sorted(self._dependents.pop(meta["uid"], ()), key=str):
                self._judge(*place)
            for owner in _owners(change.after):
                self._release_owner(owner, meta.get("namespace", ""))
            return
        if _owners(change.after) and not meta.get("deletionTimestamp"):
            self._judge(change.resource, *change.after.key)
        if meta.get("deletionTimestamp") and _FOREGROUND in meta.get("finalizers", ()):
            self._foreground(change.resource, change.after)
        if meta.get("deletionTimestamp") and _ORPHAN in meta.get("finalizers", ()):
            self._orphan(change.resource, change.after)

    def _judge(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object all of whose owners are gone; drop references to those gone."""
        record = self._store.record(resource, namespace, name)
        if record is None:
            return
        owners = _owners(record)
        alive = [
            owner for owner in owners if not self._kind(owner) or self._owner(owner, namespace)
        ]
        if owners and not alive:
            delete(self._store, resource, namespace, name)
        elif len(alive) < len(owners):
            obj = record.copy()
            obj["metadata"]["ownerReferences"] = alive
            update(self._store, resource, obj)

    def _kind(self, owner: dict[str, Any]) -> Resource | None:
        """Return the owner's kind; None: not known here, so nobody can say that it is gone."""
        return self._store.kinds.of(owner["apiVersion"], owner["kind"])

    def _owner(self, owner: dict[str, Any], namespace: str) -> Record | None:
        resource = self._kind(owner)
        if resource is None:
            return None
        place = namespace if resource.namespaced else ""
        record = self._store.record(resource, place, owner["name"])
        return record if record and record.obj["metadata"]["uid"] == owner["uid"] else None

    def _release_owner(self, owner: dict[str, Any], namespace: str) -> None:
        resource = self._kind(owner)
        record = self._owner(owner, namespace)
        if resource and record and _FOREGROUND in record.obj["metadata"].get("finalizers", ()):
            self._foreground(resource, record)

    def _foreground(self, resource: Resource, record: Record) -> None:
        places = self._dependents.get(record.obj["metadata"]["uid"], set())
        waiting = False
        for dependent, namespace, name in sorted(places, key=str):
            found = self._store.record(dependent, namespace, name)
            if found is None:
                continue
            if not found.obj["metadata"].get("deletionTimestamp"):
                delete(self._store, dependent, namespace, name)
            if self._store.record(dependent, namespace, name) is not None:
                waiting = waiting or _blocks(found, record)
        if not waiting:
            self._drop_finalizer(resource, record.key, _FOREGROUND)

    def _orphan(self, resource: Resource, record: Record) -> None:
        uid = record.obj["metadata"]["uid"]
        for dependent, namespace, name in sorted(self._dependents.pop(uid, ()), key=str):
            obj = self._store.get(dependent, namespace, name)
            if obj is not None:
                meta = obj["metadata"]
                meta["ownerReferences"] = [o for o in meta["ownerReferences"] if o["uid"] != uid]
                update(self._store, dependent, obj)
        self._drop_finalizer(resource, record.key, _ORPHAN)

    def _drop_finalizer(self, resource: Resource, key: tuple[str, str], finalizer: str) -> None:
        obj = self._store.get(resource, *key)
        if obj is None or finalizer not in obj["metadata"].get("finalizers", ()):
            return
        obj["metadata"]["finalizers"].remove(finalizer)
        update(self._store, resource, obj)

    # Claims

    def _release_claim(self, namespace: str, name: str) -> None:
        """Let a claim in deletion go once no scheduled pod mounts it.

        https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
        """
        record = self._store.record(CLAIMS, namespace, name)
        if record is None or not record.obj["metadata"].get("deletionTimestamp"):
            return
        for pod_name in self._mounts.get((namespace, name), ()):
            pod = self._store.record(PODS, namespace, pod_name)
            if pod and pod.obj["spec"].get("nodeName"):
                return
        self._drop_finalizer(CLAIMS, (namespace, name), CLAIM_PROTECTION)

    # Namespaces

    def _namespace(self, change: Change) -> None:
        meta = change.after.obj["metadata"]
        if change.type == "DELETED":
            return
        if meta.get("deletionTimestamp"):
            self._empty_namespace(meta["name"])
            return
        for resource, name in ((SERVICE_ACCOUNTS, "default"), (CONFIG_MAPS, "kube-root-ca.crt")):
            if self._store.record(resource, meta["name"], name) is None:
                obj: dict[str, Any] = {"metadata": {"name": name, "namespace": meta["name"]}}
                if resource is CONFIG_MAPS:
                    obj["data"] = {"ca.crt": ""}
                create(self._store, resource, obj)

    def _empty_namespace(self, namespace: str) -> None:
        for resource in self._store.kinds:
            if resource.namespaced:
                for record in self._store.records(resource, namespace):
                    delete(self._store, resource, *record.key)
        self._end_namespace(namespace)

    def _finish_namespace(self, namespace: str, change: Change) -> None:
        if change.type == "DELETED":
            record = self._store.record(NAMESPACES, "", namespace)
            if record and record.obj["metadata"].get("deletionTimestamp"):
                self._end_namespace(namespace)

    def _end_namespace(self, namespace: str) -> None:
        if any(self._store.occupied(r, namespace) for r in self._store.kinds if r.namespaced):
            return
        obj = self._store.get(NAMESPACES, "", namespace)
        if obj is not None:
            obj["spec"]["finalizers"] = []
            update(self._store, NAMESPACES, obj)

    # Quotas

    def _refresh_quotas(self, namespace: str) -> None:
        """Write the usage of the quotas of ``namespace`` ("" = none) into their status."""
        if not namespace:
            return
        for record in self._store.records(RESOURCE_QUOTAS, namespace):
            obj = record.copy()
            used = self._quotas.usage(obj)
            obj["status"] = {
                "hard": dict(obj["spec"].get("hard", {})),
                "used": {name: amount_text(name, amount) for name, amount in used.items()},
            }
            update(self._store, RESOURCE_QUOTAS, obj)


def _owners(record: Record | None) -> list[dict[str, Any]]:
    return list(record.obj["metadata"].get("ownerReferences", ())) if record else []


def _blocks(dependent: Record, owner: Record) -> bool:
    uid = owner.obj["metadata"]["uid"]
    return any(
        reference["uid"] == uid and reference.get("blockOwnerDeletion")
        for reference in _owners(dependent)
    )


def _claims(pod: dict[str, Any]) -> list[str]:
    return [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"].get("volumes", ())
        if "persistentVolumeClaim" in volume
    ]
