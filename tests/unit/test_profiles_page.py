"""The page of profiles: fields, escaping, preselection, templates."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from kubespawner.errors import ConfigurationError

from ._profiles import make

FREE = {"enabled": True, "validation_regex": "r/.+", "validation_message": "an image of r"}
PROFILES = [
    {"display_name": "One <em>small</em>", "slug": "one", "description": "<b>bold</b> & so"},
    {
        "display_name": "Two",
        "profile_options": {
            "image": {
                "display_name": "Image",
                "choices": {"a": {"display_name": "A & <i>a</i>"}, "b": {"default": True}},
                "unlisted_choice": FREE,
            },
            "text": {"display_name": "Text", "unlisted_choice": {"enabled": True}},
        },
    },
]


class Page(HTMLParser):
    """Tags of a page in their order, each with its attributes and text."""

    def __init__(self, html):
        super().__init__()
        self.html, self.tags = html, []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def every(self, tag, **wanted):
        return [
            attrs
            for name, attrs in self.tags
            if name == tag and all(attrs.get(k) == v for k, v in wanted.items())
        ]

    def one(self, tag, **wanted):
        (attrs,) = self.every(tag, **wanted)
        return attrs

    @property
    def chosen(self):
        (radio,) = [a for a in self.every("input", type="radio") if "checked" in a]
        return radio["value"]

    @property
    def selected(self):
        return [a["value"] for a in self.every("option") if "selected" in a]


async def page_of(profiles, options=None, **settings):
    spawner = make(profiles, user_options=options, **settings)
    return Page(await spawner.get_options_form())


async def test_no_profiles_no_form():
    assert make().options_form == ""


async def test_names_and_ids_of_fields_are_those_of_scripts_and_bookmarks():
    page = await page_of(PROFILES)
    assert page.one("input", id="profile-item-two")["name"] == "profile"
    select = page.one("select", id="profile-option-two--image")
    assert select["name"] == "profile-option-two--image"
    text = page.one("input", id="profile-option-two--image--unlisted-choice")
    assert text["name"] == text["data-name"] == "profile-option-two--image--unlisted-choice"
    assert (text["pattern"], text["title"]) == ("r/.+", "an image of r")
    assert [a["value"] for a in page.every("option")] == ["a", "b", "unlisted-choice"]


async def test_option_with_free_text_only_is_a_field_without_select():
    only = {"slug": "a", "profile_options": {"t": {"unlisted_choice": {"enabled": True}}}}
    page = await page_of([only])
    assert page.every("select") == []
    assert "required" in page.one("input", name="profile-option-a--t--unlisted-choice")


async def test_hooks_for_styles_are_there():
    page = await page_of(PROFILES)
    assert page.one("div", id="kubespawner-profiles-list")
    classes = {c for _, attrs in page.tags for c in (attrs.get("class") or "").split()}
    assert classes >= {
        "profile",
        "radio",
        "option",
        "js-profile-label",
        "js-options-container",
        "js-profile-option-select",
        "js-profile-option-label",
        "js-other-input-container",
        "js-other-input",
    }


async def test_every_field_has_one_label_and_no_label_holds_another():
    page = await page_of(PROFILES)
    fields = [a for tag in ("input", "select") for a in page.every(tag)]
    labels = [a["for"] for a in page.every("label")]
    assert sorted(labels) == sorted(a["id"] for a in fields)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in page.tags:
        assert set((attrs.get("aria-describedby") or "").split()) <= set(ids)
    depth = 0
    for part in page.html.replace("</label", "\0</label").split("\0"):
        depth += part.count("<label") - part.count("</label")
        assert depth in (0, 1)


EVIL = "\"'><script>alert(1)</script>{{ 7*7 }}"


async def test_everything_but_the_administrators_html_is_escaped():
    option = {
        "display_name": "O",
        "choices": {EVIL: {"display_name": EVIL}},
        "unlisted_choice": {
            "enabled": True,
            "display_name_in_choices": EVIL,
            "validation_regex": EVIL,
            "validation_message": EVIL,
        },
    }
    other = {"choices": {"x": {}}, "show_if": {"o": EVIL}}
    number = {"number": {"max": 3, "unit": EVIL}}
    options = {"o": option, "p": other, 'k"<': {"choices": {"a": {}}}, "n": number}
    profile = {"slug": EVIL.replace("--", ""), "profile_options": options}
    page = await page_of([profile], {"o--unlisted-choice": EVIL[:9]})
    assert len(page.every("script")) == 1
    assert page.chosen == profile["slug"]
    text = page.every("input", type="text")[0]
    assert (text["pattern"], text["title"]) == (EVIL, EVIL)
    assert json.loads(page.every("div", **{"data-option": "p"})[0]["data-show-if"]) == {"o": EVIL}
    assert page.every("option")[0]["value"] == EVIL
    assert "49" not in page.html


async def test_saved_text_is_escaped_and_preselected():
    text = 'r/"><script>x</script>'
    page = await page_of(PROFILES, {"profile": "two", "image--unlisted-choice": text})
    assert page.chosen == "two"
    assert page.selected == ["unlisted-choice"]
    assert page.one("input", id="profile-option-two--image--unlisted-choice")["value"] == text
    assert len(page.every("script")) == 1


async def test_html_of_the_administrator_stays():
    page = await page_of(PROFILES)
    assert "One <em>small</em>" in page.html
    assert "<b>bold</b> & so" in page.html
    # In an option there can be no tags.
    assert "A &amp; a</option>" in page.html


@pytest.mark.parametrize(
    ("options", "chosen", "selected", "said"),
    [
        ({}, "one", ["b"], ""),
        ({"profile": "two"}, "two", ["b"], ""),
        ({"profile": "two", "image": "a"}, "two", ["a"], ""),
        ({"profile": "gone", "image": "a"}, "one", ["b"], "the profile &#x27;gone&#x27;"),
        ({"profile": "two", "image": "gone"}, "two", ["b"], "Image (image)"),
        ({"profile": "two", "image--unlisted-choice": "evil"}, "two", ["b"], "Image (image)"),
        ({"profile": "two", "image": ["a"]}, "two", ["b"], "Image (image)"),
        ({"profile": {"x": "<b>"}}, "one", ["b"], "&lt;b&gt;"),
    ],
)
async def test_preselection_falls_back_part_by_part_and_says_so(options, chosen, selected, said):
    page = await page_of(PROFILES, options)
    assert (page.chosen, page.selected) == (chosen, selected)
    assert ("is not available" in page.html) == bool(said)
    assert said in page.html


@pytest.mark.parametrize("key", ["items", "get", "values"])
async def test_keys_that_are_methods_of_dicts(key):
    option = {"choices": {"a": {}, "b": {"default": True}}}
    page = await page_of([{"slug": "p", "profile_options": {key: option}}])
    assert page.selected == ["b"]


async def test_static_list_is_rendered_at_every_view():
    spawner = make(PROFILES)
    assert Page(await spawner.get_options_form()).chosen == "one"
    spawner.user_options = {"profile": "two"}
    assert Page(await spawner.get_options_form()).chosen == "two"


async def test_number_field_has_limits_unit_and_saved_value():
    number = {"min": 1, "max": 8, "step": 0.5, "default": 2, "unit": "GB"}
    profiles = [{"slug": "a", "profile_options": {"mem": {"number": number}}}]
    field = (await page_of(profiles)).one("input", name="profile-option-a--mem")
    limits = {"type": "number", "min": "1", "max": "8", "step": "0.5", "value": "2"}
    assert limits.items() <= field.items()
    page = await page_of(profiles, {"mem": "4.5"})
    assert page.one("input", name="profile-option-a--mem")["value"] == "4.5"
    page = await page_of(profiles, {"mem": "9"})
    assert page.one("input", name="profile-option-a--mem")["value"] == "2"
    assert "is not available" in page.html


async def test_default_text_stands_in_the_field():
    free = {"enabled": True, "default": "r/x"}
    page = await page_of([{"slug": "a", "profile_options": {"t": {"unlisted_choice": free}}}])
    assert page.one("input", type="text")["value"] == "r/x"


@pytest.mark.parametrize(("count", "search"), [(9, 0), (10, 1), (100, 1)])
async def test_long_lists_can_be_searched(count, search):
    page = await page_of([{"slug": f"p{i}"} for i in range(count)])
    assert len(page.every("input", type="radio")) == count
    fields = page.every("input", type="search")
    assert len(fields) == search
    # It is not part of what is submitted.
    assert not any("name" in field for field in fields)


@pytest.mark.parametrize(("options", "said"), [(48, False), (50, True)])
async def test_more_fields_than_the_hub_reads_need_script(options, said):
    free = {"choices": {"a": {}}, "unlisted_choice": {"enabled": True}}
    profile = {"slug": "p", "profile_options": {f"o{n}": free for n in range(options)}}
    assert ("this page needs JavaScript" in (await page_of([profile])).html) == said


# ---- templates of deployments ------------------------------------------------------------


async def test_template_gets_the_list_and_the_options():
    template = (
        "{{ profile_list | map(attribute='slug') | join(' ') }} {{ user_options | tojson }} "
        "{{ profile_list[1].profile_options.image.unlisted_choice.display_name_in_choices }}"
    )
    spawner = make(PROFILES, profile_form_template=template)
    spawner.user_options = {"profile": "two", "image": "a", "own": 3}
    form = await spawner.get_options_form()
    # In the order in which they are, not sorted.
    assert form == 'one two {"own": 3, "profile": "two", "image": "a"} Other...'


async def test_directory_may_replace_the_form_or_the_style_alone(tmp_path):
    (tmp_path / "style.css").write_text(".mine {}")
    paths = [str(tmp_path)]
    page = await page_of(PROFILES, additional_profile_form_template_paths=paths)
    assert ".mine {}" in page.html
    assert page.one("div", id="kubespawner-profiles-list")
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "form.html").write_text("mine: {{ profile_list | length }}")
    spawner = make(PROFILES, additional_profile_form_template_paths=[str(whole), *paths])
    assert await spawner.get_options_form() == "mine: 2"


async def test_literal_template_wins_over_files(tmp_path):
    (tmp_path / "form.html").write_text("file")
    spawner = make(
        PROFILES,
        profile_form_template="literal",
        additional_profile_form_template_paths=[str(tmp_path)],
    )
    assert await spawner.get_options_form() == "literal"


async def test_failing_template_is_named():
    spawner = make(PROFILES, profile_form_template="{{ 1 + user_options }}")
    with pytest.raises(ConfigurationError, match="the template of the spawn form: TypeError"):
        await spawner.get_options_form()
