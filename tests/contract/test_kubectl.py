"""The real kubectl against the embedded API server."""

from __future__ import annotations

import asyncio
import json
import os
import shutil

import aiohttp
import pytest
import yaml

from kubespawner.localcluster.apiserver import ApiServer

from .conftest import Api, claim, pod

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")

RUNNING = {
    "phase": "Running",
    "podIP": "127.0.0.9",
    "containerStatuses": [
        {
            "name": "notebook",
            "image": "a:1",
            "imageID": "",
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }
    ],
}


class Kubectl:
    def __init__(self, kubeconfig, home):
        self._arguments = ["--kubeconfig", str(kubeconfig), "--cache-dir", str(home / "cache")]
        self._environment = {**os.environ, "HOME": str(home)}

    async def start(self, *arguments: str, text: str = "") -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            *self._arguments,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        if text:
            process.stdin.write(text.encode())
        process.stdin.close()
        return process

    async def __call__(self, *arguments: str, text: str = "", code: int = 0) -> str:
        process = await self.start(*arguments, text=text)
        output, errors = await asyncio.gather(process.stdout.read(), process.stderr.read())
        assert await process.wait() == code, (arguments, output, errors)
        return (output + errors).decode()


async def log_reader(namespace, pod_name, container, *, follow, **_options):
    yield f"log of {namespace}/{pod_name}/{container}\n".encode()
    if follow:
        yield b"one more line\n"


@pytest.fixture
async def server():
    server = ApiServer(log_reader=log_reader)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def api(server):
    headers = {"Authorization": f"Bearer {server.token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Api(session, server.url, "default")


@pytest.fixture
def kubectl(server, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(server.kubeconfig()))
    return Kubectl(kubeconfig, tmp_path)


async def run(api: Api, name: str) -> None:
    await api.create("pods", pod(name))
    path = api.path("pods", name) + "/status"
    await api.ok("PATCH", path, {"status": RUNNING}, content_type="application/merge-patch+json")


async def test_get_prints_the_columns_of_pods(api, kubectl):
    await run(api, "one")
    lines = (await kubectl("get", "pods")).splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert lines[1].split()[:4] == ["one", "1/1", "Running", "0"]
    wide = await kubectl("get", "po", "one", "-o", "wide")
    assert "127.0.0.9" in wide
    found = json.loads(await kubectl("get", "pod", "one", "-o", "json"))
    assert found["status"]["phase"] == "Running"


async def test_get_by_label_and_of_all_namespaces(api, kubectl):
    await run(api, "one")
    await api.patch("pods", "one", {"metadata": {"labels": {"component": "singleuser-server"}}})
    by_label = await kubectl("get", "pods", "-A", "-l", "component=singleuser-server")
    assert "default" in by_label and "one" in by_label
    assert "No resources found" in await kubectl("get", "pods", "-l", "component=other")


async def test_get_of_an_absent_pod_fails(kubectl):
    text = await kubectl("get", "pod", "absent", code=1)
    assert 'Error from server (NotFound): pods "absent" not found' in text


async def test_get_claims_and_all(api, kubectl):
    await api.create("persistentvolumeclaims", claim("home"))
    assert "Pending" in await kubectl("get", "pvc")
    await run(api, "one")
    assert "pod/one" in await kubectl("get", "all")


async def test_describe_shows_the_events_of_a_pod(api, kubectl):
    await run(api, "one")
    created = await api.get("pods", "one")
    about = {"kind": "Pod", "apiVersion": "v1", "name": "one", "namespace": "default"}
    event = {
        "metadata": {"name": "one.1"},
        "involvedObject": {**about, "uid": created["metadata"]["uid"]},
        "type": "Warning",
        "reason": "FailedScheduling",
        "message": "0/1 nodes are available",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
    }
    await api.create("events", event)
    text = await kubectl("describe", "pod", "one")
    assert "Service Account:  default" in text
    assert "FailedScheduling" in text and "0/1 nodes are available" in text
    assert "FailedScheduling" in await kubectl("get", "events")


async def test_logs_and_following_them(api, kubectl):
    await run(api, "one")
    assert await kubectl("logs", "one") == "log of default/one/notebook\n"
    followed = await kubectl("logs", "-f", "one")
    assert followed == "log of default/one/notebook\none more line\n"


async def test_logs_of_a_pod_that_has_not_started(api, kubectl):
    await api.create("pods", pod("one"))
    text = await kubectl("logs", "one", code=1)
    assert 'container "notebook" in pod "one"' in text


MANIFEST = """
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports: [{name: http, port: %d}]
"""


async def test_apply_creates_changes_and_leaves_alone(kubectl):
    assert "created" in await kubectl("apply", "-f", "-", text=MANIFEST % 80)
    assert "unchanged" in await kubectl("apply", "-f", "-", text=MANIFEST % 80)
    assert "configured" in await kubectl("apply", "-f", "-", text=MANIFEST % 81)
    ports = await kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[*].port}")
    assert ports == "81"


async def test_apply_refuses_an_unknown_field(kubectl):
    text = MANIFEST % 80 + "  slector: {}\n"
    assert 'unknown field "spec.slector"' in await kubectl("apply", "-f", "-", text=text, code=1)


async def test_delete_waits_until_the_object_is_gone(api, kubectl):
    await run(api, "one")
    assert 'pod "one" deleted' in await kubectl("delete", "pod", "one")
    assert (await api.request("GET", api.path("pods", "one"))).status == 404


async def test_get_watches(api, kubectl):
    await run(api, "one")
    process = await kubectl.start("get", "pods", "-w")
    assert (await process.stdout.readline()).split()[0] == b"NAME"
    assert (await process.stdout.readline()).split()[:3] == [b"one", b"1/1", b"Running"]
    await api.create("pods", pod("two"))
    assert (await process.stdout.readline()).split()[:3] == [b"two", b"0/1", b"Pending"]
    process.terminate()
    await process.wait()


async def test_the_token_is_asked_for(server, kubectl, tmp_path):
    config = server.kubeconfig()
    config["users"][0]["user"]["token"] = "wrong"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    text = await kubectl("get", "pods", code=1)
    assert "must be logged in to the server" in text
