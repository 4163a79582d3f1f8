"""JupyterHub as a pod, deployed from ``deploy/``, used over HTTP as a browser would.

The hub has the Role that the overlay ships, and nothing else.
"""

from __future__ import annotations

import pytest

from tests.support.hub import Browser

from ._deployed import command, deployed, eventually, write_kustomization

OVERLAYS = ("single-namespace", "user-namespaces", "internal-tls", "network-policies")
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.mark.parametrize("overlay", OVERLAYS)
async def test_the_api_server_accepts_every_manifest(namespace, tmp_path, overlay):
    write_kustomization(tmp_path, overlay, namespace)
    told = await command("apply", "--dry-run=server", "--kustomize", str(tmp_path))
    assert "deployment.apps/hub created (server dry run)" in told
    assert ("networkpolicy" in told) == (overlay == "network-policies")


async def server_pod(hub, user, namespace=""):
    where = namespace or hub.namespace
    return await hub.get("pod", f"jupyter-{user}", f"--namespace={where}")


async def spawned(browser):
    entries = await browser.spawn()
    assert entries[-1].get("ready"), entries
    return entries


async def test_a_server_lives_through_stop_start_and_the_end_of_the_hub_pod(tmp_path):
    async with deployed("single-namespace", tmp_path) as hub, Browser(hub, "alice") as alice:
        entries = await spawned(alice)
        assert any("Started container" in entry["message"] for entry in entries)
        assert "jupyter-config-data" in await alice.open_lab()
        assert await alice.run_code("1+1") == "2"
        await alice.write_file("kept.txt", "kept")

        await alice.stop()
        await spawned(alice)
        await alice.open_lab()
        assert await alice.read_file("kept.txt") == "kept"

        before = await server_pod(hub, "alice")
        old = await hub.hub_pod()
        await hub.kubectl("delete", "pod", old["metadata"]["name"])
        # The proxy is a pod of its own: servers answer while there is no hub.
        assert await alice.read_file("kept.txt") == "kept"
        await hub.rolled_out()
        assert (await hub.hub_pod())["metadata"]["uid"] != old["metadata"]["uid"]
        servers = await eventually(alice.servers)
        assert servers[""]["ready"]
        after = await server_pod(hub, "alice")
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["status"]["containerStatuses"][0]["restartCount"] == 0
        assert await alice.run_code("2+2") == "4"
        await alice.stop()


async def test_each_user_has_a_namespace(tmp_path):
    async with deployed("user-namespaces", tmp_path, OWN_NAMES) as hub:
        home = f"{hub.namespace}-alice"
        try:
            async with Browser(hub, "alice") as alice:
                await spawned(alice)
                assert await alice.open_lab()
                assert await alice.run_code("1+1") == "2"
                pod = await server_pod(hub, "alice", home)
                assert pod["status"]["phase"] == "Running"
                labels = (await hub.get("namespace", home))["metadata"]["labels"]
                assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
                await alice.stop()
                assert (await hub.get("pods", f"--namespace={home}"))["items"] == []
        finally:
            await hub.kubectl("delete", "namespace", home, "--wait=false", "--ignore-not-found")


# Tests share a cluster, so not even namespaces of users may be named alike.
OWN_NAMES = """
c.KubeSpawner.user_namespace_template = namespace + "-{username}"
"""


async def test_internal_tls_from_proxy_to_hub_and_server(tmp_path):
    async with deployed("internal-tls", tmp_path) as hub, Browser(hub, "alice") as alice:
        await spawned(alice)
        assert await alice.open_lab()
        assert await alice.run_code("1+1") == "2"
        pod = await server_pod(hub, "alice")
        service = await hub.get("service", "jupyter-alice")
        assert service["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
        hub_pod = (await hub.hub_pod())["metadata"]["name"]
        for target in (f"jupyter-alice.{hub.namespace}.svc.cluster.local:8888", "hub:8081"):
            answers = await hub.kubectl("exec", hub_pod, "--", "python", "-c", ASK, target)
            assert answers.split() == ["plain:refused", "stranger:refused", "proxy:answered"]


# What a peer answers over plain HTTP, over TLS to somebody without a certificate, and to the
# proxy's. Run in the hub's pod, where the certificates are.
ASK = """
import http.client, pathlib, ssl, sys
certs = pathlib.Path("/srv/jupyterhub/internal-tls")

def ask(name, connection):
    try:
        connection.request("GET", "/hub/health")
        connection.getresponse().read()
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        print(name + ":refused")
    else:
        print(name + ":answered")

def context(**own):
    made = ssl.create_default_context(cafile=certs / "proxy-client-ca_trust.crt")
    if own:
        made.load_cert_chain(**own)
    return made

host = sys.argv[1]
ask("plain", http.client.HTTPConnection(host, timeout=10))
ask("stranger", http.client.HTTPSConnection(host, timeout=10, context=context()))
folder = certs / "proxy-client"
own = {"certfile": folder / "proxy-client.crt", "keyfile": folder / "proxy-client.key"}
ask("proxy", http.client.HTTPSConnection(host, timeout=10, context=context(**own)))
"""
