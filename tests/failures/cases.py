"""The reasons for which a start can fail, each with what provokes it and what has to be read."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from kubernetes_asyncio.client import ApiException

from realcluster.pki import Authority

from .world import EMBEDDED, REAL, STAGE, World, until

Act = Callable[[World], Awaitable[None]]
BOTH = (REAL, EMBEDDED)


@dataclass(frozen=True)
class Case:
    """One reason.

    Args:
        title: what is wrong, for the table.
        reasons: codes of which the failure has one.
        words: what the user's sentence has to contain.
        facts: what the administrator's has to contain.
        settings: of the server, given the world.
        prepare: what the cluster has before the start.
        during: what happens from outside once the start is under way.
        on: where it can be provoked.
        ends: whether the start ends for this reason alone; else it goes on, since the condition
            may go away, and its user reads the reason meanwhile.
        left: kinds of what stays.
    """

    title: str
    reasons: tuple[str, ...]
    words: str
    facts: str
    settings: Callable[[World], dict[str, Any]] = lambda world: {}
    prepare: Act | None = None
    during: Act | None = None
    on: tuple[str, ...] = BOTH
    ends: bool = True
    left: tuple[str, ...] = ()


def shell(script: str, **more: Any) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"cmd": ["sh", "-c", script], **more}


def image(name: str, **more: Any) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"image": name.format(registry=world.registry), **more}


def variable(kind: str, **reference: str) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"environment": {"A": {"valueFrom": {kind: reference}}}}


def volume(source: dict[str, Any], **more: Any) -> Callable[[World], dict[str, Any]]:
    return lambda world: {
        "volumes": [{"name": "it", **source}],
        "volume_mounts": [{"name": "it", "mountPath": "/it"}],
        **more,
    }


def claim(storage_class: str | None) -> Callable[[World], dict[str, Any]]:
    return volume(
        {"persistentVolumeClaim": {"claimName": "files"}},
        storage_pvc_ensure=True,
        storage_capacity="10Mi",
        storage_class=storage_class,
    )


CLAIMED = volume({"persistentVolumeClaim": {"claimName": "files"}})
# Without a probe a container counts as ready the moment that it runs.
NEVER_READY = {"readinessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1}}
NEVER = {"restartPolicy": "Never"}


# ---- what the cluster has before ---------------------------------------------------------


async def config_map(world: World) -> None:
    await world.create("configmaps", {"metadata": {"name": "there"}, "data": {"other": "1"}})


async def quota(world: World) -> None:
    body = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "0", "requests.memory": "1Gi"}}}
    await world.create("resourcequotas", body)

    async def counted() -> bool:
        found = await world.call("GET", world.path("resourcequotas", "few"))
        return bool((found.get("status") or {}).get("hard"))

    # The controller counts before the quota is enforced.
    await until(counted)


async def limit_range(world: World) -> None:
    limit = {"type": "Container", "max": {"memory": "64Mi"}}
    await world.create("limitranges", {"metadata": {"name": "small"}, "spec": {"limits": [limit]}})


def persistent_volume(world: World, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": world.namespace},
        "spec": {
            "capacity": {"storage": "10Mi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": f"/tmp/{world.namespace}"},
            "persistentVolumeReclaimPolicy": "Retain",
            **spec,
        },
    }


async def _claim_of(world: World) -> None:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "volumeName": world.namespace,
        "resources": {"requests": {"storage": "10Mi"}},
    }
    await world.create("persistentvolumeclaims", {"metadata": {"name": "files"}, "spec": spec})


async def _delete_volume(world: World) -> None:
    path = f"/api/v1/persistentvolumes/{world.namespace}"
    patch = {"metadata": {"finalizers": None}}
    await world.call("DELETE", path)
    try:
        await world.call("PATCH", path, patch, Content_Type="application/merge-patch+json")
    except ApiException as e:
        # Nothing held it.
        if e.status != 404:
            raise


async def lost_claim(world: World) -> None:
    # Reserved: a claim without a class that waits elsewhere in the cluster would take it.
    claim = {"kind": "PersistentVolumeClaim", "namespace": world.namespace, "name": "files"}
    body = persistent_volume(world, claimRef={**claim, "apiVersion": "v1"})
    await world.call("POST", "/api/v1/persistentvolumes", body)
    await _claim_of(world)
    await until(lambda: _claim_phase(world, "Bound"))
    await _delete_volume(world)
    await until(lambda: _claim_phase(world, "Lost"))


async def _claim_phase(world: World, phase: str) -> bool:
    found = await world.call("GET", world.path("persistentvolumeclaims", "files"))
    return (found.get("status") or {}).get("phase") == phase


async def taken_volume(world: World) -> None:
    owner = {"kind": "PersistentVolumeClaim", "namespace": world.namespace, "name": "another"}
    body = persistent_volume(world, claimRef={**owner, "uid": "1", "apiVersion": "v1"})
    await world.call("POST", "/api/v1/persistentvolumes", body)
    world.cleanups.append(lambda: _delete_volume(world))
    await _claim_of(world)


async def refusing_webhook(world: World) -> None:
    """Let a webhook refuse every pod of the namespace."""
    folder = Path(tempfile.mkdtemp(prefix="kubespawner-webhook-"))
    authority = Authority(folder)
    authority.issue("hook", "127.0.0.1", "tests", ["127.0.0.1"])

    async def review(request: web.Request) -> web.Response:
        asked = await request.json()
        status = {"message": "servers need a cost centre", "code": 403}
        response = {"uid": asked["request"]["uid"], "allowed": False, "status": status}
        return web.json_response(
            {"apiVersion": asked["apiVersion"], "kind": "AdmissionReview", "response": response}
        )

    app = web.Application()
    app.router.add_post("/", review)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "hook.crt", folder / "hook.key")
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    world.cleanups.append(runner.cleanup)
    port = runner.addresses[0][1]
    await _webhook(world, f"https://127.0.0.1:{port}/", (folder / "ca.crt").read_bytes())


async def silent_webhook(world: World) -> None:
    await _webhook(world, "https://127.0.0.1:1/", b"")


async def _webhook(world: World, url: str, authority: bytes) -> None:
    client: dict[str, Any] = {"url": url}
    if authority:
        client["caBundle"] = base64.b64encode(authority).decode()
    hook = {
        "name": "cost-centre.example.com",
        "clientConfig": client,
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["pods"],
            }
        ],
        "namespaceSelector": {"matchLabels": {"kubespawner-test": world.namespace}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 2,
    }
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    await world.call("POST", path, {"metadata": {"name": world.namespace}, "webhooks": [hook]})
    world.cleanups.append(lambda: world.call("DELETE", f"{path}/{world.namespace}"))


# ---- what happens from outside -----------------------------------------------------------


async def delete_pod(world: World) -> None:
    pod = await world.running_pod()
    path = world.path("pods", pod["metadata"]["name"])
    await world.call("DELETE", path, {"gracePeriodSeconds": 0})


def scripted(event: str, text: str, **status: Any) -> Act:
    """Return what says on a stage, where no kubelet runs, what a kubelet or controller would."""

    async def act(world: World) -> None:
        pod = await world.pod()
        meta = pod["metadata"]
        await world.call(
            "POST",
            world.path("pods", f"{meta['name']}/binding"),
            {"target": {"kind": "Node", "name": "node-1"}},
        )
        about = {"kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        body = {
            "metadata": {"name": f"{meta['name']}.1", "namespace": world.namespace},
            "involvedObject": {**about, "namespace": world.namespace},
            "reason": event,
            "message": text,
            "type": "Warning",
        }
        await world.create("events", body)
        if status:
            await world.stage.set_status(pod, **status)

    return act


POD_SECURITY = (
    'pods "server" is forbidden: violates PodSecurity "restricted:latest": '
    'allowPrivilegeEscalation != false (container "notebook" must set '
    "securityContext.allowPrivilegeEscalation=false)"
)


async def pod_security(world: World) -> None:
    from kubespawner.localcluster.faults import Fault

    fault = Fault(
        verb="create",
        resource="pods",
        subresource="",
        status=403,
        reason="Forbidden",
        message=POD_SECURITY,
    )
    world.stage.server.faults.add(fault)
    world.cleanups.append(lambda: world.stage.server.faults.remove(fault))


# ---- the table ---------------------------------------------------------------------------

CASES = [
    # images
    Case(
        "image not found",
        ("ImageNotFound",),
        r"The image \S+/no/such:1 was not found\.",
        "not found",
        image("{registry}/no/such:1"),
        on=(REAL,),
    ),
    Case(
        "no permission to pull the image",
        ("ImagePullDenied",),
        "does not exist, or this hub may not download it",
        "403|denied|authorization",
        image("{registry}/private/lab:1"),
        on=(REAL,),
    ),
    Case(
        "invalid name of the image",
        ("InvalidImageName",),
        r"The image name 'Registry/UPPER:1' is not valid\.",
        "invalid reference format",
        image("Registry/UPPER:1"),
    ),
    Case(
        "registry not reachable",
        ("RegistryUnreachable",),
        "can't be reached at the moment",
        "connection refused",
        image("127.0.0.1:1/lab:1"),
        on=(REAL,),
        ends=False,
    ),
    Case(
        "registry's name unknown (DNS)",
        ("RegistryUnreachable",),
        r"its name is not known \(DNS\)",
        "no such host|lookup",
        image("registry.invalid/lab:1"),
        on=(REAL,),
        ends=False,
    ),
    Case(
        "image not on the node, and `Never` pulled",
        ("ErrImageNeverPull",),
        "is not on the machine, and may not be downloaded",
        "ErrImageNeverPull",
        image("nowhere:1", image_pull_policy="Never"),
    ),
    # configuration of the container
    Case(
        "ConfigMap of a variable missing",
        ("CreateContainerConfigError",),
        r"needs the ConfigMap absent, which does not exist",
        'configmap "absent" not found',
        variable("configMapKeyRef", name="absent", key="a"),
    ),
    Case(
        "key of a ConfigMap missing",
        ("CreateContainerConfigError",),
        "needs the key a of the ConfigMap there, which does not exist",
        "couldn't find key a",
        variable("configMapKeyRef", name="there", key="a"),
        prepare=config_map,
    ),
    Case(
        "Secret of a variable missing",
        ("CreateContainerConfigError",),
        "needs the Secret absent, which does not exist",
        'secret "absent" not found',
        variable("secretKeyRef", name="absent", key="a"),
    ),
    Case(
        "Secret of a volume missing",
        ("MountSourceMissing",),
        "needs the Secret absent, which does not exist",
        'secret "absent" not found',
        volume({"secret": {"secretName": "absent"}}),
        ends=False,
    ),
    Case(
        "image runs as root, which is forbidden",
        ("CreateContainerConfigError",),
        "runs as root, which is not allowed here",
        "runAsNonRoot",
        lambda world: {"pod_security_context": {"runAsNonRoot": True}},
        on=(REAL,),
    ),
    Case(
        "command not in the image",
        ("RunContainerError", "CreateContainerError"),
        "The image of your server has no command no-such-command",
        "no-such-command",
        lambda world: {"cmd": ["no-such-command"]},
        on=(REAL,),
    ),
    # refused at once
    Case(
        "quota used up",
        ("QuotaExceeded",),
        "servers: 0 of 0 in use, 1 more needed",
        "quota 'few'",
        lambda world: {"mem_guarantee": "64M"},
        prepare=quota,
    ),
    Case(
        "above the LimitRange",
        ("LimitRangeExceeded",),
        "allows at most 64Mi of memory, and this server asks for 128 MiB",
        "maximum memory usage per Container is 64Mi",
        lambda world: {"mem_limit": "128M", "mem_guarantee": "128M"},
        prepare=limit_range,
        on=(REAL,),
    ),
    Case(
        "refused by a webhook",
        ("WebhookRefused",),
        "A policy of the cluster does not allow this server",
        "servers need a cost centre",
        prepare=refusing_webhook,
        on=(REAL,),
    ),
    Case(
        "webhook does not answer",
        ("WebhookUnavailable",),
        "checks new servers does not answer",
        "failed calling webhook",
        prepare=silent_webhook,
        on=(REAL,),
    ),
    Case(
        "refused by Pod Security",
        ("PolicyRefused",),
        "A security policy of the cluster does not allow this server",
        "Pod Security level 'restricted:latest'",
        prepare=pod_security,
        on=(STAGE,),
    ),
    Case(
        "PriorityClass missing",
        ("ReferenceMissing",),
        "does not give a valid server",
        "no PriorityClass with name absent was found.*priority_class_name",
        lambda world: {"priority_class_name": "absent"},
    ),
    Case(
        "ServiceAccount missing",
        ("ReferenceMissing",),
        "does not give a valid server",
        r"absent.*service_account",
        lambda world: {"service_account": "absent"},
    ),
    # no node
    Case(
        "no node has that many processors",
        ("Unschedulable",),
        "No machine has enough free CPU",
        "Insufficient cpu",
        lambda world: {"cpu_guarantee": 1000},
        ends=False,
    ),
    Case(
        "no node has that much memory",
        ("Unschedulable",),
        "No machine has enough free memory",
        "Insufficient memory",
        lambda world: {"mem_guarantee": "9T"},
        ends=False,
    ),
    Case(
        "no node has a GPU",
        ("Unschedulable",),
        r"No machine has enough free GPUs \(nvidia.com/gpu\)",
        "Insufficient nvidia.com/gpu",
        lambda world: {"extra_resource_limits": {"nvidia.com/gpu": "1"}},
        ends=False,
    ),
    Case(
        "no node of the kind",
        ("Unschedulable",),
        "no machine of the kind that your server asks for",
        "node selector|node affinity",
        lambda world: {"node_selector": {"disk": "golden"}},
        ends=False,
    ),
    # storage
    Case(
        "claim's StorageClass missing",
        ("ClaimProvisioningFailed", "ClaimPending"),
        "its kind does not exist|Waiting for your storage volume",
        "absent",
        claim("absent"),
        on=(REAL,),
        ends=False,
        left=("persistentvolumeclaim",),
    ),
    Case(
        "claim without a provisioner",
        ("ClaimPending",),
        "has no free storage volume for you",
        "no persistent volumes available",
        claim(""),
        on=(REAL,),
        ends=False,
        left=("persistentvolumeclaim",),
    ),
    Case(
        "claim's volume bound to another claim",
        ("ClaimPending",),
        "belongs to another claim",
        "already bound to a different claim",
        CLAIMED,
        prepare=taken_volume,
        on=(REAL,),
        ends=False,
    ),
    Case(
        "claim lost its volume",
        ("ClaimLost",),
        "can't find the data of your storage volume any more",
        "Lost|non-existent",
        CLAIMED,
        prepare=lost_claim,
        on=(REAL,),
    ),
    Case(
        "claim missing",
        ("ClaimMissing",),
        "Your storage volume does not exist",
        'persistentvolumeclaim "files" not found',
        CLAIMED,
    ),
    Case(
        "volume can't be mounted",
        ("VolumeMountFailed",),
        "storage volume is not available yet",
        "FailedMount",
        volume({"hostPath": {"path": "/no/such/directory", "type": "Directory"}}),
        on=(REAL,),
        ends=False,
    ),
    Case(
        "volume attached to another node",
        ("VolumeMountFailed",),
        "still in use on another machine",
        "Multi-Attach",
        during=scripted(
            "FailedAttachVolume",
            'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one '
            "node and can't be attached to another",
        ),
        on=(STAGE,),
        ends=False,
    ),
    # containers that end
    Case(
        "init container failed (`restartPolicy: Never`)",
        ("InitContainerFailed",),
        r"The preparation of your server failed \(step 'git'\)\. Its last words: “no such repository”\.",
        "cloning\nno such repository",
        lambda world: {
            "init_containers": [
                {
                    "name": "git",
                    "image": world.image,
                    "command": ["sh", "-c", "echo cloning; echo no such repository; exit 128"],
                }
            ],
            "extra_pod_config": NEVER,
        },
    ),
    Case(
        "init container fails again and again",
        ("Restarting", "CrashLoopBackOff"),
        r"The preparation of your server .*\(exit code 128\)",
        "no such repository",
        lambda world: {
            "init_containers": [
                {
                    "name": "git",
                    "image": world.image,
                    "command": ["sh", "-c", "echo no such repository; exit 128"],
                }
            ],
        },
    ),
    Case(
        "server crashes again and again",
        ("Restarting", "CrashLoopBackOff"),
        r"Your server .*\(exit code 3\)",
        "bad option",
        shell("echo bad option; exit 3", extra_container_config=NEVER_READY),
    ),
    Case(
        "out of memory while starting (`restartPolicy: Never`)",
        ("OOMKilled",),
        "used more memory than its limit of 16 MiB",
        "OOMKilled",
        shell(
            "x=a; while true; do x=$x$x; done",
            mem_limit="16M",
            mem_guarantee="16M",
            extra_pod_config=NEVER,
            extra_container_config=NEVER_READY,
        ),
        on=(REAL,),
    ),
    Case(
        "server ends at once",
        ("ServerExited",),
        r"ended while it was starting \(exit code 0\)\. Its last words: “bye”\.",
        "exit code 0",
        shell("echo bye", extra_container_config=NEVER_READY),
    ),
    Case(
        "evicted: the node ran out of memory",
        ("Evicted",),
        "removed from its machine, which ran out of memory",
        "The node was low on resource: memory",
        during=scripted(
            "Evicted",
            "The node was low on resource: memory.",
            phase="Failed",
            reason="Evicted",
            message="The node was low on resource: memory.",
        ),
        on=(STAGE,),
    ),
    Case(
        "the node was shut down",
        ("NodeShutdown",),
        "The machine that your server was on was shut down",
        "NodeShutdown",
        during=scripted(
            "NodeShutdown",
            "Pod was terminated in response to imminent node shutdown.",
            phase="Failed",
            reason="NodeShutdown",
            message="Pod was terminated in response to imminent node shutdown.",
        ),
        on=(STAGE,),
    ),
    Case(
        "pod deleted from outside",
        ("PodDeleted",),
        "removed from the cluster while it was starting",
        "deleted",
        lambda world: {"extra_container_config": NEVER_READY},
        during=delete_pod,
    ),
]
