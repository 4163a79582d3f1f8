"""Wrong settings: an error that names the setting, before anything is created."""

import asyncio

import pytest
from traitlets import TraitError
from traitlets.config import Config

from kubespawner import KubeSpawner
from kubespawner.errors import ConfigurationError, SpawnError

from ._cases import STORAGE

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def refusal(stage, username="alice", options=None, **settings):
    """Return the text with which making or starting a spawner is refused."""
    with pytest.raises((TraitError, SpawnError)) as error:
        spawner = stage.spawner(username, **settings)
        spawner.user_options = options or {}
        # Short, should it not be refused.
        spawner.start_timeout = 2
        await spawner.start()
    # What the API server is asked for and refuses does not exist either.
    assert await stage.reach() == {}
    return str(error.value)


def override(**settings):
    return [{"display_name": "p", "slug": "p", "kubespawner_override": settings}]


HOME = {"name": "home", "emptyDir": {}}
SIDE = {"name": "side", "image": "busybox:1"}

# Settings, and what the error says of them. All of them would get a claim, too.
BAD = {
    "misspelt": ({"imge": "x:1"}, ["KubeSpawner.imge", "'image'"]),
    "unknown": ({"quux": 1}, ["KubeSpawner.quux", "does not exist"]),
    "misspelt old name": ({"singleuser_uidd": 1}, ["singleuser_uidd", "'singleuser_uid'"]),
    "misspelt override": (
        {"profile_list": override(mem_limt="1G")},
        ["KubeSpawner.profile_list", "'mem_limt'", "'mem_limit'"],
    ),
    "wrong override": ({"profile_list": override(port="x")}, ["'port'", "profile 'p'"]),
    "profiles": ({"profile_list": [{"display_name": "a"}, "b"]}, ["'profile_list'", "KubeSpawner"]),
    # Names.
    "field of pod name": (
        {"pod_name_template": "jupyter-{user}"},
        ["KubeSpawner.pod_name_template", "{user}", "username"],
    ),
    "field in a volume": (
        {"volumes": [{"name": "home", "hostPath": {"path": "/{usrname}"}}]},
        ["KubeSpawner.volumes", "usrname"],
    ),
    "field of DNS name": (
        {"dns_name_template": "{pod}.lan"},
        ["KubeSpawner.dns_name_template", "{pod}"],
    ),
    "stray brace": (
        {"environment": {"PS1": "{"}},
        ["KubeSpawner.environment['PS1']"],
    ),
    "long pod name": (
        {"pod_name_template": "j" * 150 + "-{username}-" + "j" * 150},
        ["KubeSpawner.pod_name_template", "too long"],
    ),
    "empty pod name": ({"pod_name_template": ""}, ["KubeSpawner.pod_name_template", "empty"]),
    "pod name that expands to nothing": (
        {"pod_name_template": "{servername}"},
        ["KubeSpawner.pod_name_template", "empty"],
    ),
    "invalid pod name": (
        {"pod_name_template": "Jupyter_{username}"},
        ["KubeSpawner.pod_name_template", "not valid"],
    ),
    "long claim name": (
        {"pvc_name_template": "c" * 300},
        ["KubeSpawner.pvc_name_template", "too long"],
    ),
    "claim name that expands to nothing": (
        {"pvc_name_template": "{servername}"},
        ["KubeSpawner.pvc_name_template", "empty"],
    ),
    "namespace name": (
        {"enable_user_namespaces": True, "user_namespace_template": "Users_{username}"},
        ["KubeSpawner.user_namespace_template"],
    ),
    # Amounts.
    "capacity": ({"storage_capacity": "10 GB"}, ["KubeSpawner.storage_capacity", "10Gi"]),
    "no capacity": ({"storage_capacity": None}, ["KubeSpawner.storage_capacity"]),
    "memory": ({"mem_limit": "lots"}, ["KubeSpawner.mem_limit"]),
    "negative memory": ({"mem_guarantee": -1}, ["KubeSpawner.mem_guarantee"]),
    "negative processors": ({"cpu_limit": -0.5}, ["KubeSpawner.cpu_limit"]),
    "extra resource": (
        {"extra_resource_limits": {"nvidia.com/gpu": "one"}},
        ["KubeSpawner.extra_resource_limits['nvidia.com/gpu']"],
    ),
    "port": ({"port": 70000}, ["KubeSpawner.port", "65535"]),
    "negative port": ({"port": -1}, ["KubeSpawner.port"]),
    "user": ({"uid": -5}, ["KubeSpawner.uid"]),
    # Volumes.
    "mount without volume": (
        {"volume_mounts": [{"name": "home", "mountPath": "/home"}]},
        ["KubeSpawner.volume_mounts", "'home'", "KubeSpawner.volumes"],
    ),
    "two volumes": ({"volumes": [HOME, HOME]}, ["KubeSpawner.volumes", "'home'"]),
    "two mounts": (
        {"volumes": [HOME], "volume_mounts": [{"name": "home", "mountPath": "/a"}] * 2},
        ["KubeSpawner.volume_mounts", "'/a'"],
    ),
    "mount without path": (
        {"volumes": [HOME], "volume_mounts": [{"name": "home"}]},
        ["KubeSpawner.volume_mounts", "'mountPath'"],
    ),
    "field of a volume": ({"volumes": [{**HOME, "hostpath": {}}]}, ["KubeSpawner.volumes"]),
    # Labels.
    "label": ({"extra_labels": {"a": "no spaces"}}, ["KubeSpawner.extra_labels['a']"]),
    "label key": ({"extra_labels": {"a b": "x"}}, ["KubeSpawner.extra_labels"]),
    "long label": ({"common_labels": {"a": "x" * 64}}, ["KubeSpawner.common_labels['a']"]),
    "label that expands to something invalid": (
        {"extra_labels": {"a": "{unescaped_username}"}, "username": "a b"},
        ["KubeSpawner.extra_labels", "'a b'"],
    ),
    "claim label that expands to something invalid": (
        {"storage_extra_labels": {"a": "{unescaped_username}"}, "username": "a b"},
        ["KubeSpawner.storage_extra_labels", '"a b"'],
    ),
    "label that is no text": ({"extra_labels": {"a": 1}}, ["KubeSpawner.extra_labels['a']"]),
    "component": ({"component_label": "two words"}, ["KubeSpawner.component_label"]),
    # Containers.
    "image": ({"image": ""}, ["KubeSpawner.image", "empty"]),
    "blank image": ({"image": "a b"}, ["KubeSpawner.image", "white space"]),
    "image of a profile": ({"profile_list": override(image="")}, ["'image'", "empty"]),
    "pull policy": ({"image_pull_policy": "always"}, ["KubeSpawner.image_pull_policy", "'Always'"]),
    "field of pod": (
        {"extra_pod_config": {"nodeNme": "x"}},
        ["KubeSpawner.extra_pod_config", "'nodeName'"],
    ),
    "type of pod config": ({"extra_pod_config": ["x"]}, ["'extra_pod_config'", "KubeSpawner"]),
    "no containers": (
        {"extra_pod_config": {"containers": []}},
        ["KubeSpawner.extra_pod_config"],
    ),
    "field of container": (
        {"extra_container_config": {"envfrom": []}},
        ["KubeSpawner.extra_container_config", "'envFrom'"],
    ),
    "container without image": (
        {"extra_containers": [{"name": "side"}]},
        ["KubeSpawner.extra_containers", "'side'"],
    ),
    "two containers": ({"extra_containers": [SIDE, SIDE]}, ["extra_containers", "'side'"]),
    "mount of another container": (
        {"init_containers": [{**SIDE, "volumeMounts": [{"name": "x", "mountPath": "/x"}]}]},
        ["KubeSpawner.init_containers", "'x'"],
    ),
    "environment": ({"environment": {"A": object()}}, ["KubeSpawner.environment['A']"]),
    "type of environment": ({"environment": "A=1"}, ["'environment'", "KubeSpawner"]),
    "name in environment": ({"environment": {"A=B": "1"}}, ["KubeSpawner.environment"]),
    "hook": ({"lifecycle_hooks": {"poststart": {}}}, ["KubeSpawner.lifecycle_hooks"]),
    "access mode": (
        {"storage_access_modes": ["ReadWriteTwice"]},
        ["KubeSpawner.storage_access_modes[0]"],
    ),
}


