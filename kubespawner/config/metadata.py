"""Settings: labels, annotations, and the hooks around a pod."""

from __future__ import annotations

from typing import Any

from jupyterhub.traitlets import Callable
from traitlets import Dict, HasTraits, validate

from ._common import check_labels, check_template


class MetadataConfig(HasTraits):
    """Labels and annotations, and hooks that get the pod."""

    common_labels = Dict(
        {
            "app.kubernetes.io/name": "jupyterhub",
            "app.kubernetes.io/managed-by": "kubespawner",
            "app": "jupyterhub",
            "heritage": "jupyterhub",
        },
        config=True,
        help="""Labels of pods, claims, services and secrets. Not expanded; win over extra labels.""",
    )
    extra_labels = Dict(
        config=True, help="Labels of the pod, and of its service and secret. Expanded."
    )
    extra_annotations = Dict(
        config=True, help="Annotations of the pod, and of its service and secret. Expanded."
    )
    modify_pod_hook = Callable(
        None,
        allow_none=True,
        config=True,
        help="""Called with the spawner and the finished pod (a `V1Pod`); returns the pod to create.

        May be async. Example::

            def modify_pod_hook(spawner, pod):
                pod.spec.containers[0].env.append(V1EnvVar(name="A", value="B"))
                return pod
        """,
    )
    after_pod_created_hook = Callable(
        None,
        allow_none=True,
        config=True,
        help="""Called with the spawner and the created pod (a dict, as in the API's JSON).

        For objects that need the pod's UID as their owner. May be async; an exception ends the
        spawn and removes the pod.
        """,
    )

    @validate("common_labels", "extra_labels", "extra_annotations")
    def _check_metadata(self, proposal: Any) -> Any:
        name = proposal.trait.name
        check_labels(self, name, proposal.value, values=name.endswith("labels"))
        if name != "common_labels":
            check_template(self, name, proposal.value)
        return proposal.value
