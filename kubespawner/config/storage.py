"""Settings: claims and volumes."""

from __future__ import annotations

from kubernetes_asyncio.client.models import V1LabelSelector, V1Volume, V1VolumeMount
from traitlets import HasTraits

from . import _checks as checks
from ._types import Bool, Dict, List, Unicode, list_or_dict


class StorageConfig(HasTraits):
    """What outlives the server.

    https://kubernetes.io/docs/concepts/storage/persistent-volumes/
    """

    storage_pvc_ensure = Bool(
        False,
        help="""Make sure that a server's claim exists before its pod is created.

        The claim (PersistentVolumeClaim) is named by `pvc_name_template` and needs
        `storage_capacity`. To use it, mount it::

            c.KubeSpawner.storage_pvc_ensure = True
            c.KubeSpawner.storage_capacity = "10Gi"
            c.KubeSpawner.volumes = [
                {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}
            ]
            c.KubeSpawner.volume_mounts = [{"name": "home", "mountPath": "/home/jovyan"}]

        An existing claim is used as it is; at most it grows (`storage_expand`).
        """,
    )
    storage_capacity = Unicode(
        None,
        allow_none=True,
        check=checks.quantity,
        help="""Size of a claim, such as `"10Gi"`; needed with `storage_pvc_ensure`.

        Existing claims that are smaller grow to it at the next start of their server, see
        `storage_expand`; none ever shrinks.

        https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
        """,
    )
    storage_expand = Bool(
        True,
        help="""Let existing claims grow when `storage_capacity` is raised.

        Needs a storage class with `allowVolumeExpansion`, and the permission to patch claims.
        Where the cluster refuses, the log says why, and the server starts with the claim as it
        is. A claim that has grown can't be made smaller again.
        https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims
        """,
    )
    storage_class = Unicode(
        None,
        allow_none=True,
        help="""Storage class of a new claim. Not expanded.

        `None` (the default): the cluster's default class. `""`: none, for volumes that were
        made by hand.
        https://kubernetes.io/docs/concepts/storage/storage-classes/
        """,
    )
    storage_access_modes = List(
        default_value=["ReadWriteOnce"],
        check=checks.access_modes,
        help="""Access modes of a new claim.

        `ReadWriteOnce` (the default): one node at a time; `ReadWriteOncePod`: one pod;
        `ReadWriteMany` and `ReadOnlyMany`: several nodes, for claims that several servers share.
        https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes
        """,
    )
    storage_selector = Dict(
        check=checks.fields_of(V1LabelSelector),
        expanded=True,
        help="""Which volumes a new claim may be bound to. Expanded. Example::

            c.KubeSpawner.storage_selector = {"matchLabels": {"content": "jupyter"}}

        https://kubernetes.io/docs/concepts/storage/persistent-volumes/#selector
        """,
    )
    storage_extra_labels = Dict(
        check=checks.label_templates,
        expanded=True,
        help="""Labels of a new claim. Values are expanded. Existing claims are not changed.""",
    )
    storage_extra_annotations = Dict(
        check=checks.annotation_texts,
        expanded=True,
        help="""Annotations of a new claim. Values are expanded. Existing claims are not changed.""",
    )
    delete_pvc = Bool(
        True,
        help="""Delete a claim when its server or user is deleted in the hub.

        All claims that the server had, in whatever namespace, are looked at. Only one that is
        certainly theirs alone is deleted; the log tells what was kept, and why. Stopping a
        server never deletes its claim.
        """,
    )
    remember_pvc_name = Bool(
        True,
        help="""Go on using the claim that a server had before, whatever the template says now.

        `False` follows `pvc_name_template`: after a change of it users get new, empty volumes.
        """,
    )
    volumes = list_or_dict(
        """Volumes of the pod: Volume objects. Expanded.

        `{pvc_name}` is the name of the server's claim. See `storage_pvc_ensure` for an example.
        https://kubernetes.io/docs/concepts/storage/volumes/
        """,
        check=checks.objects_of(V1Volume, required=["name"]),
        expanded=True,
    )
    volume_mounts = list_or_dict(
        """Where the notebook container has the pod's volumes: VolumeMount objects. Expanded.

        Example: `[{"name": "home", "mountPath": "/home/jovyan"}]`. A single object is written
        in a list, too.
        https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#volumes-1
        """,
        check=checks.objects_of(V1VolumeMount, required=["name", "mountPath"]),
        expanded=True,
    )
