"""The settings of a server as seen from inside its container."""

import asyncio
import base64
import ipaddress

import pytest
from kubernetes_asyncio.client import AuthenticationV1Api

from kubespawner.errors import SpawnError

from .conftest import SCRATCH, STORAGE, telling

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


async def test_user_groups_and_privileges(make_spawner, told_by):
    spawner = make_spawner(
        uid=1234,
        gid=5678,
        fs_gid=2468,
        supplemental_gids=[4321],
        cmd=telling("id -u", "id -g", "id -G", "grep NoNewPrivs /proc/self/status"),
    )
    await spawner.start()
    uid, gid, groups, no_new_privileges = await told_by(spawner)
    assert (uid, gid) == ("1234", "5678")
    assert set(groups.split()) == {"5678", "2468", "4321"}
    assert no_new_privileges.split() == ["NoNewPrivs:", "1"]


async def test_the_image_decides_without_uid(make_spawner, told_by):
    spawner = make_spawner(
        allow_privilege_escalation=None, cmd=telling("id -u", "grep NoNewPrivs /proc/self/status")
    )
    await spawner.start()
    assert await told_by(spawner) == ["0", "NoNewPrivs:\t0"]


@pytest.mark.parametrize("where", ["scratch", "claim"])
async def test_the_volumes_group_lets_an_unprivileged_user_write(make_spawner, told_by, where):
    storage = (
        STORAGE
        if where == "claim"
        else {"volumes": [SCRATCH], "volume_mounts": [{"name": "scratch", "mountPath": "/data"}]}
    )
    spawner = make_spawner(
        **storage,
        uid=1234,
        gid=5678,
        fs_gid=2468,
        cmd=telling("stat -c '%g %a' /data", "touch /data/file", "stat -c '%u %g' /data/file"),
    )
    await spawner.start()
    folder, file = await told_by(spawner)
    group, mode = folder.split()
    assert group == "2468"
    # Group may write, and what is made inside gets the group too (setgid).
    assert int(mode, 8) & 0o2070 == 0o2070
    assert file == "1234 2468"


async def test_capabilities_and_a_read_only_root(make_spawner, told_by):
    spawner = make_spawner(
        container_security_context={
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            "readOnlyRootFilesystem": True,
        },
        cmd=telling("grep CapEff /proc/self/status", "touch /x 2>&1"),
    )
    await spawner.start()
    capabilities, refusal = await told_by(spawner)
    # Bit 10: https://man7.org/linux/man-pages/man7/capabilities.7.html
    assert int(capabilities.split()[1], 16) == 1 << 10
    assert "Read-only file system" in refusal


async def test_restricted_pods_run_with_the_runtimes_seccomp_profile(make_spawner, told_by):
    spawner = make_spawner(
        pod_security="restricted",
        uid=1234,
        cmd=telling(
            "grep Seccomp: /proc/self/status", "grep CapEff /proc/self/status", "id -u", "id -g"
        ),
    )
    await spawner.start()
    seccomp, capabilities, uid, _ = await told_by(spawner)
    assert (seccomp.split()[1], int(capabilities.split()[1], 16), uid) == ("2", 0, "1234")


async def test_an_image_that_runs_as_root_is_refused_in_words(make_spawner):
    spawner = make_spawner(
        container_security_context={"runAsNonRoot": True},
        spawn_patience={"CreateContainerConfigError": 1},
    )
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "CreateContainerConfigError"
    assert "runs as root, which is not allowed" in error.value.jupyterhub_message


async def test_memory_and_processor_limits_are_the_cgroups(make_spawner, told_by):
    # Of version 1 and of version 2.
    files = {
        "memory": "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max",
        "limit": "/sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max",
        "guarantee": "/sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu.weight",
    }
    spawner = make_spawner(
        mem_limit="64M",
        mem_guarantee="32M",
        cpu_limit=0.5,
        cpu_guarantee=0.25,
        cmd=telling(
            *(f"cat {names} 2>/dev/null" for names in files.values()),
            "echo $MEM_LIMIT $MEM_GUARANTEE $CPU_LIMIT $CPU_GUARANTEE",
        ),
    )
    await spawner.start()
    memory, limit, guarantee, told = await told_by(spawner)
    assert int(memory) == 64 * 1024 * 1024
    assert limit.split()[0] == "50000"
    # 256 of 1024 shares, or the weight that they are converted to (10 of 10000).
    assert guarantee in ("256", "10")
    assert told == f"{64 * 1024 * 1024} {32 * 1024 * 1024} 0.5 0.25"


