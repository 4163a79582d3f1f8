"""What pods find of claims, secrets, config maps and variables."""

import base64
import json
from pathlib import Path

import pytest

from kubespawner.kube.requests import Deadline

from .conftest import waiting

HOME = {
    "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}],
    "container": {"volumeMounts": [{"name": "home", "mountPath": "/home/jovyan"}]},
}


async def bound(kube, name="home"):
    return await kube.claims.wait_for(
        f"default/{name}",
        lambda claim: bool(claim) and claim.get("status", {}).get("phase") == "Bound",
        Deadline.after(20),
    )


async def test_a_claim_is_bound_and_outlives_its_pods(kube, cluster):
    await kube.claim()
    claim = await bound(kube)
    assert claim["spec"]["storageClassName"] == "standard"
    assert claim["status"]["capacity"] == {"storage": "1Gi"}
    volume = await kube.api.read_persistent_volume(claim["spec"]["volumeName"])
    directory = Path(volume.spec.host_path.path)

    assert await kube.output('echo kept > file; echo "$HOME"; pwd', **HOME) == (
        f"{directory}\n{directory}\n"
    )
    await kube.delete()
    assert await kube.output("cat /home/jovyan/file", **HOME) == "kept\n"
    await kube.delete()

    await kube.api.delete_namespaced_persistent_volume_claim("home", "default")
    await kube.claims.wait_for("default/home", lambda c: c is None, Deadline.after(20))
    # A new claim of that name begins empty, once the old one's files are gone.
    await kube.claim()
    assert (await bound(kube))["metadata"]["uid"] != claim["metadata"]["uid"]
    assert await kube.output("ls", **HOME) == ""
    volumes = await kube.api.list_persistent_volume()
    assert volume.metadata.name not in [each.metadata.name for each in volumes.items]


async def test_a_claim_of_an_unknown_class_waits_for_the_class(kube, cluster):
    from kubernetes_asyncio.client import StorageV1Api

    await kube.claim(storageClassName="fast")
    event = await kube.event("ProvisioningFailed", about="home")
    assert event["message"] == 'storageclass.storage.k8s.io "fast" not found'
    await kube.run("exit 0", **HOME)
    message = (await kube.event("FailedScheduling"))["message"]
    assert "unbound immediate PersistentVolumeClaims" in message

    fast = {"metadata": {"name": "fast"}, "provisioner": "localcluster/directory"}
    await StorageV1Api(kube.api.api_client).create_storage_class(fast)
    await kube.until_phase("Succeeded")


async def test_a_pod_waits_for_its_claim(kube):
    await kube.run("exit 0", **HOME)
    message = (await kube.event("FailedScheduling"))["message"]
    assert 'persistentvolumeclaim "home" not found' in message
    await kube.claim()
    await kube.until_phase("Succeeded")


