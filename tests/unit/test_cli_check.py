"""``python -m kubespawner.cli check``."""

from __future__ import annotations

from click.testing import CliRunner

from kubespawner.cli.__main__ import main


def run(tmp_path, text: str):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(text)
    return CliRunner().invoke(main, ["check", str(file)])


def test_every_mistake_is_listed_and_the_exit_code_says_so(tmp_path):
    result = run(
        tmp_path,
        'c.JupyterHub.spawner_class = "kubespawner"\n'
        'c.KubeSpawner.imgae = "x"\n'
        'c.KubeSpawner.profile_list = [{"display_name": "A"}, {"display_name": "A"}]\n',
    )
    assert result.exit_code == 1
    assert "2 mistakes" in result.output
    assert "KubeSpawner.imgae does not exist" in result.output
    assert "KubeSpawner.profile_list[1]: its slug 'a' is also that of" in result.output


def test_a_right_file_passes(tmp_path):
    result = run(tmp_path, 'c.JupyterHub.spawner_class = "kubespawner"\nc.KubeSpawner.uid = 1\n')
    assert result.exit_code == 0 and "no mistakes" in result.output


def test_a_subclass_in_the_file_is_checked_with_its_own_settings(tmp_path):
    text = (
        "from traitlets import Unicode\n"
        "from kubespawner import KubeSpawner\n"
        "class Mine(KubeSpawner):\n"
        "    team = Unicode().tag(config=True)\n"
        "c.JupyterHub.spawner_class = Mine\n"
        'c.Mine.team = "blue"\n'
    )
    assert run(tmp_path, text).exit_code == 0
    result = run(tmp_path, text + "c.Mine.tema = 'red'\n")
    assert result.exit_code == 1 and "did you mean 'team'?" in result.output


def test_a_file_that_fails_or_has_another_spawner_is_named(tmp_path):
    assert "NameError" in run(tmp_path, "nonsense").output
    result = run(tmp_path, "")
    assert result.exit_code == 1 and "LocalProcessSpawner, which is no KubeSpawner" in result.output
    result = run(tmp_path, "c.JupyterHub.spawner_class = 'no.such.Spawner'")
    assert result.exit_code == 1 and "spawner_class" in result.output
