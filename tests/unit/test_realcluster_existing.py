"""Clusters that the machine already has are found and used; the order of up and down."""

from __future__ import annotations

import os

import pytest

from realcluster import cluster, commands, existing, host
from realcluster.settings import Layout
from realcluster.steps import Progress, Refused, StepFailed


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Write a fake command into the only directory of PATH but the system's."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def write(name, script):
        (folder / name).write_text(f"#!/bin/sh\necho {name} $* >> {folder}/calls\n{script}\n")
        (folder / name).chmod(0o755)
        return folder / "calls"

    return write


def _refuse():
    raise Refused("Not this machine.")


def test_nothing_is_found_on_a_bare_machine(tool):
    assert existing.find(pytest.fail) is None


def test_a_tool_that_does_not_work_is_named_and_passed_over(tool):
    tool("kind", "exit 1")
    tool("minikube", "echo v1.30")
    said = []
    found = existing.find(said.append)
    assert found is not None
    assert found.name == "minikube"
    assert len(said) == 1
    assert "container engine" in said[0]


def test_kind_is_asked_for_a_cluster_and_its_kubeconfig(tool, tmp_path, monkeypatch):
    calls = tool("kind", 'case "$2" in kubeconfig) echo "kind: Config";; esac')
    monkeypatch.setattr(host, "check", _refuse)
    layout, progress = Layout(tmp_path / "cache"), Progress()
    found = existing.find()
    assert found is not None
    existing.up(found, layout, progress, singleuser=False)
    assert layout.kubeconfig.read_text() == "kind: Config\n"
    assert layout.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert "kind create cluster --name kubespawner --wait 180s" in calls.read_text()


def test_down_deletes_only_a_cluster_of_ours(tool, tmp_path):
    calls = tool("kind", '[ "$1" = get ] && echo somebody-elses')
    existing.down(Layout(tmp_path), Progress())
    assert "delete" not in calls.read_text()
    calls = tool("kind", '[ "$1" = get ] && echo kubespawner; exit 0')
    existing.down(Layout(tmp_path), Progress())
    assert "kind delete cluster --name kubespawner" in calls.read_text()


def test_a_machine_that_cannot_run_it_is_left_untouched(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "check", _refuse)
    layout = Layout(tmp_path / "cache", tmp_path / "run")
    with pytest.raises(Refused):
        cluster.Cluster(layout, Progress()).up()
    assert not layout.cache.exists()
    assert not layout.run.exists()


def test_down_of_nothing_says_so(tmp_path, capsys):
    cluster.Cluster(Layout(tmp_path, tmp_path / "run"), Progress()).down()
    assert "No cluster of ours" in capsys.readouterr().out


def test_an_unknown_part_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(StepFailed, match="no part is called hub; there are etcd, "):
        cluster.Cluster(Layout(tmp_path, tmp_path / "run"), Progress()).stop(["hub"])


def test_parts_that_need_the_api_server_start_after_it(tmp_path):
    names = [
        [part.name for part in wave]
        for wave in commands.waves(Layout(tmp_path), commands.Binaries())
    ]
    assert names[0] == ["etcd", "containerd"]
    assert names[1] == ["kube-apiserver"]
    assert "kubelet" in names[2]
