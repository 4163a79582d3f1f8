"""JupyterHub's internal TLS."""

# ruff: noqa: F821  (JupyterHub provides `c`)

import os

namespace = os.environ["POD_NAMESPACE"]

c.JupyterHub.internal_ssl = True
# On the claim: servers that run trust this authority, also after the hub was replaced.
c.JupyterHub.internal_certs_location = "/srv/jupyterhub/internal-tls"
c.JupyterHub.trusted_alt_names = [
    "DNS:hub",
    f"DNS:hub.{namespace}",
    f"DNS:hub.{namespace}.svc",
    f"DNS:hub.{namespace}.svc.cluster.local",
]
c.JupyterHub.hub_bind_url = "https://0.0.0.0:8081"
c.JupyterHub.hub_connect_url = f"https://hub.{namespace}.svc:8081"
# Towards browsers it is plain HTTP here; TLS for them ends at an Ingress or a load balancer.
c.JupyterHub.bind_url = "http://0.0.0.0:8000"
c.ConfigurableHTTPProxy.should_start = True
c.ConfigurableHTTPProxy.api_url = "https://127.0.0.1:8001"
c.ConfigurableHTTPProxy.pid_file = "/tmp/proxy.pid"
