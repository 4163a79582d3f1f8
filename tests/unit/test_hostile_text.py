"""Names and texts of users, whatever they are, come out as typed and are never evaluated."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from traitlets.config import Config

from kubespawner import clients
from kubespawner.checks import check_name, check_pod
from kubespawner.errors import OptionsError
from kubespawner.localcluster.pytest_plugin import build_spawner
from kubespawner.slugs import is_valid_label
from tests.support.schemas import serialised
from tests.unit.test_connection import KUBECONFIG

FEW = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
any_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
# What templates, shells, HTML, JSON and Kubernetes make something of.
HOSTILE = [
    *("{username}", "{unescaped_username}", "{userid.__class__}", "{0}", "{", "}", "{{", "}}"),
    *(
        "{username.__class__.__mro__}",
        "{pod_name!r:>99}",
        "%(x)s",
        "%s",
        "${HOME}",
        "$(ID)",
        "`id`",
    ),
    *(
        "../..",
        "/",
        "--",
        "-",
        "---",
        "a--b",
        "<script>",
        "&lt;",
        '"',
        "'",
        "\\",
        "\n",
        "\0",
        "\u202e",
    ),
    *("K", "ſ", "İ", "ß", "ﬃ", "\u0301", "\ud7ff", "🧪", "jupyter-alice", "claim-alice"),
]
hostile_text = st.lists(st.sampled_from(HOSTILE) | any_text, min_size=1, max_size=4).map("".join)
texts = any_text | hostile_text
names = texts.filter(bool)


@pytest.fixture(scope="module")
def loop():
    """One for all examples: a client is made, with its TLS context, once per loop."""
    loop = asyncio.new_event_loop()
    yield loop
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()


@pytest.fixture
def built(loop, tmp_path, monkeypatch):
    """Return a function that makes a spawner, and the manifest that it would send, as JSON."""
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG.format(token="one"))
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr(clients, "_configurations", {})
    monkeypatch.setattr(clients, "_default", {})

    async def build(username, servername, options, settings):
        config = Config({"KubeSpawner": Config({"image": "x:1", **settings})})
        spawner = build_spawner(config, username, servername)
        spawner.user_options = options or {}
        await spawner.load_user_options()
        return spawner, serialised(await spawner.get_pod_manifest())

    def make(username, servername="", options=None, **settings):
        return loop.run_until_complete(build(username, servername, options, settings))

    return make


def env_of(pod):
    return {v["name"]: v.get("value") for v in pod["spec"]["containers"][0]["env"]}


RAW = "<{unescaped_username}|{unescaped_servername}>"


@FEW
@given(username=names, servername=texts)
def test_names_come_out_as_they_are_wherever_a_template_has_them(built, username, servername):
    spawner, pod = built(
        username,
        servername,
        environment={"RAW": RAW, "NESTED": "{pod_name}" + RAW},
        extra_annotations={"example.com/raw": RAW},
        init_containers=[{"name": "i", "image": "x:1", "command": ["echo", RAW]}],
        extra_pod_config={"nodeName": RAW},
    )
    raw = f"<{username}|{servername}>"
    assert env_of(pod)["RAW"] == raw
    assert env_of(pod)["NESTED"] == spawner.pod_name + raw
    assert pod["metadata"]["annotations"]["example.com/raw"] == raw
    assert pod["spec"]["initContainers"][0]["command"] == ["echo", raw]
    assert pod["spec"]["nodeName"] == raw
    # Whose the pod is, is said by the names themselves.
    annotations = pod["metadata"]["annotations"]
    assert annotations["hub.jupyter.org/username"] == username
    assert annotations.get("hub.jupyter.org/servername", "") == servername


@FEW
@given(username=names, servername=texts)
def test_what_names_are_made_of_is_always_valid(built, username, servername):
    spawner, pod = built(username, servername, services_enabled=True)
    assert check_name("service", spawner.pod_name, "pod_name_template", "") is None
    assert check_name("claim", spawner.pvc_name, "pvc_name_template", "") is None
    assert all(is_valid_label(value) for value in pod["metadata"]["labels"].values())
    assert check_pod(pod, service=True) == []


@FEW
@given(username=names, text=texts)
def test_free_text_of_a_profile_comes_out_as_typed_or_is_refused(built, username, text):
    free = {
        "enabled": True,
        "kubespawner_override": {
            "environment": {"TYPED": "{value}", "WITHIN": "a {value} b", "FIELD": "{username}"},
            "extra_annotations": {"example.com/typed": "{value}"},
        },
    }
    profile = {
        "display_name": "p",
        "slug": "p",
        "profile_options": {"o": {"display_name": "o", "unlisted_choice": free}},
    }
    options = {"profile": "p", "o--unlisted-choice": text}
    try:
        _, pod = built(username, options=options, profile_list=[profile])
    except OptionsError:
        assume(False)
    typed = env_of(pod)["TYPED"]
    assert typed in (text, text.strip())
    assert env_of(pod)["WITHIN"] == f"a {typed} b"
    assert pod["metadata"]["annotations"]["example.com/typed"] == typed
    assert "{" not in env_of(pod)["FIELD"]


@FEW
@given(one=st.tuples(names, texts), other=st.tuples(names, texts))
def test_no_two_servers_have_one_name(built, one, other):
    assume(one != other)
    first, second = (built(*pair)[0] for pair in (one, other))
    assert first.pod_name != second.pod_name
    assert first.pvc_name != second.pvc_name
    assert first.secret_name != second.secret_name
    assert first.dns_name != second.dns_name


@FEW
@given(name=names, others=st.lists(names, min_size=1, max_size=3))
def test_users_namespaces_are_their_own(built, name, others):
    settings = {"enable_user_namespaces": True}
    mine = built(name, **settings)[0].namespace
    assert check_name("namespace", mine, "user_namespace_template", "") is None
    for other in others:
        if other != name:
            assert built(other, **settings)[0].namespace != mine