async def test_environment_and_its_order(make_spawner, told_by, api, namespace):
    await api.create_namespaced_secret(
        namespace, {"metadata": {"name": "words"}, "stringData": {"first": "one"}}
    )
    spawner = make_spawner(
        environment={
            # In the order in which the kubelet can expand them, not in this one.
            "C": "$(B)-c",
            "B": "$(A)-b",
            "A": "{username}",
            "SECRET": {"valueFrom": {"secretKeyRef": {"name": "words", "key": "first"}}},
            "ADDRESS": {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            "FROM_SECRET": "$(SECRET)!",
            "ESCAPED": "$$(A)",
            "UNKNOWN": "$(NOWHERE)",
        },
        extra_container_config={"envFrom": [{"secretRef": {"name": "words"}}]},
        cmd=telling(
            'echo "$C"',
            'echo "$FROM_SECRET $first"',
            'echo "$ESCAPED"',
            'echo "$UNKNOWN"',
            'echo "$ADDRESS"; hostname -i',
            'echo "$JUPYTERHUB_USER $JUPYTERHUB_SERVICE_URL"',
        ),
    )
    await spawner.start()
    lines = await told_by(spawner)
    assert lines[:4] == ["alice-b-c", "one! one", "$(A)", "$(NOWHERE)"]
    assert lines[4] == lines[5]
    assert lines[6] == "alice http://0.0.0.0:8888/"


async def test_no_variables_of_the_namespaces_services(make_spawner, told_by, api, namespace):
    await api.create_namespaced_service(
        namespace, {"metadata": {"name": "database"}, "spec": {"ports": [{"port": 5432}]}}
    )
    spawner = make_spawner(
        extra_pod_config={"enableServiceLinks": False},
        cmd=telling("env | grep -c DATABASE_ || true"),
    )
    await spawner.start()
    assert await told_by(spawner) == ["0"]


async def test_working_directory(make_spawner, told_by):
    spawner = make_spawner(working_dir="/tmp/{username}", cmd=telling("pwd"))
    await spawner.start()
    assert await told_by(spawner) == ["/tmp/alice"]


async def test_no_token_unless_asked(make_spawner, told_by):
    spawner = make_spawner(cmd=telling("ls /var/run/secrets/kubernetes.io 2>&1"))
    await spawner.start()
    (line,) = await told_by(spawner)
    assert "No such file" in line


async def test_a_service_accounts_token_is_that_accounts(make_spawner, told_by, api, namespace):
    await api.create_namespaced_service_account(namespace, {"metadata": {"name": "runner"}})
    spawner = make_spawner(service_account="runner", cmd=telling(f"cat {TOKEN}/token", "echo"))
    await spawner.start()
    token = (await told_by(spawner))[0]
    review = await AuthenticationV1Api(api.api_client).create_token_review(
        {"spec": {"token": token}}
    )
    assert review.status.user.username == f"system:serviceaccount:{namespace}:runner"
    without = make_spawner(
        "bob",
        service_account="runner",
        automount_service_account_token=False,
        cmd=telling(f"ls {TOKEN} 2>&1"),
    )
    await without.start()
    (line,) = await told_by(without)
    assert "No such file" in line


async def test_read_only_mounts_and_parts_of_a_volume(make_spawner, told_by):
    spawner = make_spawner(
        volumes=[SCRATCH],
        volume_mounts=[
            {"name": "scratch", "mountPath": "/ro", "readOnly": True},
            {"name": "scratch", "mountPath": "/mine", "subPath": "users/{username}"},
        ],
        cmd=telling("touch /ro/x 2>&1 || true", "touch /mine/x", "ls /ro/users/alice"),
    )
    await spawner.start()
    refusal, file = await told_by(spawner)
    assert "Read-only file system" in refusal
    assert file == "x"


async def test_files_of_config_maps_and_secrets(make_spawner, told_by, api, namespace):
    await api.create_namespaced_config_map(
        namespace, {"metadata": {"name": "settings"}, "data": {"a.conf": "of-alice"}}
    )
    secret = base64.b64encode(b"hidden").decode()
    await api.create_namespaced_secret(
        namespace, {"metadata": {"name": "for-alice"}, "data": {"key": secret}}
    )
    spawner = make_spawner(
        volumes=[
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "secret", "secret": {"secretName": "for-{username}", "defaultMode": 0o400}},
        ],
        volume_mounts=[
            {"name": "settings", "mountPath": "/settings"},
            {"name": "secret", "mountPath": "/secret"},
        ],
        cmd=telling(
            "cat /settings/a.conf", "echo", "cat /secret/key", "echo", "stat -Lc %a /secret/key"
        ),
    )
    await spawner.start()
    assert await told_by(spawner) == ["of-alice", "hidden", "400"]


