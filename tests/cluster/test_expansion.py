"""Claims that grow with ``storage_capacity``, where their class lets them."""

import logging

import pytest
from kubernetes_asyncio.client import StorageV1Api

from .conftest import STORAGE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]


@pytest.fixture
async def storage_class(api, namespace):
    """Return a function that makes a class like the cluster's default one."""
    storage = StorageV1Api(api.api_client)
    classes = (await storage.list_storage_class()).items
    marked = "storageclass.kubernetes.io/is-default-class"
    default = [c for c in classes if (c.metadata.annotations or {}).get(marked) == "true"]
    if not default:
        pytest.skip("the cluster has no default class")

    async def make(allowed):
        await storage.create_storage_class(
            {
                "metadata": {"name": namespace},
                "provisioner": default[0].provisioner,
                "allowVolumeExpansion": allowed,
            }
        )
        return namespace

    yield make
    await storage.delete_storage_class(namespace)


@pytest.mark.parametrize(("allowed", "size"), [(True, "20Mi"), (False, "10Mi")])
async def test_claim_grows_where_its_class_allows(
    make_spawner, api, namespace, storage_class, caplog, allowed, size
):
    settings = {**STORAGE, "storage_class": await storage_class(allowed)}
    first = make_spawner(**settings)
    await first.start()
    await first.stop(now=True)
    again = make_spawner(**{**settings, "storage_capacity": "20Mi"})
    with caplog.at_level(logging.INFO):
        await again.start()
    claim = await api.read_namespaced_persistent_volume_claim("claim-alice", namespace)
    assert claim.spec.resources.requests["storage"] == size
    assert ("must support resize" in caplog.text) is not allowed
