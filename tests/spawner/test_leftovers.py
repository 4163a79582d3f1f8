"""The hub's own look-out: a hub's database, an API server, and what neither a server knows."""

import logging
from datetime import datetime, timedelta, timezone

import pytest
from jupyterhub import orm

from kubespawner.leftovers import LookFailed
from kubespawner.localcluster.faults import Fault
from kubespawner.sweeper import Sweeper, lookout_of

from ._cases import STORAGE, shows
from ._stage import staged

EVERY_KIND = {**STORAGE, "services_enabled": True}
ALL = ["pods", "secrets", "services", "claims"]


def in_hours(hours=1):
    return lambda: datetime.now(timezone.utc) + timedelta(hours=hours)


@pytest.fixture
async def stage(tmp_path):
    async with staged(tmp_path) as stage:
        yield stage
    for sweeper in Sweeper.running.values():
        sweeper.stop()
    Sweeper.running.clear()


@pytest.fixture
def db(tmp_path):
    session = orm.new_session_factory(f"sqlite:///{tmp_path}/hub.sqlite")()
    yield session
    session.close()


async def serve(stage, username="alice", servername="", **settings):
    """Create the objects of a server, as a hub does that is then killed."""
    spawner = stage.spawner(username, servername, **{**EVERY_KIND, **settings})
    async with stage.starting(spawner):
        spawner._unresolved = ""
        state = spawner.get_state()
        spawner._current_spawn.created = False
    return state


def enter(db, username, servername="", *, active, state):
    user = db.query(orm.User).filter_by(name=username).one_or_none() or orm.User(name=username)
    server = orm.Server() if active else None
    db.add(orm.Spawner(user=user, name=servername, state=state, server=server))
    db.commit()


def lookout(stage, db, hours=1, **settings):
    spawner = stage.spawner(**{**EVERY_KIND, **settings})
    spawner.db = db
    found = lookout_of(spawner)
    found._clock = in_hours(hours)
    return found


async def looked(stage, db, **settings):
    report = await lookout(stage, db, **settings).look()
    return {(left.kind, left.name) for left in report.leftovers}


async def there(stage):
    return {
        (kind, item["metadata"]["name"])
        for kind, plural in (
            ("pods", "pods"),
            ("services", "services"),
            ("secrets", "secrets"),
            ("claims", "persistentvolumeclaims"),
        )
        for item in await stage.objects(plural)
        if "hub.jupyter.org/username" in (item["metadata"].get("annotations") or {})
    }


OF_ALICE = {("pods", "jupyter-alice"), ("claims", "claim-alice")}
# Its pod goes, and with it what it owns.
SERVICE = {("services", "jupyter-alice")}


async def test_what_no_server_knows_is_found_and_what_one_knows_is_not(stage, db):
    state = await serve(stage)
    await serve(stage, "bob")
    assert await there(stage) >= OF_ALICE | SERVICE
    enter(db, "alice", active=True, state=state)
    assert await looked(stage, db) == {("pods", "jupyter-bob"), ("claims", "claim-bob")}


async def test_nothing_young_is_left_over(stage, db):
    await serve(stage)
    assert await looked(stage, db, hours=0) == set()


@shows("leftovers_grace")
@pytest.mark.parametrize(
    ("settings", "hours", "found"),
    [
        ({}, 0.25, True),
        ({"leftovers_grace": 3600}, 0.9, False),
        ({"leftovers_grace": 3600}, 1.1, True),
        # A start under way is not left over, however short the grace.
        ({"leftovers_grace": 0, "start_timeout": 1800}, 0.5, False),
        ({"leftovers_grace": 0, "start_timeout": 1800}, 0.6, True),
    ],
)
async def test_leftovers_grace(stage, db, settings, hours, found):
    await serve(stage)
    assert bool(await looked(stage, db, hours=hours, **settings)) is found


async def test_another_hub_is_never_touched(stage, db, monkeypatch):
    await serve(stage, component_label="other")
    await stage.request("POST", "/api/v1/namespaces", {"metadata": {"name": "mine"}})
    # Nor one with the same component label that runs in another namespace.
    monkeypatch.setattr("kubespawner.manifests.hub_namespace", lambda: "theirs")
    await serve(stage, "bob", namespace="mine")
    everything = await there(stage)
    sweeper = Sweeper(lookout(stage, db), ALL, logging.getLogger())
    for _ in range(3):
        await sweeper.round()
    assert sweeper.report.leftovers == ()
    assert await there(stage) == everything


def companion():
    meta = {
        "name": "stale",
        "labels": {"hub.jupyter.org/username": "alice"},
        "annotations": {
            "hub.jupyter.org/username": "alice",
            "hub.jupyter.org/hub": "default/singleuser-server",
        },
    }
    return {"metadata": meta}


@shows("leftovers_delete")
@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        ([], {"pods", "services", "secrets", "claims"}),
        # With the pod goes what it owns.
        (["pods"], {"secrets", "claims"}),
        (["secrets"], {"pods", "services", "claims"}),
        (["claims"], {"pods", "services", "secrets"}),
        (ALL, set()),
    ],
)
async def test_only_what_is_configured_is_deleted(stage, db, kinds, left, caplog):
    await serve(stage)
    await stage.request("POST", "/api/v1/namespaces/default/secrets", companion())
    before = await there(stage)
    assert {kind for kind, _ in before} == set(ALL)
    spawner = stage.spawner(leftovers_delete=kinds)
    sweeper = Sweeper(lookout(stage, db), spawner.leftovers_delete, spawner.log)
    await sweeper.round()
    # Only what two looks in a row have found.
    assert await there(stage) == before
    for _ in range(3):
        await sweeper.round()
    assert {kind for kind, _ in await there(stage)} == left
    assert set(sweeper.deleted) == set(kinds) - {"services"}
    assert {kind for kind, count in sweeper.counts().items() if count} == left - {"services"}
    kept = [r.getMessage() for r in caplog.records if "it is kept: not in" in r.getMessage()]
    # Told once each.
    assert len(kept) == len({"pods", "secrets", "claims"} - set(kinds))