async def test_name_resolution_as_the_pod_asks_for_it(make_spawner, told_by):
    spawner = make_spawner(
        extra_pod_config={
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["192.0.2.1"], "searches": ["example.org"]},
            "hostAliases": [{"ip": "192.0.2.2", "hostnames": ["licences"]}],
        },
        cmd=telling("cat /etc/resolv.conf", "grep licences /etc/hosts"),
    )
    await spawner.start()
    assert await told_by(spawner) == [
        "search example.org",
        "nameserver 192.0.2.1",
        "192.0.2.2\tlicences",
    ]


async def test_the_url_has_the_address_that_the_container_knows(make_spawner, told_by):
    spawner = make_spawner(cmd=telling("hostname -i"))
    url = await spawner.start()
    (address,) = await told_by(spawner)
    assert isinstance(ipaddress.ip_address(address), ipaddress.IPv4Address)
    assert url == f"http://{address}:8888"


async def test_service_and_its_dns_name(make_spawner, told_by, namespace):
    server = make_spawner("alice", services_enabled=True)
    url = await server.start()
    assert url == f"http://jupyter-alice.{namespace}.svc.cluster.local:8888"
    client = make_spawner("bob", cmd=telling(f"wget -q -S -O - {url} 2>&1 | head -1"))
    await client.start()
    assert "HTTP/1" in (await told_by(client))[0]


async def test_devices_are_counted_by_the_cluster(make_spawner, api, namespace, pods):
    """An extended resource, as graphics processors are, of which the node has one."""
    name = f"{namespace}.example.org/card"
    (node, *_) = (await api.list_node()).items
    path = "/status/capacity/" + name.replace("/", "~1")
    await api.patch_node_status(node.metadata.name, [{"op": "add", "path": path, "value": "1"}])
    try:
        device = {"extra_resource_limits": {name: "1"}, "extra_resource_guarantees": {name: "1"}}
        first = make_spawner("alice", **device)
        await first.start()
        second = make_spawner("bob", **device, spawn_patience={"Unschedulable": 60})
        start = second.start()
        async for entry in second.progress():
            if name in entry["message"]:
                break
        else:
            pytest.fail(f"nobody said that {name} is lacking")
        await first.stop()
        await asyncio.wait_for(start, 60)
        (pod,) = await pods()
        assert pod.spec.containers[0].resources.limits == {name: "1"}
    finally:
        await api.patch_node_status(node.metadata.name, [{"op": "remove", "path": path}])


async def test_privileged(make_spawner, told_by):
    spawner = make_spawner(
        privileged=True, cmd=telling("grep -E 'CapEff|CapBnd' /proc/self/status | cut -f2 | uniq")
    )
    await spawner.start()
    # All of them: what it may have is what the node's root may have.
    (capabilities,) = await told_by(spawner)
    assert int(capabilities, 16).bit_count() > 30
