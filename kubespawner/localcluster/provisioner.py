"""The embedded cluster's volume provisioner: a claim is a directory.

https://kubernetes.io/docs/concepts/storage/dynamic-provisioning/
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from kubernetes_asyncio.client import ApiException, StorageV1Api

from ..kube.informer import Informer
from ..kube.requests import Deadline, Requests
from .events import Events, Work
from .volumes import Volumes

log = logging.getLogger(__name__)

STORAGE_CLASS = "standard"
PROVISIONER = "localcluster/directory"
_SOURCE = "persistentvolume-controller"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class Provisioner:
    """Binds claims of its storage classes; of others it says what is missing.

    Every class with the provisioner ``localcluster/directory`` is its own; ``standard``, the
    default class, is there from the beginning.

    Args:
        claims: informer of all namespaces.
    """

    def __init__(
        self,
        api: Any,
        requests: Requests,
        events: Events,
        volumes: Volumes,
        claims: Informer,
    ):
        self._api = api
        self._requests = requests
        self._events = events
        self._volumes = volumes
        self._claims = claims
        self._classes = Informer(
            lambda: api.api_client,
            "/apis/storage.k8s.io/v1/storageclasses",
            log=log,
            name="storage classes",
        )
        self._work = Work("provisioner")
        # What was last begun for a claim: namespace/name -> (uid, task).
        self._known: dict[str, tuple[str, asyncio.Task[None]]] = {}

    async def start(self) -> None:
        """Create the default storage class, and begin to bind claims."""
        storage: Any = StorageV1Api(self._api.api_client)
        response = await storage.create_storage_class(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": STORAGE_CLASS, "annotations": {_DEFAULT_CLASS: "true"}},
                "provisioner": PROVISIONER,
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "Immediate",
            },
            _preload_content=False,
        )
        response.release()
        # 409: from before the API server's restart.
        if response.status not in (201, 409):
            raise ApiException(status=response.status, reason=response.reason)
        self._classes.subscribe_all(self._class_changed)
        self._classes.start()
        await self._classes.loaded(Deadline.after(30))
        self._claims.subscribe_all(self._claim_changed)

    async def stop(self) -> None:
        """Bind nothing any more."""
        await self._classes.stop()
        await self._work.cancel()

    def _class_changed(self, *_: Any) -> None:
        for key, claim in self._claims.items_view.items():
            bound = (claim.get("status") or {}).get("phase") == "Bound"
            if not bound and not claim["metadata"].get("deletionTimestamp"):
                self._known.pop(key, None)
                self._claim_changed("MODIFIED", key, claim)

    def _claim_changed(self, kind: str, key: str, claim: dict[str, Any] | None) -> None:
        uid = claim["metadata"]["uid"] if claim else ""
        known = self._known.get(key)
        if known and known[0] == uid:
            return
        before = known[1] if known else None
        if claim is None or known:
            # Gone; or replaced by another one of its name, in a list after an interrupted watch.
            before = self._work.spawn(self._remove(key, before, known[0] if known else ""))
            self._known.pop(key, None)
        if claim is not None and not claim["metadata"].get("deletionTimestamp"):
            self._known[key] = (uid, self._work.spawn(self._bind(claim, before)))

    async def _bind(self, claim: dict[str, Any], before: asyncio.Task[None] | None) -> None:
        if before:
            await asyncio.wait([before])
        if (claim.get("status") or {}).get("phase") == "Bound":
            return
        name = claim["spec"].get("storageClassName") or ""
        storage_class = self._class(name)
        if storage_class is None:
            await self._tell_missing(claim, name)
        elif storage_class["provisioner"] != PROVISIONER:
            await self._events.tell(
                claim,
                "Normal",
                "ExternalProvisioning",
                "Waiting for a volume to be created either by the external provisioner "
                f"'{storage_class['provisioner']}' or manually by the system administrator.",
                source=_SOURCE,
            )
        else:
            try:
                await self._provide(claim, name)
            except ApiException as e:
                # 404, 409: deleted meanwhile.
                if e.status not in (404, 409):
                    raise

    def _class(self, name: str) -> dict[str, Any] | None:
        for storage_class in self._classes.items_view.values():
            if storage_class["metadata"]["name"] == name:
                return storage_class
        return None

    async def _tell_missing(self, claim: dict[str, Any], name: str) -> None:
        if name:
            type_, reason = "Warning", "ProvisioningFailed"
            message = f'storageclass.storage.k8s.io "{name}" not found'
        else:
            type_, reason = "Normal", "FailedBinding"
            message = "no persistent volumes available for this claim and no storage class is set"
        await self._events.tell(claim, type_, reason, message, source=_SOURCE)

    async def _provide(self, claim: dict[str, Any], storage_class: str) -> None:
        metadata, spec = claim["metadata"], claim["spec"]
        namespace, name = metadata["namespace"], metadata["name"]
        directory = await asyncio.to_thread(self._volumes.provision, namespace, name)
        volume = f"pvc-{metadata['uid']}"
        capacity = {"storage": spec["resources"]["requests"]["storage"]}
        manifest = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": capacity,
                "accessModes": spec["accessModes"],
                "storageClassName": storage_class,
                "persistentVolumeReclaimPolicy": "Delete",
                "hostPath": {"path": str(directory)},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": namespace,
                    "name": name,
                    "uid": metadata["uid"],
                },
            },
        }
        await self._requests.create(self._api, "persistent_volume", manifest, None)
        change = {"metadata": {"uid": metadata["uid"]}, "spec": {"volumeName": volume}}
        await self._requests.patch(self._api, "persistent_volume_claim", name, change, namespace)
        status = {"phase": "Bound", "capacity": capacity, "accessModes": spec["accessModes"]}
        await self._requests.patch(
            self._api,
            "persistent_volume_claim_status",
            name,
            {"metadata": {"uid": metadata["uid"]}, "status": status},
            namespace,
        )
        await self._events.tell(
            claim,
            "Normal",
            "ProvisioningSucceeded",
            f"Successfully provisioned volume {volume}",
            source=PROVISIONER,
        )

    async def _remove(self, key: str, before: asyncio.Task[None] | None, uid: str) -> None:
        """Remove a claim's directory and volume; what was begun for it ends first."""
        if before:
            await asyncio.wait([before])
        namespace, name = key.split("/")
        await asyncio.to_thread(self._volumes.remove_claim, namespace, name)
        if uid:
            await self._requests.delete(self._api, "persistent_volume", f"pvc-{uid}", None)
            self._events.forget(uid)
