"""From the user's options to settings: validated, applied, undone."""

from __future__ import annotations

import asyncio
import json
import logging
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tornado import web
from tornado.httputil import HTTPServerRequest, RequestStartLine
from traitlets import Unicode

from kubespawner import profiles as rules
from kubespawner.errors import ConfigurationError, HookError, OptionsError

from ._profiles import KubeSpawner, load, make

FREE = {
    "enabled": True,
    "validation_regex": "pangeo/.+",
    "kubespawner_override": {"image": "{value}"},
}
IMAGE = {
    "display_name": "Image",
    "choices": {
        "minimal": {"kubespawner_override": {"image": "minimal:1"}},
        "full": {"default": True, "kubespawner_override": {"image": "full:1"}},
    },
    "unlisted_choice": FREE,
}
PROFILES = [
    {
        "display_name": "Demo",
        "kubespawner_override": {"image": "demo:1", "mem_limit": "1G"},
        "profile_options": {"image": IMAGE},
    },
    {"display_name": "Big", "kubespawner_override": {"mem_limit": "8G", "namespace": "big"}},
]


def request(method="POST", body=b"", query=""):
    """Return a handler as JupyterHub gives it to the spawner."""
    uri = f"/hub/spawn?{query}" if query else "/hub/spawn"
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = SimpleNamespace(set_close_callback=lambda callback: None)
    return SimpleNamespace(
        request=HTTPServerRequest(
            start_line=RequestStartLine(method, uri, "HTTP/1.0"), body=body, connection=connection
        )
    )


async def refused(spawner, options, text):
    with pytest.raises(OptionsError, match=text) as error:
        await load(spawner, options)
    assert isinstance(error.value, (ValueError, web.HTTPError))
    assert error.value.status_code == 400
    assert error.value.jupyterhub_message == str(error.value)
    return error.value


# ---- what is chosen ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "image"),
    [
        ({}, "full:1"),
        ({"profile": "demo"}, "full:1"),
        ({"profile": "demo", "image": "minimal"}, "minimal:1"),
        ({"profile": "demo", "image--unlisted-choice": "pangeo/x:1"}, "pangeo/x:1"),
        ({"image--unlisted-choice": "pangeo/x:1"}, "pangeo/x:1"),
        ({"anything": [1, {"from": "REST"}]}, "full:1"),
    ],
)
async def test_choice_is_applied_at_the_start_and_not_before(options, image):
    spawner = make(PROFILES, image="configured:1", user_options=options)
    assert spawner.image == "configured:1"
    await spawner.load_user_options()
    assert (spawner.image, spawner.mem_limit) == (image, 1024**3)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"profile": "nope"}, r"No such profile: 'nope'. Options are: demo, big"),
        ({"profile": ["demo"]}, "No such profile"),
        ({"profile": 3}, "No such profile: 3"),
        # Without a profile the default one is meant, its rules included.
        ({"image--unlisted-choice": "evil/x:1"}, "evil/x:1' is not allowed"),
        ({"profile": "demo", "image--unlisted-choice": "pangeo/"}, "must match"),
        ({"profile": "demo", "image--unlisted-choice": "x pangeo/x"}, "must match"),
        ({"profile": "demo", "image": "unknown"}, "'unknown' is not offered. .*minimal, full"),
        ({"profile": "demo", "image": "unlisted-choice"}, r"Image \(image\): enter a value"),
        ({"profile": "demo", "image": ["minimal"]}, "a text is expected, not list"),
        ({"profile": "demo", "image--unlisted-choice": 7}, "a text is expected, not int"),
        ({"profile": "demo", "image--unlisted-choice": "pangeo/" + "x" * 10**6}, "at most 1000"),
        ({"profile": "big", "image": "minimal"}, "image is an option of the profile 'demo'"),
    ],
)
async def test_what_is_not_on_offer_is_refused_and_nothing_applied(options, text):
    spawner = make(PROFILES, image="configured:1")
    await refused(spawner, options, text)
    assert (spawner.image, spawner.mem_limit) == ("configured:1", None)


async def test_prefix_of_a_pattern_is_not_enough():
    free = {**FREE, "validation_regex": r"pangeo/\w+"}
    spawner = make([{"slug": "a", "profile_options": {"i": {"unlisted_choice": free}}}])
    await refused(spawner, {"i--unlisted-choice": "pangeo/x:evil"}, "is not allowed")


