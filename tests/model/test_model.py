"""Random lives of a hub, for as long as there is time; see README.md."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from .machine import Life

SECONDS = float(os.environ.get("KUBESPAWNER_MODEL_SECONDS", "30"))
SEED = int(os.environ.get("KUBESPAWNER_MODEL_SEED", "0"))
# Lives in one round, and steps in one life. A round has one seed, which is all it depends on.
_LIVES = 20
_STEPS = 50
# A shorter example takes minutes to find: only where one round is repeated.
_PHASES = [Phase.generate] if SECONDS else [Phase.generate, Phase.shrink]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Let the outages go unlogged; there are thousands."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(SECONDS * 4 + 300)
def test_whatever_happens(quiet, capsys):
    end = time.monotonic() + SECONDS
    number = SEED
    Life.steps = 0
    while number == SEED or time.monotonic() < end:
        run_round(number)
        number += 1
    with capsys.disabled():
        print(f"\nmodel: {Life.steps} steps, seeds {SEED} to {number - 1}, no violation")


def run_round(number: int) -> None:
    try:
        run_state_machine_as_test(
            seed(number)(Life),
            settings=settings(
                max_examples=_LIVES,
                stateful_step_count=_STEPS,
                deadline=None,
                database=None,
                phases=_PHASES,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except BaseException as e:
        e.add_note(f"Again: KUBESPAWNER_MODEL_SEED={number} KUBESPAWNER_MODEL_SECONDS=0")
        raise
