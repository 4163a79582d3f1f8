"""JupyterHub in Kubernetes. Put settings of your own into further files, see deploy/README.md."""

# ruff: noqa: F821  (JupyterHub provides `c` and `load_subconfig`)

import os
from importlib.resources import files
from pathlib import Path

# With the namespace, for servers in namespaces of their own.
hub = f"hub.{os.environ['POD_NAMESPACE']}.svc"

# ---- the hub, and the proxy that runs beside it ------------------------------------------

c.JupyterHub.hub_bind_url = "http://0.0.0.0:8081"
c.JupyterHub.hub_connect_url = f"http://{hub}:8081"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"
c.JupyterHub.db_url = "sqlite:////srv/jupyterhub/jupyterhub.sqlite"
# A hub that ends leaves its users' servers running; the next one finds them.
c.JupyterHub.cleanup_servers = False
# The progress page in words, with the cluster's own events in its log only.
c.JupyterHub.template_paths = [str(files("kubespawner") / "templates" / "hub")]

# ---- users' servers ----------------------------------------------------------------------

c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.image = "kubespawner/singleuser"
c.KubeSpawner.cmd = ["jupyterhub-singleuser"]
c.KubeSpawner.default_url = "/lab"
c.KubeSpawner.start_timeout = 300
c.KubeSpawner.mem_guarantee = "256M"
c.KubeSpawner.mem_limit = "1G"
c.KubeSpawner.cpu_guarantee = 0.05

c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "1Gi"
c.KubeSpawner.volumes = {
    "home": {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}},
    "tmp": {"name": "tmp", "emptyDir": {}},
}
c.KubeSpawner.volume_mounts = {
    "home": {"name": "home", "mountPath": "/home/jovyan"},
    "tmp": {"name": "tmp", "mountPath": "/tmp"},
}

c.KubeSpawner.pod_security = "restricted"
c.KubeSpawner.uid = 1000
c.KubeSpawner.gid = 1000
c.KubeSpawner.fs_gid = 1000
c.KubeSpawner.container_security_context = {"readOnlyRootFilesystem": True}

# ---- what overlays and operators add -----------------------------------------------------

for path in sorted(Path(__file__).parent.glob("*.py")):
    if path.name != "jupyterhub_config.py":
        load_subconfig(str(path))
