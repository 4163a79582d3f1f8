"""The site says everything that the code knows of itself."""

from __future__ import annotations

import html
import re
import sys

import pytest

from kubespawner import KubeSpawner
from kubespawner.legacy import RENAMED
from kubespawner.proxy import KubeGatewayProxy, KubeIngressProxy

from .conftest import ROOT

sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from helptext import as_markdown

PROXIES = [KubeIngressProxy, KubeGatewayProxy]


def sections(site):
    """Return each setting's description as plain text, by full name."""
    found = {}
    for page in site.rglob("*.html"):
        for piece in page.read_text().split('<dl class="std setting">')[1:]:
            name = re.search(r'id="setting-([\w.]+)"', piece)[1]
            assert name.lower() not in found, f"{name} is described twice"
            text = re.sub(r"<[^>]+>", "", piece.split("</dd></dl>")[0])
            found[name.lower()] = " ".join(html.unescape(text).split())
    return found


def words(text):
    """Return the bare words of a text, for comparing it before and after rendering."""
    return re.findall(r"[a-z0-9_]+", text.lower())


def own_settings():
    for cls in [KubeSpawner, *PROXIES]:
        for name, trait in cls.class_own_traits(config=True).items():
            yield f"{cls.__name__}.{name}", trait


def test_every_setting_is_described_with_its_whole_help_text(site):
    described = sections(site)
    wrong = {}
    for name, trait in own_settings():
        text = words(described.get(name.lower(), ""))
        missing = [word for word in words(trait.help) if word not in text]
        if not text or missing:
            wrong[name] = missing
    assert wrong == {}


def test_every_earlier_name_is_in_the_table(site):
    page = re.sub(r"<[^>]+>", " ", (site / "reference" / "aliases.html").read_text())
    rows = " ".join(page.split())
    for old, (new, since) in RENAMED.items():
        assert f" {old} {new} {since} " in rows


def test_names_that_deployments_use_exist():
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    section = page.split("## Names that deployments use")[1].split("## ")[0]
    names = re.findall(r"`(_\w+)`", section)
    assert len(names) > 10
    assert [name for name in names if not callable(getattr(KubeSpawner, name, None))] == []


def test_the_site_needs_no_network(site):
    remote = re.compile(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="(?:https?:)?//[^"]+"')
    for page in site.rglob("*.html"):
        found = [tag for tag in remote.findall(page.read_text()) if 'rel="canonical"' not in tag]
        assert found == [], page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("First.\n\n    Then.\n    ", "First.\n\nThen."),
        ("See `b` and `c`.", "See {setting}`b <S.b>` and `c`."),
        ("Itself: `a`, `S.b`.", "Itself: `a`, {setting}`S.b <S.b>`."),
        ("https://x.io/y#z.", "<https://x.io/y#z>."),
        ("As `https://x.io`.", "As `https://x.io`."),
        ("DEPRECATED since 1.", "**Deprecated** since 1."),
        (
            "Example::\n\n    c.x = 1\n\n    c.b = 2\n\nEnd, with `b`",
            "Example:\n\n```python\nc.x = 1\n\nc.b = 2\n```\n\nEnd, with {setting}`b <S.b>`",
        ),
    ],
)
def test_help_texts_become_markdown(text, expected):
    assert as_markdown(text, "S", {"a", "b"}, "a") == expected
