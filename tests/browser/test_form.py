"""The spawn form: what is shown, chosen, checked and started."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from ._pages import arrive, card, chosen, field, pod_of, start, stop

SCIPY = "quay.io/jupyter/scipy-notebook:2026-10"


# ---- elements ----------------------------------------------------------------------------


def test_what_is_there_at_first(visit):
    page = visit("show")
    assert chosen(page) == "minimal"
    names = ["Minimal", "Course work", "Machine learning"]
    assert [c.inner_text() for c in page.locator(".js-profile-label").all()] == names
    expect(page.get_by_role("radiogroup", name="Profiles")).to_be_visible()
    expect(page.get_by_role("group", name="Options of Course work")).to_be_visible()
    expect(page.locator("#kubespawner-profiles-search")).to_have_count(0)
    expect(page.locator(".alert")).to_have_count(0)


def test_a_radio_is_chosen_by_its_label_and_by_the_card(visit):
    page = visit("show")
    page.get_by_label("Course work", exact=True).check()
    assert chosen(page) == "course"
    card(page, "ml").get_by_text("Notebooks that train").click()
    assert chosen(page) == "ml"
    # Who uses an option of a profile wants that profile.
    field(page, "course", "memory").fill("3")
    assert chosen(page) == "course"


def test_a_link_in_a_description_is_followed_and_chooses_nothing(visit):
    page = visit("show")
    page.get_by_label("Course work", exact=True).check()
    link = card(page, "minimal").get_by_role("link", name="What is in it")
    assert link.get_attribute("rel") == "noopener"
    page.context.route("https://jupyter.org/**", lambda route: route.fulfill(body="there"))
    with page.context.expect_page() as opened:
        link.click()
    expect(opened.value.locator("body")).to_have_text("there")
    assert chosen(page) == "course"


def test_html_of_descriptions_is_shown_and_text_stays_text(visit):
    page = visit("markup")
    expect(page.locator(".js-profile-label em")).to_have_text("Small")
    expect(page.locator(".profile-text b")).to_have_text("bold")
    expect(page.locator(".profile-text")).to_have_text("A bold word, 1 < 2")
    expect(page.locator(".js-profile-option-label i")).to_have_text("option")
    texts = field(page, "markup", "o").locator("option").all_inner_texts()
    assert texts == ["a < b", "with tags & more", "Other..."]
    assert page.title() == "JupyterHub"
    field(page, "markup", "o").select_option(index=2)
    text = field(page, "markup", "o--unlisted-choice")
    text.fill('"><b>')
    text.blur()
    expect(card(page, "markup").locator(".invalid-feedback")).to_have_text(
        'No quotes " and no <brackets>'
    )


def test_a_choice_whose_key_looks_like_markup_can_be_started(visit):
    page = visit("markup")
    field(page, "markup", "o").select_option(index=0)
    start(page)


# ---- select and free text ----------------------------------------------------------------


def test_a_listed_choice_is_started(visit, hubs):
    page = visit("show")
    page.get_by_label("Image", exact=True).select_option("R")
    page.get_by_label("Memory").fill("2.5")
    pod = pod_of(hubs, start(page))
    assert (pod["image"], pod["memory"]) == (
        "quay.io/jupyter/r-notebook:2026-10",
        str(int(2.5 * 2**30)),
    )


def test_a_text_is_checked_while_it_is_typed_and_started(visit, hubs):
    page = visit("show")
    text = page.get_by_label("Name of the image")
    problem = card(page, "course").locator(".js-other-input-container .invalid-feedback")
    expect(text).to_be_hidden()
    page.get_by_label("Image", exact=True).select_option("Another image…")
    expect(text).to_be_visible()
    text.press_sequentially("quay.io/jupyter/x")
    # Nobody is told off before they are done.
    expect(problem).to_be_hidden()
    text.blur()
    expect(problem).to_have_text("An image of quay.io/jupyter with its tag")
    assert text.get_attribute("aria-invalid") == "true"
    expect(text).to_have_accessible_description("An image of quay.io/jupyter with its tag")
    page.get_by_role("button", name="Start").click()
    assert page.url.endswith("/hub/spawn")
    text.press("End")
    text.press_sequentially(":1.0-a")
    expect(problem).to_be_hidden()
    assert text.get_attribute("aria-invalid") is None
    # As text is pasted; the hub does not mind, nor does the page.
    text.fill(f"  {text.input_value()} ")
    assert pod_of(hubs, start(page))["image"] == "quay.io/jupyter/x:1.0-a"


def test_a_text_that_is_missing(visit):
    page = visit("show")
    page.get_by_label("Image", exact=True).select_option("Another image…")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_label("Name of the image")).to_be_focused()
    problem = card(page, "course").locator(".js-other-input-container .invalid-feedback")
    expect(problem).to_have_text("Enter a value.")
    # Only while it is wanted.
    page.get_by_label("Image", exact=True).select_option("R")
    expect(problem).to_be_hidden()
    start(page)


def test_a_field_of_another_profile_does_not_keep_the_form_back(visit):
    page = visit("show")
    page.get_by_label("Memory").fill("99")
    page.get_by_label("Minimal").check()
    start(page)


# ---- numbers and conditions --------------------------------------------------------------


def test_a_number_within_its_limits(visit):
    page = visit("show")
    memory = page.get_by_label("Memory")
    assert (memory.get_attribute("type"), memory.input_value()) == ("number", "2")
    expect(memory).to_have_accessible_description("From 1 to 8 GB, in steps of 0.5")
    memory.press("ArrowUp")
    assert memory.input_value() == "2.5"
    problem = card(page, "course").locator(".input-group .invalid-feedback")
    for wrong in ("0.5", "8.5", "2.25", ""):
        memory.fill(wrong)
        memory.blur()
        expect(problem).to_be_visible()
        expect(memory).to_have_accessible_description(
            "Enter a number within these limits: From 1 to 8 GB, in steps of 0.5"
        )
        page.get_by_role("button", name="Start").click()
        assert page.url.endswith("/hub/spawn")
    memory.fill("8")
    expect(problem).to_be_hidden()
    start(page)


def test_options_appear_when_another_one_asks_for_them(visit, hubs):
    page = visit("show")
    count, project = page.get_by_label("How many"), page.get_by_label("Project that pays")
    expect(count).to_be_hidden()
    page.get_by_label("Graphics card").select_option("T4, 16 GB")
    expect(count).to_be_visible()
    expect(count).to_have_accessible_description(
        "From 1 to 4, in steps of 1 More than one only helps programs that are written for it."
    )
    expect(project).to_be_hidden()
    page.get_by_label("Graphics card").select_option("A100, 80 GB")
    project.fill("abc-123")
    assert pod_of(hubs, start(page))["environment"]["PROJECT"] == "abc-123"


def test_an_option_that_disappeared_does_not_count(visit, hubs):
    page = visit("show")
    page.get_by_label("Graphics card").select_option("A100, 80 GB")
    page.get_by_label("Project that pays").fill("not a project")
    page.get_by_label("Graphics card").select_option("None")
    expect(page.get_by_label("Project that pays")).to_be_hidden()
    assert "PROJECT" not in pod_of(hubs, start(page))["environment"]


# ---- the last choice ---------------------------------------------------------------------


def test_the_last_choice_is_preselected(visit):
    page = visit("show")
    page.get_by_label("Image", exact=True).select_option("Another image…")
    page.get_by_label("Name of the image").fill(SCIPY)
    page.get_by_label("Memory").fill("4.5")
    start(page)
    stop(page)
    page.goto("/hub/spawn")
    assert chosen(page) == "course"
    assert field(page, "course", "image").input_value() == "unlisted-choice"
    assert page.get_by_label("Name of the image").input_value() == SCIPY
    assert page.get_by_label("Memory").input_value() == "4.5"
    expect(page.locator(".alert")).to_have_count(0)
    start(page)


def test_a_choice_that_is_gone_falls_back_and_the_page_says_so(visit, hub, screenshot):
    second, old = visit("stale"), visit("stale")
    field(second, "second", "size").select_option("old")
    field(second, "second", "memory").fill("3")
    old.get_by_label("Old", exact=True).check()
    for page in (second, old):
        start(page)
        stop(page)
    shrunk = hub.directory / "shrunk"
    shrunk.touch()
    try:
        for page in (second, old):
            page.goto("/hub/spawn")
        alert = second.get_by_role("status")
        expect(alert).to_have_text(
            "Part of your last choice is not available, so the default is used instead for: "
            "Size (size)."
        )
        # The rest of it stays.
        assert chosen(second) == "second"
        assert field(second, "second", "size").input_value() == "small"
        assert field(second, "second", "memory").input_value() == "3"
        screenshot(second, "form-stale")
        expect(old.get_by_role("status")).to_contain_text("the profile 'old'")
        assert chosen(old) == "first"
        start(second)
        start(old)
    finally:
        shrunk.unlink()


# ---- groups ------------------------------------------------------------------------------


def test_profiles_and_choices_of_other_groups_are_not_offered_and_refused(visit):
    page = visit("group")
    assert page.locator('input[name="profile"]').count() == 1
    assert field(page, "all", "size").locator("option").all_inner_texts() == ["small"]
    # Who writes it into the page themselves.
    page.locator("#profile-item-all").evaluate("radio => { radio.value = 'gpu'; }")
    page.get_by_role("button", name="Start").click()
    error = page.locator(".spawn-error-msg")
    expect(error).to_have_text("Error: No such profile: 'gpu'. Options are: all")
    field(page, "all", "size").locator("option").evaluate("o => { o.value = 'huge'; }")
    page.get_by_role("button", name="Start").click()
    expect(error).to_have_text(re.compile("'huge' is not offered. Options are: small"))
    start(page)


def test_members_of_the_group_are_offered_more(visit):
    page = visit("gpu-member", exactly=True)
    names = ["For all", "With a graphics card", "For callables"]
    assert [c.inner_text() for c in page.locator(".js-profile-label").all()] == names
    texts = field(page, "all", "size").locator("option").all_inner_texts()
    assert texts == ["small", "huge"]
    page.get_by_label("With a graphics card").check()
    start(page)


# ---- without script ----------------------------------------------------------------------


def test_the_form_works_without_script(visit, hubs):
    page = visit("show", java_script_enabled=False)
    page.get_by_label("Machine learning", exact=True).check()
    page.get_by_label("Graphics card").select_option("A100, 80 GB")
    page.get_by_label("Project that pays").fill("xyz-987")
    page.get_by_role("button", name="Start").click()
    # The hub's own progress page needs script to go on.
    page.wait_for_url(re.compile("/spawn-pending/|/user/"))
    user = re.search("show-[0-9]+", page.url)[0]
    assert pod_of(hubs, user)["environment"]["PROJECT"] == "xyz-987"


def test_the_query_starts_at_once(visit, hubs):
    page = visit("show", "/hub/spawn%3Fprofile%3Dcourse%26profile-option-course--memory%3D7")
    assert pod_of(hubs, arrive(page))["memory"] == str(7 * 2**30)
