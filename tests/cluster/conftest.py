"""Spawners on a real cluster: that of the current kubeconfig, as `make cluster` leaves it.

Each test has a namespace of its own, removed afterwards.
"""

from __future__ import annotations

import asyncio
import os
import secrets

import pytest
from kubernetes_asyncio.client import ApiException

from kubespawner import KubeSpawner
from kubespawner.clients import load_config, shared_client
from kubespawner.localcluster.pytest_plugin import _make

IMAGE = os.environ.get("KUBESPAWNER_TEST_IMAGE", "kubespawner/busybox:test")

if os.environ.get("KUBESPAWNER_TEST_CLUSTER") != "current":
    collect_ignore_glob = ["test_*.py"]


def telling(*commands: str) -> list[str]:
    """A server that first writes what ``commands`` see of the container, then answers."""
    return ["sh", "-c", "; ".join([*commands, "exec httpd -f -p 8888 -h /tmp"])]


@pytest.fixture
async def namespace():
    load_config()
    api = shared_client("CoreV1Api")
    name = f"kubespawner-test-{secrets.token_hex(4)}"
    await api.create_namespace({"metadata": {"name": name}})
    # Its service account comes a moment later, and pods are refused before.
    for _ in range(200):
        try:
            await api.read_namespaced_service_account("default", name)
            break
        except ApiException as e:
            if e.status != 404:
                raise
            await asyncio.sleep(0.05)
    yield name
    await KubeSpawner._stop_all_reflectors()
    await api.delete_namespace(name)


@pytest.fixture
async def api(namespace):
    return shared_client("CoreV1Api")


@pytest.fixture
async def make_spawner(namespace):
    def make(username="alice", servername="", **settings):
        defaults = {
            "namespace": namespace,
            "image": IMAGE,
            "image_pull_policy": "IfNotPresent",
            "cmd": telling("true"),
            "start_timeout": 90,
        }
        return _make(username, servername, **{**defaults, **settings})

    return make


@pytest.fixture
def log_of(api, namespace):
    async def read(spawner) -> str:
        return await api.read_namespaced_pod_log(spawner.pod_name, namespace, container="notebook")

    return read
