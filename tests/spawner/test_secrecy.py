"""Tokens and keys reach the pod and its secret, and nothing that people read."""

import asyncio
import json
import logging
import traceback

import pytest

from kubespawner import utils
from kubespawner.localcluster.faults import Fault
from kubespawner.objects import make_pod
from tests.support.waiting import eventually

from ._cases import STORAGE
from ._stage import staged, with_certificates

API_TOKEN = "of-the-server-5e8f1c0d"
KEY = "-----BEGIN PRIVATE KEY-----"
OF_A_HOOK = "of-a-hook-77aa01"


@pytest.fixture
async def stage(tmp_path):
    async with staged(tmp_path) as stage:
        yield stage


async def give_credentials(spawner, pod):
    variable = {"name": "STORAGE_KEY", "value": OF_A_HOOK}
    pod.spec.containers[0].env.append(variable)
    return pod


async def fail(spawner, pod):
    raise RuntimeError("the hook failed")


async def return_nothing(spawner, pod):
    return None


def answer(status, resource, **more):
    return Fault(status=status, resource=resource, verb="create", **more)


# What goes wrong, and how.
FAILURES = {
    "pod refused": (answer(422, "pods", reason="Invalid"), {}),
    "pod forbidden": (answer(403, "pods", reason="Forbidden"), {}),
    "pod invalid": (None, {"priority_class_name": "no-such-class"}),
    "manifest wrong": (None, {"volume_mounts": [{"name": "x", "mountPath": "/x"}]}),
    "secret refused": (answer(422, "secrets", reason="Invalid"), {}),
    "secret forbidden": (answer(403, "secrets", reason="Forbidden"), {}),
    "service refused": (answer(422, "services", reason="Invalid"), {}),
    "claim refused": (answer(403, "persistentvolumeclaims", reason="Forbidden"), {}),
    "credentials refused": (Fault(status=401, reason="Unauthorized"), {}),
    "no answer": (Fault(drop="before"), {}),
    "overload": (Fault(status=503), {}),
    "hook fails": (None, {"modify_pod_hook": fail}),
    "hook returns nothing": (None, {"modify_pod_hook": return_nothing}),
    "later hook fails": (None, {"after_pod_created_hook": fail}),
    "not allowed": (None, {"pod_security": "restricted", "privileged": True}),
    "too slow": (None, {"start_timeout": 2}),
}


@pytest.mark.parametrize("what", FAILURES)
async def test_nothing_that_people_read_has_a_secret(stage, tmp_path, caplog, what):
    fault, settings = FAILURES[what]
    caplog.set_level(logging.DEBUG)
    # Whatever the event loop would tell, too.
    asyncio.get_running_loop().set_debug(True)
    defaults = {
        **STORAGE,
        "services_enabled": True,
        "modify_pod_hook": give_credentials,
        "start_timeout": 4,
        "k8s_api_request_timeout": 1,
        "k8s_api_request_retry_timeout": 1,
    }
    spawner = stage.spawner(**{**defaults, **settings})
    spawner.log.setLevel(logging.DEBUG)
    spawner.api_token = API_TOKEN
    with_certificates(spawner, tmp_path)
    (tmp_path / "keyfile").write_text(KEY)
    if fault:
        stage.server.faults.add(fault)
    with pytest.raises(Exception) as caught:
        await spawner.start()
    error = caught.value
    read = [
        caplog.text,
        *(record.getMessage() for record in caplog.records),
        str(error),
        repr(error),
        json.dumps(spawner._feed.entries, default=str),
        json.dumps(spawner.get_state()),
        "".join(traceback.format_exception(error)),
        *(str(value) for value in vars(error).values()),
    ]
    for secret in (API_TOKEN, KEY, OF_A_HOOK, stage.server.token):
        assert [text for text in read if secret in text] == [], secret


async def test_the_secrets_are_where_they_belong(stage, tmp_path):
    """So that the test above looks for what is there."""
    spawner = stage.spawner(modify_pod_hook=give_credentials, fs_gid=100)
    spawner.api_token = API_TOKEN
    with_certificates(spawner, tmp_path)
    (tmp_path / "keyfile").write_text(KEY)
    async with stage.starting(spawner):
        (pod,) = await stage.pods()
        env = {v["name"]: v.get("value") for v in pod["spec"]["containers"][0]["env"]}
        assert env["JUPYTERHUB_API_TOKEN"] == API_TOKEN
        assert env["STORAGE_KEY"] == OF_A_HOOK
        created = [body for body in stage.created if body["kind"] == "Secret"]
        assert len(created) == 1
        # Owned by the pod, so that it goes with it; readable by nobody but user and group.
        (owner,) = created[0]["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Pod", pod["metadata"]["uid"])
        (volume,) = [v for v in pod["spec"]["volumes"] if "secret" in v]
        assert volume["secret"]["defaultMode"] == 0o440


@pytest.mark.parametrize(
    ("settings", "mode"),
    [({"uid": 0}, 0o400), ({"fs_gid": 100}, 0o440), ({"uid": 1000, "fs_gid": 100}, 0o440)],
)
async def test_mode_of_the_mounted_key(stage, tmp_path, settings, mode):
    spawner = stage.spawner(**settings)
    with_certificates(spawner, tmp_path)
    async with stage.starting(spawner):
        (pod,) = await stage.pods()
    (volume,) = [v for v in pod["spec"]["volumes"] if "secret" in v]
    assert volume["secret"]["defaultMode"] == mode


def test_a_logged_pod_has_names_of_variables_and_no_values():
    pod = make_pod(
        "p",
        None,
        1,
        "i",
        env={"TOKEN": "x-secret"},
        init_containers=[{"name": "a", "image": "i", "env": [{"name": "B", "value": "y-secret"}]}],
    )
    shown = utils.loggable(pod)
    assert "secret" not in shown
    spec = json.loads(shown)["spec"]
    assert spec["containers"][0]["env"] == [{"name": "TOKEN", "value": "***"}]
    assert spec["initContainers"][0]["env"] == [{"name": "B", "value": "***"}]


# ---- names are no identities -------------------------------------------------------------


async def test_users_whose_names_collide_get_nothing_of_each_other(stage, monkeypatch):
    """As if somebody had found a name with the hash of another's."""
    for module in ("kubespawner.naming", "kubespawner.slugs"):
        monkeypatch.setattr(f"{module}._hash", lambda text: "00000000")
    victim, forger = (stage.spawner(name, **STORAGE) for name in ("a@b", "a!b"))
    assert victim.pod_name == forger.pod_name
    assert victim.pvc_name == forger.pvc_name
    async with stage.starting(victim):
        (pod,) = await stage.pods()
        (claim,) = await stage.objects("persistentvolumeclaims")
        with pytest.raises(Exception, match="belongs to user 'a@b'"):
            await forger.start()
        # Without claims the pod's name is what collides.
        other = stage.spawner("a!b")
        with pytest.raises(Exception, match="belongs to user 'a@b'"):
            await other.start()
        await forger.stop()
        await forger.delete_forever()
        assert await eventually(other.poll) == 1
        assert [p["metadata"]["uid"] for p in await stage.pods()] == [pod["metadata"]["uid"]]
        claims = await stage.objects("persistentvolumeclaims")
        assert [c["metadata"]["uid"] for c in claims] == [claim["metadata"]["uid"]]
