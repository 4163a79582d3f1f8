"""The pure rules of profiles: shape, forms, choices, numbers, overrides."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubespawner import profiles as rules
from kubespawner.naming import ServerIdentity, expand_all, template_fields
from kubespawner.profiles.numbers import exact, is_number

FREE = {"enabled": True, "kubespawner_override": {"image": "{value}"}}


def choose(options, given, *, matches=lambda pattern, text: True, limit=1000):
    profile = rules.normalised([{"display_name": "P", "profile_options": options}])[0]
    return rules.chosen(profile, given, text_limit=limit, matches=matches)


# ---- shape -------------------------------------------------------------------------------


def test_normalised_form_is_exact_and_a_copy():
    hook = object()
    given = [
        {
            "display_name": "GPU (2x) & More",
            "kubespawner_override": {"x": hook, "volumes": [{"name": "a"}]},
            "profile_options": {
                "image": {
                    "choices": {"a": {"display_name": "A"}, "b": {}},
                    "unlisted_choice": {"enabled": True},
                },
                "size": {"choices": {"s": {}, "m": {"default": True}}},
            },
        },
        {"display_name": "Übung", "slug": "own"},
    ]
    before = rules.copied(given)
    result = rules.normalised(given)
    assert given == before
    assert result == [
        {
            "display_name": "GPU (2x) & More",
            "slug": "gpu-2x-more",
            "default": True,
            "kubespawner_override": {"x": hook, "volumes": [{"name": "a"}]},
            "profile_options": {
                "image": {
                    "choices": {"a": {"display_name": "A", "default": True}, "b": {}},
                    "unlisted_choice": {"enabled": True, "display_name_in_choices": "Other..."},
                },
                "size": {
                    "choices": {"s": {}, "m": {"default": True}},
                    "unlisted_choice": {"enabled": False},
                },
            },
        },
        {"display_name": "Übung", "slug": "own"},
    ]
    result[0]["kubespawner_override"]["volumes"][0]["name"] = "changed"
    assert given == before


def test_empty_list_is_returned_as_it_is():
    assert rules.normalised([]) == []


@pytest.mark.parametrize("nothing", [None, [], {}, ()])
def test_no_profiles(nothing):
    assert rules.as_list(nothing) == []


def test_dict_is_taken_in_the_order_of_its_sorted_keys():
    profiles = {"b": {"display_name": "1"}, "a": {"display_name": "2"}}
    assert [p["display_name"] for p in rules.as_list(profiles)] == ["2", "1"]


@pytest.mark.parametrize(
    ("wrong", "text"), [("text", "gave str"), (7, "gave int"), ([{}, "x"], r"profile_list\[1\]")]
)
def test_what_is_no_list_is_refused(wrong, text):
    with pytest.raises(rules.InvalidProfiles, match=text):
        rules.as_list(wrong)


# ---- forms -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ({}, {}),
        ({"profile": [""]}, {}),
        ({"profile": []}, {}),
        ({"profile-option-a--x": ["1"]}, {}),
        ({"profile": ["demo"]}, {"profile": "demo"}),
        ({"profile": ["a", "b"]}, {"profile": "a"}),
        (
            {"profile": ["short"], "profile-option-short--image": ["m"]},
            {"profile": "short", "image": "m"},
        ),
        (
            {
                "profile": ["short"],
                "profile-option-short-plus--image": ["no"],
                "profile-option-other--image": ["no"],
            },
            {"profile": "short"},
        ),
        (
            {"profile": ["a"], "profile-option-a--i--unlisted-choice": [" r/x:1\n"]},
            {"profile": "a", "i--unlisted-choice": "r/x:1"},
        ),
        # Without script the empty text comes beside the select.
        (
            {
                "profile": ["a"],
                "profile-option-a--i": ["min"],
                "profile-option-a--i--unlisted-choice": [""],
            },
            {"profile": "a", "i": "min"},
        ),
        ({"profile": ["a"], "profile-option-a--i": []}, {"profile": "a"}),
        ({"profile": ["a"], "profile-option-a--profile": ["b"]}, {"profile": "a"}),
        ({"profile": ["a"], "profile-option-a--my_file": ["m"]}, {"profile": "a", "my_file": "m"}),
        (
            {"profile": ["a"], "profile-option-a--x_file": [{"filename": "f", "body": b""}]},
            {"profile": "a"},
        ),
    ],
)
def test_form_becomes_options(form, options):
    assert rules.parsed_form(form) == (options, [])


def test_links_may_have_the_prefix_that_only_newer_hubs_take_off():
    link = {"opt-profile": ["a"], "opt-profile-option-a--i": ["min"], "profile": ["b"]}
    assert rules.parsed_form(link) == ({"profile": "a", "i": "min"}, [])


def test_unknown_fields_are_named_in_order_and_files_are_not():
    form = {"zeta": ["1"], "alpha": ["1"], "_xsrf": ["t"], "cv_file": [{"body": b"x"}]}
    assert rules.parsed_form(form) == ({}, ["alpha", "zeta"])


# ---- choices -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({}, "b"),
        ({"i": None}, "b"),
        ({"i": "a"}, "a"),
        ({"i": "a", "i--unlisted-choice": ""}, "a"),
        ({"i": "a", "i--unlisted-choice": "text wins"}, "unlisted-choice"),
        ({"i--unlisted-choice": " text "}, "unlisted-choice"),
    ],
)
def test_which_choice_counts(given, value):
    option = {"choices": {"a": {}, "b": {"default": True}}, "unlisted_choice": FREE}
    (selection,) = choose({"i": option}, given)
    assert selection.value == value
    text = given.get("i--unlisted-choice")
    assert selection.input == (text.strip() if text else None)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"i": "c"}, r"Image \(i\): 'c' is not offered. Options are: a, b"),
        ({"i": "unlisted-choice"}, r"Image \(i\): enter a value"),
        ({"i": "unlisted-choice", "i--unlisted-choice": "  "}, "enter a value"),
        ({"i--unlisted-choice": ""}, "enter a value"),
        ({"i": ["a"]}, r"Image \(i\): a text is expected, not list: \['a'\]"),
        ({"i": {"x": 1}}, "not dict"),
        ({"i": True}, "not bool: True"),
        ({"i": 1}, "not int: 1"),
        ({"i--unlisted-choice": 3.5}, "not float"),
        ({"i--unlisted-choice": "x" * 1001}, "at most 1000 characters; there are 1001"),
        ({"i--unlisted-choice": "a\0b"}, "characters that can't be used"),
        ({"i--unlisted-choice": "a\ud800"}, "characters that can't be used"),
    ],
)
def test_what_is_not_on_offer_is_refused_in_words(given, text):
    option = {"display_name": "Image", "choices": {"a": {}, "b": {}}, "unlisted_choice": FREE}
    with pytest.raises(rules.InvalidChoice, match=text):
        choose({"i": option}, given)


def test_length_is_checked_before_the_pattern():
    def never(pattern, text):
        raise AssertionError("matched a text that is too long")

    option = {"unlisted_choice": {**FREE, "validation_regex": "x+"}}
    with pytest.raises(rules.InvalidChoice, match="at most 10"):
        choose({"i": option}, {"i--unlisted-choice": "x" * 11}, matches=never, limit=10)


def test_a_megabyte_is_refused_with_a_short_message():
    with pytest.raises(rules.InvalidChoice) as refused:
        choose({"i": {"choices": {"a": {}}}}, {"i": "x" * 1_000_000})
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("text", "allowed"), [("r/x", True), ("r/x; rm", False), ("r/x\n", False), ("pre r/x", False)]
)
def test_the_whole_text_must_match(text, allowed):
    assert rules.matches_whole(r"r/\w+", text, 1) is allowed


def test_a_pattern_that_backtracks_without_end_is_stopped():
    with pytest.raises(TimeoutError):
        rules.matches_whole("(a|aa)+(b|bb)*c|(a|b|ab)*d", "ab" * 400, 0.05)


def test_a_match_that_took_too_long_is_said_so():
    option = {"unlisted_choice": {**FREE, "validation_regex": "x+"}}
    with pytest.raises(rules.InvalidChoice, match="i: 'x' can't be checked in time"):
        choose({"i": option}, {"i--unlisted-choice": "x"}, matches=lambda pattern, text: None)


def test_message_for_a_text_that_does_not_match():
    def no(pattern, text):
        return False

    free = {**FREE, "validation_regex": "r/.+"}
    with pytest.raises(rules.InvalidChoice, match=r"i: 'q' is not allowed; it must match r/\.\+"):
        choose({"i": {"unlisted_choice": free}}, {"i--unlisted-choice": "q"}, matches=no)
    free["validation_message"] = "an image of r"
    with pytest.raises(rules.InvalidChoice, match="'q' is not allowed: an image of r"):
        choose({"i": {"unlisted_choice": free}}, {"i--unlisted-choice": "q"}, matches=no)


def test_text_only_option_needs_a_text_unless_there_is_a_default():
    with pytest.raises(rules.InvalidChoice, match="i: enter a value"):
        choose({"i": {"unlisted_choice": FREE}}, {})
    (selection,) = choose({"i": {"unlisted_choice": {**FREE, "default": "r/d"}}}, {})
    assert (selection.value, selection.input) == ("unlisted-choice", "r/d")


def test_free_text_that_is_not_enabled():
    with pytest.raises(rules.InvalidChoice, match="not allowed"):
        choose({"i": {"choices": {"a": {}}}}, {"i--unlisted-choice": "x"})


def test_options_apply_in_the_order_of_their_definition():
    options = {"z": {"choices": {"1": {}}}, "a": {"choices": {"1": {}}}}
    assert [s.option for s in choose(options, {"a": "1", "z": "1"})] == ["z", "a"]


SHOWN = {
    "size": {"choices": {"small": {}, "big": {}}},
    "gpu": {"choices": {"no": {}, "yes": {}}, "show_if": {"size": "big"}},
    "count": {"number": {"min": 1, "max": 4}, "show_if": {"gpu": ["yes"]}},
}


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({}, ["size"]),
        ({"size": "big"}, ["size", "gpu"]),
        ({"size": "big", "gpu": "yes"}, ["size", "gpu", "count"]),
        # What is not shown does not count, whatever was sent for it.
        ({"size": "small", "gpu": "yes", "count": "99"}, ["size"]),
    ],
)
def test_options_that_depend_on_others(given, options):
    assert [s.option for s in choose(SHOWN, given)] == options


def test_an_option_of_another_profile_is_told_from_a_deployments_own():
    profiles = rules.normalised(
        [
            {"slug": "a", "profile_options": {"x": {"choices": {"1": {}}}}},
            {"slug": "b", "profile_options": {"y": {"choices": {"1": {}}}}},
        ]
    )
    options = {"profile": "a", "x": "1", "y": "1", "mine": 3, "y--unlisted-choice": None}
    foreign, unknown = rules.unknown_options(profiles[0], profiles, options)
    assert foreign == ["y is an option of the profile 'b', not of 'a'"]
    assert unknown == ["mine"]


# ---- numbers -----------------------------------------------------------------------------

NUMBER = {"min": 1, "max": 8, "step": 0.5, "default": 2}


@pytest.mark.parametrize(
    ("given", "number", "text"),
    [
        ({}, 2, "2"),
        ({"n": "4"}, 4, "4"),
        ({"n": " 2.5 "}, 2.5, "2.5"),
        ({"n": 8}, 8, "8"),
        ({"n": 1.5}, 1.5, "1.5"),
        ({"n": "3.0"}, 3, "3"),
    ],
)
def test_numbers_within_the_limits(given, number, text):
    (selection,) = choose({"n": {"number": NUMBER}}, given)
    assert (selection.input, selection.value) == (number, text)
    assert type(selection.input) is type(number)


@pytest.mark.parametrize(
    "value",
    [
        "0.5",
        "8.5",
        9,
        -1,
        "1.7",
        "",
        "x",
        "1e3",
        "nan",
        "inf",
        float("nan"),
        float("inf"),
        True,
        [1],
        {"n": 1},
        pytest.param(10**5000, id="huge"),
        1e308,
        "１",
        "1,5",
        "9" * 1000,
    ],
)
def test_numbers_beyond_the_limits_are_refused_with_these(value):
    with pytest.raises(rules.InvalidChoice, match=r"n: .*from 1 to 8, in steps of 0\.5"):
        choose({"n": {"number": NUMBER}}, {"n": value})


def test_steps_are_exact_in_decimals():
    number = {"min": 0.1, "max": 1, "step": 0.1}
    for tenths in range(1, 11):
        assert choose({"n": {"number": number}}, {"n": tenths / 10})


@given(st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.booleans()))
def test_exact_never_fails(value):
    number = exact(value)
    assert number is None or number.is_finite()
    assert isinstance(is_number(value), bool)


# ---- overrides ---------------------------------------------------------------------------


def filled(overrides, text, expanded=()):
    selection = rules.Selection("o", rules.UNLISTED, overrides, text)
    return rules.overrides_of(selection, lambda name: name in expanded)


def test_value_is_filled_in_at_any_depth():
    overrides = {
        "image": "{value}",
        "cmd": ["run", "--image={value}", 3],
        "deep": {"a": [{"key-{value}": "{value}", "n": None}], "s": {"{value}"}},
        "other": "{username} ${X} {{literal}} {value}{value}",
    }
    assert filled(overrides, "v") == {
        "image": "v",
        "cmd": ["run", "--image=v", 3],
        "deep": {"a": [{"key-v": "v", "n": None}], "s": {"v"}},
        "other": "{username} ${X} {literal} vv",
    }
    assert overrides["image"] == "{value}"


def test_a_number_stays_one_where_it_is_all_there_is():
    overrides = {"cpu_limit": "{value}", "mem_limit": "{value}G", "deep": {"x": "{value}"}}
    assert filled(overrides, 2.5) == {"cpu_limit": 2.5, "mem_limit": "2.5G", "deep": {"x": 2.5}}


def test_what_is_filled_in_is_not_looked_at_again():
    assert filled({"image": "{value}"}, "{value}{{x}}") == {"image": "{value}{{x}}"}


FIELDS = template_fields(ServerIdentity("alice", "", 7, "hub", "safe"))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="{}aé{value}[].!:$-" + string.ascii_lowercase, max_size=40))
def test_text_of_a_user_comes_out_of_the_expansion_as_it_was_typed(text):
    overrides = {"environment": {"A": "<{value}>", "{value}": "{username}"}}
    result = rules.as_template(filled(overrides, text, {"environment"})["environment"])
    assert expand_all(result, FIELDS) == {"A": f"<{text}>", text: "alice"}


@pytest.mark.parametrize(
    ("template", "read", "comes_out"),
    [
        ("${JUPYTER_USER}", "${JUPYTER_USER}", "${JUPYTER_USER}"),
        ("${{JUPYTER_USER}}", "${JUPYTER_USER}", "${JUPYTER_USER}"),
        ('{"a": {"b": "{value}"}}', '{"a": {"b": "v"}', '{"a": {"b": "v"}'),
        ("{username}/{value}", "{username}/v", "alice/v"),
        ("{{username}}", "{username}", "{username}"),
        ("{", "{", "{"),
    ],
)
def test_braces_of_the_administrator_beside_the_value(template, read, comes_out):
    result = filled({"environment": {"A": template}}, "v", {"environment"})["environment"]
    assert result == {"A": read}
    assert expand_all(rules.as_template(result), FIELDS) == {"A": comes_out}


# ---- stored options ----------------------------------------------------------------------

STORED = rules.normalised(
    [
        {"slug": "a", "profile_options": {"i": {"choices": {"x": {}, "y": {}}}, **SHOWN}},
        {"slug": "b", "profile_options": {"t": {"unlisted_choice": FREE}}},
    ]
)


@pytest.mark.parametrize(
    ("stored", "kept", "dropped"),
    [
        ({"profile": "a", "i": "y"}, {"profile": "a", "i": "y"}, []),
        ({"profile": "gone", "i": "y", "own": [1]}, {"own": [1]}, ["the profile 'gone'"]),
        ({"profile": ["a"]}, {}, ["the profile ['a']"]),
        ({"profile": "a", "i": "z", "size": "big"}, {"profile": "a", "size": "big"}, ["i"]),
        ({"i": 3}, {}, ["i"]),
        ({"profile": "b"}, {"profile": "b"}, []),
        ({"profile": "a", "size": "small", "count": 99}, {"profile": "a", "size": "small"}, []),
        ({}, {}, []),
    ],
)
def test_stored_options_fall_back_one_by_one(stored, kept, dropped):
    result = rules.still_valid(STORED, stored, text_limit=9, matches=lambda p, t: True)
    assert result == (kept, dropped)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["profile", "i", "size", "gpu", "count", "t", "t--unlisted-choice", "i--unlisted-choice"]
)
VALUES = st.sampled_from(["a", "b", "x", "y", "big", "yes", "2", "unlisted-choice", ""]) | JSON
ANYTHING = st.dictionaries(KEYS | st.text(max_size=4), VALUES, max_size=8)


@settings(max_examples=100, deadline=None)
@given(ANYTHING)
def test_what_is_still_valid_is_valid(options):
    kept, _ = rules.still_valid(STORED, options, text_limit=9, matches=lambda p, t: True)
    profile = rules.profile_named(kept.get("profile"), STORED)
    if profile["slug"] == "b" and "t--unlisted-choice" not in kept:
        return
    rules.chosen(profile, kept, text_limit=9, matches=lambda p, t: True)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=6) | KEYS.map(lambda k: f"profile-option-a--{k}"), JSON))
def test_no_form_fails(form):
    options, ignored = rules.parsed_form(form)
    assert isinstance(options, dict)
    assert ignored == sorted(ignored)
