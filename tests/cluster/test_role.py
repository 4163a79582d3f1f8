"""The spawner with the Role that we ship, whole and with each single permission taken away.

What is taken away must be missed, and the message must say what to add to the Role: so the list
in ``kubespawner/permissions.py`` lacks nothing and has nothing to spare.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from jupyterhub import orm
from kubernetes_asyncio.client import ApiException, NetworkingV1Api

from kubespawner.errors import SpawnError
from kubespawner.manifests import SERVERNAME, USERNAME
from kubespawner.objects import make_owner_reference
from kubespawner.permissions import FEATURES, Need, needs
from kubespawner.sweeper import Sweeper, lookout_of
from tests.spawner._stage import with_certificates

from ._roles import Admin, Missed, expect, restricted, same_rule
from .conftest import NEVER_READY, STORAGE, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SETTINGS = {
    "events_enabled": True,
    "storage_pvc_ensure": True,
    "storage_expand": True,
    "delete_pvc": True,
    "internal_ssl": True,
    "block_cloud_metadata": True,
}
LEFTOVERS = {
    "leftovers_interval": True,
    "leftovers_delete_claims": True,
    "leftovers_delete_secrets": True,
    "leftovers_delete_services": True,
}
MODES = {
    # In all namespaces a look for leftovers would find those of other tests.
    "one-namespace": {**SETTINGS, **LEFTOVERS},
    "user-namespaces": {**SETTINGS, "enable_user_namespaces": True},
}
HELD = ["kubespawner.test/held"]


@dataclass(frozen=True)
class Life:
    """What the stages of a server's life need."""

    admin: Admin
    make: Callable[..., Any]
    caplog: pytest.LogCaptureFixture
    tmp_path: Any
    db: Any

    async def home(self, spawner: Any) -> str:
        """Return the server's namespace, made by the administrator unless it is there."""
        await self.admin.namespace(spawner.namespace)
        return spawner.namespace

    async def start_through(
        self, spawner: Any, waiting: str, release: Callable[[], Awaitable[Any]]
    ) -> None:
        """Start, and ``release()`` what the hub waits for, once its log says so."""
        future = spawner.start()
        try:
            await until(lambda: future.done() or waiting in self.caplog.text)
        finally:
            await release()
        await future


# ---- the stages, by what they are for --------------------------------------------------


async def start_and_stop(life: Life) -> None:
    await life.make("alice").start()
    # Another spawner of the same server, as after a hub that died before it wrote its state.
    again = life.make("alice")
    await again.start()
    expect(await again.poll() is None, "it runs")
    await again.stop(now=True)
    expect(isinstance(await again.poll(), int), "it does not run")


async def show_the_log(life: Life) -> None:
    spawner = life.make(
        "bob",
        cmd=["sh", "-c", "echo told by the server; exit 3"],
        extra_pod_config={"restartPolicy": "Never"},
        # Else it may count as ready before its end is seen.
        extra_container_config=NEVER_READY,
    )
    try:
        await spawner.start()
    except SpawnError as e:
        expect("told by the server" in str(e), "the last lines that the server wrote")
    else:
        raise Missed("a server that ends at once does not start")


async def show_events(life: Life) -> None:
    spawner = life.make("carol", events_enabled=True)
    await spawner.start()
    entries = [entry async for entry in spawner.progress()]
    expect(any("raw_event" in entry for entry in entries), "progress with the cluster's events")


async def make_a_claim(life: Life) -> None:
    spawner = life.make("dave", **STORAGE)
    await spawner.start()
    name, namespace = spawner.pvc_name, spawner.namespace
    await life.admin.core.read_namespaced_persistent_volume_claim(name, namespace)