async def test_a_pattern_without_end_does_not_hold_up_the_hub(monkeypatch):
    monkeypatch.setattr("kubespawner.forms._MATCH_SECONDS", 0.3)
    free = {**FREE, "validation_regex": "(a|aa)+(b|bb)*c|(a|b|ab)*d"}
    spawner = make([{"slug": "a", "profile_options": {"i": {"unlisted_choice": free}}}])
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await refused(spawner, {"i--unlisted-choice": "ab" * 400}, "can't be checked in time")
    counting.cancel()
    assert turns > 10


async def test_patterns_work_when_validated_directly():
    spawner = make(PROFILES, user_options={"image--unlisted-choice": "evil"})
    with pytest.raises(ValueError, match="'evil' is not allowed"):
        spawner._validate_user_options(rules.normalised(PROFILES))
    spawner._validate_user_options([])


async def test_chosen_profile_without_any_is_only_warned_of(caplog):
    spawner = make()
    spawner.log = logging.getLogger("profiles")
    with caplog.at_level("WARNING"):
        await load(spawner, {"profile": "x"})
    assert "there are no profiles" in caplog.text


async def test_get_profile():
    spawner, profiles = make(), rules.normalised(PROFILES)
    assert spawner._get_profile("", profiles)["slug"] == "demo"
    assert spawner._get_profile("big", profiles)["slug"] == "big"
    with pytest.raises(ValueError, match="demo, big"):
        spawner._get_profile("x", profiles)


# ---- where the list comes from -----------------------------------------------------------


async def _later(spawner):
    return {"b": {"display_name": "B"}, "a": {"display_name": "A", "kubespawner_override": {}}}


@pytest.mark.parametrize("listed", [PROFILES, lambda spawner: PROFILES, dict(enumerate(PROFILES))])
async def test_list_dict_or_callable(listed):
    before = rules.copied(PROFILES)
    spawner = make({str(k): v for k, v in listed.items()} if isinstance(listed, dict) else listed)
    await load(spawner, {"profile": "big"})
    assert spawner.namespace == "big"
    assert before == PROFILES


async def test_async_callable_may_give_a_dict():
    spawner = make(_later)
    assert [p["display_name"] for p in await spawner._resolved_profiles()] == ["A", "B"]


@pytest.mark.parametrize("nothing", [None, [], {}])
async def test_callable_may_give_nothing(nothing):
    spawner = make(lambda spawner: nothing)
    await load(spawner)
    assert await spawner.get_options_form() == ""


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        (lambda spawner: "text", "profile_list gave str"),
        (lambda spawner: 1 / 0, "callable KubeSpawner.profile_list failed: ZeroDivisionError"),
        (lambda spawner: asyncio.sleep(60), "did not answer within 0.05 s"),
        (lambda spawner: [{"slug": "a"}, {"slug": "a"}], r"profile_list\[1\]: its slug 'a'"),
    ],
)
async def test_callable_that_fails_is_named(listed, text):
    spawner = make(listed, profile_list_timeout=0.05)
    for attempt in (spawner.load_user_options, spawner.get_options_form):
        with pytest.raises((ConfigurationError, HookError), match=text) as error:
            await attempt()
        # What a callable raised may have anything in it.
        assert "ZeroDivisionError" not in error.value.jupyterhub_message


async def test_words_of_a_callable_for_the_user_pass():
    class Closed(Exception):
        jupyterhub_message = "Closed until Monday."

    def listed(spawner):
        raise Closed

    for attempt in (make(listed).load_user_options, make(listed).get_options_form):
        with pytest.raises(Closed):
            await attempt()


async def test_refusal_by_a_callable_passes():
    def listed(spawner):
        raise web.HTTPError(403, "not for you")

    with pytest.raises(web.HTTPError) as refusal:
        await load(make(listed))
    assert refusal.value.status_code == 403


async def test_mistakes_in_a_static_list_stop_the_hub():
    wrong = [
        {"display_name": "A", "kubespawner_override": {"imagee": "x"}},
        {"display_name": "A"},
        {},
    ]
    with pytest.raises(ConfigurationError) as error:
        make(wrong)
    for part in ("did you mean 'image'", "profile_list[1]: its slug", "profile_list[2]: display"):
        assert part in str(error.value)


