"""``CLUSTER=current make demo``, over HTTP as a browser would use it."""

import asyncio
import os
import re
import signal
import sys
from types import SimpleNamespace

import pytest
from kubernetes_asyncio.client import ApiException

from tests.hub.test_demo import use_server
from tests.support.hub import Browser, free_port

from .conftest import SINGLEUSER_IMAGE, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(420)]


class Demo:
    """The command in a process of its own, with a namespace of the test's choice."""

    def __init__(self, directory, **environment):
        self.directory = directory
        self.environment = environment
        self.printed = ""

    async def __aenter__(self):
        options = ["--cluster=current", f"--port={free_port()}", f"--directory={self.directory}"]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *["-m", "kubespawner.cli", "demo", *options],
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reader = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            await self.end()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.printed += line.decode()

    async def url(self) -> str:
        """The page's address, once it is printed."""

        def found():
            assert self.process.returncode is None, self.printed
            return re.search(r"http://127\.0\.0\.1:\d+", self.printed)

        return (await until(found, 180))[0]

    async def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return await self.result()

    async def result(self) -> int:
        code = await asyncio.wait_for(self.process.wait(), 180)
        await self._reader
        return code


async def test_from_login_to_the_files_again_and_nothing_is_left(api, namespace, tmp_path):
    name = f"{namespace}-demo"
    async with Demo(tmp_path, DEMO_NAMESPACE=name) as demo:
        url = await demo.url()
        # Found out from the cluster, without being told.
        assert SINGLEUSER_IMAGE in demo.printed
        async with Browser(SimpleNamespace(url=url), "alice") as alice:
            await use_server(alice, "", profile="small")
        (pod,) = (await api.list_namespaced_pod(name)).items
        assert pod.metadata.labels["component"] == "singleuser-server"
        assert await demo.end() == 0, demo.printed
    with pytest.raises(ApiException) as gone:
        await api.read_namespace(name)
    assert gone.value.status == 404


async def test_a_namespace_of_somebody_elses_is_left_alone(api, namespace, tmp_path):
    async with Demo(tmp_path, DEMO_NAMESPACE=namespace) as demo:
        assert await demo.result() == 1
    assert f"{namespace} exists and is not the demo's" in demo.printed
    assert (await api.read_namespace(namespace)).metadata.deletion_timestamp is None


async def test_no_cluster_is_said(tmp_path):
    async with Demo(tmp_path, KUBECONFIG=str(tmp_path / "absent")) as demo:
        assert await demo.result() == 1
    assert "No cluster to use" in demo.printed
    assert "Traceback" not in demo.printed
