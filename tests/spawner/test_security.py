"""What a user's pod may do, and what the start refuses, in what reaches the API server."""

import ipaddress

import pytest

from kubespawner.errors import SpawnError
from kubespawner.localcluster.faults import Fault
from tests.support.pod_security import broken_controls

from ._cases import STORAGE, shows
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


# ---- block_cloud_metadata ----------------------------------------------------------------


async def policies(stage):
    found = await stage.request("GET", "/apis/networking.k8s.io/v1/networkpolicies")
    return found["items"]


def allows(policy, address):
    """Whether a policy's rules of egress let ``address`` be reached."""
    address = ipaddress.ip_address(address)

    def holds(network):
        return address in ipaddress.ip_network(network)

    return any(
        holds(peer["ipBlock"]["cidr"]) and not any(map(holds, peer["ipBlock"].get("except", ())))
        for rule in policy["spec"]["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    )


@shows("block_cloud_metadata")
async def test_block_cloud_metadata_makes_a_policy_once(stage):
    await created_pod(stage)
    assert await policies(stage) == []
    await stage.clear()
    for _ in range(2):
        pod = await created_pod(stage, block_cloud_metadata=True)
        await stage.clear()
    (policy,) = await policies(stage)
    assert policy["spec"]["policyTypes"] == ["Egress"]
    selected = policy["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= pod["metadata"]["labels"].items()
    for blocked in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254"):
        assert not allows(policy, blocked)
    # Among them a name server of the cluster, at a link-local address.
    for free in ("10.96.0.1", "169.254.20.10", "93.184.216.34", "2001:db8::1", "fd00::1"):
        assert allows(policy, free)
    assert {"namespaceSelector": {}, "podSelector": {}} in [
        peer for rule in policy["spec"]["egress"] for peer in rule["to"]
    ]
    # Nothing is asked of the pod for it.
    assert "initContainers" not in pod["spec"]


async def test_without_the_policy_no_pod_is_started(stage):
    stage.server.faults.add(Fault(status=403, reason="Forbidden", resource="networkpolicies"))
    with pytest.raises(SpawnError):
        await stage.spawner(block_cloud_metadata=True).start()
    assert await stage.pods() == []


async def test_two_hubs_and_users_namespaces_have_a_policy_each(stage):
    settings = {"block_cloud_metadata": True, "enable_user_namespaces": True}
    await created_pod(stage, **settings)
    await stage.clear()
    await created_pod(stage, **{**settings, "enable_user_namespaces": False})
    await stage.clear()
    await created_pod(stage, block_cloud_metadata=True, component_label="other")
    found = {
        (p["metadata"]["namespace"], p["metadata"]["name"]): p["spec"]["podSelector"]
        for p in await policies(stage)
    }
    assert found["default", "other-no-cloud-metadata"]["matchLabels"] == {"component": "other"}
    assert ("default", "singleuser-server-no-cloud-metadata") in found


@pytest.mark.parametrize(
    ("settings", "escalation"),
    [
        ({"privileged": True}, None),
        ({"container_security_context": {"privileged": True}}, None),
        ({"container_security_context": lambda spawner: {"privileged": True}}, None),
        ({"privileged": True, "allow_privilege_escalation": False}, False),
        ({"privileged": True, "container_security_context": {"privileged": False}}, False),
        ({}, False),
    ],
)
async def test_privileged_containers_have_no_contradiction_that_nobody_asked_for(
    stage, settings, escalation
):
    pod = await stage.spawner(**settings).get_pod_manifest()
    context = pod.spec.containers[0].security_context
    assert context.get("allowPrivilegeEscalation") is escalation
