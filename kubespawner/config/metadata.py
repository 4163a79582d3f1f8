"""Settings: labels, annotations, and the hooks around a pod."""

from __future__ import annotations

from traitlets import HasTraits

from . import _checks as checks
from ._types import Callable, Dict


class MetadataConfig(HasTraits):
    """Labels and annotations, and hooks that get the pod.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
    """

    common_labels = Dict(
        default_value={
            "app.kubernetes.io/name": "jupyterhub",
            "app.kubernetes.io/managed-by": "kubespawner",
            "app": "jupyterhub",
            "heritage": "jupyterhub",
        },
        check=checks.labels,
        help="""Labels of pods, claims, services and secrets. Not expanded.

        They win over `extra_labels` and `storage_extra_labels`; those that the hub itself needs
        win over them.
        """,
    )
    extra_labels = Dict(
        check=checks.label_templates,
        expanded=True,
        help="""Further labels of the pod, and of its service and secret. Values are expanded.""",
    )
    extra_annotations = Dict(
        check=checks.annotation_texts,
        expanded=True,
        help="""Further annotations of the pod, and of its service and secret. Values are expanded.

        https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/
        """,
    )
    modify_pod_hook = Callable(
        None,
        allow_none=True,
        help="""Called with the spawner and the pod before it is created; returns the one to create.

        The pod is a `V1Pod` of kubernetes_asyncio. May be async. Example::

            def modify_pod_hook(spawner, pod):
                pod.metadata.labels["team"] = spawner.user.groups[0].name
                return pod

            c.KubeSpawner.modify_pod_hook = modify_pod_hook
        """,
    )
    after_pod_created_hook = Callable(
        None,
        allow_none=True,
        help="""Called with the spawner and the pod once it exists (a dict, as in the API's JSON).

        For objects that have the pod as their owner, by `pod["metadata"]["uid"]`. May be async;
        what it returns is ignored; an exception ends the spawn and removes the pod.
        https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
        """,
    )
