"""The hub's page while a server comes, and when it does not."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from ._pages import arrive, check_accessible, stop, user_of

IMAGE = "quay.io/jupyter/datascience-notebook:2026-10"
# Reports each state of the page that its user may have seen, to the page's console.
OBSERVER = """
new MutationObserver(() => {
    const bar = document.getElementById("progress-bar");
    const message = document.getElementById("progress-message");
    if (!bar || !message) return;
    const seen = JSON.stringify([Number(bar.getAttribute("aria-valuenow")), message.textContent]);
    if (seen !== window.lastSeen) console.info("SEEN" + (window.lastSeen = seen));
}).observe(document, {subtree: true, childList: true, attributes: true});
"""
# Never, as far as a test is concerned.
LONG = 3600


def submit(page: Page, profile: str) -> None:
    page.get_by_label(profile).check()
    page.get_by_role("button", name="Start").click()


def test_the_bar_moves_by_phase_and_each_phase_has_its_words(visit, pulls_take):
    pulls_take(2)
    page = visit("pull")
    seen: list[tuple[int, str]] = []
    page.add_init_script(OBSERVER)
    page.on(
        "console",
        lambda m: seen.append(tuple(json.loads(m.text[4:]))) if m.text[:4] == "SEEN" else None,
    )
    submit(page, "Data science")
    arrive(page)
    bar = [progress for progress, _ in seen]
    assert bar == sorted(bar)
    assert 30 <= next(p for p, words in seen if words.startswith("Downloading")) < 60
    assert 75 <= next(p for p, words in seen if words.startswith("Starting the notebook")) < 90
    words = [words for _, words in seen]
    assert not [w for w in words if "[Normal]" in w]
    assert f"Downloading the image {IMAGE} (first time on this machine)" in words


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_events_wait_behind_the_disclosure(visit, pulls_take, screenshot, scheme):
    pulls_take(LONG)
    page = visit("pull", color_scheme=scheme, height=560)
    submit(page, "Data science")
    message, log = page.locator("#progress-message"), page.locator("#progress-log")
    expect(message).to_have_text(f"Downloading the image {IMAGE} (first time on this machine)")
    expect(message.locator("code")).to_have_text(IMAGE)
    expect(log).to_be_hidden()
    expect(log).to_contain_text("Successfully assigned")
    expect(page.get_by_role("status").filter(has_text="Downloading")).to_have_count(1)
    check_accessible(page)
    page.get_by_text("Event log").click()
    expect(log.get_by_text(re.compile(r"\[Normal\] Successfully assigned"))).to_be_visible()
    if scheme == "light":
        screenshot(page, "progress")
    check_accessible(page)
    stop(page)


def test_nobody_reads_anothers_events(visit, pulls_take):
    pulls_take(LONG)
    pages = [visit("pull"), visit("pull")]
    users = [user_of(page) for page in pages]
    for page in pages:
        submit(page, "Data science")
    for page, own, other in zip(pages, users, reversed(users), strict=True):
        log = page.locator("#progress-log")
        expect(log).to_contain_text(f"jupyter-{own}")
        expect(page.locator("#progress-message")).to_contain_text("Downloading")
        assert other not in log.inner_text() + log.text_content()
    for page in pages:
        stop(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_why_a_server_did_not_come(visit, pulls_take, screenshot, scheme):
    # Longer than the hub waits before it shows the progress page.
    pulls_take(2)
    page = visit("pull", color_scheme=scheme, height=560)
    submit(page, "Misspelt")
    expect(page.locator("#progress-bar")).to_have_class(re.compile("bg-danger"))
    message = page.locator("#progress-message")
    expect(message).to_contain_text("registry.invalid/jupyter/datascience-notebok:2026-10")
    sentence = message.inner_text()
    assert "[Warning]" not in sentence
    expect(page.get_by_role("heading", name="Your server could not be started")).to_be_visible()
    expect(page.get_by_text("You will be redirected")).to_be_hidden()
    check_accessible(page)
    if scheme == "light":
        screenshot(page, "failure")
    # Who comes back reads the same.
    again = page.context.new_page()
    again.goto(page.url)
    expect(again.get_by_role("heading", name="Spawn failed")).to_be_visible()
    expect(again.get_by_text(sentence)).to_be_visible()
    check_accessible(again)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_label("Misspelt")).to_be_checked()


def test_a_server_that_fails_at_once_leads_back_to_the_form(visit, pulls_take):
    page = visit("pull")
    submit(page, "Misspelt")
    error = page.locator(".spawn-error-msg")
    expect(error).to_contain_text("datascience-notebok")
    check_accessible(page)
    submit(page, "Data science")
    arrive(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_why_the_last_server_ended_is_said_on_the_next_visit(visit, hubs, scheme):
    page = visit("pull", color_scheme=scheme)
    submit(page, "Data science")
    user = arrive(page)
    hubs.run(hubs.cluster.api.delete_namespaced_pod(f"jupyter-{user}", "default"))
    notice = page.get_by_role("status").filter(has_text="About your last server")
    # Until the hub has found out, the page leads to the server that it believes in.
    while not page.get_by_role("button", name="Start").is_visible():
        page.goto("/hub/spawn")
    expect(notice).to_be_visible()
    check_accessible(page)
    notice.get_by_role("button", name="Close").click()
    expect(notice).to_have_count(0)
    submit(page, "Data science")
    arrive(page)
