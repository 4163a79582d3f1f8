"""The embedded cluster with pods of a few shell commands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from kubespawner.kube.informer import Informer
from kubespawner.kube.requests import Deadline
from kubespawner.localcluster import Images, LocalCluster


class Kube:
    """A client of a cluster, with pods and claims in a few words."""

    def __init__(self, api: Any):
        self.api = api
        client = api.api_client
        self.pods = Informer(lambda: client, "/api/v1/namespaces/default/pods")
        self.claims = Informer(lambda: client, "/api/v1/namespaces/default/persistentvolumeclaims")
        self.all_events = Informer(lambda: client, "/api/v1/namespaces/default/events")

    async def __aenter__(self) -> Kube:
        for informer in (self.pods, self.claims, self.all_events):
            informer.start()
            await informer.loaded(Deadline.after(10))
        return self

    async def __aexit__(self, *_: object) -> None:
        for informer in (self.pods, self.claims, self.all_events):
            await informer.stop()

    async def run(self, script: str = "", *, name: str = "one", **changes: Any) -> dict:
        """Create a pod of one container ``main``, which runs a shell script.

        ``container`` changes the container, ``meta`` the metadata, the rest the pod's spec.
        """
        container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script]}
        container |= changes.pop("container", {})
        spec = {"containers": [container], "restartPolicy": "Never", **changes}
        meta = {"name": name, **spec.pop("meta", {})}
        created = await self.api.create_namespaced_pod("default", {"metadata": meta, "spec": spec})
        return created.to_dict()

    async def until(self, predicate, name: str = "one", seconds: float = 30) -> Any:
        """Return the pod (API JSON) once it satisfies ``predicate``."""
        return await self.pods.wait_for(f"default/{name}", predicate, Deadline.after(seconds))

    async def until_phase(self, phase: str, name: str = "one") -> dict:
        return await self.until(lambda pod: pod and pod["status"]["phase"] == phase, name)

    async def until_ready(self, name: str = "one") -> dict:
        return await self.until(lambda pod: pod and is_ready(pod), name)

    async def until_waiting(self, reason: str, name: str = "one") -> dict:
        """Return the state's ``waiting`` of the first container once it has ``reason``."""
        pod = await self.until(lambda pod: pod and waiting(pod).get("reason") == reason, name)
        return waiting(pod)

    async def until_up(self, name: str = "one") -> None:
        """Wait until the pod's first line of output is there, which has to be ``up``."""
        await self.until(lambda pod: pod and "running" in main(pod).get("state", {}), name)
        response = await self.api.read_namespaced_pod_log(
            name, "default", follow="true", _preload_content=False
        )
        assert await response.content.readline() == b"up\n"
        response.close()

    async def delete(self, name: str = "one", **options: Any) -> None:
        """Delete a pod and wait until it is gone."""
        await self.api.delete_namespaced_pod(name, "default", **options)
        await self.until(lambda pod: pod is None, name)

    async def log(self, name: str = "one", **options: Any) -> str:
        return await self.api.read_namespaced_pod_log(name, "default", **options)

    async def output(self, script: str, **changes: Any) -> str:
        """Run a pod to its end and return what it printed."""
        await self.run(script, **changes)
        await self.until(lambda p: p and p["status"]["phase"] in {"Succeeded", "Failed"})
        return await self.log()

    async def claim(self, name: str = "home", **spec: Any) -> None:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **spec,
        }
        body = {"metadata": {"name": name}, "spec": spec}
        await self.api.create_namespaced_persistent_volume_claim("default", body)

    async def event(self, reason: str, about: str = "one") -> dict:
        """Return the event with that reason, as soon as there is one."""
        while True:
            for event in self.all_events.items_view.values():
                if event["reason"] == reason and event["involvedObject"]["name"] == about:
                    return event
            await next_change(self.all_events)

    def reasons(self, about: str = "one") -> list[str]:
        """Return the reasons of all events about an object, in their order."""
        events = [
            e for e in self.all_events.items_view.values() if e["involvedObject"]["name"] == about
        ]
        events.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [event["reason"] for event in events]


async def next_change(informer: Informer) -> None:
    """Wait until any object of an informer changes."""
    changed = asyncio.Event()
    stop = informer.subscribe_all(lambda *_: changed.set())
    try:
        await asyncio.wait_for(changed.wait(), 20)
    finally:
        stop()


def main(pod: dict) -> dict:
    return pod["status"].get("containerStatuses", [{}])[0]


def waiting(pod: dict) -> dict:
    return main(pod).get("state", {}).get("waiting", {})


def is_ready(pod: dict) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def condition(pod: dict, kind: str) -> dict:
    found = [c for c in pod["status"].get("conditions", ()) if c["type"] == kind]
    return found[0] if found else {}


def processes(word: str) -> list[int]:
    """Return the living processes that have ``word`` among their arguments."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and word in (
            process.info["cmdline"] or ()
        ):
            found.append(process.pid)
    return found


@pytest.fixture
async def cluster(tmp_path: Path):
    images = Images(present={"local/only:1"}, denied=["private/*"])
    async with LocalCluster(
        root=tmp_path / "cluster",
        images=images,
        labels={"disk": "ssd"},
        capacity={"cpu": "2"},
        restart_backoff=0.05,
        pull_backoff=0.1,
    ) as cluster:
        yield cluster


@pytest.fixture
async def kube(cluster):
    async with Kube(cluster.api) as kube:
        yield kube
