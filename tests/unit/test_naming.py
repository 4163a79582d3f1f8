"""Templates: what their fields render as, what they refuse, and that no two names are alike."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespawner.naming import (
    TEMPLATE_FIELDS,
    MalformedTemplateError,
    ServerIdentity,
    TemplateError,
    UnknownFieldError,
    check_template,
    escape_braces,
    expand,
    expand_all,
    template_fields,
)

DEFAULT = "jupyter-{user_server}"
SEED = "jupyter-{username}{servername}"
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

any_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
# Few characters, and those that slugs and dashes are made of: collisions, if any, are near.
near_text = st.text("ab-2d4@", max_size=6) | st.from_regex(r"[a-z0-9]{1,4}(-[a-z0-9]{1,4}){0,3}")
texts = any_text | near_text
pairs = st.tuples(texts.filter(bool), texts)


def fields(username, servername="", scheme="safe", **resolved):
    identity = ServerIdentity(username, servername, 7, "default", scheme)
    return template_fields(identity, **resolved)


def render(template, username, servername="", scheme="safe", **resolved):
    return expand(template, fields(username, servername, scheme, **resolved))


# user, server, scheme safe, scheme escape
DEFAULT_NAMES = [
    ("user", "", "user", "user"),
    ("user", "server", "user--server", "user--server"),
    (
        "has-hyphen",
        "my-server",
        "has-hyphen--my-server",
        "has-2dhyphen--my-2dserver",
    ),
    ("Capital", "srv", "capital---1a1cf792--srv", "-43apital--srv"),
    ("user", "Srv", "user--srv---9910e533", "user---53rv"),
    (
        "user@email.com",
        "Some Name",
        "user-email-com---0925f997--some-name---3a8b1764",
        "user-40email-2ecom---53ome-20-4eame",
    ),
    (
        "some_user",
        "test-server!",
        "some-user---7d3a4d4e--test-server---cb54a9af",
        "some-5fuser--test-2dserver-21",
    ),
    (
        "Some.User",
        "My Server",
        "some-user---8c4e8cd3--my-server---c2d9a82f",
        "-53ome-2e-55ser---4dy-20-53erver",
    ),
    ("9lives", "a", "x-9lives---bc867356--a", "9lives--a"),
    ("123", "456", "x-123---a665a459--x-456---b3a8e0e1", "123--456"),
    ("user--x", "y", "user-x---cf4d81f6--y", "user-2d-2dx--y"),
    ("user", "-", "user--x---3973e022", "user---2d"),
    ("日本", "", "x---cf2abf0c", "-e6-97-a5-e6-9c-ac"),
    ("x" * 46, "", "x" * 46, "x" * 46),
    ("x" * 47, "", "x" * 17 + "--x---cfcbdd85", "x" * 47),
    ("x" * 49, "", "x" * 17 + "--x---9b942dee", "x" * 49),
    ("a" * 30, "b" * 16, "a" * 30 + "--" + "b" * 16, "a" * 30 + "--" + "b" * 16),
    (
        "a" * 30,
        "b" * 17,
        "a" * 17 + "--" + "b" * 17 + "---11659598",
        "a" * 30 + "--" + "b" * 17,
    ),
    ("A" * 40, "s", "a" * 17 + "--s---817af5f7", "-41" * 40 + "--s"),
    ("user-has-dash", "", "user-has-dash", "user-2dhas-2ddash"),
    ("user-has", "dash", "user-has--dash", "user-2dhas--dash"),
]


@pytest.mark.parametrize(("user", "server", "safe", "escaped"), DEFAULT_NAMES)
def test_default_names(user, server, safe, escaped):
    for prefix in ("jupyter", "claim"):
        template = prefix + "-{user_server}"
        assert render(template, user, server) == f"{prefix}-{safe}"
        assert render(template, user, server, "escape") == f"{prefix}-{escaped}"
    assert render("{safe_user_server}", user, server, "escape") == safe
    assert render("{escaped_user_server}", user, server) == escaped


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{userid}", "7"),
        ("{unescaped_username}/{unescaped_servername}", "Foo@x/Bar"),
        ("{username}", "foo-x---bcc812cd"),
        ("{safe_servername}", "bar---95d64cac"),
        ("{escaped_username}", "-46oo-40x"),
        ("{escaped_servername}", "-42ar"),
        ("{legacy_escape_username}", "foo-x"),
        ("{hubnamespace}-{username}", "user-foo-x---bcc812cd"),
        ("{pod_name} {pvc_name} {namespace}", "pod_name_unavailable! claim space"),
        ("{username!r:>20}", "  'foo-x---bcc812cd'"),
        ("{{literal}} ${{HOME}}", "{literal} ${HOME}"),
    ],
)
def test_fields(template, expected):
    safe = template_fields(
        ServerIdentity("Foo@x", "Bar", 7, "default"), pvc_name="claim", namespace="space"
    )
    assert expand(template, safe) == expected


def test_hub_namespace_of_its_own_name():
    identity = ServerIdentity("a", "", 1, "hubs", "safe")
    assert expand("{hubnamespace}", template_fields(identity)) == "hubs"


def test_every_field_renders_under_both_schemes():
    for scheme in ("safe", "escape"):
        found = fields("A-b", "C", scheme)
        assert set(found) == TEMPLATE_FIELDS
        assert len(found) == len(TEMPLATE_FIELDS)
        for name in TEMPLATE_FIELDS:
            assert expand(f"{{{name}}}", found) == str(found[name])


def test_scheme_may_be_chosen_for_one_rendering():
    identity = ServerIdentity("A", "", 1, "hubs", "safe")
    assert expand("{username}", template_fields(identity, slug_scheme="escape")) == "-41"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{username}--{servername}", "user"),
        ("a-{servername}-b", "a--b"),
        ("x-{servername}-", "x--"),
        ("{escaped_user_server}-x", "user-x"),
        ("--", "--"),
        ("{servername}", ""),
        ("text---", "text---"),
    ],
)
def test_dashes_that_a_default_server_leaves(template, expected):
    assert render(template, "user") == expected


def test_text_around_the_fields_is_kept():
    assert (
        render("prefix-{user_server}-suffix", "some_user") == "prefix-some-user---7d3a4d4e-suffix"
    )


class TestAdjacentFields:
    """`{servername}` directly behind another field, as the 0.8 documentation's templates have it."""

    @pytest.mark.parametrize("scheme", ["safe", "escape"])
    def test_a_dash_precedes_the_server_name(self, scheme):
        assert render(SEED, "user", "server", scheme) == "jupyter-user-server"
        assert render(SEED, "user", "", scheme) == "jupyter-user"
        assert render("{userid}{servername}", "a-b", "c", scheme) == "7-c"
        assert render("{username!s}{servername:>4}", "a", "b", scheme) == "a  -b"

    def test_a_template_with_text_between_is_left_alone(self):
        assert render("{username}.{servername}", "user", "server") == "user.server"
        assert render("{username}{{{servername}", "user", "server") == "user{server"
        assert render("{servername}{username}", "user", "server") == "serveruser"
        assert render("{username}{safe_servername}", "user", "server") == "userserver"

    def test_names_as_of_version_7(self):
        for server, name in (("server", "jupyter-a-bserver"), ("", "jupyter-a-b")):
            assert expand(SEED, fields("a-b", server), join=False) == name

    @pytest.mark.parametrize(
        "group",
        [
            [("a", "bc"), ("ab", "c"), ("abc", "")],
            [("a", "b-c"), ("a-b", "c"), ("a-b-c", "")],
            [("a", "b"), ("a-b", "")],
            [("jane", "doe"), ("jane-doe", "")],
            [("a@b", ""), ("a", "b"), ("a-b", ""), ("a.b", "")],
        ],
    )
    def test_pairs_that_a_dash_alone_would_confuse(self, group):
        for scheme in ("safe", "escape"):
            assert len({render(SEED, *pair, scheme) for pair in group}) == len(group)

    def test_escaped_names_whose_server_looks_like_an_escape(self):
        group = [("a@b", ""), ("a", "40b"), ("a-", ""), ("a", "2d"), ("a", "c3-a9"), ("aé", "")]
        assert len({render(SEED, *pair, "escape") for pair in group}) == len(group)

    @pytest.mark.parametrize("user", ["user", "student-01", "user-has-dash", "x" * 46])
    def test_default_servers_keep_their_names(self, user):
        assert render(SEED, user) == f"jupyter-{user}"

    @pytest.mark.parametrize("scheme", ["safe", "escape"])
    @pytest.mark.parametrize("alphabet", ["ab-", "a2d", "a4@", "a-2"])
    def test_no_two_of_all_short_names_collide(self, scheme, alphabet):
        names = ["".join(c) for n in range(4) for c in itertools.product(alphabet, repeat=n)]
        servers = {
            render(SEED, user, server, scheme): (user, server)
            for user in names[1:]
            for server in names
        }
        assert len(servers) == len(names[1:]) * len(names)

    def test_long_names_still_fit_where_a_hash_lets_them(self):
        assert len(render(SEED, "a-b" * 10, "c" * 48)) <= 63
        assert len(render(SEED, "a" * 42, "c" * 48)) <= 63


