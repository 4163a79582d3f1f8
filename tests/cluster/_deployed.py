"""A hub deployed from ``deploy/`` by kubectl, as an operator would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .conftest import SINGLEUSER_IMAGE

DEPLOY = Path(__file__).parents[2] / "deploy"
HUB_IMAGE = os.environ.get("KUBESPAWNER_TEST_HUB_IMAGE", "kubespawner/hub:test")
# What an operator has to say, and what makes the tests quick.
OURS = f"""
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "demo"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"admin"}}
c.KubeSpawner.image = {SINGLEUSER_IMAGE!r}
c.KubeSpawner.storage_capacity = "10Mi"
c.KubeSpawner.delete_grace_period = 1
"""


class KubectlFailed(AssertionError):
    """kubectl exited with an error; the message is what it printed."""


def kubectl(*words: str, stdin: str | None = None) -> str:
    """Run kubectl to its end; return what it printed."""
    done = subprocess.run(
        ["kubectl", *words], input=stdin, capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        raise KubectlFailed(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


async def command(*words: str, stdin: str | None = None) -> str:
    """Run kubectl without holding the event loop up."""
    return await asyncio.to_thread(kubectl, *words, stdin=stdin)


@dataclass
class Deployed:
    """An overlay in a namespace of its own."""

    namespace: str
    overlay: str
    url: str = ""
    _forward: Any = field(default=None, repr=False)

    async def kubectl(self, *words: str) -> str:
        return await command("--namespace", self.namespace, *words)

    async def get(self, *words: str) -> Any:
        return json.loads(await self.kubectl("get", *words, "--output=json"))

    async def hub_pod(self) -> dict[str, Any]:
        """Return the hub's pod; there is one."""
        found = await self.get("pods", "--selector=app.kubernetes.io/component=hub")
        (pod,) = found["items"]
        return pod

    async def rolled_out(self) -> None:
        for deployment in (await self.get("deployments"))["items"]:
            name = deployment["metadata"]["name"]
            await self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=110s")

    async def open(self) -> None:
        """Make the public Service reachable from here, at :attr:`url`."""
        await self.close()
        self._forward = await asyncio.create_subprocess_exec(
            *("kubectl", "--namespace", self.namespace),
            *("port-forward", "--address=127.0.0.1", "service/proxy-public", ":80"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        line = (await self._forward.stdout.readline()).decode()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found, f"no port is forwarded: {line}"
        self.url = f"http://127.0.0.1:{found[1]}"

    async def close(self) -> None:
        if self._forward is not None and self._forward.returncode is None:
            self._forward.kill()
            await self._forward.wait()

    async def explain(self) -> str:
        """Return what helps to understand a failure."""
        told = []
        for words in (
            ("get", "pods,events", "--output=wide"),
            ("logs", "deployment/hub", "--tail=80"),
        ):
            try:
                told.append(await self.kubectl(*words))
            except KubectlFailed as e:
                told.append(str(e))
        return "\n".join(told)


def write_kustomization(folder: Path, overlay: str, namespace: str, extra_config: str = "") -> bool:
    """Write what an operator's own kustomization would be; return whether it has ClusterRoles."""
    (folder / "50-ours.py").write_text(f"namespace = {namespace!r}\n{OURS}{extra_config}")
    everywhere = overlay == "user-namespaces"
    if everywhere:
        # ClusterRoles have no namespace: two hubs need two names.
        name = {"op": "replace", "path": "/metadata/name", "value": f"{namespace}-hub"}
        (folder / "rename.yaml").write_text(json.dumps([name]))
    image, _, tag = HUB_IMAGE.rpartition(":")
    targets = [
        {
            "target": {"group": "rbac.authorization.k8s.io", "version": "v1", "kind": kind}
            | {"name": "jupyterhub-hub"},
            "path": "rename.yaml",
        }
        for kind in ("ClusterRole", "ClusterRoleBinding")
    ]
    content = {
        "namespace": namespace,
        "bases": [os.path.relpath(DEPLOY / overlay, folder)],
        "configMapGenerator": [
            {"name": "hub-config", "behavior": "merge", "files": ["50-ours.py"]}
        ],
        "images": [{"name": "kubespawner/hub", "newName": image, "newTag": tag}],
        **({"patchesJson6902": targets} if everywhere else {}),
    }
    (folder / "kustomization.yaml").write_text(json.dumps(content))
    return everywhere


@contextlib.asynccontextmanager
async def deployed(overlay: str, folder: Path, extra_config: str = "") -> AsyncIterator[Deployed]:
    """Apply an overlay in a new namespace, wait until all is ready; delete it afterwards."""
    namespace = f"kubespawner-test-{secrets.token_hex(4)}"
    hub = Deployed(namespace, overlay)
    everywhere = write_kustomization(folder, overlay, namespace, extra_config)
    await command("create", "namespace", namespace)
    try:
        await command(
            *("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        )
        await hub.kubectl(
            *("create", "secret", "generic", "hub"),
            f"--from-literal=proxy-token={secrets.token_hex(32)}",
            f"--from-literal=cookie-secret={secrets.token_hex(32)}",
        )
        await command("apply", "--kustomize", str(folder))
        await hub.rolled_out()
        await hub.open()
        yield hub
    except BaseException:
        print(await hub.explain())
        raise
    finally:
        await hub.close()
        await command("delete", "namespace", namespace, "--wait=false")
        if everywhere:
            both = "clusterroles,clusterrolebindings"
            await command("delete", both, f"{namespace}-hub", "--ignore-not-found")


async def eventually(question: Any, seconds: float = 90) -> Any:
    """Ask until the answer is true; a question that can't be asked yet is asked again."""
    end = time.monotonic() + seconds
    while True:
        try:
            answer = await question()
        except (OSError, AssertionError, ValueError) as e:
            answer, why = None, e
        else:
            why = answer
        if answer:
            return answer
        assert time.monotonic() < end, f"it did not come true: {why!r}"
        await asyncio.sleep(0.3)
