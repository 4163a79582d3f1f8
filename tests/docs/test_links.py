"""Links between the repository's own files lead somewhere."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import unquote

import pytest

from .conftest import ROOT

_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#+\s+(.+?)\s*$", re.MULTILINE)
_TARGET = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)


def documents():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return sorted(ROOT / name for name in listed.stdout.splitlines())
    return sorted(p for p in ROOT.rglob("*.md") if not {".venv", "_build"} & set(p.parts))


def links(path):
    """Yield the links of a document that lead into the repository."""
    text = re.sub(r"`[^`\n]+`", "", _FENCE.sub("", path.read_text()))
    for target in _LINK.findall(text):
        if not re.match(r"[a-z][a-z+.-]*:", target):
            yield unquote(target)


def anchors(path):
    text = _FENCE.sub("", path.read_text())
    slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in _HEADING.findall(text)}
    return slugs | set(_TARGET.findall(text))


@pytest.mark.parametrize("path", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_within_the_repository_exist(path):
    broken = []
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_tests_that_are_named_exist(path):
    missing = []
    for name, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?", path.read_text()):
        source = ROOT / name
        if not source.exists() or (test and f"def {test}(" not in source.read_text()):
            missing.append(f"{name}::{test}")
    assert missing == []


def test_readme_and_contributing_are_among_them():
    assert {"README.md", "CONTRIBUTING.md", "docs/index.md"} <= {
        str(p.relative_to(ROOT)) for p in documents()
    }