@pytest.mark.parametrize("template", [DEFAULT, SEED, "{username}--{servername}"])
@pytest.mark.parametrize("scheme", ["safe", "escape"])
@given(one=pairs, other=pairs)
def test_no_two_servers_have_one_name(template, scheme, one, other):
    if one != other:
        assert render(template, *one, scheme) != render(template, *other, scheme)


@given(pair=pairs)
def test_names_are_dns_labels(pair):
    for template in (DEFAULT, "claim-{user_server}"):
        name = render(template, *pair)
        assert DNS_LABEL.fullmatch(name)
        assert len(name) <= 63
        assert DNS_LABEL.fullmatch(render(template, *pair, "escape"))


@given(pair=pairs)
def test_names_by_the_seed_template_are_dns_names(pair):
    name = render(SEED, *pair)
    assert DNS_LABEL.fullmatch(name)
    assert len(name) <= (63 if len(render("{username}", *pair)) <= 42 else 253)
    assert DNS_LABEL.fullmatch(render(SEED, *pair, "escape"))


def test_expansion_of_structures():
    untouched = object()
    source = {
        "{username}": ["{username}", 1, None, ("{username}",), {"deep": "x-{servername}"}],
        "object": untouched,
        "option": "--",
    }
    assert expand_all(source, fields("user", "srv")) == {
        "{username}": ["user", 1, None, ("{username}",), {"deep": "x-srv"}],
        "object": untouched,
        "option": "--",
    }
    assert expand_all("{username}", fields("user")) == "user"


