"""Nothing in the package waits by sleeping: waits wake on what they wait for.

The one exception is the pause between two attempts, in ``kube/backoff.py``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kubespawner

PACKAGE = Path(kubespawner.__file__).parent
# Not part of what a hub runs: the embedded cluster and the command line.
OUTSIDE = ("localcluster", "cli")
BACKOFF = "kube/backoff.py"

_SLEEPERS = {"asyncio", "time", "gen", "tornado", "trio", "anyio"}


def sleeps(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each call that waits for time to pass; ``sleep(0)`` does not.

    Also found: ``wait_for``, which drops cancellations before Python 3.12, the same under another
    name (``from asyncio import sleep as nap``), and waits on a timer in a loop's own words.
    """
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _SLEEPERS
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Attribute):
            name = function.attr
            owner = ast.unparse(function.value)
            known = owner.split(".")[0] in _SLEEPERS
        elif isinstance(function, ast.Name):
            name, known = names.get(function.id, ""), function.id in names
        else:
            continue
        gives_way = (
            len(node.args) == 1
            and isinstance(node.args[0], ast.Constant)
            and node.args[0].value == 0
        )
        if known and (name == "wait_for" or (name == "sleep" and not gives_way)):
            yield node.lineno, ast.unparse(node)


def modules() -> list[Path]:
    paths = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    return sorted(path for path in paths if path.parts[0] not in OUTSIDE)


def test_the_package_has_no_sleep_based_wait():
    found = [
        f"{path}:{line}: {call}"
        for path in modules()
        if path.as_posix() != BACKOFF
        for line, call in sleeps((PACKAGE / path).read_text())
    ]
    assert not found


def test_the_backoff_sleeps_in_one_place():
    assert len(list(sleeps((PACKAGE / BACKOFF).read_text()))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\nasync def f():\n    await asyncio.sleep(1)",
        "import asyncio\nasync def f(n):\n    await asyncio.sleep(n)",
        "from asyncio import sleep\nasync def f():\n    await sleep(0.1)",
        "from asyncio import sleep as nap\nasync def f():\n    await nap(0.1)",
        "import time\ntime.sleep(1)",
        "from tornado import gen\nasync def f():\n    await gen.sleep(1)",
        "import asyncio\nasync def f(x):\n    await asyncio.wait_for(x, 1)",
    ],
)
def test_a_sleep_is_found_however_it_is_written(source):
    assert len(list(sleeps(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)",
        "async def f(backoff):\n    await backoff.sleep(1)",
        "async def f(informer):\n    await informer.wait_for(1)",
    ],
)
def test_what_does_not_wait_for_time_is_not_found(source):
    assert not list(sleeps(source))