@pytest.mark.parametrize("what", BAD)
async def test_wrong_setting_is_named_before_anything_is_created(stage, what):
    settings, words = BAD[what]
    text = await refusal(stage, **{**STORAGE, **settings})
    assert [word for word in words if word not in text] == [], text


def renamed(spawner, pod):
    pod.metadata.name = "mine"
    return pod


def moved(spawner, pod):
    pod.metadata.namespace = "kube-system"
    return pod


def broken(spawner, pod):
    pod.spec.containers[0].image = ""
    return pod


async def nothing(spawner, pod):
    return None


def emptied(spawner, pod):
    pod.metadata = None
    return pod


def unreachable(spawner, pod):
    pod.spec.containers[0].ports = []
    return pod


HOOKS = {
    nothing: ["KubeSpawner.modify_pod_hook (nothing)", "NoneType"],
    renamed: ["KubeSpawner.modify_pod_hook", "metadata.name", "KubeSpawner.pod_name_template"],
    moved: ["KubeSpawner.modify_pod_hook", "metadata.namespace", "KubeSpawner.namespace"],
    broken: ["KubeSpawner.image", "empty"],
    emptied: ["KubeSpawner.modify_pod_hook (emptied)", "metadata"],
    unreachable: ["'notebook-port'", "modify_pod_hook"],
}


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
async def test_result_of_modify_pod_hook_is_checked(stage, hook):
    text = await refusal(stage, modify_pod_hook=hook)
    assert [word for word in HOOKS[hook] if word not in text] == [], text


