"""Keeping pods away from the cloud's metadata service, by a NetworkPolicy.

What that service answers, often the credentials of the machine, is for whoever asks from it. The
usual remedy, an init container that changes the machine's firewall, has to be privileged; a
policy needs no right in the pod at all.
https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from collections.abc import Mapping

from kubernetes_asyncio.client.models import (
    V1IPBlock,
    V1LabelSelector,
    V1NetworkPolicy,
    V1NetworkPolicyEgressRule,
    V1NetworkPolicyPeer,
    V1NetworkPolicySpec,
    V1ObjectMeta,
)

#: Of AWS, Azure, Google and most others; of AWS' container service; of Alibaba; of AWS over IPv6.
#: Not all link-local addresses: clusters have name servers among those.
METADATA_SERVICES = ("169.254.169.254/32", "169.254.170.2/32", "100.100.100.200/32")
METADATA_SERVICES_V6 = ("fd00:ec2::254/128",)


def make_metadata_block(
    name: str,
    component: str,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> V1NetworkPolicy:
    """Return a policy that lets pods reach everything but metadata services.

    Args:
        component: label ``component`` of the pods that it is for.
    """
    everything_but = [
        V1IPBlock(cidr="0.0.0.0/0", _except=list(METADATA_SERVICES)),
        V1IPBlock(cidr="::/0", _except=list(METADATA_SERVICES_V6)),
    ]
    return V1NetworkPolicy(
        api_version="networking.k8s.io/v1",
        kind="NetworkPolicy",
        metadata=V1ObjectMeta(
            name=name, labels=dict(labels or {}), annotations=dict(annotations or {})
        ),
        spec=V1NetworkPolicySpec(
            pod_selector=V1LabelSelector(match_labels={"component": component}),
            policy_types=["Egress"],
            egress=[
                V1NetworkPolicyEgressRule(
                    to=[V1NetworkPolicyPeer(ip_block=block) for block in everything_but]
                ),
                # Addresses of the cluster's own pods, which some network plugins do not count
                # among those of an address block.
                V1NetworkPolicyEgressRule(
                    to=[
                        V1NetworkPolicyPeer(
                            namespace_selector=V1LabelSelector(), pod_selector=V1LabelSelector()
                        )
                    ]
                ),
            ],
        ),
    )
