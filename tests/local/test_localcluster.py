"""The embedded cluster as a whole: its files, and that nothing is left of it."""

import asyncio
import json
import os
import signal
import stat
import sys
import uuid

import psutil
import pytest
from kubernetes_asyncio import client as kube_client
from kubernetes_asyncio import config as kube_config

from kubespawner.localcluster import LocalCluster

from .conftest import Kube, processes


async def test_kubeconfig_is_for_its_owner_only_and_works(cluster, monkeypatch):
    assert stat.S_IMODE(cluster.kubeconfig_path.stat().st_mode) == 0o600
    assert cluster.token in cluster.kubeconfig_path.read_text()
    await cluster.load_kubernetes_config()
    async with kube_client.ApiClient() as api:
        nodes = await kube_client.CoreV1Api(api).list_node()
    assert [node.metadata.name for node in nodes.items] == ["local"]
    assert nodes.items[0].metadata.labels["disk"] == "ssd"


async def test_a_temporary_root_is_removed_a_given_one_keeps_the_claims(tmp_path):
    async with LocalCluster() as cluster:
        temporary = cluster.root
        assert temporary.is_dir()
    assert not temporary.exists()

    volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}]
    mounts = {"volumeMounts": [{"name": "home", "mountPath": "/home/jovyan"}]}
    for script, expected in (("echo kept > file", ""), ("cat file", "kept\n")):
        async with LocalCluster(root=tmp_path / "kept") as cluster, Kube(cluster.api) as kube:
            await kube.claim()
            assert await kube.output(script, volumes=volumes, container=mounts) == expected
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["claims"]


async def test_nothing_is_left_at_the_end(tmp_path):
    word = uuid.uuid4().hex
    # One that leaves its session and its environment behind, one that ignores SIGTERM.
    script = f"""
        setsid env -i python3 -c 'import time; time.sleep(600)' {word} &
        trap '' TERM
        python3 -c 'import time; print("up", flush=True); time.sleep(600)' {word}
    """
    async with LocalCluster() as cluster, Kube(cluster.api) as kube:
        await kube.run(script)
        await kube.until_up()
        assert len(processes(word)) >= 2
    assert processes(word) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_nothing_is_left_when_the_process_of_the_cluster_is_ended(tmp_path, number):
    root, word = tmp_path / "root", uuid.uuid4().hex
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "kubespawner.localcluster", "--root", str(root), "--show-kubeconfig"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        text = b""
        while not text.endswith(b"\n}\n"):
            line = await process.stdout.readline()
            assert line, "the cluster ended early"
            text += line
        assert json.loads(text)["current-context"] == "localcluster"
        configuration = kube_client.Configuration()
        await kube_config.load_kube_config(
            str(root / "kubeconfig"), client_configuration=configuration
        )
        async with (
            kube_client.ApiClient(configuration) as client,
            Kube(kube_client.CoreV1Api(client)) as kube,
        ):
            program = "print('up', flush=True); import time; time.sleep(600)"
            await kube.run(container={"command": ["python3", "-c", program, word]})
            await kube.until_up()
        left = [psutil.Process(pid) for pid in processes(word)]
        assert left
    finally:
        process.send_signal(number)
        await process.wait()
    # After SIGKILL it is the shims that clean up, which takes a moment.
    _, alive = await asyncio.to_thread(psutil.wait_procs, left, timeout=20)
    assert alive == []
    if number == signal.SIGTERM:
        assert process.returncode == 0
        assert os.listdir(root) == []


async def test_a_failed_start_leaves_nothing(tmp_path, monkeypatch):
    from kubespawner.localcluster.node import Node

    async def broken(self):
        raise RuntimeError("no node today")

    monkeypatch.setattr(Node, "start", broken)
    cluster = LocalCluster(root=tmp_path / "root")
    with pytest.raises(RuntimeError, match="no node today"):
        async with cluster:
            raise AssertionError("it started")
    assert list((tmp_path / "root").iterdir()) == []
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", cluster.server.port)


async def test_pods_of_two_clusters_have_different_addresses(kube):
    async with LocalCluster() as other, Kube(other.api) as second:
        server = {"command": ["python3", "-m", "http.server", "--bind", "0.0.0.0", "8888"]}
        server["ports"] = [{"containerPort": 8888}]
        ips = []
        for each, name in ((kube, "one"), (kube, "two"), (second, "one")):
            await each.run(name=name, container=server)
            ips.append((await each.until_ready(name))["status"]["podIP"])
        assert len(set(ips)) == 3