def raises(*_):
    raise LookupError("of a secret")


async def raises_later(*_):
    raises()


@pytest.mark.parametrize("failing", [raises, raises_later], ids=["sync", "async"])
@pytest.mark.parametrize(
    "setting",
    [
        "modify_pod_hook",
        "after_pod_created_hook",
        "uid",
        "supplemental_gids",
        "pod_security_context",
    ],
)
async def test_a_hook_that_fails_is_named_in_the_log_only(stage, setting, failing):
    spawner = stage.spawner(**{setting: failing})
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert error.value.reason == "HookFailed"
    assert "alice in the step" in str(error.value)
    assert f"KubeSpawner.{setting} failed: LookupError: of a secret" in str(error.value)
    assert "secret" not in error.value.jupyterhub_message
    assert await stage.pods() == []


async def test_get_pod_url_that_fails_is_named(stage):
    spawner = stage.spawner(get_pod_url=raises)
    async with stage.starting(spawner) as future:
        (pod,) = await stage.pods()
        await stage.run(pod)
        with pytest.raises(SpawnError, match=r"KubeSpawner\.get_pod_url failed: LookupError"):
            await asyncio.wait_for(future, 10)


class NoMoreGpus(Exception):
    jupyterhub_message = "All GPUs are taken today."
    jupyterhub_html_message = "All <b>GPUs</b> are taken today."


@pytest.mark.parametrize("setting", ["modify_pod_hook", "after_pod_created_hook", "uid"])
async def test_a_hook_may_have_words_for_the_user(stage, setting):
    def refuse(*_):
        raise NoMoreGpus("0 of 8 left")

    with pytest.raises(SpawnError) as error:
        await stage.spawner(**{setting: refuse}).start()
    assert error.value.jupyterhub_message == "All GPUs are taken today."
    assert error.value.jupyterhub_html_message == "All <b>GPUs</b> are taken today."
    assert (error.value.reason, error.value.status_code) == ("NoMoreGpus", 400)
    assert "0 of 8 left" in str(error.value)


@pytest.mark.parametrize(
    ("setting", "answer", "expected"),
    [
        ("uid", "root", "a whole number"),
        ("fs_gid", [1], "a whole number"),
        ("supplemental_gids", 5, "a list of group IDs"),
        ("supplemental_gids", ["users"], "a whole number"),
        ("container_security_context", ["privileged"], "a dict"),
    ],
)
async def test_what_a_callable_gives_is_checked(stage, setting, answer, expected):
    text = await refusal(stage, **{setting: lambda spawner: answer})
    assert f"KubeSpawner.{setting} gave " in text and expected in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profile": "q"}, ["'q'", "Options are: p"]),
        ({"profile": 3}, ["3", "Options are: p"]),
    ],
)
async def test_wrong_options_say_what_there_is(stage, options, words):
    text = await refusal(stage, options=options, profile_list=override(port=1))
    assert [word for word in words if word not in text] == [], text


async def test_what_a_hook_repairs_is_not_refused(stage):
    def repair(spawner, pod):
        pod.spec.volumes = [HOME]
        return pod

    mount = {"volume_mounts": [{"name": "home", "mountPath": "/home"}]}
    async with stage.starting(stage.spawner(**STORAGE, **mount, modify_pod_hook=repair)):
        assert len(await stage.pods()) == 1
    await stage.clear()


async def test_misspelt_name_is_an_error_of_every_section(stage):
    class ClassroomSpawner(KubeSpawner):
        pass

    for section in ("ClassroomSpawner", "KubeSpawner", "Spawner"):
        config = Config({section: {"mem_limt": "1G"}})
        with pytest.raises(ConfigurationError, match=rf"{section}\.mem_limt .*'mem_limit'"):
            ClassroomSpawner(_mock=True, config=config)
