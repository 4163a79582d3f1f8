"""``python -m kubespawner.cli leftovers``: it never says "nothing" of what is unknown."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from click.testing import CliRunner

from kubespawner.cli import leftovers as command
from kubespawner.cli.__main__ import main
from kubespawner.leftovers import Leftover, Report

HUB = ("--hub-api", "http://127.0.0.1:1/hub/api", "--token", "x")
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
LEFT = Leftover("pods", "default", "jupyter-x", "u1", "x", "", NOW, "its user does not exist")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the command with a configuration, without any cluster."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def of(text=""):
        path = tmp_path / "jupyterhub_config.py"
        path.write_text(f'c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"\n{text}')
        return CliRunner().invoke(main, ["leftovers", str(path), *HUB])

    return of


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "No Kubernetes API server is known"),
        ("c.KubeSpawner.imagee = 'x:1'", "did you mean 'image'?"),
        ("c.KubeSpawner.port = -1", "KubeSpawner.port"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_can_not_be_asked_is_unknown(run, text, told):
    result = run(text)
    assert result.exit_code == 2
    assert "What is left over is unknown: " in result.output
    assert told in result.output and "Traceback" not in result.output


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (Report(), 0),
        (Report(unseen={"secrets in default": "forbidden"}), 2),
        (Report((LEFT,), {"secrets in default": "forbidden"}), 1),
    ],
)
def test_exit_code(run, monkeypatch, report, code):
    async def looked(*_):
        return report, []

    monkeypatch.setattr(command, "_run", looked)
    assert run().exit_code == code
