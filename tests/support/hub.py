"""A real JupyterHub process on the embedded cluster, used over HTTP as a browser would."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from kubespawner.localcluster import LocalCluster

CONFIG = Path(__file__).parents[2] / "kubespawner" / "cli" / "demo_config.py"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Hub:
    """The demo's hub; can be killed and started again on the same database."""

    def __init__(self, directory: Path, kubeconfig: Path, extra_config: str = ""):
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "hub.log"
        self.config = directory / "jupyterhub_config.py"
        self.config.write_text(f"exec(open({str(CONFIG)!r}).read())\n{extra_config}\n")
        bin_dir = str(Path(sys.executable).parent)
        self.env = {
            **os.environ,
            "PATH": f"{bin_dir}:{os.environ['PATH']}",
            "KUBECONFIG": str(kubeconfig),
            "DEMO_CLUSTER": "embedded",
            "DEMO_PORT": str(self.port),
            "DEMO_PROXY_PORT": str(free_port()),
            "DEMO_HUB_PORT": str(free_port()),
            "DEMO_DIRECTORY": str(directory),
            "CONFIGPROXY_AUTH_TOKEN": "for-tests-only",
        }
        self.process: subprocess.Popen | None = None

    async def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "--config", str(self.config)],
            cwd=self.directory,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=self.log.open("a"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                assert self.process.poll() is None, self.log.read_text()[-5000:]
                try:
                    async with session.get(f"{self.url}/hub/login") as r:
                        if r.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)
        raise AssertionError("the hub did not answer:\n" + self.log.read_text()[-5000:])

    def kill(self) -> None:
        """End the hub process at once, as a crash would; servers and proxy stay."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    async def stop(self) -> None:
        # In a thread: this loop is also the cluster's, which the hub's servers end through.
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


class Browser:
    """One user with a cookie jar."""

    def __init__(self, hub: Hub, name: str):
        self.hub, self.name = hub, name

    async def __aenter__(self) -> Browser:
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        xsrf = await self._xsrf(f"{self.hub.url}/hub/login")
        async with self.session.post(
            f"{self.hub.url}/hub/login",
            data={"username": self.name, "password": "demo", "_xsrf": xsrf},
            params={"_xsrf": xsrf},
        ) as r:
            assert r.status == 200, await r.text()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def _xsrf(self, url: str) -> str:
        async with self.session.get(url) as r:
            await r.text()
        for cookie in self.session.cookie_jar:
            if cookie.key == "_xsrf" and cookie["path"].rstrip("/").endswith("/hub"):
                return cookie.value
        raise AssertionError("no _xsrf cookie")

    async def page(self, path: str) -> str:
        async with self.session.get(f"{self.hub.url}{path}") as r:
            assert r.status == 200, (r.status, await r.text())
            return await r.text()

    async def api(self, method: str, path: str, **kwargs) -> tuple[int, object]:
        xsrf = await self._xsrf(f"{self.hub.url}/hub/home")
        async with self.session.request(
            method,
            f"{self.hub.url}/hub/api{path}",
            params={"_xsrf": xsrf},
            headers={"Referer": f"{self.hub.url}/hub/home"},
            **kwargs,
        ) as r:
            text = await r.text()
            return r.status, json.loads(text) if text else None

    async def submit(self, server: str = "", **form: str) -> tuple[int, str]:
        """Submit the spawn form; return the status, and where it leads or what the page says."""
        path = f"/hub/spawn/{self.name}/{server}" if server else f"/hub/spawn/{self.name}"
        assert 'name="profile"' in await self.page(path)
        xsrf = await self._xsrf(f"{self.hub.url}{path}")
        # Always multipart, as the page's form is.
        data = aiohttp.FormData(default_to_multipart=True)
        for key, value in {"_xsrf": xsrf, **form}.items():
            data.add_field(key, value)
        async with self.session.post(
            f"{self.hub.url}{path}",
            data=data,
            params={"_xsrf": xsrf},
            allow_redirects=False,
        ) as r:
            return r.status, r.headers["Location"] if r.status == 302 else await r.text()

    async def spawn(self, server: str = "", **form: str) -> list[dict]:
        """Submit the spawn form as the page has it, read the progress stream to its end."""
        if form:
            status, answer = await self.submit(server, **form)
            assert status == 302, (status, text_of(answer)[-2000:])
            assert "spawn-pending" in answer
        else:
            await self.page(f"/hub/spawn/{self.name}/{server}".rstrip("/"))
        return await self.progress(server)

    async def progress(self, server: str = "") -> list[dict]:
        where = f"servers/{server}" if server else "server"
        url = f"{self.hub.url}/hub/api/users/{self.name}/{where}/progress"
        entries = []
        async with self.session.get(url, headers={"Accept": "text/event-stream"}) as r:
            assert r.status == 200, await r.text()
            async for line in r.content:
                if line.startswith(b"data:"):
                    entries.append(json.loads(line[5:]))
                    if entries[-1].get("ready") or entries[-1].get("failed"):
                        break
        return entries

    def server_url(self, server: str = "") -> str:
        return f"{self.hub.url}/user/{self.name}/" + (f"{server}/" if server else "")

    async def open_lab(self, server: str = "") -> str:
        async with self.session.get(self.server_url(server) + "lab") as r:
            assert r.status == 200, (r.status, await r.text())
            return await r.text()

    async def _server_headers(self, server: str) -> dict:
        base = f"/user/{self.name}/" + (f"{server}/" if server else "")
        for cookie in self.session.cookie_jar:
            if cookie.key == "_xsrf" and cookie["path"].rstrip("/") == base.rstrip("/"):
                return {"X-XSRFToken": cookie.value}
        raise AssertionError("no _xsrf cookie of the server")

    async def write_file(self, name: str, content: str, server: str = "") -> None:
        async with self.session.put(
            f"{self.server_url(server)}api/contents/{name}",
            json={"type": "file", "format": "text", "content": content},
            headers=await self._server_headers(server),
        ) as r:
            assert r.status in (200, 201), (r.status, await r.text())

    async def read_file(self, name: str, server: str = "") -> str:
        async with self.session.get(
            f"{self.server_url(server)}api/contents/{name}", params={"content": "1"}
        ) as r:
            assert r.status == 200, (r.status, await r.text())
            return (await r.json())["content"]

    async def run_code(self, code: str, server: str = "") -> str:
        """Run ``code`` in a new kernel, through the hub's proxy, and return its result."""
        headers = await self._server_headers(server)
        base = self.server_url(server)
        async with self.session.post(f"{base}api/kernels", json={}, headers=headers) as r:
            assert r.status == 201, (r.status, await r.text())
            kernel = (await r.json())["id"]
        ws_url = f"{base.replace('http', 'ws', 1)}api/kernels/{kernel}/channels"
        message = {
            "header": {
                "msg_id": uuid4().hex,
                "msg_type": "execute_request",
                "username": "",
                "session": uuid4().hex,
                "version": "5.3",
                "date": "",
            },
            "parent_header": {},
            "metadata": {},
            "channel": "shell",
            "content": {
                "code": code,
                "silent": False,
                "store_history": False,
                "user_expressions": {},
                "allow_stdin": False,
            },
        }
        async with self.session.ws_connect(ws_url) as ws:
            await ws.send_json(message)
            async for received in ws:
                reply = json.loads(received.data)
                if reply.get("parent_header", {}).get("msg_id") != message["header"]["msg_id"]:
                    continue
                if reply["msg_type"] == "execute_result":
                    return reply["content"]["data"]["text/plain"]
                assert reply["msg_type"] != "error", reply
        raise AssertionError("the kernel's connection ended without a result")

    async def stop(self, server: str = "") -> None:
        where = f"servers/{server}" if server else "server"
        status, body = await self.api("DELETE", f"/users/{self.name}/{where}")
        assert status in (202, 204), (status, body)
        for _ in range(300):
            if not (await self.servers()).get(server):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"server {server!r} did not stop")

    async def servers(self) -> dict:
        status, body = await self.api("GET", f"/users/{self.name}?include_stopped_servers=0")
        assert status == 200, body
        return {n: s for n, s in body["servers"].items() if s.get("ready") or s.get("pending")}


