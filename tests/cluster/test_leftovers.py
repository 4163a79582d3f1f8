"""What no server knows, on a real cluster: found, deleted with its UID, and nothing besides."""

import logging
from datetime import datetime, timedelta, timezone

import pytest
from jupyterhub import orm

from kubespawner.permissions import Need
from kubespawner.sweeper import Sweeper, lookout_of

from ._roles import Admin, restricted
from .conftest import STORAGE, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

EVERY_KIND = {**STORAGE, "services_enabled": True}
SETTINGS = {
    "events_enabled": True,
    "storage_pvc_ensure": True,
    "services_enabled": True,
    "leftovers_interval": True,
    "leftovers_delete_claims": True,
    "leftovers_delete_secrets": True,
    "leftovers_delete_services": True,
}


@pytest.fixture
def db(tmp_path):
    session = orm.new_session_factory(f"sqlite:///{tmp_path}/hub.sqlite")()
    yield session
    session.close()


def knows(db, spawner):
    """Let the database have the server of ``spawner``, running."""
    user = orm.User(name=spawner.user.name)
    db.add(orm.Spawner(user=user, name="", state=spawner.get_state(), server=orm.Server()))
    db.commit()


def lookout(spawner, db):
    spawner.db = db
    found = lookout_of(spawner)
    found._clock = lambda: datetime.now(timezone.utc) + timedelta(hours=1)
    return found


async def there(api, namespace):
    pods = (await api.list_namespaced_pod(namespace)).items
    services = (await api.list_namespaced_service(namespace)).items
    secrets = (await api.list_namespaced_secret(namespace)).items
    claims = (await api.list_namespaced_persistent_volume_claim(namespace)).items
    return {
        (kind, item.metadata.name)
        for kind, items in (
            ("pod", pods),
            ("service", services),
            ("secret", secrets),
            ("claim", claims),
        )
        for item in items
        if "hub.jupyter.org/username" in (item.metadata.annotations or {})
    }


def of(name):
    return {("pod", f"jupyter-{name}"), ("service", f"jupyter-{name}"), ("claim", f"claim-{name}")}


async def test_only_what_no_server_knows_is_deleted(make_spawner, api, namespace, db):
    known, unknown = make_spawner("alice", **EVERY_KIND), make_spawner("bob", **EVERY_KIND)
    other_hub = make_spawner("carol", component_label="other", **EVERY_KIND)
    for spawner in (known, unknown, other_hub):
        await spawner.start()
    knows(db, known)
    # Somebody else's objects, and one of a user by hand.
    by_hand = {"metadata": {"name": "by-hand"}, "type": "Opaque"}
    await api.create_namespaced_secret(namespace, by_hand)
    assert await there(api, namespace) == of("alice") | of("bob") | of("carol")

    sweeper = Sweeper(lookout(known, db), ["pods", "secrets", "services"], known.log)
    await sweeper.round()
    assert await there(api, namespace) == of("alice") | of("bob") | of("carol")
    await sweeper.round()
    assert sweeper.deleted == {"pods": 1}

    async def gone():
        # With the pod goes its Service.
        return await there(api, namespace) == of("alice") | of("carol") | {("claim", "claim-bob")}

    await until(gone)
    for _ in range(2):
        await sweeper.round()
    assert await gone()
    assert [(left.kind, left.name) for left in sweeper.report.leftovers] == [
        ("claims", "claim-bob")
    ]
    claims = Sweeper(lookout(known, db), ["claims"], known.log)
    for _ in range(2):
        await claims.round()

    async def claim_gone():
        return await there(api, namespace) == of("alice") | of("carol")

    await until(claim_gone)
    assert await known.poll() is None
    assert await other_hub.poll() is None
    await api.read_namespaced_secret("by-hand", namespace)


@pytest.mark.parametrize("missing", [None, "secrets", "services"])
async def test_with_the_role_that_we_list(
    make_spawner, api, namespace, db, tmp_path, monkeypatch, caplog, missing
):
    def without(need: Need) -> bool:
        return need.feature == "leftovers" and need.resource == missing

    kubeconfig = tmp_path / "kubeconfig"
    async with restricted(Admin(api), namespace, SETTINGS, without, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        hub = make_spawner("alice", **EVERY_KIND)
        await hub.start()
        sweeper = Sweeper(
            lookout(hub, db), ["pods", "secrets", "services", "claims"], logging.getLogger()
        )
        for _ in range(2):
            await sweeper.round()
        assert sweeper.failures == 0
        told = [r.getMessage() for r in caplog.records if "No leftovers are looked" in r.message]
        assert len(told) == (1 if missing else 0)
        assert all(f"{missing} in {namespace}" in message for message in told)
        assert sweeper.deleted["pods"] == 1
        # Once its pod goes, the claim is not in use any more.
        await until(lambda: claim_deleted(sweeper))
        assert sweeper.failures == 0


async def claim_deleted(sweeper):
    await sweeper.round()
    return sweeper.deleted["claims"] == 1
