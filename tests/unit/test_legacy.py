"""Old names of settings: in configuration, at run time, as constructor keywords."""

from __future__ import annotations

import copy
import logging

import pytest
from traitlets import TraitError
from traitlets.config import Config
from traitlets.config.loader import DeferredConfigString

from kubespawner.legacy import RENAMED, migrate_config, resolve_name

from ._settings import KubeSpawner, make

VALUES = {
    "working_dir": "/srv",
    "service_account": "sa",
    "extra_labels": {"a": "b"},
    "extra_annotations": {"a": "b"},
    "image_pull_policy": "Always",
    "image_pull_secrets": [{"name": "reg"}],
    "node_selector": {"disk": "ssd"},
    "uid": 7,
    "fs_gid": 8,
    "supplemental_gids": [9],
    "privileged": True,
    "allow_privilege_escalation": True,
    "lifecycle_hooks": {"preStop": {"exec": {"command": ["true"]}}},
    "extra_pod_config": {"dnsPolicy": "None"},
    "init_containers": [{"name": "a", "image": "b"}],
    "extra_container_config": {"tty": True},
    "extra_containers": [{"name": "a", "image": "b"}],
    "image": "example.com/i:1",
    "storage_class": "fast",
    "storage_pvc_ensure": True,
    "storage_capacity": "1Gi",
    "storage_extra_labels": {"a": "b"},
    "storage_access_modes": ["ReadWriteMany"],
}
SINCE = {"image_spec": "0.10"}


@pytest.fixture
def warned(caplog):
    """Return a function that returns the warnings so far, and forgets them."""
    caplog.set_level(logging.WARNING)

    def take():
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return messages

    return take


def test_the_table_is_complete():
    assert {new for new, _ in RENAMED.values()} == {*VALUES}
    assert len(RENAMED) == 24
    assert resolve_name("singleuser_image_spec") == "image"
    assert resolve_name("image") == "image"
    assert resolve_name("other") == "other"


@pytest.mark.parametrize("section", ["KubeSpawner", "Spawner"])
@pytest.mark.parametrize("old", sorted(RENAMED))
def test_configuration(old, section, warned):
    new = RENAMED[old][0]
    config = Config({section: {old: VALUES[new]}})
    before = copy.deepcopy(config)
    for _ in range(3):
        assert getattr(make(config=config), new) == VALUES[new]
    assert config == before
    assert warned() == [
        f"{section}.{old} is deprecated in KubeSpawner {SINCE.get(old, '0.9')}, use {section}.{new}"
    ]


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_attributes(old, warned):
    new = RENAMED[old][0]
    spawner = make()
    setattr(spawner, old, VALUES[new])
    assert getattr(spawner, new) == VALUES[new]
    assert [f"use KubeSpawner.{new}" in message for message in warned()] == [True]
    assert getattr(spawner, old) == getattr(spawner, new)
    assert [f"KubeSpawner.{old} is deprecated" in message for message in warned()] == [True]
    # Hooks run for each spawn: no second time.
    assert getattr(spawner, old) == VALUES[new]
    assert warned() == []


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_constructor_keyword(old, warned):
    new = RENAMED[old][0]
    spawner = make(**{old: VALUES[new]})
    assert getattr(spawner, new) == getattr(spawner, old) == VALUES[new]
    assert f"KubeSpawner.{old} is deprecated" in warned()[0]


def test_a_constructor_keyword_wins_over_configuration():
    config = Config({"KubeSpawner": {"singleuser_uid": 5}})
    assert make(config=config, singleuser_uid=7).uid == 7
    assert make(config=config, uid=8).uid == 8


def test_both_constructor_keywords(warned):
    assert make(uid=1, singleuser_uid=2).uid == 1
    assert "ignoring singleuser_uid=2" in warned()[1]


def test_both_names_set_the_new_one_wins_and_the_ignored_value_is_named(warned):
    config = Config({"KubeSpawner": {"singleuser_uid": 5, "uid": 6}})
    assert [make(config=config).uid for _ in range(2)] == [6, 6]
    messages = warned()
    assert len(messages) == 2
    assert "ignoring singleuser_uid=5" in messages[1]


def test_of_two_old_names_the_younger_one_wins(warned):
    config = Config({"KubeSpawner": {"singleuser_image_spec": "a", "image_spec": "b"}})
    assert make(config=config).image == "b"
    assert "ignoring singleuser_image_spec='a'" in warned()[-1]


def test_a_new_name_in_a_base_section_does_not_hide_an_old_one_in_a_subclass_section():
    class MySpawner(KubeSpawner):
        pass

    config = Config({"KubeSpawner": {"image": "a"}, "MySpawner": {"image_spec": "b"}})
    assert make(MySpawner, config).image == "b"
    assert make(KubeSpawner, config).image == "a"
    config = Config({"Spawner": {"image_spec": "a"}, "KubeSpawner": {"image": "b"}})
    assert make(config=config).image == "b"


def test_sections_of_other_classes_are_left_alone(warned):
    config = Config({"OtherSpawner": {"image_spec": "a"}, "HasTraits": {"image_spec": "b"}})
    assert migrate_config(KubeSpawner, config, logging.getLogger()) is config
    assert make(config=config).image == "quay.io/jupyterhub/singleuser:latest"
    assert warned() == []


def test_values_built_up_in_steps_stay_so_for_every_spawner():
    config = Config()
    config.Spawner.singleuser_extra_containers.append({"name": "a"})
    config.KubeSpawner.singleuser_extra_containers.append({"name": "b"})
    config.KubeSpawner.singleuser_extra_labels.update({"a": "b"})
    for _ in range(3):
        spawner = make(config=config)
        assert spawner.extra_containers == [{"name": "a"}, {"name": "b"}]
        assert spawner.extra_labels == {"a": "b"}


def test_values_of_the_command_line():
    config = Config({"KubeSpawner": {"singleuser_uid": DeferredConfigString("7")}})
    assert make(config=config).uid == 7


def test_a_later_change_of_the_configuration():
    spawner = make()
    spawner.update_config(Config({"KubeSpawner": {"singleuser_uid": 7}}))
    assert spawner.uid == 7


def test_old_names_are_validated_as_the_new_ones():
    with pytest.raises(TraitError, match=r"KubeSpawner\.image is ''"):
        make(config={"KubeSpawner": {"image_spec": ""}})
    spawner = make()
    with pytest.raises(TraitError, match=r"KubeSpawner\.uid is -1"):
        spawner.singleuser_uid = -1


def test_the_warning_goes_to_the_spawners_logger(caplog):
    log = logging.getLogger("of-the-hub")
    make(config={"KubeSpawner": {"singleuser_uid": 7}}, log=log)
    assert [record.name for record in caplog.records] == ["of-the-hub"]


def test_another_configuration_is_warned_of_again(warned):
    for _ in range(2):
        make(config=Config({"KubeSpawner": {"singleuser_uid": 7}}))
    assert len(warned()) == 2


def test_is_configured():
    spawner = make(config={"KubeSpawner": {"singleuser_uid": 7}, "Spawner": {"image": "a"}})
    assert spawner.is_configured("uid")
    assert spawner.is_configured("image")
    assert not spawner.is_configured("gid")
