"""Random worlds: the same for a seed, and such that every change means something."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from p2pquic.core.errors import UsageError
from p2pquic.lab.scenarios import timeline
from p2pquic.lab.worlds import MOST_CHANGES, NAT_NAMES, NATS, World, random_world
from p2pquic.lab.worlds_command import CHANGE_KINDS, read_world

ENOUGH = 300  # worlds; a hundredth of a full run's 20 would be none at all


def test_a_seed_is_a_world() -> None:
    assert random_world(7) == random_world(7)
    assert random_world(7) != random_world(8)


def test_a_world_goes_through_its_file(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    path.write_bytes(msgspec.json.encode(random_world(3)))
    assert read_world(path) == random_world(3)


def test_what_is_no_world_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    with pytest.raises(UsageError, match="Cannot read"):
        read_world(path)
    path.write_text("{}")
    with pytest.raises(UsageError, match="is no world"):
        read_world(path)


@pytest.mark.slow
def test_every_kind_of_change_meets_every_kind_of_nat() -> None:
    met = Counter(
        (NAT_NAMES[world.scenario.topology.interfaces[change.link].nat], change.kind)
        for world in map(random_world, range(ENOUGH))
        for move in world.scenario.moves
        for change in move.changes
    )
    for name in NATS:
        for kind in CHANGE_KINDS:
            if (name, kind) != ("public", "nat_forgets"):
                assert met[name, kind] >= 1, (name, kind)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_changes_change_something(seed: int) -> None:
    world: World = random_world(seed)
    up = set(world.scenario.links_up)
    dead: set[object] = set()
    changes = timeline(world.scenario, seed)
    assert len(changes) <= MOST_CHANGES
    for change in changes:
        match change.kind:
            case "interface_down":
                up.remove(change.link)
            case "interface_up":
                assert change.link not in up
                up.add(change.link)
            case "link_dies":
                assert change.link not in dead
                dead.add(change.link)
            case "link_recovers":
                dead.remove(change.link)
            case "way_dies":
                assert change.way not in dead
                dead.add(change.way)
            case "way_recovers":
                dead.remove(change.way)
            case "nat_forgets":
                assert world.scenario.topology.interfaces[change.link].nat is not None
