"""The objects that fill the cluster, about as big as those of a real hub."""

from __future__ import annotations

import time
from typing import Any

Object = dict[str, Any]

_STARTED = "2026-01-01T00:00:00Z"
_IMAGE = "quay.io/jupyterhub/k8s-singleuser-sample:4.2.0"


def user_name(number: int) -> str:
    """Return the name of the user with that number; the same width for all up to 99,999."""
    return f"user{number:05}"


def pod(user: str, namespace: str, node: str) -> Object:
    """Return the manifest of a user's server, marked as the spawners of both sides mark theirs."""
    labels = {
        "app": "jupyterhub",
        "component": "singleuser-server",
        "app.kubernetes.io/name": "jupyterhub",
        "app.kubernetes.io/component": "singleuser-server",
        "app.kubernetes.io/managed-by": "kubespawner",
        "hub.jupyter.org/username": user,
        "hub.jupyter.org/servername": "",
        "hub.jupyter.org/network-access-hub": "true",
    }
    env = {
        "JUPYTERHUB_API_TOKEN": "0123456789abcdef" * 2,
        "JUPYTERHUB_API_URL": "http://hub:8081/hub/api",
        "JUPYTERHUB_ACTIVITY_URL": f"http://hub:8081/hub/api/users/{user}/activity",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_CLIENT_ID": f"jupyterhub-user-{user}",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": f'["access:servers!server={user}/"]',
        "JUPYTERHUB_OAUTH_CALLBACK_URL": f"/user/{user}/oauth_callback",
        "JUPYTERHUB_SERVICE_PREFIX": f"/user/{user}/",
        "JUPYTERHUB_SERVICE_URL": f"http://0.0.0.0:8888/user/{user}/",
        "JUPYTERHUB_USER": user,
        "JUPYTER_IMAGE": _IMAGE,
        "JUPYTER_IMAGE_SPEC": _IMAGE,
        "MEM_GUARANTEE": "1073741824",
        "MEM_LIMIT": "2147483648",
    }
    mounts = [{"name": "home", "mountPath": "/home/jovyan"}]
    container = {
        "name": "notebook",
        "image": _IMAGE,
        "args": ["jupyterhub-singleuser"],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "ports": [{"name": "notebook-port", "containerPort": 8888}],
        "resources": {"limits": {"memory": "2Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
        "securityContext": {"runAsUser": 1000, "allowPrivilegeEscalation": False},
        "volumeMounts": mounts,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"jupyter-{user}",
            "namespace": namespace,
            "labels": labels,
            "annotations": {
                "hub.jupyter.org/username": user,
                "hub.jupyter.org/servername": "",
                "hub.jupyter.org/jupyterhub-version": "5.4.0",
                "hub.jupyter.org/kubespawner-version": "7.1.0",
            },
        },
        "spec": {
            "nodeName": node,
            "restartPolicy": "OnFailure",
            "automountServiceAccountToken": False,
            "securityContext": {"fsGroup": 100},
            "containers": [container],
            "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": f"claim-{user}"}}],
        },
    }


def ready_status(number: int) -> Object:
    """Return the status of a pod that runs and is ready, with an address of its own."""
    ip = f"10.{64 + (number >> 16) % 64}.{(number >> 8) % 256}.{number % 256}"
    conditions = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "hostIP": "192.0.2.1",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": _STARTED,
        "qosClass": "Burstable",
        "conditions": [
            {"type": name, "status": "True", "lastTransitionTime": _STARTED} for name in conditions
        ],
        "containerStatuses": [
            {
                "name": "notebook",
                "image": _IMAGE,
                "imageID": f"docker-pullable://{_IMAGE}@sha256:{number:064x}",
                "containerID": f"containerd://{number:064x}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": _STARTED}},
            }
        ],
    }


def event(namespace: str, about: str, name: str, uid: str = "", reason: str = "Pulled") -> Object:
    """Return an event about a pod, of now."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    involved = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": about,
        "namespace": namespace,
        "uid": uid or f"00000000-0000-0000-0000-{hash(about) & 0xFFFFFFFFFFFF:012x}",
        "fieldPath": "spec.containers{notebook}",
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved,
        "type": "Normal",
        "reason": reason,
        "message": f'Container image "{_IMAGE}" already present on machine',
        "source": {"component": "kubelet", "host": "bench-node"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
