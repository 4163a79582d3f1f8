"""Settings: on which node the pod runs."""

from __future__ import annotations

from typing import Any

from kubernetes_asyncio.client.models import (
    V1NodeSelectorTerm,
    V1PodAffinityTerm,
    V1PreferredSchedulingTerm,
    V1Toleration,
    V1WeightedPodAffinityTerm,
)
from traitlets import Dict, HasTraits, Unicode, validate

from ._common import check_labels, check_objects, list_or_dict

_MODELS = {
    "tolerations": V1Toleration,
    "node_affinity_preferred": V1PreferredSchedulingTerm,
    "node_affinity_required": V1NodeSelectorTerm,
    "pod_affinity_preferred": V1WeightedPodAffinityTerm,
    "pod_affinity_required": V1PodAffinityTerm,
    "pod_anti_affinity_preferred": V1WeightedPodAffinityTerm,
    "pod_anti_affinity_required": V1PodAffinityTerm,
}


class SchedulingConfig(HasTraits):
    """On which node the pod runs. None of these settings is expanded.

    https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
    """

    node_selector = Dict(config=True, help="Labels that the pod's node must have.")
    scheduler_name = Unicode(
        None, allow_none=True, config=True, help="Scheduler to use; `None`: the cluster's default."
    )
    priority_class_name = Unicode(
        "",
        config=True,
        help="""Priority class of the pod; empty: the cluster's default.

        https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
        """,
    )
    tolerations = list_or_dict(
        """Taints of nodes that the pod tolerates.

        https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
        """
    )
    node_affinity_preferred = list_or_dict("Preferred nodes: PreferredSchedulingTerm objects.")
    node_affinity_required = list_or_dict("Required nodes: NodeSelectorTerm objects.")
    pod_affinity_preferred = list_or_dict("Pods to be near, preferred: WeightedPodAffinityTerm.")
    pod_affinity_required = list_or_dict("Pods to be near, required: PodAffinityTerm objects.")
    pod_anti_affinity_preferred = list_or_dict(
        "Pods to keep away from, preferred: WeightedPodAffinityTerm objects."
    )
    pod_anti_affinity_required = list_or_dict(
        "Pods to keep away from, required: PodAffinityTerm objects."
    )

    @validate(*_MODELS)
    def _check_scheduling_objects(self, proposal: Any) -> Any:
        name = proposal.trait.name
        return check_objects(self, name, proposal.value, _MODELS[name])

    @validate("node_selector")
    def _check_node_selector(self, proposal: Any) -> Any:
        return check_labels(self, "node_selector", proposal.value, values=True)
