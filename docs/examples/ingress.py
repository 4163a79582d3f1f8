c.JupyterHub.proxy_class = "kubespawner.proxy.KubeIngressProxy"
c.KubeIngressProxy.ingress_class_name = "nginx"
c.KubeIngressProxy.ingress_specifications = [{"host": "hub.example.org", "tlsSecret": "hub-tls"}]
c.KubeIngressProxy.ingress_extra_annotations = {
    # Notebooks are larger than a megabyte, and kernels talk over long websockets.
    "nginx.ingress.kubernetes.io/proxy-body-size": "64m",
    "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
}
