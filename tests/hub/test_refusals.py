"""What is not on offer is refused in words, by whichever door it comes in."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import urlencode

import jupyterhub
import pytest

from tests.support.hub import Browser, Hub, hubs_on_one_cluster, text_of

pytestmark = [pytest.mark.hub, pytest.mark.timeout(240)]

CONFIG = r"""
c.JupyterHub.load_groups = {"gpu": {"users": ["gina"]}}
c.JupyterHub.cleanup_servers = False
c.KubeSpawner.storage_pvc_ensure = False
c.KubeSpawner.volumes = {}
c.KubeSpawner.volume_mounts = {}
c.KubeSpawner.cmd = ["python3", "-m", "http.server", "--bind", "0.0.0.0", "8888"]
c.KubeSpawner.args = []
c.KubeSpawner.profile_list = [
    {
        "display_name": "Course",
        "slug": "course",
        "profile_options": {
            "image": {
                "display_name": "Image",
                "choices": {
                    "minimal": {"kubespawner_override": {"image": "quay.io/jupyter/minimal:1"}},
                    "staff": {"allowed_groups": ["staff"]},
                },
                "unlisted_choice": {
                    "enabled": True,
                    "validation_regex": r"quay\.io/jupyter/[a-z-]+:[\w.-]+",
                    "validation_message": "an image of quay.io/jupyter with a tag",
                    "kubespawner_override": {"image": "{value}"},
                },
            },
            "memory": {
                "display_name": "Memory",
                "number": {
                    "min": 1,
                    "max": 8,
                    "step": 0.5,
                    "unit": "GB",
                    "kubespawner_override": {"mem_limit": "{value}G"},
                },
            },
            "note": {
                "display_name": "Note",
                "unlisted_choice": {
                    "enabled": True,
                    "default": "none",
                    "kubespawner_override": {"environment": {"NOTE": "{value}"}},
                },
            },
        },
    },
    {
        "display_name": "GPU",
        "slug": "gpu",
        "allowed_groups": ["gpu"],
        "profile_options": {"card": {"choices": {"t4": {}, "a100": {}}}},
    },
    {
        "display_name": "Cluster",
        "slug": "cluster",
        "profile_options": {"workers": {"number": {"min": 1, "max": 4}}},
    },
]
"""
MEGABYTE = "x" * 2**20

REFUSED = {
    "unlisted choice of which only the beginning matches": (
        {"profile": "course", "image--unlisted-choice": "quay.io/jupyter/minimal:1 --evil"},
        "Image (image): 'quay.io/jupyter/minimal:1 --evil' is not allowed: "
        "an image of quay.io/jupyter with a tag",
    ),
    "unlisted choice that the pattern does not know": (
        {"profile": "course", "image--unlisted-choice": "docker.io/miner:1"},
        "Image (image): 'docker.io/miner:1' is not allowed",
    ),
    "unknown choice": (
        {"profile": "course", "image": "maximal"},
        "Image (image): 'maximal' is not offered. Options are: minimal",
    ),
    "choice for another group": (
        {"profile": "course", "image": "staff"},
        "Image (image): 'staff' is not offered. Options are: minimal",
    ),
    "unknown profile": (
        {"profile": "gone"},
        "No such profile: 'gone'. Options are: course, cluster",
    ),
    "profile of another group": (
        {"profile": "gpu", "card": "t4"},
        "No such profile: 'gpu'. Options are: course, cluster",
    ),
    "number above its limit": (
        {"profile": "course", "memory": "8.5"},
        "Memory (memory): 8.5 is not allowed; it must be from 1 to 8, in steps of 0.5",
    ),
    "number below its limit": (
        {"profile": "course", "memory": "-1"},
        "Memory (memory): -1 is not allowed; it must be from 1 to 8, in steps of 0.5",
    ),
    "number between two steps": (
        {"profile": "course", "memory": "2.25"},
        "Memory (memory): 2.25 is not allowed; it must be from 1 to 8, in steps of 0.5",
    ),
    "no number": (
        {"profile": "course", "memory": "1e3"},
        "Memory (memory): a number is expected, from 1 to 8, in steps of 0.5, not '1e3'",
    ),
    "field of a template in a text with a pattern": (
        {"profile": "course", "image--unlisted-choice": "quay.io/jupyter/{username}:1"},
        "Image (image): 'quay.io/jupyter/{username}:1' is not allowed",
    ),
    "other without a text": (
        {"profile": "course", "image": "unlisted-choice"},
        "Image (image): enter a value",
    ),
    "option of another profile": (
        {"profile": "course", "workers": "2"},
        "workers is an option of the profile 'cluster', not of 'course'",
    ),
    "text of another option": (
        {"profile": "course", "memory--unlisted-choice": "64"},
        "Memory (memory): a value of your own is not allowed",
    ),
    "a megabyte of text": (
        {"profile": "course", "note--unlisted-choice": MEGABYTE},
        "Note (note): at most 1000 characters; there are 1048576",
    ),
    "a megabyte as choice": (
        {"profile": "course", "image": MEGABYTE},
        "is not offered. Options are: minimal",
    ),
}
JSON_ONLY = {
    "list as profile": ({"profile": ["course"]}, "No such profile: ['course']"),
    "list as choice": (
        {"profile": "course", "image": ["minimal"]},
        "Image (image): a text is expected, not list: ['minimal']",
    ),
    "object as text": (
        {"profile": "course", "note--unlisted-choice": {"a": 1}},
        "Note (note): a text is expected, not dict",
    ),
    "options without a profile": (
        {"image--unlisted-choice": "docker.io/miner:1"},
        "Image (image): 'docker.io/miner:1' is not allowed",
    ),
    "number beyond all limits": (
        {"profile": "course", "memory": 10**30},
        "Memory (memory): a number is expected, from 1 to 8",
    ),
    "boolean as number": (
        {"profile": "course", "memory": True},
        "Memory (memory): a number is expected, from 1 to 8, in steps of 0.5, not True",
    ),
}
# JupyterHub 6 takes this prefix off.
PREFIXES = ["opt-", ""] if jupyterhub.version_info >= (6,) else [""]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def hubs(tmp_path_factory):
    with hubs_on_one_cluster(tmp_path_factory.mktemp("refusals")) as hubs:
        yield hubs


@pytest.fixture(scope="module")
def hub(hubs) -> Hub:
    return hubs("hub", CONFIG)


@pytest.fixture
def name() -> str:
    return f"user{next(_numbers)}"


def fields(options: dict[str, Any]) -> dict[str, str]:
    """Return the options as the form's fields."""
    prefix = f"profile-option-{options['profile']}--"
    return {k if k == "profile" else prefix + k: v for k, v in options.items()}