async def test_secrets_config_maps_and_the_pods_own_fields(kube):
    secret = {"metadata": {"name": "keys"}, "stringData": {}, "data": {"key": encoded("s3cret")}}
    secret.pop("stringData")
    await kube.api.create_namespaced_secret("default", secret)
    settings = {"metadata": {"name": "settings"}, "data": {"a.conf": "x = 1", "COLOUR": "red"}}
    await kube.api.create_namespaced_config_map("default", settings)
    env = [
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "TEAM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['team']"}}},
        {"name": "GREETING", "value": "$(NAME) of $(TEAM) $(UNKNOWN) $$(NAME)"},
        {
            "name": "NONE",
            "valueFrom": {"configMapKeyRef": {"name": "no", "key": "x", "optional": True}},
        },
        {"name": "KEYFILE", "value": "/etc/keys/key"},
        {
            "name": "MEMORY",
            "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
        },
    ]
    mounts = [
        {"name": "keys", "mountPath": "/etc/keys"},
        {"name": "all", "mountPath": "/etc/all"},
        {"name": "settings", "mountPath": "/srv/one.conf", "subPath": "a.conf"},
    ]
    sources = [
        {"secret": {"name": "keys", "items": [{"key": "key", "path": "deep/key"}]}},
        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    volumes = [
        {"name": "keys", "secret": {"secretName": "keys"}},
        {"name": "all", "projected": {"sources": sources}},
        {"name": "settings", "configMap": {"name": "settings"}},
    ]
    output = await kube.output(
        'echo "$SECRET|$GREETING|${NONE-unset}|$COLOUR|$MEMORY"; cat "$KEYFILE" /etc/all/deep/key '
        "/etc/all/n /srv/one.conf",
        meta={"labels": {"team": "physics"}},
        volumes=volumes,
        container={
            "env": env,
            "envFrom": [{"configMapRef": {"name": "settings"}}],
            "volumeMounts": mounts,
            "resources": {"limits": {"memory": "64Mi"}},
        },
    )
    assert output == ("s3cret|one of physics $(UNKNOWN) $(NAME)|unset|red|64\ns3crets3cretonex = 1")


def encoded(text):
    return base64.b64encode(text.encode()).decode()


async def test_a_missing_secret_is_waited_for(kube):
    env = [{"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}}]
    await kube.run('echo "$SECRET"', container={"env": env})
    state = await kube.until_waiting("CreateContainerConfigError")
    assert state["message"] == 'secret "keys" not found'

    await kube.run("", name="two", volumes=[{"name": "k", "secret": {"secretName": "keys"}}])
    message = (await kube.event("FailedMount", about="two"))["message"]
    assert message == 'MountVolume.SetUp failed for volume "k" : secret "keys" not found'
    assert waiting(kube.pods.get("default/two"))["reason"] == "ContainerCreating"

    secret = {"metadata": {"name": "keys"}, "data": {"key": encoded("late")}}
    await kube.api.create_namespaced_secret("default", secret)
    await kube.until_phase("Succeeded")
    assert await kube.log() == "late\n"
    await kube.until_phase("Succeeded", "two")


async def test_a_volume_that_cannot_be_had_locally_says_so(kube):
    await kube.run("", volumes=[{"name": "n", "nfs": {"server": "x", "path": "/"}}])
    assert "kind nfs" in (await kube.event("FailedMount"))["message"]


async def test_a_mount_inside_of_the_home_appears_in_it_for_the_pods_life(kube):
    await kube.claim()
    directory = (
        await kube.api.read_persistent_volume((await bound(kube))["spec"]["volumeName"])
    ).spec.host_path.path
    mounts = [
        {"name": "home", "mountPath": "/home/jovyan"},
        {"name": "shared", "mountPath": "/home/jovyan/shared"},
    ]
    volumes = [*HOME["volumes"], {"name": "shared", "emptyDir": {}}]
    output = await kube.output(
        "echo x > shared/file; cat /home/jovyan/shared/file; "
        'cat "$KUBESPAWNER_LOCALCLUSTER_ROOT/home/jovyan/shared/file"',
        volumes=volumes,
        container={"volumeMounts": mounts},
    )
    assert output == "x\nx\n"
    assert (Path(directory) / "shared").is_symlink()
    await kube.delete()
    await kube.run("exit 0", name="two", **HOME)
    await kube.until_phase("Succeeded", "two")
    assert not (Path(directory) / "shared").is_symlink()


async def test_the_environment_of_the_cluster_stays_out_of_pods(kube, monkeypatch):
    monkeypatch.setenv("PRIVATE_TOKEN", "x")
    program = "import os; print(*sorted(os.environ))"
    await kube.run(container={"command": ["python3", "-c", program]})
    await kube.until_phase("Succeeded")
    names = (await kube.log()).split()
    assert {"HOME", "HOSTNAME", "LANG", "PATH", "TMPDIR"} <= set(names)
    assert "PRIVATE_TOKEN" not in names


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"nodeSelector": {"disk": "tape"}}, "didn't match Pod's node affinity/selector"),
        ({"container": {"resources": {"requests": {"cpu": "3"}}}}, "1 Insufficient cpu"),
    ],
)
async def test_a_pod_that_fits_nowhere(kube, spec, why):
    await kube.run("exit 0", **spec)
    message = (await kube.event("FailedScheduling"))["message"]
    assert message.startswith("0/1 nodes are available: ") and why in message
    pod = await kube.until(lambda pod: pod and pod["status"].get("conditions"))
    (condition,) = pod["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "PodScheduled",
        "False",
        "Unschedulable",
    )
    assert condition["message"] == message


async def test_a_pod_is_placed_when_another_one_leaves_room(kube):
    big = {"container": {"resources": {"requests": {"cpu": "1500m"}}}}
    await kube.run("sleep 300", **json.loads(json.dumps(big)))
    await kube.until_phase("Running")
    await kube.run("exit 0", name="two", **big)
    await kube.event("FailedScheduling", about="two")
    await kube.delete(grace_period_seconds=0)
    await kube.until_phase("Succeeded", "two")
