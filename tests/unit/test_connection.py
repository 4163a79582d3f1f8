"""Which API server and which credentials."""

import asyncio
import copy
import threading

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, incluster_config

from kubespawner.kube import connection

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{{name: here, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "https://api.example:6443"}}}}]
users: [{{name: u, user: {{token: {token}}}}}]
"""


@pytest.fixture
def outside(monkeypatch, tmp_path):
    """No pod around, and no kubeconfig yet; returns where it would be."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


@pytest.fixture
def inside(outside, monkeypatch, tmp_path):
    """A pod around; returns its token file."""
    token, certificate = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("one")
    certificate.write_text("certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(certificate))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return token


def token_of(configuration):
    return configuration.api_key["BearerToken"]


def test_in_cluster_comes_first(inside, outside):
    outside.write_text(KUBECONFIG.format(token="other"))
    configuration = connection.load()
    assert configuration.host == "https://10.0.0.1:443"
    assert token_of(configuration) == "Bearer one"


def test_else_the_kubeconfig(outside):
    outside.write_text(KUBECONFIG.format(token="one"))
    configuration = connection.load()
    assert configuration.host == "https://api.example:6443"
    assert token_of(configuration) == "Bearer one"


async def test_the_kubeconfig_loads_within_a_running_loop(outside):
    outside.write_text(KUBECONFIG.format(token="one"))
    assert connection.load().host == "https://api.example:6443"
    assert not [t for t in threading.enumerate() if t.name == "kubeconfig"]


@pytest.mark.parametrize("content", [None, "", "{", "a: [", "apiVersion: v1", "[1]", "contexts: 3"])
def test_without_a_source_the_error_names_both(outside, content):
    if content is not None:
        outside.write_text(content)
    with pytest.raises(ConfigException) as caught:
        connection.load()
    assert str(outside) in str(caught.value)
    assert "not in a pod" in str(caught.value)


def test_loading_asks_no_server(outside):
    # A server that is away is no matter here: example names never resolve.
    outside.write_text(KUBECONFIG.format(token="one").replace("api.example", "nowhere.invalid"))
    assert connection.load().host == "https://nowhere.invalid:6443"


async def test_describe_names_address_and_source(outside):
    outside.write_text(KUBECONFIG.format(token="secret-token"))
    configuration = copy.deepcopy(connection.load())
    client = ApiClient(configuration)
    expected = f"https://api.example:6443 (credentials: kubeconfig {outside}, context here)"
    assert connection.describe(client) == expected
    assert connection.describe(type("Api", (), {"api_client": client})) == expected
    await client.close()


def test_describe_in_cluster(inside):
    client = type("Client", (), {"configuration": connection.load()})
    assert connection.describe(client) == (
        "https://10.0.0.1:443 (credentials: the service account of this pod)"
    )


def test_describe_the_default(monkeypatch):
    monkeypatch.setattr(Configuration, "_default", Configuration(host="https://x:1"))
    assert connection.describe() == "https://x:1"


async def test_reload_takes_over_a_rotated_token(inside):
    # A copy, as every client has one.
    configuration = copy.deepcopy(connection.load())
    configuration.host = "https://explicit:1"
    inside.write_text("two")
    assert await connection.reload(configuration)
    assert token_of(configuration) == "Bearer two"
    assert configuration.host == "https://explicit:1"


async def test_reload_of_a_kubeconfig(outside):
    outside.write_text(KUBECONFIG.format(token="one"))
    configuration = connection.load()
    outside.write_text(KUBECONFIG.format(token="two"))
    assert await connection.reload(configuration)
    assert token_of(configuration) == "Bearer two"


async def test_reload_without_a_source(outside):
    assert await connection.reload(Configuration()) is False
    outside.write_text(KUBECONFIG.format(token="one"))
    configuration = connection.load()
    outside.unlink()
    assert await connection.reload(configuration) is False
    assert token_of(configuration) == "Bearer one"


async def test_one_reload_serves_all_who_ask_at_once(outside, monkeypatch):
    outside.write_text(KUBECONFIG.format(token="one"))
    configuration = connection.load()
    loads = []

    def load():
        loads.append(1)
        return configuration

    monkeypatch.setattr(connection, "load", load)
    assert all(await asyncio.gather(*(connection.reload(configuration) for _ in range(50))))
    assert len(loads) == 1
    assert await connection.reload(configuration)
    assert len(loads) == 2
