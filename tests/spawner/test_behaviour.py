"""Settings whose effect is not a field of an object: on the page, in addresses, over time."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from certipy import Certipy
from cryptography import x509
from jupyterhub.user import User as HubUser

from kubespawner import KubeSpawner
from kubespawner.errors import ConfigurationError, OptionsError, SpawnError
from kubespawner.ownership import uid_of
from tests.support.waiting import eventually

from ._cases import STORAGE, shows

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOUNTED = {
    **STORAGE,
    "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}],
}
SMALL = {"display_name": "Small servers", "slug": "small"}
LARGE = {
    "display_name": "Large servers",
    "slug": "large",
    "kubespawner_override": {"image": "registry.example/large:1"},
}
FREE_TEXT = {
    "display_name": "Free",
    "slug": "free",
    "profile_options": {
        "image": {
            "unlisted_choice": {"enabled": True, "kubespawner_override": {"image": "{value}"}}
        }
    },
}


async def started(stage, spawner, **run):
    """Start ``spawner``, let its pod run, and return the URL and the pod."""
    async with stage.starting(spawner) as future:
        (pod,) = await stage.pods()
        await stage.run(pod, **run)
        return await asyncio.wait_for(future, 10), pod


async def url(stage, **settings):
    return (await started(stage, stage.spawner(**settings)))[0]


# ---- addresses ---------------------------------------------------------------------------


@shows("pod_connect_ip")
async def test_pod_connect_ip_is_in_the_url(stage):
    assert await url(stage, pod_connect_ip="{username}.example") == "http://alice.example:8888"


async def test_without_settings_the_url_is_the_pods(stage):
    assert await url(stage) == "http://10.1.2.3:8888"


@shows("get_pod_url")
async def test_get_pod_url_decides_the_url(stage):
    def get_pod_url(spawner, pod):
        return f"https://{pod['status']['podIP']}.example:{spawner.port}"

    async def later(spawner, pod):
        await asyncio.sleep(0)
        return get_pod_url(spawner, pod)

    assert await url(stage, get_pod_url=get_pod_url) == "https://10.1.2.3.example:8888"
    assert await url(stage, get_pod_url=later) == "https://10.1.2.3.example:8888"


async def test_names_that_a_subclass_sets_last(stage):
    class Ours(KubeSpawner):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.secret_name = "ours"

    spawner = stage.spawner(cls=Ours)
    # As the hub does before each start; only the pod's names are rendered anew.
    spawner.clear_state()
    assert spawner.secret_name == "ours"


@shows("dns_name_template")
async def test_dns_name_template_is_in_the_url(stage):
    made = await url(stage, services_enabled=True, dns_name_template="{name}.{namespace}.svc.lan")
    assert made == "http://jupyter-alice.default.svc.lan:8888"


async def names_in_certificate(stage, directory, **settings):
    spawner = with_authority(stage.spawner(**settings), directory)
    return await names_made_by(spawner)


def with_authority(spawner, directory):
    spawner.internal_ssl = True
    spawner.internal_certs_location = str(directory)
    Certipy(store_dir=str(directory), remove_existing=True).create_ca("notebooks-ca")
    spawner.internal_trust_bundles = {"notebooks-ca": str(directory / "x"), "hub-ca": ""}
    return spawner


async def names_made_by(spawner):
    return names_in(Path((await spawner.create_certs())["certfile"]))


def names_in(path):
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


@shows("ssl_alt_names", "ssl_alt_names_include_local")
async def test_certificate_is_valid_for_the_configured_names(stage, tmp_path):
    configured = await names_in_certificate(stage, tmp_path, ssl_alt_names=["DNS:lab.example"])
    assert configured == {"lab.example"}
    default = await names_in_certificate(stage, tmp_path)
    assert "jupyter-alice.default.svc.cluster.local" in default
    assert "localhost" not in default
    local = await names_in_certificate(stage, tmp_path, ssl_alt_names_include_local=True)
    assert local == default | {"localhost"}


async def test_certificate_made_anew_is_valid_for_the_names_of_now(stage, tmp_path):
    spawner = with_authority(stage.spawner(), tmp_path)
    assert "jupyter-alice.default.svc" in await names_made_by(spawner)
    spawner.namespace = "gpu"
    assert "jupyter-alice.gpu.svc" in await names_made_by(spawner)
    spawner.ssl_alt_names = ["DNS:lab.example"]
    spawner.namespace = "default"
    assert await names_made_by(spawner) == {"lab.example"}


# ---- starting ----------------------------------------------------------------------------


@shows("after_pod_created_hook")
async def test_after_pod_created_hook_gets_the_pod(stage):
    got = []

    async def hook(spawner, pod):
        got.append((spawner.user.name, uid_of(pod)))

    async with stage.starting(stage.spawner(after_pod_created_hook=hook)):
        (pod,) = await stage.pods()
    assert got == [("alice", uid_of(pod))]


@shows("events_enabled")
async def test_events_are_read_unless_switched_off(stage):
    def asked():
        return [request for request in stage.requests if request[1] == "events"]

    for enabled in (False, True):
        stage.requests.clear()
        async with stage.starting(stage.spawner(events_enabled=enabled)):
            assert bool(asked()) is enabled
        await stage.clear()


@shows("pod_readiness")
async def test_pod_readiness_all_waits_for_every_container(stage):
    side = [{"name": "side", "image": "busybox:1"}]
    await url(stage, extra_containers=side)
    await stage.clear()

    spawner = stage.spawner(extra_containers=side, pod_readiness="all")
    async with stage.starting(spawner) as future:
        (pod,) = await stage.pods()
        await stage.run(pod)
        await eventually(lambda: _status(spawner).get("phase") == "Running")
        assert not future.done()
        ready = [
            {**status, "ready": True}
            for status in (await stage.pods())[0]["status"]["containerStatuses"]
        ]
        await stage.run(pod, containerStatuses=ready)
        await asyncio.wait_for(future, 10)


def _status(spawner):
    return (spawner._pods().get(spawner._pod_key) or {}).get("status") or {}


@shows("spawn_patience")
async def test_spawn_patience_ends_a_hopeless_start(stage):
    unschedulable = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient cpu.",
    }
    patient = stage.spawner()
    async with stage.starting(patient) as future:
        await stage.set_status((await stage.pods())[0], conditions=[unschedulable])
        await eventually(lambda: _status(patient).get("conditions"))
        await asyncio.sleep(0)
        assert not future.done()
    await stage.clear()

    async with stage.starting(stage.spawner(spawn_patience={"Unschedulable": 0})) as future:
        await stage.set_status((await stage.pods())[0], conditions=[unschedulable])
        with pytest.raises(SpawnError) as error:
            await asyncio.wait_for(future, 10)
        assert error.value.reason == "Unschedulable"


@shows(
    "start_timeout",
    "slow_spawn_message",
    "slow_spawn_message_threshold",
    "slow_spawn_message_frequency",
)
async def test_slow_start_is_told_and_ends(stage):
    settings = {
        "start_timeout": 3,
        "slow_spawn_message": "slow: {seconds}",
        "slow_spawn_message_threshold": 1,
    }
    often = stage.spawner("often", **settings, slow_spawn_message_frequency=1)
    once = stage.spawner("once", **settings, slow_spawn_message_frequency=60)
    never = stage.spawner("never", **{**settings, "slow_spawn_message_threshold": 0})
    spawners = [often, once, never]
    errors = await asyncio.gather(*(s.start() for s in spawners), return_exceptions=True)
    assert all(isinstance(e, TimeoutError) and "after 3 s" in str(e) for e in errors), errors

    def slow(spawner):
        return [e["message"] for e in spawner._feed.entries if e["message"].startswith("slow: ")]

    assert slow(often)[:2] == ["slow: 1", "slow: 2"]
    assert slow(once) == ["slow: 1"]
    assert slow(never) == []


class Answering:
    """A server of which only is known how long somebody waits for it."""

    async def wait_up(self, *, timeout, **_):
        self.timeout = timeout
        return SimpleNamespace(headers={})


class WithServer(KubeSpawner):
    server = None


@shows("http_timeout")
@pytest.mark.parametrize(("settings", "seconds"), [({"http_timeout": 77}, 77), ({}, 30)])
async def test_the_hub_waits_http_timeout_for_an_answer(stage, settings, seconds):
    spawner = stage.spawner(cls=WithServer, **settings)
    spawner.server = Answering()
    # What JupyterHub itself does with it, after start() returned.
    hub_user = SimpleNamespace(settings={}, name="alice", log=spawner.log)
    await HubUser._wait_up(hub_user, spawner)
    assert spawner.server.timeout == seconds


@shows("pre_spawn_hook")
async def test_pre_spawn_hook_changes_the_pod(stage):
    def hook(spawner):
        spawner.environment = {"FROM_HOOK": spawner.user.name}

    spawner = stage.spawner(pre_spawn_hook=hook)
    spawner.run_pre_spawn_hook()
    async with stage.starting(spawner):
        (pod,) = await stage.pods()
    env = pod["spec"]["containers"][0]["env"]
    assert {"name": "FROM_HOOK", "value": "alice"} in env


# ---- running and stopping ----------------------------------------------------------------


@shows("poll_interval")
async def test_poll_interval_is_the_hubs(stage):
    spawner = stage.spawner(poll_interval=7)
    spawner.start_polling()
    assert spawner._poll_callback.callback_time == 7000
    spawner.stop_polling()


@shows("delete_grace_period")
@pytest.mark.parametrize(("settings", "seconds"), [({"delete_grace_period": 7}, 7), ({}, 1)])
async def test_delete_grace_period_is_in_the_delete(stage, settings, seconds):
    # Only a pod that is bound to a node is deleted gracefully.
    spawner = stage.spawner(extra_pod_config={"nodeName": "somewhere"}, **settings)
    _, pod = await started(stage, spawner)
    stopping = asyncio.create_task(spawner.stop())
    await eventually(lambda: _deleting(stage))
    (deleted,) = await stage.pods()
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == seconds
    await stage.clear()
    await asyncio.wait_for(stopping, 10)


async def _deleting(stage):
    return [pod for pod in await stage.pods() if pod["metadata"].get("deletionTimestamp")]


@shows("delete_stopped_pods")
@pytest.mark.parametrize("delete", [True, False])
async def test_delete_stopped_pods(stage, delete):
    spawner = stage.spawner(delete_stopped_pods=delete)
    _, pod = await started(stage, spawner)
    ended = {"exitCode": 3, "reason": "Error"}
    statuses = [{"name": "notebook", "image": "", "imageID": "", "ready": False}]
    statuses[0] |= {"restartCount": 0, "state": {"terminated": ended}}
    await stage.set_status(pod, phase="Failed", containerStatuses=statuses)
    assert await eventually(spawner.poll) == 3
    assert bool(await stage.pods()) is not delete


@pytest.mark.parametrize("delete", [True, False])
async def test_delete_stopped_pods_decides_about_a_pod_that_failed_to_start(stage, delete):
    spawner = stage.spawner(delete_stopped_pods=delete)
    hopeless = {"name": "notebook", "image": "", "imageID": "", "ready": False, "restartCount": 0}
    hopeless["state"] = {"waiting": {"reason": "InvalidImageName"}}
    scheduled = [{"type": "PodScheduled", "status": "True"}]
    async with stage.starting(spawner) as future:
        (pod,) = await stage.pods()
        await stage.set_status(pod, conditions=scheduled, containerStatuses=[hopeless])
        with pytest.raises(SpawnError, match="InvalidImageName"):
            await asyncio.wait_for(future, 10)
    # The hub stops what `poll()` says still runs.
    assert await spawner.poll() == 1
    assert bool(await stage.pods()) is not delete
    async with stage.starting(spawner):
        await eventually(lambda: spawner._pod_uid != uid_of(pod))
        assert await spawner.poll() is None


@shows("crash_loop_restarts")
async def test_crash_loop_restarts_decides_when_a_server_has_failed(stage):
    _, pod = await started(stage, first := stage.spawner())
    again = {"name": "notebook", "image": "", "imageID": "", "ready": False, "restartCount": 2}
    again["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    again["lastState"] = {"terminated": {"exitCode": 4}}
    await stage.set_status(pod, containerStatuses=[again])
    strict = stage.spawner(crash_loop_restarts=2, delete_stopped_pods=False)
    strict.load_state(first.get_state())
    assert await eventually(strict.poll) == 4
    assert await first.poll() is None


# ---- claims ------------------------------------------------------------------------------


@shows("delete_pvc")
@pytest.mark.parametrize("delete", [True, False])
async def test_delete_pvc(stage, delete):
    spawner = stage.spawner(**STORAGE, delete_pvc=delete)
    async with stage.starting(spawner):
        assert await stage.objects("persistentvolumeclaims")
    await spawner.delete_forever()
    assert bool(await stage.objects("persistentvolumeclaims")) is not delete


@shows("storage_expand")
@pytest.mark.parametrize(("expand", "size"), [(True, "2Gi"), (False, "1Gi")])
async def test_storage_expand(stage, expand, size):
    growing = {"metadata": {"name": "growing"}, "provisioner": "x", "allowVolumeExpansion": True}
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    await stage.request("POST", classes, growing)
    async with stage.starting(stage.spawner(**STORAGE, storage_class="growing")):
        (claim,) = await stage.objects("persistentvolumeclaims")
    path = f"/api/v1/namespaces/default/persistentvolumeclaims/{claim['metadata']['name']}"
    await stage.request("PUT", f"{path}/status", {**claim, "status": {"phase": "Bound"}})
    settings = {**STORAGE, "storage_class": "growing", "storage_capacity": "2Gi"}
    async with stage.starting(stage.spawner(**settings, storage_expand=expand)):
        (claim,) = await stage.objects("persistentvolumeclaims")
    assert claim["spec"]["resources"]["requests"]["storage"] == size
    await stage.request("DELETE", f"{classes}/growing")


def mounted_claim(pod):
    return pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]


@shows("remember_pvc_name")
@pytest.mark.parametrize(("remember", "claim"), [(True, "of-before"), (False, "claim-alice")])
async def test_remember_pvc_name(stage, remember, claim):
    spawner = stage.spawner(**MOUNTED, remember_pvc_name=remember)
    spawner.load_state({"pod_name": "jupyter-alice", "pvc_name": "of-before"})
    spawner.clear_state()
    async with stage.starting(spawner):
        (pod,) = await stage.pods()
    assert mounted_claim(pod) == claim


@shows("handle_legacy_names")
@pytest.mark.parametrize("handle", [True, False])
async def test_handle_legacy_names(stage, handle):
    legacy = {
        "metadata": {
            "name": "claim-a-40b",
            "annotations": {"hub.jupyter.org/username": "a@b"},
        },
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await stage.request("POST", "/api/v1/namespaces/default/persistentvolumeclaims", legacy)
    spawner = stage.spawner("a@b", **MOUNTED, handle_legacy_names=handle)
    async with stage.starting(spawner):
        (pod,) = await stage.pods()
    assert (mounted_claim(pod) == "claim-a-40b") is handle


# ---- the page ----------------------------------------------------------------------------


@shows("profile_list")
async def test_profile_list_is_on_the_page_and_applied(stage):
    spawner = stage.spawner(profile_list=[SMALL, LARGE])
    page = await spawner.get_options_form()
    assert "Small servers" in page
    assert "Large servers" in page
    spawner.user_options = spawner.options_from_form({"profile": ["large"]})
    async with stage.starting(spawner):
        (pod,) = await stage.pods()
    assert pod["spec"]["containers"][0]["image"] == "registry.example/large:1"


@shows("options_form")
async def test_options_form_replaces_the_page(stage):
    assert await stage.spawner(options_form="<b>mine</b>").get_options_form() == "<b>mine</b>"
    assert not await stage.spawner().get_options_form()


@shows("profile_form_template")
async def test_profile_form_template_replaces_the_page(stage):
    template = "{% for p in profile_list %}[{{ p.slug }}]{% endfor %}"
    spawner = stage.spawner(profile_list=[SMALL, LARGE], profile_form_template=template)
    assert await spawner.get_options_form() == "[small][large]"


@shows("additional_profile_form_template_paths")
async def test_templates_of_additional_paths_win(stage, tmp_path):
    (tmp_path / "form.html").write_text("<i>{{ profile_list | length }} profiles</i>")
    spawner = stage.spawner(
        profile_list=[SMALL, LARGE], additional_profile_form_template_paths=[str(tmp_path)]
    )
    assert await spawner.get_options_form() == "<i>2 profiles</i>"


@shows("profile_text_limit")
async def test_profile_text_limit_bounds_free_texts(stage):
    spawner = stage.spawner(profile_list=[FREE_TEXT], profile_text_limit=8)
    spawner.user_options = {"profile": "free", "image--unlisted-choice": "image:1234"}
    with pytest.raises(OptionsError, match="at most 8 characters"):
        await spawner.start()
    spawner.user_options = {"profile": "free", "image--unlisted-choice": "image:12"}
    async with stage.starting(spawner):
        (pod,) = await stage.pods()
    assert pod["spec"]["containers"][0]["image"] == "image:12"


@shows("profile_list_timeout")
async def test_profile_list_timeout_ends_a_callable_that_hangs(stage):
    async def hangs(spawner):
        await asyncio.Event().wait()

    spawner = stage.spawner(profile_list=hangs, profile_list_timeout=0.1)
    with pytest.raises(ConfigurationError, match=r"within 0\.1 s .*profile_list_timeout"):
        await asyncio.wait_for(spawner.get_options_form(), 10)


# ---- without effect ----------------------------------------------------------------------


@shows("k8s_api_threadpool_workers")
async def test_k8s_api_threadpool_workers_is_accepted_and_warned_of(stage):
    with pytest.warns(DeprecationWarning, match="k8s_api_threadpool_workers .* no effect"):
        spawner = stage.spawner(k8s_api_threadpool_workers=20)
    assert await started(stage, spawner)
