"""A wrong configuration ends the hub's start, with everything that is wrong in one go."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import pytest
from jupyterhub.app import JupyterHub
from jupyterhub.spawner import LocalProcessSpawner
from traitlets import validate
from traitlets.config import Config

from kubespawner import KubeSpawner
from kubespawner.startcheck import check_at_hub_start, configuration_mistakes
from tests.support.hub import free_port

FIVE_MISTAKES = """
c.KubeSpawner.profile_list = [
    {"description": "without a name"},
    {"display_name": "One", "slug": "same", "default": True},
    {
        "display_name": "Two",
        "slug": "same",
        "default": True,
        "kubespawner_override": {"mem_limt": "1G"},
        "profile_options": {"image": {"display_name": "Image", "choices": {}}},
    },
]
"""
PATHS = [
    "KubeSpawner.profile_list[0]: display_name is missing",
    "KubeSpawner.profile_list[2]: its slug 'same' is also that of profile_list[1]",
    "profile_list[1] and profile_list[2]: only one profile can be the default",
    "KubeSpawner.profile_list[2].kubespawner_override: 'mem_limt' is no setting of "
    "{}; did you mean 'mem_limit'?",
    "KubeSpawner.profile_list[2].profile_options.image: it has neither choices nor",
]
MY_SPAWNER = """
from kubespawner.spawner import KubeSpawner

class MySpawner(KubeSpawner):
    pass

c.JupyterHub.spawner_class = MySpawner
"""


async def start(directory, config: str) -> tuple[int, str]:
    """Return exit code and output of a hub with this configuration, which must end."""
    file = directory / "jupyterhub_config.py"
    file.write_text(f"{config}\nc.JupyterHub.hub_port = {free_port()}\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jupyterhub", "--config", str(file)),
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, output.decode()


@pytest.mark.parametrize(
    "spawner",
    [
        'c.JupyterHub.spawner_class = "kubespawner"',
        'c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"',
        MY_SPAWNER,
    ],
    ids=["entry point", "class name", "subclass in the file"],
)
async def test_all_mistakes_in_profiles_end_the_start_together(tmp_path, spawner):
    code, output = await start(tmp_path, spawner + FIVE_MISTAKES)
    assert code == 1, output
    assert "has 5 mistakes:" in output
    cls = "MySpawner" if "MySpawner" in spawner else "KubeSpawner"
    for sentence in PATHS:
        assert sentence.format(cls) in output
    assert "Traceback" not in output
    # Ended before anything was started.
    assert "Starting proxy" not in output


async def test_settings_and_profiles_are_listed_together(tmp_path):
    wrong = (
        'c.JupyterHub.spawner_class = "kubespawner"\n'
        'c.KubeSpawner.imgae = "x"\nc.Spawner.mem_limit = "lots"\n'
        "c.KubeSpawner.singleuser_uid = -5\n"
    )
    code, output = await start(tmp_path, wrong + FIVE_MISTAKES)
    assert code == 1, output
    assert "KubeSpawner.imgae does not exist; did you mean 'image'?" in output
    assert "KubeSpawner.mem_limit is 'lots'" in output
    assert "KubeSpawner.uid is -5" in output
    assert all(sentence.format("KubeSpawner") in output for sentence in PATHS)


# ---- which hubs are checked --------------------------------------------------------------


class App(SimpleNamespace):
    """What the check uses of JupyterHub."""

    exited = None
    said = ""

    def exit(self, code):
        self.exited = code

    @property
    def log(self):
        return SimpleNamespace(critical=lambda text, *args: setattr(self, "said", text % args))


def begin(spawner_class, **settings) -> App:
    app = App(spawner_class=spawner_class, config=Config({"KubeSpawner": settings}), db=None)
    check_at_hub_start()
    with pytest.raises(AttributeError):
        # The wrapped method runs on after the check, and asks for more than this app has.
        JupyterHub.init_spawners(app).send(None)
    return app


def test_a_hub_with_another_spawner_is_left_alone():
    assert begin(LocalProcessSpawner, imgae="x").exited is None


def test_a_hub_whose_spawner_wraps_ours_is_left_alone():
    class Wrapping(LocalProcessSpawner):
        child_class = KubeSpawner

    assert begin(Wrapping, imgae="x").exited is None


def test_a_right_configuration_lets_the_hub_go_on():
    assert begin(KubeSpawner, image="x").exited is None


def test_a_wrong_one_ends_the_hub_with_the_reason():
    app = begin(KubeSpawner, imgae="x")
    assert app.exited == 1 and "has a mistake:" in app.said


def test_jupyterhub_is_wrapped_once_however_often_it_is_asked():
    check_at_hub_start()
    wrapped = JupyterHub.init_spawners
    check_at_hub_start()
    assert JupyterHub.init_spawners is wrapped


# ---- what is a mistake -------------------------------------------------------------------


def mistakes(config, cls=KubeSpawner):
    return configuration_mistakes(cls, config)


def test_values_that_depend_on_defaults_are_looked_at_as_they_will_be():
    config = Config()
    config.KubeSpawner.extra_labels.update({"team": "blue"})
    config.KubeSpawner.volumes.append({"name": "a", "emptyDir": {}})
    assert mistakes(config) == []
    config.KubeSpawner.volumes.append({"nam": "b"})
    assert ["no such field" in problem for problem in mistakes(config)] == [True]


def test_callables_are_not_called():
    def profiles(spawner):
        raise AssertionError("called")

    assert mistakes(Config({"KubeSpawner": {"profile_list": profiles, "uid": profiles}})) == []


def test_validators_of_a_subclass_are_not_run_on_half_a_spawner():
    class Asking(KubeSpawner):
        @validate("image")
        def _image(self, proposal):
            return f"{self.user.name}/{proposal['value']}"

    assert mistakes(Config({"Asking": {"image": "x"}}), Asking) == []


def test_none_is_right_where_it_may_be():
    assert mistakes(Config({"KubeSpawner": {"mem_limit": None, "working_dir": None}})) == []


def test_profiles_in_a_dict_and_no_profiles_at_all():
    assert mistakes(Config({"KubeSpawner": {"profile_list": {"a": {"display_name": "A"}}}})) == []
    found = mistakes(Config({"KubeSpawner": {"profile_list": {"a": {}}}}))
    assert found and all("display_name is missing" in sentence for sentence in found)


def test_the_configuration_is_left_as_it_is():
    config = Config({"KubeSpawner": {"singleuser_uid": 1}})
    assert mistakes(config) == []
    assert config == Config({"KubeSpawner": {"singleuser_uid": 1}})