async def test_unknown_keys_are_warned_of_once(caplog):
    class Own(KubeSpawner):
        _reported_keys = set()

    with caplog.at_level("WARNING"):
        for _ in range(3):
            make([{"display_name": "A", "badge": "new"}], cls=Own)
    assert caplog.text.count("unknown key 'badge'") == 1


# ---- groups and callables ----------------------------------------------------------------

RESTRICTED = [
    {"slug": "gpu", "default": True, "allowed_groups": ["staff"]},
    {
        "slug": "cpu",
        "profile_options": {
            "size": {
                "choices": {
                    "huge": {"default": True, "allowed_groups": ["staff"]},
                    "small": {"kubespawner_override": {"image": "small:1"}},
                    "odd": {"allowed": lambda spawner: spawner.user.name != "alice"},
                },
                "unlisted_choice": {**FREE, "allowed_groups": ["staff"]},
            },
            "secret": {"choices": {"a": {}}, "allowed": False},
        },
    },
]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"profile": "gpu"}, r"No such profile: 'gpu'. Options are: cpu$"),
        ({"profile": "cpu", "size": "huge"}, r"'huge' is not offered. Options are: small$"),
        ({"size": "odd"}, "'odd' is not offered"),
        ({"size--unlisted-choice": "pangeo/x"}, "not allowed"),
    ],
)
async def test_what_is_of_another_group_is_refused(options, text):
    await refused(make(RESTRICTED, groups=["students"]), options, text)


async def test_default_of_another_group_is_replaced():
    spawner = await load(make(RESTRICTED), {})
    assert spawner.image == "small:1"


async def test_members_get_what_is_theirs():
    spawner = make(RESTRICTED, groups=["staff"])
    await load(spawner, {"profile": "cpu", "size--unlisted-choice": "pangeo/x"})
    assert spawner.image == "pangeo/x"


async def test_page_shows_what_is_allowed_only():
    page = await make(RESTRICTED).get_options_form()
    assert 'value="cpu"' in page
    for hidden in ('value="gpu"', 'value="huge"', 'value="odd"', "secret", "unlisted-choice"):
        assert hidden not in page.split("<script>")[0]
    assert 'value="gpu"' in await make(RESTRICTED, groups=["staff"]).get_options_form()


async def test_nobody_starts_without_a_profile_where_none_is_open():
    spawner = make([{"slug": "gpu", "allowed_groups": ["staff"]}])
    await refused(spawner, {}, "None of the profiles of this hub is open to you")
    assert "None of the profiles" in await spawner.get_options_form()


async def test_callable_restriction_may_be_async_and_is_named_when_it_fails():
    async def no(spawner):
        return False

    spawner = make([{"slug": "a", "allowed": no}, {"slug": "b"}])
    await refused(spawner, {"profile": "a"}, "Options are: b")
    spawner = make([{"slug": "a", "allowed": lambda spawner: 1 / 0}])
    with pytest.raises(HookError, match="'allowed' of profile 'a' failed"):
        await load(spawner)


# ---- stored options ----------------------------------------------------------------------

STALE = {"profile": "demo", "image": "gone", "own": 1}


@pytest.mark.parametrize(
    "handler",
    [
        request("GET"),
        request("GET", query="next=/x"),
        request("POST"),
        request("POST", {}),
        request("POST", {"user_options": None}),
        request("POST", {"display_name": "x"}),
    ],
)
async def test_stored_options_fall_back_with_a_note(handler):
    spawner = make(PROFILES, user_options=STALE)
    spawner.handler = handler
    await load(spawner)
    assert spawner.image == "full:1"
    assert spawner.user_options == {"profile": "demo", "own": 1}
    assert any("Image (image)" in str(entry) for entry in spawner._feed.entries)


@pytest.mark.parametrize(
    "handler",
    [
        None,
        request("GET", query="profile=demo"),
        request("POST", STALE),
        request("POST", {"user_options": STALE}),
        request("POST", b"profile=demo&_xsrf=1"),
        request("POST", b"--boundary--"),
    ],
)
async def test_options_given_now_are_refused(handler):
    spawner = make(PROFILES, user_options=STALE)
    spawner.handler = handler
    await refused(spawner, STALE, "'gone' is not offered")


# ---- overriding --------------------------------------------------------------------------


