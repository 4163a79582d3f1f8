"""The threat model names tests that exist."""

import re

from .conftest import ROOT

PAGE = ROOT / "docs" / "threat-model.md"


def test_every_test_that_the_threat_model_names_exists():
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text()))
    assert len(named) > 40
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not (ROOT / path).exists()
        or not re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_every_row_names_a_test():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    in_table = False
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if cells[-1] == "test":
            in_table = True
        elif len(cells) == 2:
            in_table = False
        elif in_table and not set(row) <= set("|- "):
            assert "`tests/" in cells[-1], row
