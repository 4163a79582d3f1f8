"""Settings: claims and volumes."""

from __future__ import annotations

from typing import Any

from kubernetes_asyncio.client.models import V1LabelSelector, V1Volume, V1VolumeMount
from traitlets import Bool, Dict, HasTraits, List, Unicode, validate

from ._common import (
    check_keys,
    check_labels,
    check_objects,
    check_quantity,
    check_template,
    fail,
    list_or_dict,
)

_ACCESS_MODES = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]


class StorageConfig(HasTraits):
    """What outlives the server.

    https://kubernetes.io/docs/concepts/storage/persistent-volumes/
    """

    storage_pvc_ensure = Bool(
        False,
        config=True,
        help="""Make sure that the claim `pvc_name_template` exists before the pod is created.

        To use it, mount it: see `volumes` and `volume_mounts`. Needs `storage_capacity`.
        """,
    )
    storage_capacity = Unicode(
        None, allow_none=True, config=True, help="Size of the claim, such as `10Gi`."
    )
    storage_class = Unicode(
        None,
        allow_none=True,
        config=True,
        help="""Storage class of the claim. `None`: the cluster's default; `''`: none.

        https://kubernetes.io/docs/concepts/storage/storage-classes/
        """,
    )
    storage_access_modes = List(
        ["ReadWriteOnce"],
        config=True,
        help="""Access modes of the claim.

        https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes
        """,
    )
    storage_selector = Dict(
        config=True,
        help="""Which volumes the claim may bind to: `{"matchLabels": {…}}`. Expanded.""",
    )
    storage_extra_labels = Dict(
        config=True, help="Labels of the claim, set when it is created. Expanded."
    )
    storage_extra_annotations = Dict(
        config=True, help="Annotations of the claim, set when it is created. Expanded."
    )
    delete_pvc = Bool(
        True,
        config=True,
        help="""Delete the claim when its user or named server is deleted from the hub.

        Only a claim that is certainly theirs alone is deleted; the log tells what was kept.
        """,
    )
    remember_pvc_name = Bool(
        True,
        config=True,
        help="""Go on using the claim that a server had before, whatever the template says now.""",
    )
    volumes = list_or_dict(
        """Volumes of the pod. Expanded; `{pvc_name}` is the name of the user's claim.

        https://kubernetes.io/docs/concepts/storage/volumes/
        """
    )
    volume_mounts = list_or_dict(
        """Where the notebook container has its volumes: `{"name": …, "mountPath": …}`. Expanded."""
    )

    @validate("storage_capacity")
    def _check_capacity(self, proposal: Any) -> Any:
        if proposal.value is None:
            return None
        return check_quantity(self, "storage_capacity", proposal.value)

    @validate("storage_access_modes")
    def _check_access_modes(self, proposal: Any) -> Any:
        for mode in proposal.value:
            if mode not in _ACCESS_MODES:
                raise fail(self, "storage_access_modes", mode, f"it must be one of {_ACCESS_MODES}")
        return proposal.value

    @validate("storage_selector")
    def _check_selector(self, proposal: Any) -> Any:
        check_keys(self, "storage_selector", proposal.value, V1LabelSelector)
        return check_template(self, "storage_selector", proposal.value)

    @validate("storage_extra_labels", "storage_extra_annotations")
    def _check_storage_metadata(self, proposal: Any) -> Any:
        name = proposal.trait.name
        check_labels(self, name, proposal.value, values=name.endswith("labels"))
        return check_template(self, name, proposal.value)

    @validate("volumes", "volume_mounts")
    def _check_volumes(self, proposal: Any) -> Any:
        name = proposal.trait.name
        check_objects(self, name, proposal.value, V1Volume if name == "volumes" else V1VolumeMount)
        return check_template(self, name, proposal.value)
