"""The form for everybody: by keyboard, on a phone, in the dark, for assistive technology."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from ._pages import card, check_accessible, chosen, field, overflow, pod_of, start

PHONE = {"width": 360, "height": 640, "has_touch": True}
SCHEMES = ["light", "dark"]


def focused(page: Page) -> str:
    """Return the id of what has the focus, or its text."""
    return page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")


def tab_to(page: Page, wanted: str) -> None:
    """Press Tab until ``wanted`` has the focus."""
    passed = []
    for _ in range(20):
        page.keyboard.press("Tab")
        passed.append(focused(page))
        if passed[-1] == wanted:
            return
    raise AssertionError(f"Tab does not lead to {wanted}: {passed}")


# ---- keyboard ----------------------------------------------------------------------------


def test_from_the_top_of_the_page_to_a_server_by_keyboard_only(visit, hubs):
    page = visit("show")
    tab_to(page, "profile-item-minimal")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert (chosen(page), focused(page)) == ("ml", "profile-item-ml")
    page.keyboard.press("ArrowUp")
    assert chosen(page) == "course"
    tab_to(page, "profile-option-course--image")
    # A select is chosen from by typing, as ever.
    page.keyboard.type("Another")
    page.keyboard.press("Tab")
    assert focused(page) == "profile-option-course--image--unlisted-choice"
    page.keyboard.type("quay.io/jupyter/r-notebook:1")
    page.keyboard.press("Tab")
    assert focused(page) == "profile-option-course--memory"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    assert focused(page) == "Start"
    page.keyboard.press("Enter")
    page.wait_for_url("**/user/**")
    pod = pod_of(hubs, page.url.split("/user/")[1].split("/")[0])
    assert pod["image"] == "quay.io/jupyter/r-notebook:1"
    assert pod["memory"] == str(int(2.5 * 2**30))


def test_a_mistake_is_reached_and_mended_by_keyboard(visit):
    page = visit("show")
    page.get_by_label("Course work", exact=True).focus()
    page.keyboard.press("Space")
    tab_to(page, "profile-option-course--memory")
    page.keyboard.type("99")
    # Enter in a field sends the form, which leads to the mistake.
    page.keyboard.press("Enter")
    assert focused(page) == "profile-option-course--memory"
    expect(card(page, "course").locator(".input-group .invalid-feedback")).to_be_visible()
    page.keyboard.press("Control+a")
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    page.wait_for_url("**/user/**")


def test_passing_by_chooses_nothing(visit):
    page = visit("show")
    tab_to(page, "Start")
    assert chosen(page) == "minimal"


def test_the_focus_can_be_seen(visit):
    page = visit("show")
    page.locator("#profile-item-minimal").focus()
    page.keyboard.press("ArrowDown")
    style = card(page, "course").evaluate(
        "c => { const s = getComputedStyle(c); return [s.outlineStyle, s.outlineWidth]; }"
    )
    assert style == ["solid", "2px"]


# ---- phone -------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["show", "markup", "group"])
def test_a_phone_shows_the_whole_width(visit, who):
    assert overflow(visit(who, **PHONE)) == 0


def test_long_texts_do_not_widen_a_phone(visit):
    page = visit("show", **PHONE)
    page.get_by_label("Image", exact=True).select_option("Another image…")
    page.get_by_label("Name of the image").fill("quay.io/" + "x" * 200)
    page.get_by_label("Memory").fill("99")
    page.get_by_label("Memory").blur()
    page.evaluate("document.querySelector('.js-profile-label').textContent = 'W'.repeat(200)")
    assert overflow(page) == 0


def test_a_phone_is_used_with_a_finger(visit, screenshot):
    page = visit("show", **PHONE)
    card(page, "course").get_by_text("What the exercises").tap()
    assert chosen(page) == "course"
    screenshot(page, "form-phone")
    page.get_by_role("button", name="Start").tap()
    page.wait_for_url("**/user/**")


# ---- light and dark, axe -----------------------------------------------------------------


def colours(page: Page) -> list[str]:
    return page.evaluate(
        """() => {
            const body = getComputedStyle(document.body);
            const card = getComputedStyle(document.querySelector(".profile:not(:has(input:checked))"));
            return [body.backgroundColor, body.color, card.borderTopColor];
        }"""
    )


def test_dark_and_light_follow_the_hubs_theme(visit):
    dark, light = visit("show", color_scheme="dark"), visit("show", color_scheme="light")
    assert dark.evaluate("document.documentElement.dataset.bsTheme") == "dark"
    for in_the_dark, in_the_light in zip(colours(dark), colours(light), strict=True):
        assert in_the_dark != in_the_light
    # And the button that JupyterHub has for it.
    light.locator("#dark-theme-toggle").click()
    expect(light.locator("html")).to_have_attribute("data-bs-theme", "dark")
    assert colours(light) == colours(dark)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_state_of_the_form_is_accessible(visit, screenshot, scheme):
    page = visit("show", color_scheme=scheme, height=1020)
    check_accessible(page)
    page.get_by_label("Graphics card").select_option("A100, 80 GB")
    page.get_by_label("Project that pays").fill("abc-12")
    page.get_by_label("Project that pays").blur()
    expect(page.locator(".invalid-feedback:visible")).to_have_count(1)
    screenshot(page, f"form-{scheme}")
    check_accessible(page)
    page.get_by_label("Image", exact=True).select_option("Another image…")
    page.get_by_label("Memory").fill("99")
    page.get_by_label("Name of the image").fill("docker.io/x")
    page.get_by_label("Name of the image").blur()
    expect(page.locator(".invalid-feedback:visible")).to_have_count(2)
    check_accessible(page)
    page.get_by_label("Machine learning", exact=True).check()
    # The hub's answer to a refused choice.
    field(page, "ml", "count").evaluate("i => { i.type = 'hidden'; i.value = '9'; }")
    page.get_by_label("Project that pays").fill("abc-123")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".spawn-error-msg")).to_contain_text("How many (count): 9 is not allowed")
    check_accessible(page)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("who", ["markup", "group"])
def test_other_forms_are_accessible(visit, scheme, who):
    check_accessible(visit(who, color_scheme=scheme))


def test_colours_of_the_users_own_still_tell_what_is_chosen(visit):
    page = visit("show", forced_colors="active")
    widths = page.evaluate(
        """() => [...document.querySelectorAll(".profile")].map(
            (element) => getComputedStyle(element).borderTopWidth)"""
    )
    assert widths == ["3px", "1px", "1px"]
    start(page)