@given(any_text)
def test_escaped_braces_survive_one_expansion(text):
    assert expand(escape_braces(text) + ".", fields("a")) == text + "."


class TestErrors:
    def test_unknown_field(self):
        with pytest.raises(KeyError) as caught:
            render("x-{usernam}", "a")
        assert "unknown field {usernam}; did you mean {username}?" in str(caught.value)
        assert "'x-{usernam}'" in str(caught.value)
        with pytest.raises(UnknownFieldError, match=r"unknown field {qqq}\. Valid fields: escaped"):
            check_template("{qqq}")
        # The spelling that is used inside for adjacent fields is no field.
        with pytest.raises(UnknownFieldError):
            render("{username+servername}", "a", "b")

    @pytest.mark.parametrize("template", ["a{", "a}b", "{username", "{username}}"])
    def test_stray_brace(self, template):
        for attempt in (lambda: render(template, "a"), lambda: check_template(template)):
            with pytest.raises(ValueError, match="brace that is meant literally is written twice"):
                attempt()

    @pytest.mark.parametrize("template", ["{}", "{0}", "x{:>3}", "{[0]}"])
    def test_field_without_a_name(self, template):
        for attempt in (lambda: render(template, "a"), lambda: check_template(template)):
            with pytest.raises(IndexError, match="a field without a name"):
                attempt()

    @pytest.mark.parametrize("template", ["{username.nope}", "{userid[0]}", "{username:d}"])
    def test_format_that_does_not_fit(self, template):
        with pytest.raises(MalformedTemplateError, match=re.escape(repr(template))):
            render(template, "a")

    @pytest.mark.parametrize("template", ["{usernam}", "{", "{}"])
    def test_all_are_of_one_family_and_value_errors(self, template):
        with pytest.raises(TemplateError):
            check_template(template)
        with pytest.raises(ValueError):
            check_template(template)

    def test_check_knows_other_fields_too(self):
        check_template("{name}.{namespace}.svc", {"name", "namespace"})
        check_template("{username[0]}-{username!r:>{userid}}")
        with pytest.raises(UnknownFieldError, match="Valid fields: name, namespace"):
            check_template("{name}.{username}", {"name", "namespace"})
        with pytest.raises(UnknownFieldError, match=r"\{width\}"):
            check_template("{username:>{width}}")
