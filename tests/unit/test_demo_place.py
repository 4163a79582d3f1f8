"""What the demo finds out about a cluster, from what its nodes say."""

from types import SimpleNamespace

import jupyterhub
import pytest

from kubespawner.cli import demo_place


def node(*images, address="127.0.0.1"):
    addresses = [
        SimpleNamespace(type="Hostname", address="here"),
        SimpleNamespace(type="InternalIP", address=address),
    ]
    listed = [SimpleNamespace(names=list(names)) for names in images]
    return SimpleNamespace(status=SimpleNamespace(images=listed, addresses=addresses))


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch):
    monkeypatch.delenv("DEMO_IMAGE", raising=False)


def test_an_image_that_a_node_has_is_used():
    nodes = [
        node(["docker.io/library/busybox:1"]),
        node(
            ["example.org/jupyter/singleuser@sha256:ab", "example.org/jupyter/singleuser:3"],
            ["docker.io/singleuser/other:1"],
        ),
    ]
    assert demo_place._image(nodes) == "example.org/jupyter/singleuser:3"


def test_of_an_images_names_the_one_for_people():
    names = ["docker.io/k/singleuser:5bc8d55c52de55b8", "docker.io/k/singleuser:test"]
    assert demo_place._image([node(names)]) == "docker.io/k/singleuser:test"


def test_without_any_it_is_jupyterhubs_of_the_same_version():
    assert demo_place._image([node()]) == (
        f"quay.io/jupyterhub/singleuser:{jupyterhub.__version__}"
    )


def test_the_users_choice_wins(monkeypatch):
    monkeypatch.setenv("DEMO_IMAGE", "mine:1")
    assert demo_place._image([node(["docker.io/k/singleuser:test"])]) == "mine:1"


def test_the_address_is_that_from_which_a_node_is_reached():
    assert demo_place._address_towards([node(address="127.0.0.1")]) == "127.0.0.1"
    assert demo_place._address_towards([]) == ""
    assert demo_place._is_ours("127.0.0.1")
    # https://datatracker.ietf.org/doc/html/rfc5737: nobody's.
    assert not demo_place._is_ours("192.0.2.1")
