"""Whatever comes in as ``user_options``: applied as offered, or refused in words; nothing else."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from types import SimpleNamespace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from kubespawner.errors import OptionsError

from ._profiles import KubeSpawner, make

PATTERN = r"pangeo/[a-z]+:\d"
PROFILES = [
    {
        "slug": "demo",
        "kubespawner_override": {"mem_limit": "1G"},
        "profile_options": {
            "image": {
                "choices": {
                    "minimal": {"kubespawner_override": {"image": "minimal:1"}},
                    "full": {"kubespawner_override": {"image": "full:1"}},
                    "staff": {
                        "allowed_groups": ["staff"],
                        "kubespawner_override": {"image": "staff:1"},
                    },
                },
                "unlisted_choice": {
                    "enabled": True,
                    "validation_regex": PATTERN,
                    "kubespawner_override": {"image": "{value}"},
                },
            },
            "gpu": {
                "choices": {
                    "no": {},
                    "yes": {"kubespawner_override": {"extra_resource_limits": {"gpu": "1"}}},
                },
                "show_if": {"image": "full"},
            },
            "cpu": {
                "number": {
                    "min": 1,
                    "max": 8,
                    "step": 0.5,
                    "kubespawner_override": {"cpu_limit": "{value}"},
                }
            },
            "note": {
                "unlisted_choice": {
                    "enabled": True,
                    "default": "none",
                    "kubespawner_override": {"environment": {"NOTE": "{value}"}},
                }
            },
        },
    },
    {
        "slug": "secret",
        "allowed_groups": ["staff"],
        "kubespawner_override": {"image": "secret:1", "privileged": True},
        "profile_options": {"key": {"choices": {"a": {}}}},
    },
    {
        "slug": "cluster",
        "kubespawner_override": {"image": "cluster:1"},
        "profile_options": {"workers": {"number": {"max": 4}}},
    },
]
# What a choice may change at all.
CHANGED = {"image", "mem_limit", "cpu_limit", "environment", "extra_resource_limits"}

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
RIGHT = {
    "image": ["minimal", "full", None],
    "image--unlisted-choice": ["pangeo/x:1", " pangeo/base:2 ", None],
    "gpu": ["no", "yes"],
    "cpu": ["1", "2.5", 8, 1.5, None],
    "note--unlisted-choice": ["hello", "{username}", "{{x}} {value} ${A}", None],
}
WRONG = {
    "profile": ["secret", "gone", ["demo"]],
    "image": ["staff", "maximal", "unlisted-choice"],
    "image--unlisted-choice": ["pangeo/x:1; rm", "pangeo/x:1\0", "xpangeo/x:1", "pangeo/{x}:1"],
    "gpu": ["maybe", True],
    "cpu": ["8.5", -1, 9, 2.25, "1e0", True, "nan", 10**400],
    "note--unlisted-choice": ["x" * 41, "\0", ""],
    "workers": [2],
    "key": ["a"],
    "cpu--unlisted-choice": ["64"],
    "gpu--unlisted-choice": ["yes"],
}
KEYS = st.sampled_from([*WRONG])
DEMO = st.fixed_dictionaries(
    {}, optional={"profile": st.just("demo")} | {k: st.sampled_from(v) for k, v in RIGHT.items()}
)
CLUSTER = st.just({"profile": "cluster", "workers": 4})


def with_a_mistake(options: dict) -> st.SearchStrategy:
    wrong = KEYS.flatmap(lambda key: st.tuples(st.just(key), st.sampled_from(WRONG[key])))
    anything = st.tuples(KEYS | st.text(max_size=6), st.text() | JSON)
    return (wrong | anything).map(lambda mistake: {**options, mistake[0]: mistake[1]})


# Of what is all wrong, only the first mistake would be found.
OPTIONS = st.one_of(
    DEMO,
    CLUSTER,
    DEMO.flatmap(with_a_mistake),
    DEMO.flatmap(with_a_mistake),
    st.dictionaries(KEYS, JSON, max_size=4),
)


def all_settings(spawner: KubeSpawner) -> dict:
    now = {name: getattr(spawner, name) for name in spawner.trait_names(config=True)}
    # Methods are equal only to those of the same spawner.
    return {name: value for name, value in now.items() if not callable(value)}


def fresh() -> KubeSpawner:
    return make(PROFILES, environment={"OWN": "1"}, profile_text_limit=40)


BEFORE = all_settings(fresh())


def start(spawner: KubeSpawner, options: dict) -> OptionsError | None:
    """Load ``options``; return why they were refused. Any other error is the test's."""
    spawner.user_options = options
    try:
        asyncio.run(spawner.load_user_options())
    except OptionsError as refusal:
        return refusal
    return None


def check_applied(spawner: KubeSpawner, options: dict) -> None:
    now = all_settings(spawner)
    for name in now.keys() - CHANGED:
        assert now[name] == BEFORE[name], name
    if options.get("profile") == "cluster":
        assert now["image"] == "cluster:1"
        return
    assert options.get("workers") is None
    assert now["mem_limit"] == 2**30
    assert now["image"] in ("minimal:1", "full:1") or re.fullmatch(PATTERN, now["image"])
    assert now["cpu_limit"] in [Decimal(halves) / 2 for halves in range(2, 17)]
    gpu = options.get("gpu") == "yes" and now["image"] == "full:1"
    assert now["extra_resource_limits"] == ({"gpu": "1"} if gpu else {})
    note = options.get("note--unlisted-choice")
    assert spawner._expand_all(now["environment"]) == {
        "OWN": "1",
        "NOTE": "none" if note is None else note.strip(),
    }


@settings(max_examples=300, deadline=None)
@given(OPTIONS)
def test_options_are_applied_as_offered_or_refused_without_a_trace(options):
    spawner = fresh()
    refusal = start(spawner, options)
    event("refused" if refusal else "applied")
    if refusal:
        assert refusal.status_code == 400
        assert 0 < len(refusal.message) < 600
        assert all_settings(spawner) == BEFORE
    else:
        check_applied(spawner, options)
    # And of the last choice nothing is left in the next.
    assert start(spawner, {"profile": "cluster"}) is None
    assert all_settings(spawner) == {**BEFORE, "image": "cluster:1"}


@settings(max_examples=150, deadline=None)
@given(OPTIONS)
def test_form_and_rest_are_of_one_mind(options):
    texts = {key: value for key, value in options.items() if isinstance(value, str)}
    profile = texts.get("profile") or "demo"
    rest, form = fresh(), fresh()
    fields = {f"profile-option-{profile}--{key}": [value] for key, value in texts.items()}
    refused_form = start(form, form._options_from_form({**fields, "profile": [profile]}))
    refused_rest = start(rest, {**texts, "profile": profile})
    # The page without script sends an empty text beside each choice.
    if any(value.strip() == "" for value in texts.values()):
        return
    assert str(refused_form) == str(refused_rest)
    assert all_settings(form) == all_settings(rest)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=8) | KEYS.map(lambda k: f"profile-option-demo--{k}"), JSON))
def test_any_form_is_applied_or_refused(fields):
    spawner = fresh()
    options = spawner._options_from_form({"profile": ["demo"], **fields})
    if start(spawner, options) is None:
        check_applied(spawner, options)


@settings(max_examples=100, deadline=None)
@given(OPTIONS)
def test_a_page_comes_whatever_was_stored(options):
    spawner = fresh()
    spawner.user_options = options
    spawner.handler = SimpleNamespace(request=None)
    page = asyncio.run(spawner.get_options_form())
    # Exactly one profile is preselected.
    assert len(re.findall(r'type="radio"[^>]* checked', page)) == 1
    page.encode()
