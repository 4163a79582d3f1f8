"""JupyterHub's routes as Kubernetes objects: proxies without a process of their own.

    c.JupyterHub.proxy_class = "kubespawner.proxy.KubeIngressProxy"

or ``KubeGatewayProxy``. Each route is an Ingress or an HTTPRoute, and where needed a Service and
an EndpointSlice of the same name; the cluster's controller does the rest.
https://jupyterhub.readthedocs.io/en/stable/reference/proxy.html
https://kubernetes.io/docs/concepts/services-networking/ingress/
https://gateway-api.sigs.k8s.io/
"""

from __future__ import annotations

from .gateway import KubeGatewayProxy
from .ingress import KubeIngressProxy
from .reflectors import (
    EndpointsReflector,
    HTTPRouteReflector,
    IngressReflector,
    ServiceReflector,
)

__all__ = [
    "EndpointsReflector",
    "HTTPRouteReflector",
    "IngressReflector",
    "KubeGatewayProxy",
    "KubeIngressProxy",
    "ServiceReflector",
]
