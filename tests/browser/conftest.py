"""Headless Chromium in front of a real JupyterHub on the embedded cluster.

``KUBESPAWNER_SCREENSHOTS=docs/images`` also writes the pictures of the documentation.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from kubespawner.localcluster import Images
from tests.support.hub import Hub, HubMaker, hubs_on_one_cluster

from ._pages import Visitor

CONFIG = Path(__file__).with_name("hub_config.py")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == CONFIG.parent:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(240))


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("Chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def images() -> Images:
    return Images()


@pytest.fixture(scope="package")
def hubs(tmp_path_factory: pytest.TempPathFactory, images: Images) -> Iterator[HubMaker]:
    with hubs_on_one_cluster(tmp_path_factory.mktemp("browser"), images=images) as hubs:
        yield hubs


@pytest.fixture
def pulls_take(images: Images) -> Iterator[Callable[[float], None]]:
    """Sets how many seconds the download of an image takes, in this test."""

    def set_seconds(seconds: float) -> None:
        images.pull_seconds = seconds
        images.present.clear()

    yield set_seconds
    set_seconds(0)


@pytest.fixture(scope="package")
def hub(hubs: HubMaker) -> Hub:
    return hubs("hub", CONFIG.read_text())


@pytest.fixture
def visit(chromium: Browser, hub: Hub, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """Opens pages as users of whom nobody has heard before: ``visit("show")``."""
    visitor = Visitor(chromium, hub, _numbers)
    yield visitor
    visitor.close()


@pytest.fixture
def screenshot() -> Iterator[object]:
    """Writes a picture for the documentation, if asked for."""
    directory = os.environ.get("KUBESPAWNER_SCREENSHOTS")

    def take(page: Page, name: str) -> None:
        if directory:
            page.mouse.move(0, 0)
            page.screenshot(
                path=Path(directory) / f"{name}.png", animations="disabled", caret="hide"
            )

    yield take
