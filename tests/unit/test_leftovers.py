"""What counts as left over, of every kind; pure, and against a hub's database and REST API."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from aiohttp import web
from jupyterhub import orm

from kubespawner.hubservers import (
    HubUnavailable,
    Server,
    Servers,
    from_database,
    from_rest_api,
)
from kubespawner.leftovers import KINDS, HubMark, Rules, find

NOW = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)
HUB = HubMark("jupyter", "singleuser-server")
RULES = Rules(HUB, grace=600)
OLD = NOW - timedelta(hours=1)


def item(kind, name, user="alice", server="", *, mark=str(HUB), created=OLD, **metadata):
    annotations = {"hub.jupyter.org/username": user}
    if server:
        annotations["hub.jupyter.org/servername"] = server
    if mark:
        annotations["hub.jupyter.org/hub"] = mark
    labels = {"component": HUB.component}
    if kind == "claims":
        labels = {"component": "singleuser-storage", "app.kubernetes.io/component": HUB.component}
    if kind in ("secrets", "services"):
        labels = {}
    return {
        "metadata": {
            "name": name,
            "namespace": "jupyter",
            "uid": f"uid-{name}",
            "labels": labels,
            "annotations": annotations,
            "creationTimestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            **metadata,
        }
    }


def owned_by(uid):
    return [{"kind": "Pod", "uid": uid, "name": "x", "apiVersion": "v1"}]


def known(*servers, users=()):
    found = Servers(set(users))
    for user, name, active, state in servers:
        found.add(user, name, Server(active, state))
    return found


def whys(servers, rules=RULES, **seen):
    return {left.name: left.why for left in find(seen, servers, rules, NOW)}


RUNNING = ("alice", "", True, {"pod_uid": "uid-p", "pod_name": "p", "namespace": "jupyter"})
STOPPED = ("alice", "", False, {})


@pytest.mark.parametrize(
    ("servers", "why"),
    [
        (known(RUNNING), None),
        # The state of before the pod was recorded, or of version 7.
        (known(("alice", "", True, {})), None),
        (known(("alice", "", True, {"pod_name": "q"})), None),
        # Named alike, made anew; and known by UID, renamed.
        (
            known(("alice", "", True, {**RUNNING[3], "pod_uid": "other"})),
            None,
        ),
        (known(("alice", "", True, {**RUNNING[3], "pod_name": "q"})), None),
        (
            known(("alice", "", True, {"pod_uid": "o", "pod_name": "q", "namespace": "jupyter"})),
            "another pod, jupyter/q",
        ),
        (known(STOPPED), "not count its server as running"),
        (known(users=["alice"]), "no default server"),
        (known(("alice", "lab", True, {})), "no default server"),
        (known(("bob", "", True, {})), "user does not exist"),
    ],
)
def test_pods(servers, why):
    found = whys(servers, pods=[item("pods", "p")])
    assert (why is None) == (found == {})
    assert why is None or why in found["p"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_young_or_on_its_way_out_is_never_left_over(kind):
    nobody = known()
    young = item(kind, "young", created=NOW - timedelta(seconds=599))
    going = item(kind, "going", deletionTimestamp="2030-01-01T11:59:00Z")
    old = item(kind, "old", created=NOW - timedelta(seconds=601))
    assert set(whys(nobody, **{kind: [young, going, old]})) == {"old"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mark", ["elsewhere/singleuser-server", "jupyter/other", "jupyter"])
def test_what_another_hub_made_is_not_seen(kind, mark):
    assert whys(known(), **{kind: [item(kind, "x", mark=mark)]}) == {}


def test_what_carries_no_mark_is_told_where_its_labels_are_ours_and_never_deleted():
    seen = {kind: [item(kind, kind, mark=None)] for kind in KINDS}
    found = find(seen, known(), RULES, NOW)
    assert {left.kind for left in found} == {"pods", "claims"}
    assert all("no annotation" in left.kept for left in found)
    for kind in ("pods", "claims"):
        other = item(kind, "x", mark=None)
        other["metadata"]["labels"] = {
            "component": "singleuser-storage" if kind == "claims" else "other",
            "app.kubernetes.io/component": "other",
        }
        assert whys(known(), **{kind: [other]}) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_what_says_no_user_or_is_a_route_is_not_seen(kind):
    nameless = item(kind, "x")
    del nameless["metadata"]["annotations"]["hub.jupyter.org/username"]
    route = item(kind, "y")
    route["metadata"]["labels"]["hub.jupyter.org/proxy-route"] = "true"
    assert whys(known(), **{kind: [nameless, route]}) == {}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Pending"])
def test_an_ended_pod_that_is_kept_on_purpose_is_not_left_over(phase):
    pod = {**item("pods", "p"), "status": {"phase": phase}}
    keeping = Rules(HUB, grace=600, keeps_ended=True)
    assert whys(known(STOPPED), pods=[pod])
    assert whys(known(STOPPED), keeping, pods=[pod]) == {}
    assert whys(known(users=["alice"]), keeping, pods=[pod])


@pytest.mark.parametrize("kind", ["secrets", "services"])
def test_companions_live_and_die_with_their_pod(kind):
    companion = item(kind, "s", ownerReferences=owned_by("uid-p"))
    pod = item("pods", "p")
    assert whys(known(RUNNING), **{kind: [companion], "pods": [pod]}) == {}
    # With a pod that is left over goes what it owns.
    assert set(whys(known(), **{kind: [companion], "pods": [pod]})) == {"p"}
    assert "pod that it belonged to is gone" in whys(known(RUNNING), **{kind: [companion]})["s"]
    ownerless = item(kind, "s")
    assert whys(known(RUNNING), **{kind: [ownerless]}) == {}
    assert "running" in whys(known(STOPPED), **{kind: [ownerless]})["s"]


CLAIM = {"claims": {"jupyter": {"name": "c"}}}


@pytest.mark.parametrize(
    ("servers", "server", "why", "kept"),
    [
        # A user that exists may start a default server at any time.
        (known(users=["alice"]), "", None, None),
        (known(("alice", "lab", False, {})), "lab", None, None),
        (known(users=["alice"]), "lab", "no server 'lab'", "user still exists"),
        (known(users=["bob"]), "", "user does not exist", ""),
        # Whoever remembers it, knows it.
        (known(("alice", "other", False, CLAIM)), "lab", None, None),
        (known(("bob", "", False, {"pvc_name": "c"})), "", None, None),
        (known(("bob", "", False, {"pvc_name": "c", "namespace": "jupyter"})), "", None, None),
        (
            known(("bob", "", False, {"pvc_name": "c", "namespace": "x"})),
            "",
            "user does not exist",
            "",
        ),
    ],
)
def test_claims(servers, server, why, kept):
    found = find({"claims": [item("claims", "c", server=server)]}, servers, RULES, NOW)
    if why is None:
        assert found == []
    else:
        (left,) = found
        assert why in left.why
        assert kept in left.kept and bool(kept) == bool(left.kept)


def test_a_claim_that_is_mounted_is_not_left_over():
    pod = item("pods", "p", "bob")
    pod["spec"] = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}
    assert set(whys(known(), pods=[pod], claims=[item("claims", "c")])) == {"p"}


# ---- the hub's database --------------------------------------------------------------------


@pytest.fixture
def db(tmp_path):
    session = orm.new_session_factory(f"sqlite:///{tmp_path}/hub.sqlite")()
    yield session
    session.close()


async def test_servers_of_the_database(db):
    for number in range(1100):
        db.add(orm.User(name=f"user-{number}"))
    db.commit()
    for user in db.query(orm.User):
        db.add(orm.Spawner(user=user, name="", state={"pod_name": f"pod-of-{user.name}"}))
    named = orm.Spawner(user=db.query(orm.User).first(), name="lab", server=orm.Server())
    db.add(named)
    db.add(orm.User(name="never-started"))
    db.commit()
    servers = await from_database(db)
    assert len(servers.users) == 1101
    assert len(servers.by_name) == 1101
    assert servers.get("user-0", "lab") == Server(True, {})
    assert servers.get("user-1099", "") == Server(False, {"pod_name": "pod-of-user-1099"})
    assert servers.get("never-started", "") is None


async def test_reading_the_database_leaves_the_hubs_session_alone(db):
    db.add(orm.User(name="alice"))
    db.commit()
    pending = orm.User(name="not committed yet")
    db.add(pending)
    servers = await from_database(db)
    assert servers.users == {"alice"}
    assert pending in db.new


# ---- its REST API --------------------------------------------------------------------------

MODELS = [
    {"name": "alice", "servers": {"": {"stopped": False, "state": {"pod_name": "p"}}}},
    {
        "name": "bob",
        "servers": {"lab": {"stopped": True}, "x": {"stopped": True, "pending": "spawn"}},
    },
    {"name": "carol", "servers": {}},
]


class RestApi:
    """As much of JupyterHub's REST API as is asked; two users a page."""

    def __init__(self, scopes):
        self.scopes = scopes

    async def user(self, request):
        if request.headers.get("Authorization") != "token secret":
            raise web.HTTPForbidden
        return web.json_response({"kind": "service", "scopes": self.scopes})

    async def users(self, request):
        assert request.query["include_stopped_servers"] == "1"
        offset = int(request.query.get("offset", 0))
        more = offset + 2 < len(MODELS)
        # Behind a proxy, `url` is one that this process need not reach.
        following = {"offset": offset + 2, "url": "https://public.invalid/"} if more else None
        body = {"items": MODELS[offset : offset + 2], "_pagination": {"next": following}}
        return web.json_response(body)


