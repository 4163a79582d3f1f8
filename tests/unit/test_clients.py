"""Shared clients: one per loop and kind, closed with the loop; the configuration loaded once."""

import asyncio

import pytest
from kubernetes_asyncio.client import Configuration, CoreV1Api, NetworkingV1Api
from kubernetes_asyncio.config import ConfigException

from kubespawner import clients
from kubespawner.kube import connection
from tests.unit.test_connection import KUBECONFIG, outside  # noqa: F401 - a fixture


@pytest.fixture
def loads(outside, monkeypatch):  # noqa: F811
    """A kubeconfig, nothing loaded yet; returns a list with one item per time it was read."""
    outside.write_text(KUBECONFIG.format(token="one"))
    monkeypatch.setattr(clients, "_configurations", {})
    monkeypatch.setattr(clients, "_default", {})
    monkeypatch.setattr(Configuration, "_default", None)
    done, load = [], connection.load

    def counted():
        done.append(1)
        return load()

    monkeypatch.setattr(connection, "load", counted)
    return done


# ---- load_config ---------------------------------------------------------------------------


async def test_loads_once_per_arguments(loads):
    for _ in range(5):
        assert clients.load_config() is None
    assert len(loads) == 1
    assert Configuration.get_default_copy().host == "https://api.example:6443"
    clients.load_config(host="https://other:1")
    clients.load_config(host="https://other:1")
    assert len(loads) == 2
    assert Configuration.get_default_copy().host == "https://other:1"
    clients.load_config()
    assert len(loads) == 2
    assert Configuration.get_default_copy().host == "https://api.example:6443"


def test_explicit_settings_win_and_empty_ones_do_not(loads):
    clients.load_config(host="https://other:1", ssl_ca_cert="/ca", verify_ssl=False)
    configuration = Configuration.get_default_copy()
    assert configuration.host == "https://other:1"
    assert configuration.ssl_ca_cert == "/ca"
    assert configuration.verify_ssl is False
    assert configuration.api_key["BearerToken"] == "Bearer one"

    clients.load_config(host="", ssl_ca_cert="")
    configuration = Configuration.get_default_copy()
    assert configuration.host == "https://api.example:6443"
    assert not configuration.ssl_ca_cert
    assert configuration.verify_ssl is True


def test_a_repeated_call_leaves_a_replaced_default_alone(loads):
    clients.load_config()
    Configuration.set_default(Configuration(host="https://mine:1"))
    clients.load_config()
    assert Configuration.get_default_copy().host == "https://mine:1"


def test_no_source_is_an_error_each_time_until_there_is_one(loads, outside):  # noqa: F811
    content = outside.read_text()
    outside.unlink()
    for _ in range(2):
        with pytest.raises(ConfigException):
            clients.load_config(host="https://other:1")
    outside.write_text(content)
    clients.load_config(host="https://other:1")


def test_describe_connection(loads, outside):  # noqa: F811
    clients.load_config(host="https://other:1")
    assert clients.describe_connection() == (
        f"https://other:1 (credentials: kubeconfig {outside}, context here)"
    )


async def test_a_client_of_a_server_that_is_away_can_be_made(loads):
    clients.load_config(host="https://nowhere.invalid:1")
    assert clients.shared_client("CoreV1Api").api_client.configuration.host == (
        "https://nowhere.invalid:1"
    )


# ---- shared_client -------------------------------------------------------------------------


async def test_one_client_per_kind_and_arguments(loads):
    core = clients.shared_client("CoreV1Api")
    assert isinstance(core, CoreV1Api)
    assert clients.shared_client("CoreV1Api") is core
    networking = clients.shared_client("NetworkingV1Api")
    assert isinstance(networking, NetworkingV1Api)
    own = clients.shared_client("CoreV1Api", api_client=networking.api_client)
    assert own is not core
    assert own.api_client is networking.api_client
    assert clients.shared_client("CoreV1Api", networking.api_client) is not core


async def test_one_client_per_connection(loads):
    clients.load_config()
    first = clients.shared_client("CoreV1Api")
    clients.load_config(host="https://other:1")
    other = clients.shared_client("CoreV1Api")
    assert other.api_client.configuration.host == "https://other:1"
    clients.load_config()
    assert clients.shared_client("CoreV1Api") is first


def test_needs_a_running_loop(loads):
    with pytest.raises(RuntimeError):
        clients.shared_client("CoreV1Api")


async def test_an_unknown_kind(loads):
    with pytest.raises(AttributeError):
        clients.shared_client("NoSuchApi")


def test_each_loop_has_its_own_and_closes_it(loads):
    made = []

    async def make():
        client = clients.shared_client("CoreV1Api")
        assert clients.shared_client("CoreV1Api") is client
        made.append(client)

    asyncio.run(make())
    asyncio.run(make())
    assert made[0] is not made[1]
    for client in made:
        assert client.api_client._pool is None
        assert client.api_client.rest_client.pool_manager.closed


async def test_cancelling_the_tasks_of_a_loop_closes_and_forgets(loads):
    client = clients.shared_client("CoreV1Api")
    await asyncio.sleep(0)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert client.api_client._pool is None
    assert client.api_client.rest_client.pool_manager.closed
    assert clients.shared_client("CoreV1Api") is not client


async def test_no_thread_is_made_per_client(loads):
    assert clients.shared_client("CoreV1Api").api_client._pool is None
