"""A hundred profiles: found, chosen and started without scrolling for ever."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from ._pages import card, check_accessible, chosen, overflow, pod_of, start, stop


def visible_cards(page: Page) -> Locator:
    return page.locator(".profile:visible")


def test_search_finds_by_name_description_and_slug_whatever_the_accents(visit, screenshot):
    page = visit("many")
    search = page.get_by_role("searchbox", name="Search")
    found = page.locator("#kubespawner-profiles-found")
    expect(found).to_have_text("Chosen: Course 001")
    assert visible_cards(page).count() == 100
    search.fill("geographie group 3")
    # And the one that is chosen, which stays in sight.
    expect(found).to_have_text("5 of 100 profiles. Chosen: Course 001")
    assert visible_cards(page).count() == 6
    screenshot(page, "form-100-profiles")
    check_accessible(page)
    search.fill("course-042")
    expect(found).to_have_text("1 of 100 profiles. Chosen: Course 001")
    search.fill("nothing like it")
    expect(found).to_have_text("0 of 100 profiles. Chosen: Course 001")
    assert visible_cards(page).count() == 1
    search.fill("")
    assert visible_cards(page).count() == 100


def test_button_and_search_stay_near(visit):
    page = visit("many")
    card(page, "course-100").scroll_into_view_if_needed()
    for near in (page.get_by_role("button", name="Start"), page.get_by_role("searchbox")):
        expect(near).to_be_in_viewport()
    assert page.evaluate("document.scrollingElement.scrollHeight <= innerHeight")


def test_only_the_chosen_profile_shows_its_options(visit):
    page = visit("many")
    expect(page.locator(".js-options-container:visible")).to_have_count(1)
    page.get_by_role("radio", name="Course 057").check()
    expect(page.locator(".js-options-container:visible")).to_have_count(1)
    expect(card(page, "course-057").locator(".js-options-container")).to_be_visible()


def test_one_of_them_is_started_by_keyboard_and_found_again(visit, hubs):
    page = visit("many")
    page.get_by_role("searchbox").focus()
    page.keyboard.type("042")
    # Enter in the search is no wish to start.
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert chosen(page) == "course-042"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    page.wait_for_url("**/user/**")
    user = page.url.split("/user/")[1].split("/")[0]
    assert pod_of(hubs, user)["memory"] == str(5 * 2**30)

    stop(page)
    page.goto("/hub/spawn")
    assert chosen(page) == "course-042"
    expect(page.get_by_role("radio", name="Course 042")).to_be_in_viewport()
    expect(page.locator("#kubespawner-profiles-found")).to_have_text("Chosen: Course 042")
    start(page)


def test_on_a_phone(visit):
    page = visit("many", width=360, height=640, color_scheme="dark")
    assert overflow(page) == 0
    expect(page.get_by_role("button", name="Start")).to_be_in_viewport()
    check_accessible(page)
