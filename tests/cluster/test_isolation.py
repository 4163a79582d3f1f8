"""Settings that isolate a server, accepted and in force on a real cluster."""

import pytest
from kubernetes_asyncio.client import NetworkingV1Api

from .conftest import IMAGE, telling

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]


async def test_policy_against_metadata_services_is_accepted(make_spawner, api, namespace):
    spawner = make_spawner(block_cloud_metadata=True)
    await spawner.start()
    networking = NetworkingV1Api(api.api_client)
    (policy,) = (await networking.list_namespaced_network_policy(namespace)).items
    blocks = [peer.ip_block for peer in policy.spec.egress[0].to]
    assert [block.cidr for block in blocks] == ["0.0.0.0/0", "::/0"]
    assert "169.254.169.254/32" in blocks[0]._except


async def test_restricted_server_runs_with_no_rights(make_spawner, told_by):
    side = {"name": "side", "image": IMAGE, "command": ["sleep", "600"]}
    side["securityContext"] = {"runAsUser": 1001}
    init = {**side, "name": "init", "command": ["true"]}
    spawner = make_spawner(
        pod_security="restricted",
        uid=1000,
        extra_containers=[side],
        init_containers=[init],
        cmd=telling("id -u", "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status"),
    )
    await spawner.start()
    lines = await told_by(spawner)
    assert lines[0] == "1000"
    status = dict(line.split(":\t") for line in lines[1:])
    assert int(status["CapEff"], 16) == 0
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    # 2: a filter is in force.
    assert status["Seccomp"] in ("2", "0")
