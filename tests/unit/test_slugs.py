"""Slugs: their exact text, on which the names of claims depend."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespawner.slugs import (
    escape_slug,
    is_valid_default,
    is_valid_label,
    is_valid_object_name,
    multi_slug,
    safe_slug,
    strip_and_hash,
)

LONG = "a-very-long-name-that-is-too-long-for-sixty-four-character-labels"
DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
names = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)

# name, escaped, safe as an object's name, safe as a label
TABLE = [
    ("user", "user", "user", "user"),
    ("has-hyphen", "has-2dhyphen", "has-hyphen", "has-hyphen"),
    ("Capital", "-43apital", "capital---1a1cf792", "Capital"),
    ("ALLCAPS", "-41-4c-4c-43-41-50-53", "allcaps---27c6794c", "ALLCAPS"),
    ("user@email.com", "user-40email-2ecom", "user-email-com---0925f997", None),
    ("some user", "some-20user", "some-user---970f6c0d", None),
    ("has.dot", "has-2edot", "has-dot---03e27fdf", "has.dot"),
    ("under_score", "under-5fscore", "under-score---d8071166", "under_score"),
    ("9z9", "9z9", "x-9z9---224de202", "9z9"),
    ("123", "123", "x-123---a665a459", "123"),
    ("9.", "9-2e", "x-9---99a1b84b", None),
    ("-start", "-2dstart", "start---f587e2dc", None),
    ("endswith-", "endswith-2d", "endswith---165f1166", None),
    ("üser", "-c3-bcser", "ser---73506260", None),
    ("jupyter-üni", "jupyter-2d-c3-bcni", "jupyter-ni---a5aaf5dd", None),
    (
        "user-_@_emailß.com",
        "user-2d-5f-40-5femail-c3-9f-2ecom",
        "user-email-com---7e3a7efd",
        None,
    ),
    ("日本", "-e6-97-a5-e6-9c-ac", "x---cf2abf0c", None),
    ("user--server", "user-2d-2dserver", "user-server---e0fce295", None),
    ("start---f587e2dc", "start-2d-2d-2df587e2dc", "start-f587e2dc---cc5bb9c9", None),
    ("-", "-2d", "x---3973e022", None),
    ("A", "-41", "a---559aead0", "A"),
    ("", "", "x---e3b0c442", ""),
    ("x" * 63, "x" * 63, "x" * 63, "x" * 63),
    ("x" * 64, "x" * 64, "x" * 21 + "---7ce10097", None),
    (LONG, LONG.replace("-", "-2d"), "a-very-long-name-that---29ac5fd2", None),
]


@pytest.mark.parametrize(("name", "escaped", "safe", "label"), TABLE)
def test_slugs_of_names(name, escaped, safe, label):
    assert escape_slug(name) == escaped
    assert safe_slug(name) == safe
    assert safe_slug(name, is_valid=is_valid_label) == (safe if label is None else label)


@pytest.mark.parametrize(
    ("name", "limit", "slug"),
    [
        ("x" * 16, 16, "x" * 16),
        ("x" * 17, 16, "xxxxx---d04fd59f"),
        ("x" * 16, 12, "x---9c572959"),
        (LONG, 48, "a-very-long-name-that-is-too-long-for---29ac5fd2"),
    ],
)
def test_safe_slug_within_a_limit(name, limit, slug):
    assert safe_slug(name, max_length=limit) == slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("AbC", "AbC"),
        ("AbC.", "abc---dbe8c5d1"),
        ("a@b.c", "a-b-c---d648b243"),
        ("x-", "x---c8b60efc"),
    ],
)
def test_label_slugs(name, slug):
    assert safe_slug(name, is_valid=is_valid_label) == slug


def test_too_little_room_for_a_hash_is_an_error():
    with pytest.raises(ValueError, match="max_length is 11"):
        safe_slug("x" * 16, max_length=11)
    with pytest.raises(ValueError, match="max_length is 11"):
        strip_and_hash("x", max_length=11)


@pytest.mark.parametrize(
    ("parts", "slug"),
    [
        (["user", "server"], "user--server---ff173834"),
        (["user@email.com", "Some Name"], "user-email-com--some-name---0c1fe94b"),
        (["user", ""], "user--x---dd501ea6"),
        (["a"], "a---ca978112"),
        (["A" * 60], "a" * 37 + "---c5fb235b"),
    ],
)
def test_multi_slug(parts, slug):
    assert multi_slug(parts) == slug


def test_multi_slug_within_a_limit():
    assert multi_slug(["a", "b"], max_length=17) == "a--b---01ce0241"
    with pytest.raises(ValueError, match="too short for 2 names"):
        multi_slug(["a", "b"], max_length=16)
    with pytest.raises(ValueError, match="at least one"):
        multi_slug([])


@pytest.mark.parametrize("name", ["a", "a1", "a-b", "a--b", "x" * 63])
def test_valid_object_names(name):
    assert is_valid_object_name(name)
    assert is_valid_default(name)


@pytest.mark.parametrize("name", ["", "1a", "-a", "a-", "A", "a.b", "a_b", "a\n", "ſ", "x" * 64])
def test_invalid_object_names(name):
    assert not is_valid_object_name(name)
    assert not is_valid_default(name)


@pytest.mark.parametrize("text", ["", "a", "1", "A.b_c-d", "x" * 63])
def test_valid_labels(text):
    assert is_valid_label(text)


# U+017F and U+212A are s and k to a pattern that ignores case and is not restricted to ASCII.
@pytest.mark.parametrize(
    "text", ["-a", "a-", ".", "_a", "a b", "a\n", "ü", "\u017f", "\u212a", "a\u212ab", "x" * 64]
)
def test_invalid_labels(text):
    assert not is_valid_label(text)


@given(names)
def test_every_slug_is_a_dns_label(name):
    for slug in (
        safe_slug(name),
        safe_slug(name, max_length=48),
        strip_and_hash(name),
        multi_slug([name, name]),
    ):
        assert len(slug) <= 63
        assert DNS_LABEL.fullmatch(slug)
    assert is_valid_label(safe_slug(name, is_valid=is_valid_label))


@given(names, names)
def test_slugs_of_different_names_differ(one, other):
    if one != other:
        assert safe_slug(one) != safe_slug(other)
        assert safe_slug(one, max_length=48) != safe_slug(other, max_length=48)
        assert safe_slug(one, is_valid_label) != safe_slug(other, is_valid_label)
        assert escape_slug(one) != escape_slug(other)


@given(names)
def test_a_slug_is_no_user_name_that_keeps_it(name):
    """A user can't be called as somebody else's hashed slug."""
    slug = strip_and_hash(name)
    assert safe_slug(slug) != slug


@given(st.lists(names, min_size=2, max_size=2))
def test_multi_slug_tells_where_one_name_ends(parts):
    one, other = parts
    if other:
        assert multi_slug([one, other]) != multi_slug([one + other[0], other[1:]])
