"""JupyterHub's internal TLS: certificates in a secret, and a server that speaks with nobody else."""

import ssl

import aiohttp
import pytest
from jupyterhub.app import JupyterHub
from jupyterhub.httpclient import JupyterHubHTTPClient
from jupyterhub.utils import make_ssl_context

from .conftest import SINGLEUSER_IMAGE, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

# What JupyterHub's single-user server does with its variables, and no more.
SERVER = r"""
import http.server, os, ssl
from jupyterhub.utils import make_ssl_context

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        peer = dict(part[0] for part in self.connection.getpeercert()["subject"])
        key = os.stat(os.environ["JUPYTERHUB_SSL_KEYFILE"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{peer['commonName']} {os.getuid()} {key.st_mode & 0o777:o}".encode())

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("0.0.0.0", 8888), Answer)
context = make_ssl_context(
    os.environ["JUPYTERHUB_SSL_KEYFILE"],
    os.environ["JUPYTERHUB_SSL_CERTFILE"],
    cafile=os.environ["JUPYTERHUB_SSL_CLIENT_CA"],
    purpose=ssl.Purpose.CLIENT_AUTH,
)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def hub_with_certificates(folder):
    """A JupyterHub that has made its hub, its trust and its own certificate."""
    hub = JupyterHub(internal_ssl=True, internal_certs_location=str(folder))
    hub.init_internal_ssl()
    return hub


def hub_context(hub, trust):
    """What ``hub`` asks servers with, while it trusts those of ``trust``."""
    return make_ssl_context(hub.internal_ssl_key, hub.internal_ssl_cert, trust.internal_ssl_ca)


class ClusterResolver(aiohttp.abc.AbstractResolver):
    """Names of services, as the addresses of the pods behind them.

    Not the service's own: until kube-proxy knows that, it leads out of the machine.
    """

    def __init__(self, api):
        self.api = api

    async def resolve(self, host, port=0, family=0):
        name, namespace = host.split(".")[:2]

        async def addresses() -> list[str]:
            found = await self.api.read_namespaced_endpoints(name, namespace)
            return [a.ip for subset in found.subsets or () for a in subset.addresses or ()]

        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": family,
                "proto": 0,
                "flags": 0,
            }
            for address in await until(addresses)
        ]

    async def close(self):
        pass


@pytest.fixture
async def hub(tmp_path):
    yield hub_with_certificates(tmp_path / "hub")
    JupyterHubHTTPClient.clear_instance()


@pytest.fixture
def get(api):
    async def fetch(url, context) -> str:
        connector = aiohttp.TCPConnector(ssl=context, resolver=ClusterResolver(api))
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as r:
            return await r.text()

    return fetch


@pytest.fixture
def make_tls_spawner(make_spawner, hub):
    async def make(username="alice", **settings):
        spawner = make_spawner(
            username,
            **{
                "image": SINGLEUSER_IMAGE,
                "cmd": ["python3", "-c", SERVER],
                "extra_container_config": {
                    "readinessProbe": {"tcpSocket": {"port": 8888}, "periodSeconds": 1}
                },
                **settings,
            },
        )
        # As JupyterHub does when it makes a spawner, and before it calls start().
        spawner.internal_ssl = True
        spawner.internal_certs_location = hub.internal_certs_location
        spawner.internal_trust_bundles = hub.internal_trust_bundles
        paths = await spawner.create_certs()
        spawner.cert_paths = await spawner.move_certs(paths)
        return spawner

    return make


async def test_hub_and_server_know_each_other(make_tls_spawner, hub, get, namespace, tmp_path):
    spawner = await make_tls_spawner()
    url = await spawner.start()
    assert url == f"https://jupyter-alice.{namespace}.svc.cluster.local:8888"
    peer, uid, mode = (await get(url, hub_context(hub, hub))).split()
    assert (peer, uid) == ("hub-internal", "1000")
    # The image's user is not root, and the pod has no fsGroup: only so can it read its key.
    assert mode == "444"
    other = hub_with_certificates(tmp_path / "other")
    with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
        await get(url, hub_context(other, hub))
    anonymous = ssl.create_default_context(cafile=hub.internal_ssl_ca)
    with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
        await get(url, anonymous)


async def test_the_certificate_is_for_this_servers_name_only(make_tls_spawner, hub, get, api):
    alice, bob = await make_tls_spawner("alice"), await make_tls_spawner("bob")
    url = await alice.start()
    await bob.start()
    assert (await get(url, hub_context(hub, hub))).startswith("hub-internal ")
    # Bob's server, under the name of Alice's, is found out.
    pod = await api.read_namespaced_pod(bob.pod_name, bob.namespace)
    stolen = f"https://{pod.status.pod_ip}:8888"
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        async with (
            aiohttp.ClientSession() as session,
            session.get(stolen, ssl=hub_context(hub, hub), server_hostname=alice.dns_name),
        ):
            pass


async def test_secret_and_service_go_with_the_pod(make_tls_spawner, api, namespace):
    spawner = await make_tls_spawner()
    await spawner.start()
    secret = await api.read_namespaced_secret(spawner.secret_name, namespace)
    assert set(secret.data) == {"ssl.key", "ssl.crt", "notebooks-ca_trust.crt"}
    await spawner.stop()

    async def both_gone() -> bool:
        secrets = (await api.list_namespaced_secret(namespace)).items
        services = (await api.list_namespaced_service(namespace)).items
        return spawner.secret_name not in {s.metadata.name for s in secrets} and not services

    await until(both_gone)


@pytest.mark.parametrize(
    ("ids", "mode"),
    [
        ({"uid": 1234, "gid": 5678, "fs_gid": 2468}, "440"),
        ({"uid": 1234}, "444"),
        ({"uid": 0}, "400"),
    ],
)
async def test_the_key_is_readable_and_no_more(make_tls_spawner, hub, get, ids, mode):
    spawner = await make_tls_spawner(**ids)
    answer = await get(await spawner.start(), hub_context(hub, hub))
    assert answer.split()[1:] == [str(ids["uid"]), mode]


async def test_a_start_after_a_start_has_new_certificates(make_tls_spawner, hub, get):
    first = await make_tls_spawner()
    await first.start()
    # As after a crash: secret and service of the pod before are still there.
    second = await make_tls_spawner()
    url = await second.start()
    assert (await get(url, hub_context(hub, hub))).startswith("hub-internal ")
