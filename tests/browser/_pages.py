"""What the browser tests do with pages: open them as somebody, submit them, examine them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.hub import Hub, HubMaker

# The machine may be busy; a condition that never comes true is the test's failure, not a slow one.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)


class Visitor:
    """Opens pages of a hub in contexts of their own, and closes them."""

    def __init__(self, chromium: Browser, hub: Hub, numbers: Iterator[int]):
        self._chromium, self._hub, self._numbers = chromium, hub, numbers
        self._stack = contextlib.ExitStack()

    def __call__(
        self,
        who: str,
        path: str = "/hub/spawn",
        *,
        hub: Hub | None = None,
        exactly: bool = False,
        width: int = 1000,
        height: int = 800,
        **context: Any,
    ) -> Page:
        """Log in as somebody new whose name begins with ``who``, and go to ``path``.

        Args:
            exactly: the name is ``who`` itself.
            context: options of Playwright's ``new_context``, as ``color_scheme="dark"``.
        """
        hub = hub or self._hub
        browser = self._chromium.new_context(
            base_url=hub.url,
            viewport={"width": width, "height": height},
            reduced_motion="reduce",
            **context,
        )
        self._stack.callback(browser.close)
        browser.set_default_timeout(PATIENCE)
        page = browser.new_page()
        page.goto("/hub/login?next=" + path)
        page.fill("#username_input", who if exactly else f"{who}-{next(self._numbers)}")
        page.fill("#password_input", "demo")
        page.press("#password_input", "Enter")
        page.wait_for_url(lambda url: "/hub/login" not in url)
        return page

    def close(self) -> None:
        self._stack.close()


def user_of(page: Page) -> str:
    """Return who is logged in, as pages of the hub know it."""
    return page.evaluate("window.jhdata.user")


def card(page: Page, profile: str) -> Locator:
    """Return the card of a profile."""
    return page.locator(f'.profile:has([id="profile-item-{profile}"])')


def field(page: Page, profile: str, option: str) -> Locator:
    """Return the control of an option, by its id."""
    return page.locator(f'[id="profile-option-{profile}--{option}"]')


def chosen(page: Page) -> str:
    """Return the slug of the profile that is chosen."""
    return page.locator('input[name="profile"]:checked').input_value()


def start(page: Page) -> str:
    """Press the button, wait until the server is there, return whose it is."""
    page.get_by_role("button", name="Start").click()
    return arrive(page)


def arrive(page: Page) -> str:
    """Wait until the hub leads to the server; return whose it is."""
    page.wait_for_url(re.compile("/user/[^/]+/"))
    return page.url.split("/user/")[1].split("/")[0]


def stop(page: Page) -> None:
    """Stop the server through the hub's API, as its home page does, and wait until it is gone."""
    page.goto("/hub/home")
    page.evaluate(
        """async () => {
            const {user, xsrf_token} = window.jhdata;
            const url = `/hub/api/users/${user}`;
            const query = `?_xsrf=${encodeURIComponent(xsrf_token)}`;
            await fetch(`${url}/server${query}`, {method: "DELETE"});
            for (;;) {
                const model = await (await fetch(url + query)).json();
                if (!model.servers[""]) return;
                await new Promise((resolve) => setTimeout(resolve, 100));
            }
        }"""
    )


def findings(page: Page) -> list[str]:
    """Return what axe finds serious or critical, a line each."""
    results = Axe().run(page)
    return [
        f"{violation['impact']}: {violation['id']}: {violation['help']}: "
        + "; ".join(node["html"][:200] for node in violation["nodes"])
        for violation in results.response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


def check_accessible(page: Page) -> None:
    """Fail if axe finds anything serious or critical on the page."""
    found = findings(page)
    assert not found, "\n".join(found)


def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than the window."""
    return page.evaluate(
        "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
    )


def pod_of(hubs: HubMaker, user: str) -> dict[str, Any]:
    """Return what was started for a user: image, memory limit and environment of their pod."""

    async def read() -> list[Any]:
        return (await hubs.cluster.api.list_namespaced_pod("default")).items

    pods = hubs.run(read())
    (pod,) = [p for p in pods if p.metadata.labels["hub.jupyter.org/username"] == user]
    container = pod.spec.containers[0]
    return {
        "image": container.image,
        "memory": (container.resources.limits or {}).get("memory"),
        "environment": {e.name: e.value for e in container.env},
    }
