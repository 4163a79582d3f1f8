"""Nothing in the package waits by sleeping, with the supervised backoff as the only exception."""

import ast
from pathlib import Path

import pytest

import kubespawner
from kubespawner.kube.backoff import Backoff

PACKAGE = Path(kubespawner.__file__).parent
# The embedded cluster plays a kubelet: pulling an image takes simulated time. The spawner does
# not import it.
ELSEWHERE = {"localcluster"}
NAMES = {"sleep", "exponential_backoff"}


def sleeps(source):
    """Return the lines on which something sleeps, or imports what does."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            function = node.func
            name = getattr(function, "attr", None) or getattr(function, "id", None)
            # `backoff.sleep(...)` is the supervised one itself.
            if name in NAMES and getattr(getattr(function, "value", None), "id", "") != "backoff":
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and NAMES & {alias.name for alias in node.names}:
            yield node.lineno


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE)
        if where.parts[0] not in ELSEWHERE and where.as_posix() != "kube/backoff.py":
            yield where.as_posix()


@pytest.mark.parametrize("module", list(modules()))
def test_no_module_waits_by_sleeping(module):
    assert list(sleeps((PACKAGE / module).read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "async def f(): await asyncio.sleep(1)",
        "time.sleep(0)",
        "from asyncio import sleep as pause",
        "await_(gen.sleep(3))",
        "exponential_backoff(f, '')",
    ],
)
def test_the_search_finds_what_sleeps(source):
    assert list(sleeps(source)) == [1]


def test_pauses_double_to_the_cap_and_begin_anew():
    backoff = Backoff(first=1, cap=5)
    for most in (1, 2, 4, 5, 5):
        assert most / 2 <= backoff.next_pause() <= most
    backoff.reset()
    assert backoff.next_pause() <= 1


def test_pauses_differ():
    assert len({Backoff().next_pause() for _ in range(20)}) > 1
    assert len({Backoff().next_pause(at_least=9) for _ in range(20)}) > 1


def test_a_pause_is_not_shorter_than_asked():
    assert all(9 <= Backoff().next_pause(at_least=9) <= 9.9 for _ in range(50))
