"""Settings: on which node the pod runs."""

from __future__ import annotations

from kubernetes_asyncio.client.models import (
    V1NodeSelectorTerm,
    V1PodAffinityTerm,
    V1PreferredSchedulingTerm,
    V1Toleration,
    V1WeightedPodAffinityTerm,
)
from traitlets import HasTraits

from . import _checks as checks
from ._types import Dict, Unicode, list_or_dict

_AFFINITY = "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/"
_preferred_node = checks.objects_of(V1PreferredSchedulingTerm, required=["weight", "preference"])
_required_node = checks.objects_of(V1NodeSelectorTerm)
_preferred_pods = checks.objects_of(
    V1WeightedPodAffinityTerm, required=["weight", "podAffinityTerm"]
)
_required_pods = checks.objects_of(V1PodAffinityTerm, required=["topologyKey"])


class SchedulingConfig(HasTraits):
    """On which node the pod runs. None of these settings is expanded.

    https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
    """

    node_selector = Dict(
        check=checks.labels,
        help=f"""Labels that a node must have to run the pod. Not expanded.

        Example: `{{"disktype": "ssd"}}`. All of them must match; for more see
        `node_affinity_required`.
        {_AFFINITY}
        """,
    )
    scheduler_name = Unicode(
        None,
        allow_none=True,
        help="""Name of the scheduler that chooses the node; `None` (the default): the cluster's.

        https://kubernetes.io/docs/tasks/extend-kubernetes/configure-multiple-schedulers/
        """,
    )
    priority_class_name = Unicode(
        "",
        help="""Priority class of the pod; empty (the default): the cluster's default.

        With a higher priority than placeholder pods, users need not wait for a new node.
        https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
        """,
    )
    tolerations = list_or_dict(
        """Taints of nodes that the pod tolerates: Toleration objects. Not expanded. Example::

            c.KubeSpawner.tolerations = [
                {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
            ]

        https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
        """,
        check=checks.objects_of(V1Toleration),
    )
    node_affinity_preferred = list_or_dict(
        f"""Nodes that are preferred: PreferredSchedulingTerm objects. Not expanded. Example::

            c.KubeSpawner.node_affinity_preferred = [{{
                "weight": 100,
                "preference": {{
                    "matchExpressions": [{{"key": "zone", "operator": "In", "values": ["a"]}}]
                }},
            }}]

        {_AFFINITY}#node-affinity
        """,
        check=_preferred_node,
    )
    node_affinity_required = list_or_dict(
        f"""Nodes that are possible at all: NodeSelectorTerm objects, one of which must match.

        Not expanded. Example::

            c.KubeSpawner.node_affinity_required = [{{
                "matchExpressions": [{{"key": "gpu", "operator": "Exists"}}]
            }}]

        {_AFFINITY}#node-affinity
        """,
        check=_required_node,
    )
    pod_affinity_preferred = list_or_dict(
        f"""Pods to be placed near, if possible: WeightedPodAffinityTerm objects. Not expanded.

        {_AFFINITY}#inter-pod-affinity-and-anti-affinity
        """,
        check=_preferred_pods,
    )
    pod_affinity_required = list_or_dict(
        f"""Pods to be placed near, in any case: PodAffinityTerm objects. Not expanded.

        {_AFFINITY}#inter-pod-affinity-and-anti-affinity
        """,
        check=_required_pods,
    )
    pod_anti_affinity_preferred = list_or_dict(
        f"""Pods to stay away from, if possible: WeightedPodAffinityTerm objects. Not expanded.

        {_AFFINITY}#inter-pod-affinity-and-anti-affinity
        """,
        check=_preferred_pods,
    )
    pod_anti_affinity_required = list_or_dict(
        f"""Pods to stay away from, in any case: PodAffinityTerm objects. Not expanded.

        {_AFFINITY}#inter-pod-affinity-and-anti-affinity
        """,
        check=_required_pods,
    )