async def leave_a_foreign_claim_alone(life: Life) -> None:
    spawner = life.make("erin", **STORAGE)
    claim = spawner.get_pvc_manifest()
    claim.metadata.annotations[USERNAME] = "mallory"
    await life.admin.core.create_namespaced_persistent_volume_claim(await life.home(spawner), claim)
    try:
        await spawner.start()
    except SpawnError as e:
        if e.reason == "ClaimCollision":
            return
        raise
    raise Missed("somebody else's claim is not mounted")


async def wait_for_a_claim_to_go(life: Life) -> None:
    spawner = life.make("frank", **STORAGE)
    core, namespace = life.admin.core, await life.home(spawner)
    claim = spawner.get_pvc_manifest()
    claim.metadata.finalizers = HELD
    made = await core.create_namespaced_persistent_volume_claim(namespace, claim)
    await core.delete_namespaced_persistent_volume_claim(spawner.pvc_name, namespace)

    async def release() -> None:
        await core.patch_namespaced_persistent_volume_claim(
            spawner.pvc_name, namespace, {"metadata": {"finalizers": None}}
        )

    await life.start_through(spawner, "is being deleted; waiting for it to go", release)
    found = await core.read_namespaced_persistent_volume_claim(spawner.pvc_name, namespace)
    expect(found.metadata.uid != made.metadata.uid, "a claim made anew")


async def _bound(life: Life, spawner: Any) -> None:
    """Let the server have a claim that is bound to a volume."""
    core, namespace = life.admin.core, await life.home(spawner)
    await core.create_namespaced_persistent_volume_claim(namespace, spawner.get_pvc_manifest())

    async def is_bound() -> bool:
        claim = await core.read_namespaced_persistent_volume_claim(spawner.pvc_name, namespace)
        return claim.status.phase == "Bound"

    await until(is_bound, 240)


async def let_a_claim_grow(life: Life) -> None:
    small = life.make("grace", **STORAGE)
    await _bound(life, small)
    bigger = {**STORAGE, "storage_capacity": "20Mi", "storage_expand": True}
    # The class of this cluster does not allow it; that it is asked for is what counts.
    await life.make("grace", **bigger).start()
    expect("only dynamically provisioned pvc can be resized" in life.caplog.text, "asked for it")


async def delete_a_claim(life: Life) -> None:
    spawner = life.make("heidi", **STORAGE, delete_pvc=True)
    core, namespace = life.admin.core, await life.home(spawner)
    await core.create_namespaced_persistent_volume_claim(namespace, spawner.get_pvc_manifest())
    await spawner.delete_forever()
    claims = (await core.list_namespaced_persistent_volume_claim(namespace)).items
    kept = [claim.metadata.name for claim in claims if not claim.metadata.deletion_timestamp]
    expect(kept == [], "the claim of a deleted user is deleted")


def _left_behind(spawner: Any, manifest: Any) -> Any:
    """Let ``manifest`` look like an earlier pod's, which the cluster did not remove (yet)."""
    manifest.metadata.owner_references = None
    manifest.metadata.annotations = {USERNAME: spawner.user.name, SERVERNAME: ""}
    return manifest


async def take_over_a_service(life: Life) -> None:
    spawner = life.make("ivan", services_enabled=True)
    core, namespace = life.admin.core, await life.home(spawner)
    manifest = spawner.get_service_manifest(make_owner_reference("gone", "gone"), 8888)
    name = manifest.metadata.name
    await core.create_namespaced_service(namespace, _left_behind(spawner, manifest))
    await spawner.start()
    found = await core.read_namespaced_service(name, namespace)
    owners = [reference.uid for reference in found.metadata.owner_references or []]
    expect(owners == [spawner.pod_id], "the Service is the new pod's")


async def take_over_a_secret(life: Life, *, immutable: bool = False) -> None:
    spawner = life.make("judy" if immutable else "kim")
    with_certificates(spawner, life.tmp_path)
    core, namespace = life.admin.core, await life.home(spawner)
    manifest = spawner.get_secret_manifest(make_owner_reference("gone", "gone"))
    name = manifest.metadata.name
    manifest = _left_behind(spawner, manifest)
    manifest.data, manifest.immutable = {"old": "b2xk"}, immutable
    await core.create_namespaced_secret(namespace, manifest)
    await spawner.start()
    found = await core.read_namespaced_secret(name, namespace)
    expect("old" not in found.data, "the secret has the new certificates")


