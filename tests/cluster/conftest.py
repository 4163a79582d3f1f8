"""Spawners on a real cluster: that of the current kubeconfig, as `make cluster` leaves it.

Each test has a namespace of its own, removed afterwards with all that is in it: a test stops its
servers only where stopping is what it is about.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio.client import ApiException, Configuration

import realcluster
from kubespawner import KubeSpawner
from kubespawner.clients import load_config, shared_client
from kubespawner.localcluster.pytest_plugin import _make
from realcluster import settings
from tests.failures.world import until

IMAGE = os.environ.get("KUBESPAWNER_TEST_IMAGE", "kubespawner/busybox:test")
SINGLEUSER_IMAGE = os.environ.get(
    "KUBESPAWNER_TEST_SINGLEUSER_IMAGE", "kubespawner/singleuser:test"
)
_TOLD = "-- this is all --"

STORAGE = {
    "storage_pvc_ensure": True,
    "storage_capacity": "10Mi",
    "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}],
    "volume_mounts": [{"name": "home", "mountPath": "/data"}],
}
SCRATCH = {"name": "scratch", "emptyDir": {}}
NEVER_READY = {"readinessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1}}

if os.environ.get("KUBESPAWNER_TEST_CLUSTER") != "current":
    collect_ignore_glob = ["test_*.py"]


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "outage: stops parts of the cluster; runs last, and beside nothing else"
    )


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("outage") is not None)


def telling(*commands: str, then: str = "exec httpd -f -p 8888 -h /tmp") -> list[str]:
    """A server that first writes what ``commands`` see of the container, then answers.

    What they see is read with the fixture ``told_by``.
    """
    return ["sh", "-c", "; ".join([*commands, f"echo '{_TOLD}'", then])]


async def _has_service_account(api: Any, namespace: str) -> bool:
    try:
        await api.read_namespaced_service_account("default", namespace)
    except ApiException as e:
        if e.status != 404:
            raise
        return False
    return True


@asynccontextmanager
async def fresh_namespace() -> AsyncIterator[str]:
    """A namespace in which pods can be created; deleted afterwards."""
    load_config()
    api = shared_client("CoreV1Api")
    name = f"kubespawner-test-{secrets.token_hex(4)}"
    await api.create_namespace({"metadata": {"name": name}})
    # Its service account comes a moment later, and pods are refused before.
    await until(lambda: _has_service_account(api, name))
    try:
        yield name
    finally:
        await api.delete_namespace(name)


@pytest.fixture
async def namespace():
    async with fresh_namespace() as name:
        yield name
        await KubeSpawner._stop_all_reflectors()


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
            "cmd": telling(),
            "start_timeout": 90,
        }
        return _make(username, servername, **{**defaults, **settings})

    return make


class Parts:
    """The processes of the cluster that `make cluster` started on this machine."""

    async def _run(self, *words: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "realcluster", *words],
            cwd=Path(realcluster.__file__).parents[1],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0, printed.decode()

    async def kill(self, *names: str) -> None:
        await self._run("stop", "--kill", *names)

    async def start(self) -> None:
        """Start again whatever does not run, and wait until it is ready."""
        await self._run("up", "--own", "--without-singleuser")


@pytest.fixture
async def parts():
    on_this_machine()
    found = Parts()
    yield found
    await found.start()


@pytest.fixture
def pods(api, namespace):
    """Return a function that lists the namespace's pods."""

    async def listed() -> list[Any]:
        return (await api.list_namespaced_pod(namespace)).items

    return listed


@pytest.fixture
def told_by(api):
    """Return a function that gives the lines that a server's ``telling`` commands wrote."""

    async def read(spawner, container="notebook") -> list[str]:
        async def complete() -> str:
            # Without a probe a container is ready before its command has ended.
            text = await api.read_namespaced_pod_log(
                spawner.pod_name, spawner.namespace, container=container
            )
            return text if _TOLD in text else ""

        return (await until(complete)).partition(_TOLD)[0].splitlines()

    return read


def on_this_machine() -> None:
    """Skip a case that needs the cluster's node to be this very machine."""
    load_config()
    host = Configuration.get_default_copy().host
    if host != settings.API_URL:
        pytest.skip(f"the cluster at {host} is not the one of `make cluster` on this machine")
