"""The demo's JupyterHub configuration; a starting point for one of your own."""

# ruff: noqa: F821  (JupyterHub provides `c`)

import os
import sys
from importlib.resources import files
from pathlib import Path

embedded = os.environ["DEMO_CLUSTER"] == "embedded"
directory = Path(os.environ["DEMO_DIRECTORY"])

# ---- the hub: these lines are for a demo on this machine --------------------------------

c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "demo"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"admin"}
c.JupyterHub.allow_named_servers = True
c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['DEMO_PORT']}"
c.JupyterHub.db_url = f"sqlite:///{directory / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(directory / "cookie_secret")
# The proxy gives up on any answer that takes 20 s, such as the progress of a start: let it wait.
c.ConfigurableHTTPProxy.command = [
    *[sys.executable, "-m", "kubespawner.cli.demo_proxy"],
    "--proxy-timeout=86400000",
]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['DEMO_PROXY_PORT']}"
c.ConfigurableHTTPProxy.pid_file = str(directory / "proxy.pid")
# Servers in a real cluster reach the hub by an address of this machine.
hub_port = os.environ["DEMO_HUB_PORT"]
c.JupyterHub.hub_bind_url = f"http://{os.environ.get('DEMO_HUB_LISTEN', '127.0.0.1')}:{hub_port}"
if not embedded:
    c.JupyterHub.hub_connect_url = f"http://{os.environ['DEMO_HUB_ADDRESS']}:{hub_port}"

# ---- the spawner ------------------------------------------------------------------------

# The progress page in words, with the cluster's own events in its log only.
c.JupyterHub.template_paths = [str(files("kubespawner") / "templates" / "hub")]

c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.image = "kubespawner/singleuser:demo" if embedded else os.environ["DEMO_IMAGE"]
c.KubeSpawner.image_pull_policy = "IfNotPresent"
c.KubeSpawner.cmd = (
    [sys.executable, "-m", "jupyterhub.singleuser"] if embedded else ["jupyterhub-singleuser"]
)
if embedded:
    c.KubeSpawner.args = ["--allow-root"]
else:
    c.KubeSpawner.namespace = os.environ["DEMO_NAMESPACE"]
    # Gives fresh volumes to the group that the image's user is in.
    c.KubeSpawner.fs_gid = 1000
c.KubeSpawner.default_url = "/lab"
c.KubeSpawner.start_timeout = 120

# Without a storage class that makes volumes, files end with their server.
storage = embedded or os.environ["DEMO_STORAGE"] == "yes"
c.KubeSpawner.storage_pvc_ensure = storage
c.KubeSpawner.storage_capacity = "1Gi"
claim = {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}
c.KubeSpawner.volumes = {"home": claim if storage else {"name": "home", "emptyDir": {}}}
c.KubeSpawner.volume_mounts = {"home": {"name": "home", "mountPath": "/home/jovyan"}}

c.KubeSpawner.profile_list = [
    {
        "display_name": "Small",
        "description": "For a first look: half a processor, 512 MB.",
        "default": True,
        "kubespawner_override": {"cpu_guarantee": 0.1, "cpu_limit": 0.5, "mem_limit": "512M"},
    },
    {
        "display_name": "Course",
        "description": "Choose how much your work needs.",
        "kubespawner_override": {"environment": {"COURSE": "demo"}},
        "profile_options": {
            "size": {
                "display_name": "Size",
                "choices": {
                    "one": {
                        "display_name": "1 processor, 1 GB",
                        "kubespawner_override": {"cpu_limit": 1, "mem_limit": "1G"},
                    },
                    "two": {
                        "display_name": "2 processors, 2 GB",
                        "kubespawner_override": {"cpu_limit": 2, "mem_limit": "2G"},
                    },
                },
            },
        },
    },
]