async def replace_an_immutable_secret(life: Life) -> None:
    await take_over_a_secret(life, immutable=True)


async def make_a_policy(life: Life) -> None:
    spawner = life.make("olga", block_cloud_metadata=True)
    await spawner.start()
    networking = NetworkingV1Api(life.admin.core.api_client)
    found = await networking.list_namespaced_network_policy(spawner.namespace)
    expect(found.items, "a policy against the metadata service")


async def delete_leftovers(life: Life) -> None:
    spawner = life.make("nick", services_enabled=True, **STORAGE)
    with_certificates(spawner, life.tmp_path)
    core, namespace = life.admin.core, await life.home(spawner)
    gone = make_owner_reference("gone", "gone")
    secret, service = spawner.get_secret_manifest(gone), spawner.get_service_manifest(gone, 8888)
    secret.metadata.owner_references = service.metadata.owner_references = None
    await core.create_namespaced_secret(namespace, secret)
    await core.create_namespaced_service(namespace, service)
    await core.create_namespaced_persistent_volume_claim(namespace, spawner.get_pvc_manifest())
    spawner.db = life.db
    lookout = lookout_of(spawner)
    lookout._clock = lambda: datetime.now(timezone.utc) + timedelta(hours=1)
    kinds = ["claims", "secrets", "services"]
    sweeper = Sweeper(lookout, kinds, spawner.log)
    for _ in range(2):
        await sweeper.round()
    expect(sweeper.deleted == dict.fromkeys(kinds, 1), "nothing is left")


async def make_a_namespace(life: Life) -> None:
    spawner = life.make("leo")
    await spawner.start()
    await spawner.stop(now=True)
    await spawner.start()


async def wait_for_a_namespace_to_go(life: Life) -> None:
    spawner = life.make("mia")
    core, namespace = life.admin.core, await life.home(spawner)
    kept = {"metadata": {"name": "kept", "finalizers": HELD}}
    await core.create_namespaced_config_map(namespace, kept)
    made = await core.read_namespace(namespace)
    await core.delete_namespace(namespace)

    async def release() -> None:
        await core.patch_namespaced_config_map(
            "kept", namespace, {"metadata": {"finalizers": None}}
        )

    await life.start_through(spawner, "is being deleted; waiting for it to go", release)
    found = await core.read_namespace(namespace)
    expect(found.metadata.uid != made.metadata.uid, "a namespace made anew")


STAGES: dict[str, tuple[Callable[[Life], Awaitable[None]], ...]] = {
    "servers": (start_and_stop, show_the_log),
    "events": (show_events,),
    "claims": (make_a_claim, leave_a_foreign_claim_alone, wait_for_a_claim_to_go),
    "claim expansion": (let_a_claim_grow,),
    "claim deletion": (delete_a_claim,),
    "services": (take_over_a_service,),
    "secrets": (take_over_a_secret, replace_an_immutable_secret),
    "metadata block": (make_a_policy,),
    "leftovers": (delete_leftovers,),
    **{
        f"deletion of left {kind}": (delete_leftovers,)
        for kind in ("claims", "secrets", "services")
    },
    "namespaces": (make_a_namespace, wait_for_a_namespace_to_go),
}


#: Which of a feature's stages shows that a verb is needed, where the others go on for long.
SHOWN_BY = {
    ("pods/log", "get"): show_the_log,
    ("persistentvolumeclaims", "get"): leave_a_foreign_claim_alone,
    ("persistentvolumeclaims", "list"): wait_for_a_claim_to_go,
    ("persistentvolumeclaims", "watch"): wait_for_a_claim_to_go,
    ("namespaces", "get"): wait_for_a_namespace_to_go,
    ("namespaces", "list"): wait_for_a_namespace_to_go,
    ("namespaces", "watch"): wait_for_a_namespace_to_go,
}


