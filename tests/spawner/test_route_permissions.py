"""What the proxies need, each single permission taken away, on the embedded cluster.

``tests/cluster/test_role_routes.py`` does it with Roles on a real API server; not every one of
those can stand the Gateway API.
"""

from __future__ import annotations

import logging

import pytest
from kubernetes_asyncio.client import ApiextensionsV1Api
from traitlets.config import Config

from kubespawner.clients import load_config, shared_client
from kubespawner.errors import ConfigurationError
from tests.cluster._roles import Admin, Missed
from tests.cluster.test_role_routes import EVERY_SINGLE_ONE, PROXIES, Routes, stages
from tests.support.gateway import CUSTOM_RESOURCES

from ._routes import running_cluster

# The embedded cluster has no IngressClasses.
HERE = [case for case in EVERY_SINGLE_ONE if case.values[1].feature != "route class"]


@pytest.fixture
async def cluster(tmp_path, monkeypatch):
    async with running_cluster(tmp_path, monkeypatch) as cluster:
        yield cluster.server


@pytest.mark.parametrize("proxy, need", HERE)
async def test_each_single_permission_is_missed_in_words(cluster, caplog, proxy, need):
    load_config()
    admin = Admin(shared_client("CoreV1Api"))
    for definition in CUSTOM_RESOURCES:
        api = ApiextensionsV1Api(admin.core.api_client)
        await api.create_custom_resource_definition(definition)
    await admin.namespace("other")
    _, cls, settings = PROXIES[proxy]
    made = []

    def make():
        # From here on: what the stage prepares is an administrator's.
        cluster.faults.deny(verb=need.verb, resource=need.resource)
        made.append(cls(config=Config({cls.__name__: Config(settings)})))
        return made[-1]

    with caplog.at_level(logging.INFO), pytest.raises((ConfigurationError, Missed)) as caught:
        for stage in stages(need):
            await stage(Routes(admin, make, "default", "other", caplog))
    for each in made:
        await each.stop()
    told = str(caught.value) if need.required else caplog.text
    resource = f"{need.resource}.{need.group}" if need.group else need.resource
    assert f"lacks the verb {need.verb!r} on {resource} " in told
