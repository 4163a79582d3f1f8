"""Defaults of settings: made and checked once per class, and each spawner's own all the same."""

from __future__ import annotations

import pytest
import traitlets

from kubespawner.config._types import Dict, Integer, List, Unicode

from ._settings import KubeSpawner, make


class Settings(traitlets.HasTraits):
    """A few settings of every sort."""

    text = Unicode("x")
    number = Integer(3)
    items = List()
    table = Dict()
    given = List([1])
    nothing = Unicode(None, allow_none=True)


def kinds_read(settings):
    return [getattr(settings, name) for name in sorted(settings.trait_names())]


@pytest.fixture(params=[0, 1, 2])
def settings(request):
    """Of the first, the second and the third instance of a class: each learns from those before."""

    class Fresh(Settings):
        pass

    made = [Fresh() for _ in range(request.param + 1)]
    for one in made[:-1]:
        kinds_read(one)
        one.items.append("of another")
        one.table["of another"] = 1
        one.given.append("of another")
        one.text, one.number = "of another", 4
    return made[-1]


def test_defaults_are_those_declared_and_nobody_elses(settings):
    assert kinds_read(settings) == [[1], [], None, 3, {}, "x"]
    assert settings.items is settings.items


def test_a_default_counts_as_the_value_once_it_was_read(settings):
    changes = []
    settings.observe(changes.append, "text")
    assert settings.text == "x"
    settings.text = "x"
    assert changes == []
    settings.text = "y"
    assert [(change.old, change.new) for change in changes] == [("x", "y")]


def test_a_default_that_a_method_makes_is_asked_for_by_each_instance():
    counts = iter(range(10))

    class Counted(Settings):
        @traitlets.default("text")
        def _count(self):
            return str(next(counts))

        def _items_default(self):
            return [next(counts)]

    assert [Counted().text for _ in range(3)] == ["0", "1", "2"]
    assert [Counted().items for _ in range(2)] == [[3], [4]]
    assert Settings().text == "x"


def test_a_subclass_with_another_default_does_not_share_its_parents():
    class Other(Settings):
        text = Unicode("other")
        number = traitlets.Integer(9)

    assert [Settings().text, Other().text, Settings().text, Other().text] == ["x", "other"] * 2
    assert [Settings().number, Other().number] == [3, 9]


def test_a_wrong_default_is_refused_by_each_instance():
    class Wrong(traitlets.HasTraits):
        number = Integer(3, min=5)

    for _ in range(2):
        with pytest.raises(traitlets.TraitError):
            Wrong().number


def test_each_spawner_gets_settings_of_its_class_as_a_dict_of_its_own():
    class Own(KubeSpawner):
        mine = Unicode("m")

    spawner = make(Own, {"Own": {"mine": "set"}})
    settings = spawner.traits(config=True)
    assert spawner.mine == "set"
    assert settings == Own.class_traits(config=True)
    settings.clear()
    assert "mine" in spawner.traits(config=True)
    assert "mine" not in make().traits(config=True)
    assert spawner.traits() == Own.class_traits()
    assert "expanded" not in spawner.traits(config=lambda value: value is None)


def test_sections_are_those_of_traitlets():
    class Own(KubeSpawner):
        pass

    assert Own.section_names()[-3:] == ["Spawner", "KubeSpawner", "Own"]
    Own.section_names().clear()
    assert Own.section_names() == [*KubeSpawner.section_names(), "Own"]


def test_a_trait_added_to_one_spawner_is_configured_and_no_other_has_it():
    spawner, other = make(), make()
    spawner.traits(config=True)
    spawner.add_traits(added=Unicode("a"))
    assert "added" in spawner.traits(config=True)
    assert "added" not in other.traits(config=True)
