"""What an administrator gets to read about a wrong list of profiles."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubespawner import profiles as rules


def is_setting(name):
    known = {"image", "cpu_limit", "environment"}
    return None if name in known else f"{name!r} is no setting"


def found(*profiles):
    return rules.mistakes(list(profiles), is_setting)


def in_option(option, key="o", **others):
    options = {**others, key: option}
    return found({"display_name": "P", "profile_options": options})


OPTION = "profile_list[0].profile_options.o"
CHOICE = {"choices": {"a": {}}}
FREE = {"enabled": True}


def test_a_right_list_has_no_mistakes():
    image = {
        "display_name": "Image",
        "choices": {"a": {"kubespawner_override": {"image": "x"}}, "b": {"default": True}},
        "unlisted_choice": {**FREE, "validation_regex": "r/.+", "default": "r/x"},
    }
    cpu = {"number": {"min": 1, "max": 8, "step": 0.5, "default": 2}, "show_if": {"image": "b"}}
    profile = {
        "display_name": "P",
        "default": True,
        "allowed_groups": ["staff"],
        "allowed": lambda spawner: True,
        "profile_options": {"image": image, "cpu": cpu},
    }
    assert found(profile, {"slug": "only-slug"}) == []


def test_all_mistakes_are_told_together_with_their_path():
    gpu = {"kubespawner_override": {"imagee": "x"}}
    assert found(
        {"display_name": "A", "default": True},
        {"display_name": "a", "default": True},
        {"profile_options": {"image": {"choices": {"gpu": gpu}}, "empty": {}}},
    ) == [
        "profile_list[1]: its slug 'a' is also that of profile_list[0]",
        "profile_list[2]: display_name is missing",
        "profile_list[2].profile_options.image.choices.gpu.kubespawner_override: "
        "'imagee' is no setting",
        "profile_list[2].profile_options.empty: it has neither choices nor an enabled "
        "unlisted_choice",
        "profile_list[0] and profile_list[1]: only one profile can be the default",
    ]


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ({"slug": "a--b"}, "must not contain '--'"),
        ({"slug": "a-"}, "or end with '-'"),
        ({"slug": 3, "display_name": "x"}, "must be a text"),
        ({"display_name": "!!!"}, "no letters to make a slug of"),
        ({"slug": "a", "profile_options": []}, "it must be a dict of options"),
        ({"slug": "a", "kubespawner_override": ["image"]}, "it must be a dict of settings"),
        ({"slug": "a", "allowed_groups": "staff"}, "it must be a list of names of groups"),
        ({"slug": "a", "allowed": "staff"}, "a callable that gets the spawner"),
    ],
)
def test_mistakes_of_a_profile(profile, text):
    (sentence,) = found(profile)
    assert sentence.startswith("profile_list[0]")
    assert text in sentence


@pytest.mark.parametrize(
    ("option", "path", "text"),
    [
        ("text", "", "it must be a dict with"),
        ({"choices": {}}, "", "neither choices nor"),
        ({"choices": {}, "unlisted_choice": {"enabled": False}}, "", "neither choices nor"),
        ({"choices": ["a"]}, ".choices", "it must be a dict of choices"),
        ({"choices": {"unlisted-choice": {}}}, ".choices", "taken by the free text"),
        ({"choices": {1: {}}}, ".choices.1", "must be a text"),
        ({"choices": {"a": "x"}}, ".choices.a", "it must be a dict"),
        (
            {"choices": {"a": {"default": True}, "b": {"default": True}}},
            ".choices",
            "only one choice can be the default, not a and b",
        ),
        ({**CHOICE, "unlisted_choice": True}, ".unlisted_choice", "it must be a dict"),
        (
            {"unlisted_choice": {**FREE, "validation_regex": "(a"}},
            ".unlisted_choice.validation_regex",
            "missing ) at position 2",
        ),
        (
            {"unlisted_choice": {**FREE, "validation_regex": "a+", "default": "b"}},
            ".unlisted_choice.default",
            "does not match",
        ),
        ({"number": {}}, ".number", "'max' is missing"),
        ({"number": {"max": "8"}}, ".number.max", "no number of reasonable size"),
        ({"number": {"max": 1, "min": 2}}, ".number", "min 2 is above max 1"),
        ({"number": {"max": 1, "step": 0}}, ".number.step", "above 0"),
        ({"number": {"max": 1, "default": 3}}, ".number.default", "it must be from 0 to 1"),
        ({**CHOICE, "number": {"max": 1}}, "", "'number' beside choices"),
        ({**CHOICE, "show_if": {"p": "a"}}, ".show_if", "'p' is no option above this one"),
        ({**CHOICE, "show_if": "p"}, ".show_if", "it must be a dict"),
    ],
)
def test_mistakes_of_an_option(option, path, text):
    (sentence,) = in_option(option)
    assert sentence.startswith(f"{OPTION}{path}: ")
    assert text in sentence


@pytest.mark.parametrize("key", ["profile", "a--unlisted-choice", "a--b", "-a", "", 3])
def test_keys_of_options_that_make_fields_ambiguous(key):
    (sentence,) = in_option(CHOICE, key)
    assert "the option key" in sentence


def test_show_if_must_name_a_choice_that_there_is():
    size = {"choices": {"small": {}, "big": {}}}
    assert in_option({**CHOICE, "show_if": {"size": ["big"]}}, size=size) == []
    (sentence,) = in_option({**CHOICE, "show_if": {"size": ["bigg"]}}, size=size)
    assert sentence == f"{OPTION}.show_if.size: 'bigg' is no choice there; did you mean 'big'?"


@pytest.mark.parametrize("text", ["{value.__class__}", "a {value[0]}", "{value!r}", "{value:>9}"])
def test_nothing_but_the_value_itself_can_be_used(text):
    free = {**FREE, "kubespawner_override": {"environment": {"A": [text]}}}
    (sentence,) = in_option({"unlisted_choice": free})
    assert sentence.startswith(f"{OPTION}.unlisted_choice.kubespawner_override: ")
    assert "only {value} is possible" in sentence


def test_unknown_keys_come_with_the_nearest_known():
    profile = {
        "display_name": "P",
        "descripton": "x",
        "our_own_thing": 1,
        "profile_options": {
            "o": {
                "choices": {"a": {"dispaly_name": "A"}},
                "unlisted_choice": {"validation_regexp": "x"},
                "number": {"maximum_": 3},
            }
        },
    }
    assert rules.unknown_keys([profile]) == [
        "profile_list[0]: unknown key 'descripton'; did you mean 'description'?",
        "profile_list[0]: unknown key 'our_own_thing'",
        f"{OPTION}.unlisted_choice: unknown key 'validation_regexp'; did you mean "
        "'validation_regex'?",
        f"{OPTION}.number: unknown key 'maximum_'",
        f"{OPTION}.choices.a: unknown key 'dispaly_name'; did you mean 'display_name'?",
    ]


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
NAMES = st.sampled_from(
    [
        "display_name",
        "slug",
        "default",
        "kubespawner_override",
        "profile_options",
        "choices",
        "unlisted_choice",
        "enabled",
        "number",
        "min",
        "max",
        "step",
        "show_if",
        "allowed_groups",
        "validation_regex",
        "a",
    ]
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(NAMES, JSON, max_size=6), max_size=3))
def test_any_list_is_described_and_a_right_one_can_be_used(profiles):
    problems = rules.mistakes(profiles, is_setting)
    assert all(sentence.startswith("profile_list[") for sentence in problems)
    assert isinstance(rules.unknown_keys(profiles), list)
    if profiles and not problems:
        normal = rules.normalised(profiles)
        kept, _ = rules.still_valid(normal, {}, text_limit=9, matches=lambda p, t: True)
        assert kept == {}
