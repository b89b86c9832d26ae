"""Random worlds on trial: two hundred of fixed seeds, and every one that ever failed.

A seed that fails has its faults in the message. `p2pquic lab worlds --seed N --count 1 --span 2.5`
makes a file of it, for `--replay` and for the directory `regressions`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2pquic.lab.trial import Outcome, try_world
from p2pquic.lab.worlds import SHORT_SPAN
from p2pquic.lab.worlds_command import read_world, try_seeds

REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.json"))
SEEDS = 200


def faults_of(outcome: Outcome) -> list[str]:
    name = outcome.world.scenario.name
    return [f"{name}: {fault.check}: {fault.detail}" for fault in outcome.faults]


@pytest.mark.slow
def test_random_worlds_of_fixed_seeds() -> None:
    with try_seeds(range(SEEDS), SHORT_SPAN, jobs=os.cpu_count() or 1) as outcomes:
        faults = [fault for outcome in outcomes for fault in faults_of(outcome)]
    assert not faults, "\n".join(faults)


@pytest.mark.slow
@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_worlds_that_failed_once(path: Path) -> None:
    assert not faults_of(try_world(read_world(path)))
