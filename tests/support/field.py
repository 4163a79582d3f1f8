"""Spawners on an API server without a node, whose pods run as soon as they are created.

What a test asserts it reads from the server's store, never through the code under test.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from traitlets import Float
from traitlets.config import Config

from kubespawner import KubeSpawner, clients
from kubespawner.localcluster import lifecycle
from kubespawner.localcluster.apiserver import ApiServer
from kubespawner.localcluster.certificates import self_signed
from kubespawner.localcluster.faults import Fault
from kubespawner.localcluster.pytest_plugin import build_spawner
from kubespawner.localcluster.resources import RESOURCES, Resource
from kubespawner.localcluster.store import Change

_CERTIFICATE = self_signed("127.0.0.1")
STORAGE = {"storage_pvc_ensure": True, "storage_capacity": "1Gi"}


def resource(plural: str) -> Resource:
    return next(each for each in RESOURCES if each.plural == plural and not each.group)


PODS = resource("pods")
CLAIMS = resource("persistentvolumeclaims")
EVENTS = resource("events")


class Impatient(KubeSpawner):
    """Gives up a request soon, so that tests of slow answers are quick."""

    k8s_api_request_timeout = Float(0.4, config=True)
    k8s_api_request_retry_timeout = Float(6.0, config=True)


class Field:
    """One API server, what happened in it, and the spawners of its hub.

    Attributes:
        runs: whether new pods become ready at once; a test may set it to False.
        node: name of the node that new pods are put on; "" = none, so that a deleted pod goes at
            once. With one, deleted pods stay until :meth:`confirm_gone`.
        changes: every change in the store, oldest first.
    """

    def __init__(self, kubeconfig: Any, **server: Any):
        self.server = ApiServer(**server)
        self.server._certificate = _CERTIFICATE
        self._kubeconfig = kubeconfig
        self.runs = True
        self.node = ""
        self.changes: list[Change] = []
        self.requests: list[Any] = []

    @property
    def faults(self) -> Any:
        return self.server.faults

    @property
    def store(self) -> Any:
        return self.server.store

    async def start(self) -> None:
        await self.server.start()
        config = self.server.kubeconfig()
        # Plain HTTP: a handshake per connection would cost more than all else here.
        config["clusters"][0]["cluster"] = {"server": self.server.url}
        self._kubeconfig.write_text(json.dumps(config))
        # Configurations are kept by path.
        clients._configurations.clear()
        clients._default.clear()
        self.store.subscribe(self._note)
        self.faults.add(Fault(when=self._note_request))

    async def stop(self) -> None:
        self.faults.clear()
        await KubeSpawner._stop_all_reflectors()
        await self.server.stop()

    def _note_request(self, call: Any) -> bool:
        self.requests.append(call)
        return False

    def fail(self, **fault: Any) -> Fault:
        """Begin to inject a fault."""
        return self.faults.add(Fault(**fault))

    def count(self, verb: str, plural: str) -> int:
        return sum(
            c.verb == verb and c.resource is not None and c.resource.plural == plural
            for c in self.requests
        )

    # ---- the kubelet -------------------------------------------------------------------

    def _note(self, change: Change) -> None:
        self.changes.append(change)
        if change.type == "ADDED" and change.resource is PODS:
            meta = change.after.obj["metadata"]
            # As in a cluster, after the answer to the create is on its way.
            asyncio.get_running_loop().call_later(
                0.01, self._take_up, meta["namespace"], meta["name"]
            )

    def _take_up(self, namespace: str, name: str) -> None:
        if self.store.record(PODS, namespace, name) is None:
            return
        if self.node:
            self.change_pod(name, namespace, node=self.node)
        if self.runs:
            self.run(name, namespace)

    def change_pod(
        self, name: str, namespace: str = "default", node: str = "", **status: Any
    ) -> None:
        """Write what a kubelet would."""
        pod = self.store.get(PODS, namespace, name)
        if node:
            pod["spec"]["nodeName"] = node
        pod["status"] = {**pod.get("status", {}), **status}
        self.store.update(PODS, pod)

    def run(self, name: str, namespace: str = "default", ready: bool = True, **more: Any) -> None:
        """Let the pod's notebook container run; other containers are never ready."""
        pod = self.store.get(PODS, namespace, name)
        statuses = [
            {
                "name": container["name"],
                "ready": ready and container["name"] == "notebook",
                "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            }
            for container in pod["spec"]["containers"]
        ]
        status = {"phase": "Running", "podIP": "10.1.2.3", "containerStatuses": statuses}
        self.change_pod(name, namespace, **{**status, **more})

    def end(self, name: str, exit_code: int, **more: Any) -> None:
        """Let the pod's notebook container end."""
        container = {
            "name": "notebook",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": {"exitCode": exit_code}},
        }
        self.change_pod(name, containerStatuses=[container], **more)

    def confirm_gone(self, name: str, namespace: str = "default") -> None:
        self.store.remove(PODS, namespace, name)

    def add(self, plural: str, obj: dict[str, Any], namespace: str = "default") -> dict[str, Any]:
        """Create an object behind everybody's back; returns it."""
        obj = {**obj, "metadata": {"namespace": namespace, **obj["metadata"]}}
        return lifecycle.create(self.store, resource(plural), obj).copy()

    def event(self, pod: dict[str, Any], message: str, **fields: Any) -> None:
        """Report an event of ``pod``."""
        meta = pod["metadata"]
        self.add(
            "events",
            {
                "metadata": {"name": f"{meta['name']}.{len(self.changes)}"},
                "involvedObject": {
                    "kind": "Pod",
                    "name": meta["name"],
                    "namespace": meta["namespace"],
                    "uid": meta["uid"],
                },
                "type": "Normal",
                "message": message,
                **fields,
            },
            meta["namespace"],
        )

    # ---- what there is -----------------------------------------------------------------

    def objects(self, plural: str, namespace: str = "") -> list[dict[str, Any]]:
        return [record.copy() for record in self.store.records(resource(plural), namespace)]

    def pods(self, namespace: str = "") -> list[dict[str, Any]]:
        return self.objects("pods", namespace)

    def pods_of(self, spawner: Any) -> list[dict[str, Any]]:
        return [p for p in self.pods() if p["metadata"]["name"] == spawner.pod_name]

    def uids(self, type_: str, plural: str) -> list[str]:
        """Return the UIDs of all objects that were ``ADDED`` or ``DELETED``."""
        return [
            change.after.obj["metadata"]["uid"]
            for change in self.changes
            if change.type == type_ and change.resource is resource(plural)
        ]

    def leftovers(self, spawner: Any) -> list[str]:
        """Return what there is of a server except its claim."""
        names = {spawner.pod_name, spawner.secret_name}
        return [
            f"{plural}/{obj['metadata']['name']}"
            for plural in ("pods", "secrets", "services")
            for obj in self.objects(plural)
            if obj["metadata"]["name"] in names
        ]

    # ---- spawners ----------------------------------------------------------------------

    def spawner(
        self,
        username: str = "alice",
        servername: str = "",
        cls: type[KubeSpawner] = Impatient,
        **traits: Any,
    ) -> Any:
        settings = {"cmd": ["serve"], "image": "kubespawner/test:1", "start_timeout": 10, **traits}
        config = Config({"KubeSpawner": Config(settings)})
        return build_spawner(config, username, servername, spawner_class=cls)


def with_certificates(spawner: Any, directory: Any) -> Any:
    """Let ``spawner`` have certificates, as with JupyterHub's internal_ssl."""
    spawner.internal_ssl = True
    spawner.cert_paths = {key: str(directory / key) for key in ("keyfile", "certfile", "cafile")}
    for key in spawner.cert_paths:
        (directory / key).write_text(f"{key} of the server")
    (directory / "hub-ca").write_text("the hub's CA")
    spawner.internal_trust_bundles = {"hub-ca": str(directory / "hub-ca")}
    return spawner
