"""``python -m kubespawner.cli render``."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from kubespawner.cli.__main__ import main

CONFIG = """
c.JupyterHub.spawner_class = "kubespawner"
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "1Gi"

def hook(spawner, pod):
    pod.metadata.labels["team"] = spawner.user.groups[0].name if spawner.user.groups else "none"
    return pod

c.KubeSpawner.modify_pod_hook = hook
c.KubeSpawner.profile_list = [
    {
        "display_name": "Small",
        "profile_options": {
            "image": {
                "display_name": "Image",
                "choices": {
                    "a": {"display_name": "A", "kubespawner_override": {"image": "a:1"}},
                    "b": {"display_name": "B", "kubespawner_override": {"image": "b:1"}},
                },
            }
        },
    },
    {"display_name": "Large", "allowed_groups": ["staff"]},
]
"""


def run(tmp_path, *arguments: str, config: str = CONFIG):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(config)
    return CliRunner().invoke(main, ["render", str(file), *arguments])


def test_claim_and_pod_are_those_of_the_user_and_the_choice(tmp_path, monkeypatch):
    # No cluster is known here.
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    result = run(tmp_path, "--user", "bob", "--server", "gpu", "--option", "image=b")
    assert result.exit_code == 0, result.output
    claim, pod = yaml.safe_load_all(result.stdout)
    assert (claim["kind"], claim["metadata"]["name"]) == (
        "PersistentVolumeClaim",
        "claim-bob--gpu",
    )
    assert pod["metadata"]["name"] == "jupyter-bob--gpu"
    assert pod["spec"]["containers"][0]["image"] == "b:1"
    assert pod["metadata"]["labels"]["team"] == "none"


def test_groups_open_profiles(tmp_path):
    refused = run(tmp_path, "--profile", "large")
    assert refused.exit_code == 1 and "No such profile: 'large'" in refused.output
    result = run(tmp_path, "--profile", "large", "--group", "staff")
    _, pod = yaml.safe_load_all(result.stdout)
    assert pod["metadata"]["labels"]["team"] == "staff"


def test_mistakes_are_named(tmp_path):
    assert "is not KEY=CHOICE" in run(tmp_path, "--option", "image").output
    wrong = run(tmp_path, config=CONFIG + "c.KubeSpawner.imgae = 'x'\n")
    assert wrong.exit_code == 1 and "did you mean 'image'?" in wrong.output


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("c.KubeSpawner.port = -1", "KubeSpawner.port is -1"),
        ("c.KubeSpawner.modify_pod_hook = lambda s, p: 1 / 0", "modify_pod_hook failed: ZeroDiv"),
        ("c.KubeSpawner.environment = {'A': lambda s: 1 / 0}", "jupyterhub_config.py, line"),
        ("c.KubeSpawner.modify_pod_hook = lambda spawner, pod: None", "must return the pod"),
        ("c.KubeSpawner.pod_name_template = 'Jupyter-{username}'", "'Jupyter-alice', which is not"),
        ("c.KubeSpawner.storage_capacity = None", "KubeSpawner.storage_capacity is None"),
        ("c.KubeSpawner.pvc_name_template = 'Claim'", "the claim name 'Claim'"),
    ],
)
def test_what_would_end_a_start_is_told_in_a_sentence(tmp_path, config, told):
    storage = CONFIG.replace("c.KubeSpawner.modify_pod_hook = hook\n", "")
    result = run(tmp_path, config=f"{storage}{config}\n")
    assert result.exit_code == 1
    assert told in result.output and "Traceback" not in result.output
    assert "kind: Pod" not in result.output
