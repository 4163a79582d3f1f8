"""Volumes for claims of the default storage class: a directory each.

``python -m realcluster.provisioner CACHE`` watches claims and volumes. A volume is of the
kind ``local`` and not ``hostPath``, because the kubelet applies a pod's ``fsGroup`` only to
the former. https://kubernetes.io/docs/concepts/storage/persistent-volumes/#dynamic
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from . import settings as s
from .api import Api, ApiError, Object
from .settings import Layout

ANNOTATION = "pv.kubernetes.io/provisioned-by"
log = logging.getLogger(__name__)


def wants_volume(claim: Object, classes: Mapping[str, Object]) -> bool:
    """Whether a claim waits for a volume of a storage class of ours."""
    spec = claim["spec"]
    name = spec.get("storageClassName") or ""
    owner = classes.get(name, {}).get("provisioner")
    return (
        owner == s.PROVISIONER
        and not spec.get("volumeName")
        and not spec.get("selector")
        and claim.get("status", {}).get("phase") == "Pending"
        and "deletionTimestamp" not in claim["metadata"]
    )


def volume_for(claim: Object, storage_class: Object, folder: Path) -> Object:
    """The volume that a claim is bound to: its name has the claim's uid, as is customary."""
    metadata, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{metadata['uid']}"
    reference = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
    }
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [s.NODE]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {ANNOTATION: s.PROVISIONER}},
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "claimRef": reference,
            "local": {"path": str(folder / name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": spec["storageClassName"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
        },
    }


def is_released(volume: Object) -> bool:
    """Whether a volume of ours has lost its claim and is to go with its data."""
    return (
        volume["metadata"].get("annotations", {}).get(ANNOTATION) == s.PROVISIONER
        and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        and volume.get("status", {}).get("phase") == "Released"
    )


def make_directory(path: Path) -> None:
    """Open to everybody, as with the provisioners of k3s and minikube; an fsGroup changes it."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)


class Provisioner:
    """Makes and removes the directories."""

    def __init__(self, api: Api, folder: Path):
        self.api = api
        self.folder = folder
        self.classes: dict[str, Object] = {}
        self.claims: dict[str, Object] = {}

    async def on_classes(self, items: dict[str, Object]) -> None:
        self.classes = items
        await self.on_claims(self.claims)

    async def on_claims(self, items: dict[str, Object]) -> None:
        self.claims = items
        for claim in list(items.values()):
            if wants_volume(claim, self.classes):
                await self._make(claim)

    async def _make(self, claim: Object) -> None:
        storage_class = self.classes[claim["spec"]["storageClassName"]]
        volume = volume_for(claim, storage_class, self.folder)
        path = Path(volume["spec"]["local"]["path"])
        make_directory(path)
        try:
            await self.api.request("POST", "/api/v1/persistentvolumes", volume)
        except ApiError as error:
            if error.status != 409:
                raise
            return  # made already; the event that the claim is bound is on its way
        log.info("made %s", path)

    async def on_volumes(self, items: dict[str, Object]) -> None:
        for volume in filter(is_released, list(items.values())):
            name = volume["metadata"]["name"]
            path = self.folder / name
            if path.exists():
                await asyncio.to_thread(shutil.rmtree, path)
                log.info("removed %s", path)
            await self.api.delete(f"/api/v1/persistentvolumes/{name}")


async def serve(layout: Layout) -> None:
    """Provision for ever."""
    async with Api(layout.admin) as api:
        provisioner = Provisioner(api, layout.volumes)
        await asyncio.gather(
            api.follow("/apis/storage.k8s.io/v1/storageclasses", provisioner.on_classes),
            api.follow("/api/v1/persistentvolumeclaims", provisioner.on_claims),
            api.follow("/api/v1/persistentvolumes", provisioner.on_volumes),
        )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(serve(Layout(Path(sys.argv[1]))))