async def test_merge_of_the_environment():
    override = {"environment": {"override": "v", "to-remove": None}}
    spawner = make(
        [{"slug": "a", "kubespawner_override": override}],
        environment={"existing": "e", "to-remove": "x"},
    )
    before = spawner.environment
    await load(spawner)
    assert spawner.environment == {"existing": "e", "override": "v"}
    assert before == {"existing": "e", "to-remove": "x"}


async def test_free_text_is_filled_in_everywhere_and_replaced_by_the_next():
    override = {
        "image": "{value}",
        "environment": {
            "A": "{value}",
            "USER": "${JUPYTER_USER}",
            "T": "${{JUPYTER_USER}}",
        },
        "init_containers": [{"name": "i", "image": "{value}", "command": ["a", "{value}"]}],
    }
    free = {"enabled": True, "kubespawner_override": override}
    spawner = make([{"slug": "a", "profile_options": {"i": {"unlisted_choice": free}}}])
    for text in ("pangeo/x:1", "pangeo/y:2"):
        await load(spawner, {"profile": "a", "i--unlisted-choice": text})
        assert spawner.image == text
        assert spawner.environment == {
            "A": text,
            "USER": "${JUPYTER_USER}",
            "T": "${JUPYTER_USER}",
        }
        assert spawner.init_containers == [{"name": "i", "image": text, "command": ["a", text]}]


@pytest.mark.parametrize("text", ["{unescaped_username}", "{userid.__class__}", "{x}", "}{"])
@pytest.mark.parametrize("name", ["environment", "singleuser_extra_labels"])
async def test_text_of_a_user_is_never_expanded(text, name):
    override = {name: {"A": "{value}", "B": "{unescaped_username}", "C": "{{x}}"}}
    free = {"enabled": True, "kubespawner_override": {**override, "image": "{value}"}}
    spawner = make([{"slug": "a", "profile_options": {"i": {"unlisted_choice": free}}}])
    await load(spawner, {"i--unlisted-choice": text})
    value = spawner.environment if name == "environment" else spawner.extra_labels
    assert spawner._expand_all(value) == {"A": text, "B": "alice", "C": "{x}"}
    assert spawner.image == text


async def test_number_reaches_the_setting_as_a_number():
    cpu = {"min": 1, "max": 4, "kubespawner_override": {"cpu_limit": "{value}"}}
    mem = {"max": 8, "unit": "GB", "kubespawner_override": {"mem_limit": "{value}G"}}
    options = {"cpu": {"number": cpu}, "mem": {"number": mem}}
    spawner = make([{"slug": "a", "profile_options": options}])
    await load(spawner, {"cpu": "2.5", "mem": 4})
    assert (spawner.cpu_limit, spawner.mem_limit) == (2.5, 4 * 1024**3)
    await refused(spawner, {"cpu": "5"}, "cpu: 5 is not allowed; it must be from 1 to 4")


async def test_callables_see_earlier_overrides_and_may_be_async():
    async def memory(spawner):
        await asyncio.sleep(0)
        return "2G" if spawner.image == "demo:2" else "1G"

    override = {"image": lambda spawner: "demo:2", "mem_limit": memory}
    spawner = await load(make([{"slug": "a", "kubespawner_override": override}]))
    assert (spawner.image, spawner.mem_limit) == ("demo:2", 2 * 1024**3)


async def test_callable_may_give_a_hook():
    def hook(spawner, pod):
        raise AssertionError("a hook was taken for a value")

    override = {"modify_pod_hook": lambda spawner: hook}
    spawner = await load(make([{"slug": "a", "kubespawner_override": override}]))
    assert spawner.modify_pod_hook is hook


async def test_choice_before_is_undone_but_not_what_others_set():
    spawner = make(PROFILES, namespace="configured")
    await load(spawner, {"profile": "big"})
    assert (spawner.namespace, spawner.mem_limit) == ("big", 8 * 1024**3)
    spawner.mem_limit = "3G"
    await load(spawner, {"profile": "demo"})
    assert spawner.namespace == "configured"
    await load(spawner, {"profile": "big"})
    spawner.profile_list = []
    await load(spawner, {})
    assert (spawner.namespace, spawner.mem_limit) == ("configured", 3 * 1024**3)


