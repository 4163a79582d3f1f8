"""How the package waits: by subscription, with limits that keep cancellations."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "kubespawner"
# The embedded cluster and the demo are programs beside the package, not part of a hub.
SOURCES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if not {"localcluster", "cli"} & set(path.relative_to(PACKAGE).parts)
]


def calls(path: Path) -> set[str]:
    return {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_sleeps_but_the_supervised_backoff(path):
    sleeps = {"asyncio.sleep", "time.sleep", "sleep", "gen.sleep"}
    if path.name != "backoff.py":
        assert not calls(path) & sleeps


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_time_limit_can_swallow_a_cancellation(path):
    # Before Python 3.12, asyncio.wait_for drops one that arrives together with the result.
    assert "asyncio.wait_for" not in calls(path)