async def pods_of(hubs, name: str) -> list[Any]:
    async def read() -> list[Any]:
        return (await hubs.cluster.api.list_namespaced_pod("default")).items

    return [
        pod for pod in hubs.run(read()) if pod.metadata.labels["hub.jupyter.org/username"] == name
    ]


async def check_nothing_started(browser: Browser, hubs) -> None:
    assert await pods_of(hubs, browser.name) == []
    assert await browser.servers() == {}


@pytest.mark.parametrize("case", REFUSED)
async def test_by_form(hubs, hub, name, case):
    options, sentence = REFUSED[case]
    async with Browser(hub, name) as browser:
        status, page = await browser.submit(**fields(options))
        assert status == 400, text_of(page)[-2000:]
        assert sentence in text_of(page)
        # The form is there again, to try another choice; once is enough to say what is wrong.
        assert 'id="profile-item-course"' in page
        assert "is not available" not in page
        await check_nothing_started(browser, hubs)


@pytest.mark.parametrize("case", [case for case in REFUSED if "megabyte" not in case])
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_by_query(hubs, hub, name, case, prefix):
    options, sentence = REFUSED[case]
    query = urlencode({prefix + key: value for key, value in fields(options).items()})
    async with Browser(hub, name) as browser:
        async with browser.session.get(f"{hub.url}/hub/spawn/{name}?{query}") as r:
            page = await r.text()
        assert r.status == 400, text_of(page)[-2000:]
        assert sentence in text_of(page)
        assert 'id="profile-item-course"' in page
        await check_nothing_started(browser, hubs)


async def test_a_long_text_by_query(hubs, hub, name):
    options = {"profile": "course", "note--unlisted-choice": "x" * 10_000}
    query = urlencode({PREFIXES[0] + key: value for key, value in fields(options).items()})
    async with Browser(hub, name) as browser:
        async with browser.session.get(f"{hub.url}/hub/spawn/{name}?{query}") as r:
            page = await r.text()
        assert r.status == 400
        assert "Note (note): at most 1000 characters; there are 10000" in text_of(page)
        await check_nothing_started(browser, hubs)


@pytest.mark.parametrize("case", {**REFUSED, **JSON_ONLY})
async def test_by_rest(hubs, hub, name, case):
    options, sentence = {**REFUSED, **JSON_ONLY}[case]
    async with Browser(hub, name) as browser:
        status, body = await browser.api("POST", f"/users/{name}/server", json=options)
        assert status == 400, body
        assert sentence in body["message"]
        assert len(body["message"]) < 400
        await check_nothing_started(browser, hubs)


async def test_by_form_of_a_named_server(hubs, hub, name):
    options, sentence = REFUSED["number above its limit"]
    async with Browser(hub, name) as browser:
        status, page = await browser.submit("mine", **fields(options))
        assert status == 400
        assert sentence in text_of(page)
        await check_nothing_started(browser, hubs)


@pytest.mark.skipif(jupyterhub.version_info < (6,), reason="JupyterHub 5 has one kind of body")
async def test_as_user_options_of_a_named_server(hubs, hub, name):
    options, sentence = REFUSED["number above its limit"]
    async with Browser(hub, name) as browser:
        body = {"display_name": "Mine", "user_options": options}
        status, answer = await browser.api("POST", f"/users/{name}/servers/mine", json=body)
        assert status == 400, answer
        assert sentence in answer["message"]
        await check_nothing_started(browser, hubs)


async def test_who_is_in_the_group_gets_its_profile(hubs, hub):
    async with Browser(hub, "gina") as gina:
        assert 'id="profile-item-gpu"' in await gina.page("/hub/spawn/gina")
        status, body = await gina.api("POST", "/users/gina/server", json={"profile": "gpu"})
        assert status in (201, 202), body
        assert (await gina.progress())[-1].get("ready")


async def test_braces_in_a_text_without_a_pattern_arrive_as_they_were_typed(hubs, hub, name):
    text = "{username} {userid.__class__} {{x}} {"
    options = {"profile": "course", "note--unlisted-choice": text}
    async with Browser(hub, name) as browser:
        entries = await browser.spawn(**fields(options))
        assert entries[-1].get("ready"), entries[-1]
        (pod,) = await pods_of(hubs, name)
        environment = {e.name: e.value for e in pod.spec.containers[0].env}
        # Kubernetes itself expands $(…), nothing else.
        assert environment["NOTE"] == text


async def test_no_refusal_is_an_error_of_the_hub(hub):
    assert " 500 " not in hub.log.read_text()
