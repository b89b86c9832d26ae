"""Random worlds on trial: two hundred of fixed seeds, and every one that ever failed.

A seed that fails has its faults in the message. `p2pquic lab worlds --seed N --count 1 --span 2.5`
makes a file of it, for `--replay` and for the directory `regressions`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pquic.lab.trial import try_world
from p2pquic.lab.worlds import SHORT_SPAN, World, random_world
from p2pquic.lab.worlds_command import read_world

REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.json"))
SEEDS = 200
CHUNK = 10


def check(world: World) -> list[str]:
    outcome = try_world(world)
    return [f"{world.scenario.name}: {fault.check}: {fault.detail}" for fault in outcome.faults]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_random_worlds_of_fixed_seeds(first: int) -> None:
    worlds = [random_world(seed, SHORT_SPAN) for seed in range(first, first + CHUNK)]
    assert not [fault for world in worlds for fault in check(world)]


@pytest.mark.slow
@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_worlds_that_failed_once(path: Path) -> None:
    assert not check(read_world(path))