def stages_of(need: Need) -> tuple[Callable[[Life], Awaitable[None]], ...]:
    shown_by = SHOWN_BY.get((need.resource, need.verb))
    stages = STAGES[need.feature]
    return (shown_by,) if shown_by in stages else stages


# ---- with the whole Role, and less -----------------------------------------------------


@pytest.fixture
def db():
    """An empty database of a hub. Making it sets logging up anew, so not in a test itself."""
    session = orm.new_session_factory("sqlite://")()
    yield session
    session.close()


@pytest.fixture
def life(namespace, api, make_spawner, caplog, tmp_path, monkeypatch, db):
    """Return a context manager: the life of servers of a hub with the roles of ``settings``."""

    @contextlib.asynccontextmanager
    async def of(
        settings: dict[str, bool], without: Callable[[Need], bool] = lambda need: False
    ) -> AsyncIterator[Life]:
        admin = Admin(api)
        everywhere = settings.get("enable_user_namespaces", False)
        traits = {"events_enabled": False, "namespace": namespace, "start_timeout": 240}
        if everywhere:
            traits |= {
                "enable_user_namespaces": True,
                "user_namespace_template": f"{namespace}-{{username}}",
            }
        kubeconfig = tmp_path / "kubeconfig"
        caplog.set_level(logging.INFO)
        async with restricted(admin, namespace, settings, without, kubeconfig):
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
            made: list[Any] = []

            def make(username: str, **more: Any) -> Any:
                made.append(make_spawner(username, **{**traits, **more}))
                return made[-1]

            try:
                yield Life(admin, make, caplog, tmp_path, db)
            finally:
                for name in {spawner.namespace for spawner in made} - {namespace}:
                    with contextlib.suppress(ApiException):
                        await admin.core.delete_namespace(name)

    return of


def _every_feature() -> list[Any]:
    return [
        pytest.param(settings, feature, id=f"{mode}-{feature}".replace(" ", "-"))
        for mode, settings in MODES.items()
        for feature in STAGES
        if feature in {need.feature for need in needs(settings)}
    ]


@pytest.mark.parametrize("settings, feature", _every_feature())
async def test_the_whole_role_is_enough(life, settings, feature):
    async with life(settings) as whole:
        for stage in STAGES[feature]:
            await stage(whole)
        assert "lacks the verb" not in whole.caplog.text


def _every_single_one() -> list[Any]:
    return [
        pytest.param(settings, need, id=f"{mode}-{need.feature}-{need}".replace(" ", "-"))
        for mode, settings in MODES.items()
        for need in needs(settings)
    ]


@pytest.mark.parametrize("settings, need", _every_single_one())
async def test_each_single_permission_is_missed_in_words(life, settings, need):
    async with life(settings, without=lambda other: same_rule(need, other)) as less:
        with pytest.raises((SpawnError, Missed)) as caught:
            for stage in stages_of(need):
                await stage(less)
        assert getattr(caught.value, "reason", "") != "Timeout", caught.value
        told = str(caught.value) if need.required else less.caplog.text
    resource = f"{need.resource}.{need.group}" if need.group else need.resource
    assert f"lacks the verb {need.verb!r} on {resource} " in told
    assert f"resources: ['{need.resource}'], verbs: ['{need.verb}']" in told
    assert "in namespace kubespawner-test-" in told or (
        settings.get("enable_user_namespaces") and "cluster-wide" in told
    )


def test_every_feature_of_the_spawner_has_its_stage():
    elsewhere = {"grants", "owners"} | {
        name for name, feature in FEATURES.items() if feature.routes
    }
    assert set(STAGES) == set(FEATURES) - elsewhere
