"""The levels of the Pod Security Standards, against their published table."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes_asyncio.client.models import V1Container, V1Pod, V1PodSpec, V1SecurityContext

from kubespawner.objects import make_pod
from kubespawner.podsecurity import harden, plain, violations
from tests.support.pod_security import broken_controls

# ---- any pod -------------------------------------------------------------------------------


def maybe(**fields):
    return st.fixed_dictionaries({}, optional=fields)


PROFILE = maybe(type=st.sampled_from(["RuntimeDefault", "Localhost", "Unconfined"]))
HANDLER = maybe(
    httpGet=maybe(host=st.sampled_from(["", "elsewhere"])),
    tcpSocket=maybe(host=st.sampled_from(["", "elsewhere"])),
)
SHARED = {
    "runAsNonRoot": st.booleans(),
    "runAsUser": st.sampled_from([0, 1000]),
    "seccompProfile": PROFILE,
    "appArmorProfile": PROFILE,
    "windowsOptions": maybe(hostProcess=st.booleans()),
    "seLinuxOptions": maybe(
        type=st.sampled_from(["", "container_t", "spc_t"]),
        user=st.sampled_from(["", "system_u"]),
        role=st.sampled_from(["", "system_r"]),
    ),
}
NAMES = ["ALL", "NET_BIND_SERVICE", "CHOWN", "SYS_ADMIN"]
CONTEXT = maybe(
    **SHARED,
    privileged=st.booleans(),
    allowPrivilegeEscalation=st.booleans(),
    procMount=st.sampled_from(["Default", "Unmasked"]),
    capabilities=maybe(
        add=st.lists(st.sampled_from(NAMES[1:]), max_size=2),
        drop=st.lists(st.sampled_from(NAMES), max_size=2),
    ),
)
CONTAINER = st.fixed_dictionaries(
    {"name": st.just("c")},
    optional={
        "securityContext": CONTEXT,
        "ports": st.lists(maybe(hostPort=st.sampled_from([0, 80])), max_size=1),
        "livenessProbe": HANDLER,
        "readinessProbe": HANDLER,
        "startupProbe": HANDLER,
        "lifecycle": maybe(postStart=HANDLER, preStop=HANDLER),
    },
)
VOLUMES = st.sampled_from(["emptyDir", "secret", "persistentVolumeClaim", "hostPath", "nfs"])
PODS = st.fixed_dictionaries(
    {
        "metadata": maybe(
            annotations=maybe(
                **{
                    "container.apparmor.security.beta.kubernetes.io/c": st.sampled_from(
                        ["runtime/default", "localhost/x", "unconfined", ""]
                    )
                }
            )
        ),
        "spec": st.fixed_dictionaries(
            {"containers": st.lists(CONTAINER, min_size=1, max_size=2)},
            optional={
                "initContainers": st.lists(CONTAINER, max_size=1),
                "securityContext": maybe(
                    **SHARED,
                    sysctls=st.lists(
                        maybe(
                            name=st.sampled_from(["net.ipv4.tcp_syncookies", "kernel.msgmax"])
                        ).filter(bool),
                        max_size=1,
                    ),
                ),
                "hostNetwork": st.booleans(),
                "hostPID": st.booleans(),
                "hostIPC": st.booleans(),
                "volumes": st.lists(VOLUMES.map(lambda k: {"name": "v", k: {}}), max_size=2),
            },
        ),
    }
)


def model(pod):
    spec = copy.deepcopy(pod["spec"])
    return V1Pod(
        metadata=pod["metadata"],
        spec=V1PodSpec(
            containers=spec["containers"],
            init_containers=spec.get("initContainers"),
            security_context=spec.get("securityContext"),
            volumes=spec.get("volumes"),
            host_network=spec.get("hostNetwork"),
            host_pid=spec.get("hostPID"),
            host_ipc=spec.get("hostIPC"),
        ),
    )


@pytest.mark.parametrize("level", ["baseline", "restricted"])
@pytest.mark.parametrize("hardened", [False, True])
@settings(max_examples=300)
@given(pod=PODS)
def test_the_published_table_finds_the_same_pods_at_fault(level, hardened, pod):
    if hardened:
        made = model(pod)
        harden(made)
        pod = plain(made)
    assert bool(violations(pod, level)) == bool(broken_controls(pod, level)), (
        violations(pod, level),
        broken_controls(pod, level),
    )


# What one field alone breaks, in a pod that is right otherwise.
FAULTS = {
    "HostProcess": ("pod", "windowsOptions", {"hostProcess": True}),
    "root": ("container", "runAsUser", 0),
    "may be root": ("container", "runAsNonRoot", False),
    "privileged": ("container", "privileged", True),
    "escalation": ("container", "allowPrivilegeEscalation", True),
    "added": ("container", "capabilities", {"drop": ["ALL"], "add": ["CHOWN"]}),
    "kept": ("container", "capabilities", {"drop": ["KILL"]}),
    "proc": ("container", "procMount", "Unmasked"),
    "seccomp": ("pod", "seccompProfile", {"type": "Unconfined"}),
    "seccomp of container": ("container", "seccompProfile", {"type": "Unconfined"}),
    "apparmor": ("container", "appArmorProfile", {"type": "Unconfined"}),
    "selinux": ("pod", "seLinuxOptions", {"type": "spc_t"}),
    "sysctl": ("pod", "sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_alone(fault):
    where, field, value = FAULTS[fault]
    contexts = {f"{where}_security_context": {field: value}}
    pod = make_pod("p", None, 1, "i", **contexts)
    harden(pod)
    assert broken_controls(plain(pod), "restricted")
    (found,) = violations(pod, "restricted")
    setting = {"runAsUser": "uid", "privileged": "privileged"}.get(field)
    if field == "allowPrivilegeEscalation":
        setting = "allow_privilege_escalation"
    assert found.startswith(f"KubeSpawner.{setting or where + '_security_context'}: ")
    assert "KubeSpawner.pod_security = 'restricted'" in found


# ---- hardening -----------------------------------------------------------------------------


@given(pod=PODS)
def test_hardening_is_done_once_and_only_fills_what_is_unset(pod):
    before, made = pod["spec"], model(pod)
    harden(made)
    once = plain(made)
    for field, value in (before.get("securityContext") or {}).items():
        assert once["spec"]["securityContext"][field] == plain(value)
    for container, now in zip(before["containers"], once["spec"]["containers"], strict=True):
        for field, value in (container.get("securityContext") or {}).items():
            if field != "capabilities":
                assert now["securityContext"][field] == plain(value)
    harden(made)
    assert plain(made) == once


def test_a_pod_without_a_word_on_security_becomes_restricted():
    pod = make_pod(
        "p",
        None,
        1,
        "i",
        init_containers=[{"name": "a", "image": "i"}],
        extra_containers=[{"name": "b", "image": "i"}],
        allow_privilege_escalation=None,
    )
    # As hooks add them: a dict, and a model with a context of its own.
    pod.spec.containers.append({"name": "c", "image": "i"})
    own = V1SecurityContext(run_as_user=7)
    pod.spec.init_containers.append(V1Container(name="d", image="i", security_context=own))
    assert set(broken_controls(plain(pod), "restricted")) == {
        "Privilege Escalation",
        "Running as Non-root",
        "Seccomp required",
        "Capabilities dropped",
    }
    harden(pod)
    assert broken_controls(plain(pod), "restricted") == []
    assert violations(pod, "restricted") == []
    assert pod.spec.init_containers[1].security_context["runAsUser"] == 7


def test_without_a_level_everything_is_allowed():
    pod = make_pod("p", None, 1, "i", privileged=True, uid=0)
    assert violations(pod, "") == []
    assert violations(pod, "baseline")