@pytest.fixture
async def rest_api():
    api = RestApi(["list:users", "read:servers", "admin:server_state"])
    app = web.Application()
    app.add_routes([web.get("/hub/api/user", api.user), web.get("/hub/api/users", api.users)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hub/api"
    yield api
    await runner.cleanup()


async def test_servers_of_the_rest_api(rest_api):
    servers = await from_rest_api(rest_api.url + "/", "secret")
    assert servers.users == {"alice", "bob", "carol"}
    assert servers.by_name == {
        ("alice", ""): Server(True, {"pod_name": "p"}),
        ("bob", "lab"): Server(False, {}),
        ("bob", "x"): Server(True, {}),
    }


@pytest.mark.parametrize(
    "scopes",
    [
        [],
        ["read:servers"],
        ["list:users!group=a", "read:servers"],
        ["list:users", "read:servers!user=a"],
    ],
)
async def test_a_token_that_does_not_see_everybody_is_refused(rest_api, scopes):
    rest_api.scopes = scopes
    with pytest.raises(HubUnavailable, match="lacks the scopes"):
        await from_rest_api(rest_api.url, "secret")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/hub/api", None])
async def test_a_hub_that_does_not_answer_is_an_error(rest_api, url):
    with pytest.raises(HubUnavailable, match="can't be asked"):
        await from_rest_api(url or rest_api.url, "secret" if url else "wrong")