@pytest.mark.parametrize("plural", ["secrets", "services"])
async def test_companions_without_a_pod_of_a_server_that_ended_are_deleted(stage, db, plural):
    stale = companion()
    if plural == "services":
        stale["spec"] = {"ports": [{"port": 80}]}
    await stage.request("POST", f"/api/v1/namespaces/default/{plural}", stale)
    enter(db, "alice", active=False, state={})
    looking = lookout(stage, db)
    report = await looking.look()
    assert [left.kind for left in report.leftovers] == [plural]
    assert await looking.delete(report.leftovers, ALL) == list(report.leftovers)
    assert await there(stage) == set()


async def test_a_claim_of_a_user_that_exists_is_told_and_kept(stage, db):
    await serve(stage, "alice", "lab")
    enter(db, "alice", active=False, state={})
    sweeper = Sweeper(lookout(stage, db), ALL, logging.getLogger())
    for _ in range(4):
        await sweeper.round()
    assert await there(stage) == {("claims", "claim-alice--lab")}
    (left,) = sweeper.report.leftovers
    assert "still exists" in left.kept


async def test_what_the_hub_learns_before_the_delete_counts(stage, db):
    state = await serve(stage)
    looking = lookout(stage, db)
    report = await looking.look()
    assert report.of("pods")
    enter(db, "alice", active=True, state=state)
    assert await looking.delete(report.leftovers, ALL) == []
    assert await there(stage) >= OF_ALICE


async def test_a_pod_that_was_made_anew_under_the_name_is_not_deleted(stage, db):
    await serve(stage)
    looking = lookout(stage, db)
    report = await looking.look()
    (old,) = await stage.pods()
    path = "/api/v1/namespaces/default/pods"
    await stage.request("DELETE", f"{path}/jupyter-alice", {"gracePeriodSeconds": 0})
    new = {key: old[key] for key in ("apiVersion", "kind", "spec") if key in old}
    new["metadata"] = {key: old["metadata"][key] for key in ("name", "labels", "annotations")}
    await stage.request("POST", path, new)
    assert await looking.delete(report.leftovers, ["pods"]) == []
    assert len(await stage.pods()) == 1


async def test_a_cluster_that_can_not_be_asked_has_no_leftovers(stage, db, caplog):
    await serve(stage)
    sweeper = Sweeper(lookout(stage, db), ALL, logging.getLogger())
    await sweeper.round()
    fault = stage.server.faults.add(Fault(status=500, resource="services"))
    with pytest.raises(LookFailed):
        await lookout(stage, db).look()
    await sweeper.round()
    assert sweeper.failures == 1
    assert sweeper.report.leftovers == ()
    assert "What is left over is unknown" in caplog.text
    stage.server.faults.remove(fault)
    assert len(await there(stage)) == 3
    await sweeper.round()
    assert len(sweeper.report.leftovers) == 2


async def test_a_database_that_can_not_be_read_makes_nothing_left_over(stage, db, caplog):
    await serve(stage)
    orm.Base.metadata.drop_all(db.get_bind())
    sweeper = Sweeper(lookout(stage, db), ALL, logging.getLogger())
    for _ in range(3):
        await sweeper.round()
    assert sweeper.failures == 3
    assert len(await there(stage)) == 3


@pytest.mark.parametrize(("plural", "found"), [("secrets", True), ("pods", False)])
async def test_a_kind_that_may_not_be_listed_is_left_out(stage, db, plural, found, caplog):
    await serve(stage)
    stage.server.faults.add(Fault(status=403, reason="Forbidden", resource=plural, verb="list"))
    sweeper = Sweeper(lookout(stage, db), [], logging.getLogger())
    for _ in range(2):
        await sweeper.round()
    assert bool(sweeper.report.leftovers) is found
    told = [r.getMessage() for r in caplog.records if "No leftovers are looked for" in r.message]
    assert len(told) == 1
    assert f"{plural} in default" in told[0]


async def test_namespaces_that_servers_remember_are_looked_into(stage, db):
    await stage.request("POST", "/api/v1/namespaces", {"metadata": {"name": "profile"}})
    await serve(stage, namespace="profile")
    assert await looked(stage, db) == set()
    enter(db, "bob", active=False, state={"namespace": "profile"})
    assert await looked(stage, db) == OF_ALICE


async def test_every_namespace_is_looked_into_with_namespaces_of_users(stage, db):
    settings = {"enable_user_namespaces": True}
    state = await serve(stage, **settings)
    await serve(stage, "bob", **settings)
    enter(db, "alice", active=True, state=state)
    report = await lookout(stage, db, **settings).look()
    assert {(left.kind, left.namespace, left.name) for left in report.leftovers} == {
        ("pods", "user-bob", "jupyter-bob"),
        ("claims", "user-bob", "claim-bob"),
    }


@shows("leftovers_interval")
async def test_leftovers_interval_looks_again_and_again(stage, db):
    assert not Sweeper.running
    stage.spawner()
    assert not Sweeper.running
    stage.spawner(leftovers_interval=5)
    stage.spawner("bob", leftovers_interval=5)
    (sweeper,) = Sweeper.running.values()
    assert sweeper._timer.callback_time == 5000
    assert sweeper._timer.is_running()