def text_of(page: str) -> str:
    """Return what a person reads on a page of the hub."""
    page = re.sub(r"<(script|style|noscript)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


class Background:
    """An event loop in a thread, for what outlives one test."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> Background:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        self.loop.close()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run ``coroutine`` there and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(180)


@contextlib.contextmanager
def hubs_on_one_cluster(directory: Path, **cluster_options: Any) -> Iterator[HubMaker]:
    """Run an embedded cluster, and hubs on it, until the end of the context."""
    with Background() as background, contextlib.ExitStack() as stack:
        cluster = LocalCluster(root=directory / "cluster", **cluster_options)
        background.run(cluster.__aenter__())
        stack.callback(lambda: background.run(cluster.__aexit__(None, None, None)))
        yield HubMaker(directory, cluster, background, stack)


class HubMaker:
    """Makes hubs on a cluster that runs in another thread."""

    def __init__(
        self,
        directory: Path,
        cluster: LocalCluster,
        background: Background,
        stack: contextlib.ExitStack,
    ):
        self.directory, self.cluster, self.run = directory, cluster, background.run
        self._stack = stack

    def __call__(self, name: str, extra_config: str) -> Hub:
        """Return a hub that runs until the context ends; configured as the demo's, and more."""
        directory = self.directory / name
        directory.mkdir()
        hub = Hub(directory, self.cluster.kubeconfig_path, extra_config)
        self.run(hub.start())
        self._stack.callback(lambda: self.run(hub.stop()))
        return hub
