c.JupyterHub.proxy_class = "kubespawner.proxy.KubeGatewayProxy"
c.KubeGatewayProxy.gateway_parent_refs = [{"name": "web", "namespace": "gateways"}]
c.KubeGatewayProxy.gateway_hostnames = ["hub.example.org"]
