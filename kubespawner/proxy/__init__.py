"""JupyterHub's routes as Ingresses: a proxy without a process of its own.

    c.JupyterHub.proxy_class = "kubespawner.proxy.KubeIngressProxy"

Each route is an Ingress, and where needed a Service and an EndpointSlice of the same name; the
cluster's ingress controller does the rest.
https://jupyterhub.readthedocs.io/en/stable/reference/proxy.html
https://kubernetes.io/docs/concepts/services-networking/ingress/
"""

from __future__ import annotations

from .ingress import KubeIngressProxy
from .reflectors import EndpointsReflector, IngressReflector, ServiceReflector

__all__ = ["EndpointsReflector", "IngressReflector", "KubeIngressProxy", "ServiceReflector"]
