"""A world on trial: run it in virtual time, look into the sessions as it runs, judge it.

World --> Simulation --> Evidence --> Outcome (faults, gaps, and what was tried)

An error of the program is a fault like any other, so that one world never ends a run of thousands.
"""

from __future__ import annotations

import dataclasses
import traceback
from collections import deque
from dataclasses import dataclass

from p2pquic.lab.evidence import Evidence, Fault
from p2pquic.lab.gaps import Gap
from p2pquic.lab.networks import MOVER, OTHER, SERVER
from p2pquic.lab.scenarios import timeline
from p2pquic.lab.simulator import ORIGIN, NeverSettledError, Simulation
from p2pquic.lab.verdict import judge
from p2pquic.lab.worlds import NAT_NAMES, World

LOOK_INTERVAL = 1.0  # virtual seconds between two looks at what the sessions hold
LONGEST_RUN = 60.0  # virtual seconds in which any world ends
HANG_UP = 1.0  # virtual seconds that a simulation goes on after its end, for goodbyes
OURS = ("p2pquic.", "aioquic.")  # whose objects are looked into
CONTAINERS = (list, tuple, set, frozenset, deque)
LEAVES = (str, bytes, bytearray, int, float, range, type, type(None))  # nothing lies in them


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one world. `tried`: NAT kind and change kind, once per change."""

    world: World
    faults: list[Fault]
    gaps: list[Gap]
    tried: list[tuple[str, str]]


def try_world(world: World) -> Outcome:
    """Run and judge one world."""
    tried = _tried(world)
    try:
        verdict = judge(gather(world))
    except NeverSettledError as error:
        return Outcome(world, [Fault("alive", str(error), 0.0)], [], tried)
    except Exception:  # whatever it is, it belongs to this world
        return Outcome(world, [Fault("crash", traceback.format_exc(limit=-4), 0.0)], [], tried)
    return Outcome(world, verdict.faults, verdict.gaps, tried)


def gather(world: World) -> Evidence:
    """Run a world and keep what it left.

    Raises:
        NeverSettledError: the call did not get far enough.
    """
    simulation = Simulation(world.scenario, world.seed, resilience=world.resilience)
    held: dict[str, list[int]] = {MOVER: [], OTHER: [], SERVER: []}

    def look() -> None:
        for name, host in simulation.hosts.items():
            held[name].append(held_by(host.machine))

    for number in range(1, int(LONGEST_RUN / LOOK_INTERVAL)):
        simulation.at(ORIGIN + number * LOOK_INTERVAL, look)
    simulation.run()
    changes = timeline(world.scenario, world.seed)
    end = simulation.now - HANG_UP
    last = changes[-1].at if changes else 0.0
    begin = end - world.scenario.aftermath - last
    return Evidence(
        world=world,
        begin=begin,
        end=end,
        changes=[dataclasses.replace(change, at=begin + change.at) for change in changes],
        traces={host.name: host.trace for host in (simulation.mover, simulation.other)},
        held=held,
    )


def held_by(thing: object) -> int:
    """How many things lie in all the containers that can be reached from an object of ours.

    Every queue, list and table of a session is one, whatever its name, so none can grow unseen.
    Bytes are not things.
    """
    count = 0
    seen: set[int] = set()
    waiting = [thing]
    while waiting:
        each = waiting.pop()
        if isinstance(each, LEAVES) or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, dict):
            count += len(each)
            waiting.extend(each.values())
        elif isinstance(each, CONTAINERS):
            count += len(each)
            waiting.extend(each)
        elif type(each).__module__.startswith(OURS):
            waiting.extend(_attributes(each))
    return count


def _attributes(thing: object) -> list[object]:
    slots = (name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ()))
    values = [getattr(thing, name) for name in slots if hasattr(thing, name)]
    return values + list(getattr(thing, "__dict__", {}).values())


def _tried(world: World) -> list[tuple[str, str]]:
    interfaces = world.scenario.topology.interfaces
    return [
        (NAT_NAMES[interfaces[change.link].nat], change.kind)
        for move in world.scenario.moves
        for change in move.changes
    ]
