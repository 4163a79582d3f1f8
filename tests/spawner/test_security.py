"""What a user's pod may do, and what the start refuses, in what reaches the API server."""

import pytest

from kubespawner.errors import SpawnError
from tests.support.pod_security import broken_controls

from ._cases import STORAGE
from ._stage import staged

SIDE = {"name": "side", "image": "busybox:1"}
INIT = {"name": "init", "image": "busybox:1"}
CLAIM = {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}
RESTRICTED = {"pod_security": "restricted"}


@pytest.fixture
async def stage(tmp_path):
    async with staged(tmp_path) as stage:
        yield stage


async def created_pod(stage, **settings):
    async with stage.starting(stage.spawner(**settings)):
        (pod,) = await stage.pods()
        return pod


# ---- pod_security ------------------------------------------------------------------------


async def add_container(spawner, pod):
    pod.spec.containers.append({"name": "added", "image": "busybox:1"})
    return pod


ALLOWED = {
    "nothing else": {},
    "a user": {"uid": 1000, "gid": 100, "fs_gid": 100},
    "other containers": {"init_containers": [INIT], "extra_containers": {"a": SIDE}},
    "no word on escalation": {"allow_privilege_escalation": None},
    "a port below 1024": {
        "container_security_context": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}
    },
    "a profile of its own": {
        "pod_security_context": {
            "seccompProfile": {"type": "Localhost", "localhostProfile": "notebook.json"}
        }
    },
    "contexts replaced": {
        "extra_container_config": {"securityContext": {"readOnlyRootFilesystem": True}},
        "extra_pod_config": {"securityContext": {"fsGroup": 100}},
    },
    "a claim": {**STORAGE, "volumes": [CLAIM]},
    "a hook that adds a container": {"modify_pod_hook": add_container},
}


@pytest.mark.parametrize("what", ALLOWED)
async def test_restricted_pods_meet_every_control(stage, what):
    plain = await created_pod(stage, **ALLOWED[what])
    assert broken_controls(plain, "restricted")
    await stage.clear()
    pod = await created_pod(stage, **RESTRICTED, **ALLOWED[what])
    assert broken_controls(pod, "restricted") == []


async def test_what_a_container_says_itself_stays(stage):
    own = {"runAsUser": 7, "seccompProfile": {"type": "Localhost", "localhostProfile": "x.json"}}
    pod = await created_pod(
        stage, **RESTRICTED, init_containers=[{**INIT, "securityContext": own}], uid=5
    )
    (init,) = pod["spec"]["initContainers"]
    assert init["securityContext"] == {
        **own,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["spec"]["containers"][0]["securityContext"]["runAsUser"] == 5


def become_root(spawner, pod):
    pod.spec.containers[0].security_context["runAsUser"] = 0
    return pod


async def root(spawner):
    return 0


PRIVILEGED = {**SIDE, "securityContext": {"privileged": True}}
# Settings, and what the error names beside pod_security.
CONFLICTS = {
    "privileged": ({"privileged": True}, "KubeSpawner.privileged"),
    "root": ({"uid": 0}, "KubeSpawner.uid"),
    "root by callable": ({"uid": root}, "KubeSpawner.uid"),
    "root by hook": ({"modify_pod_hook": become_root}, "KubeSpawner.uid"),
    "root of the pod": (
        {"pod_security_context": {"runAsUser": 0}},
        "KubeSpawner.pod_security_context",
    ),
    "escalation": ({"allow_privilege_escalation": True}, "KubeSpawner.allow_privilege_escalation"),
    "capability": (
        {"container_security_context": {"capabilities": {"add": ["SYS_ADMIN"]}}},
        "KubeSpawner.container_security_context",
    ),
    "host path": (
        {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
        "KubeSpawner.volumes",
    ),
    "network file system": (
        {"volumes": [{"name": "x", "nfs": {"server": "x", "path": "/"}}]},
        "KubeSpawner.volumes",
    ),
    "host network": ({"extra_pod_config": {"hostNetwork": True}}, "KubeSpawner.extra_pod_config"),
    "init container": (
        {"init_containers": [PRIVILEGED]},
        "KubeSpawner.init_containers, container 'side'",
    ),
    "extra container": (
        {"extra_containers": [PRIVILEGED]},
        "KubeSpawner.extra_containers, container 'side'",
    ),
    "profile": (
        {
            "profile_list": [
                {
                    "display_name": "p",
                    "slug": "p",
                    "default": True,
                    "kubespawner_override": {"privileged": True},
                }
            ]
        },
        "KubeSpawner.privileged",
    ),
}


@pytest.mark.parametrize("what", CONFLICTS)
async def test_what_restricted_does_not_allow_is_refused_naming_both_settings(stage, what):
    settings, named = CONFLICTS[what]
    with pytest.raises(SpawnError) as error:
        await stage.spawner(**RESTRICTED, **STORAGE, **settings).start()
    assert f"{named}: " in str(error.value)
    assert "KubeSpawner.pod_security = 'restricted'" in str(error.value)
    assert await stage.pods() == []


async def test_baseline_refuses_rights_on_the_node_and_changes_nothing(stage):
    pod = await created_pod(stage)
    await stage.clear()
    with_level = await created_pod(stage, pod_security="baseline")
    assert with_level["spec"] == pod["spec"]
    assert broken_controls(pod, "baseline") == []
    await stage.clear()
    with pytest.raises(SpawnError, match=r"KubeSpawner\.privileged: .*'baseline'"):
        await stage.spawner(pod_security="baseline", privileged=True).start()