async def test_groups_are_not_merged_with_the_choice_before():
    profiles = [{"slug": "a", "kubespawner_override": {"environment": {"A": "1"}}}, {"slug": "b"}]
    spawner = await load(make(profiles), {"profile": "a"})
    # As the hub does before the next start.
    spawner.clear_state()
    spawner._apply_overrides({"environment": {"GROUP": "x"}})
    await load(spawner, {"profile": "b"})
    assert spawner.environment == {"GROUP": "x"}


async def test_failing_override_is_named_and_leaves_the_spawner_as_it_was():
    size = {"choices": {"s": {"kubespawner_override": {"cpu_limit": "a lot"}}}}
    profile = {
        "slug": "a",
        "kubespawner_override": {"image": "x:1", "environment": {"A": "b"}},
        "profile_options": {"size": size},
    }
    spawner = make([profile], image="configured:1")
    with pytest.raises(ConfigurationError) as error:
        await load(spawner)
    for part in ("profile 'a'", "option 'size'", "'cpu_limit'", "'a lot'"):
        assert part in str(error.value)
    assert (spawner.image, spawner.environment) == ("configured:1", {})


async def test_attributes_of_a_subclass_can_be_set_and_methods_cannot():
    class Own(KubeSpawner):
        flavour = "none"
        taste = Unicode("")

    override = {"flavour": "sweet", "taste": "good", "image_spec": "old-name:1"}
    spawner = await load(make([{"slug": "a", "kubespawner_override": override}], cls=Own))
    assert (spawner.flavour, spawner.taste, spawner.image) == ("sweet", "good", "old-name:1")
    for name in ("start", "progress", "__class__"):
        with pytest.raises(ConfigurationError, match=name):
            make([{"slug": "a", "kubespawner_override": {name: 1}}])


async def test_overrides_of_groups_are_applied_at_once():
    spawner = make(environment={"A": "1"})
    spawner._apply_overrides({"environment": {"B": "2"}, "image": lambda spawner: "x:1"})
    assert (spawner.environment, spawner.image) == ({"A": "1", "B": "2"}, "x:1")
    with pytest.raises(ConfigurationError, match="did you mean 'image'"):
        spawner._apply_overrides({"imagee": "x"})
    with pytest.raises(ConfigurationError, match="asynchronous"):
        spawner._apply_overrides({"image": _later})


# ---- what JupyterHub calls ---------------------------------------------------------------


async def test_form_and_query_are_parsed_alike_and_unknown_fields_named(caplog):
    spawner = make(PROFILES)
    spawner.log = logging.getLogger("profiles")
    form = {"profile": ["demo"], "profile-option-demo--image": ["minimal"], "z": ["1"], "b": ["1"]}
    expected = {"profile": "demo", "image": "minimal"}
    with caplog.at_level("WARNING"):
        assert spawner.run_options_from_form(form) == expected
    assert "b, z" in caplog.text
    assert spawner.options_from_query(form) == expected
    assert spawner.options_from_form(form) == expected
    assert spawner.image != "minimal:1"


async def test_a_dict_of_profiles_is_rendered_by_whoever_asks():
    """Deployments call this from an ``_options_form_default`` of their own."""
    spawner = make({"b": {"display_name": "Bee"}, "a": {"display_name": "Ant"}})
    page = spawner._render_options_form(spawner.profile_list)
    assert page.index("Ant") < page.index("Bee")
    assert spawner._get_initialized_profile_list({}) == {}


async def test_the_hub_does_not_complain_of_unhandled_options(caplog):
    spawner = make(PROFILES)
    if not spawner.has_trait("apply_user_options"):
        pytest.skip("JupyterHub before 5.3")
    with caplog.at_level("WARNING"):
        await spawner._run_apply_user_options({"profile": "demo"})
    assert "unhandled" not in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(["profile", "image", "image--unlisted-choice", "size", "n"])
VALUES = st.sampled_from(["demo", "big", "a", "minimal", "pangeo/x", "pangeo/{x}", "3", "99"])


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS | st.text(max_size=4), VALUES | JSON, max_size=6))
def test_any_options_are_applied_or_refused_in_words(options):
    async def attempt():
        number = {"max": 9, "kubespawner_override": {"cpu_limit": "{value}"}}
        spawner = make([*PROFILES, {"slug": "a", "profile_options": {"n": {"number": number}}}])
        spawner.user_options = options
        try:
            await load(spawner)
        except OptionsError as e:
            assert len(str(e)) < 500
        assert (await spawner.get_options_form()).encode()

    asyncio.run(attempt())
