"""A room as what it is made of: the mover's calls, one with each other side, measured one by one.

    traces of mover, other, guest1 ...   -->   Call "other":  mover's part of it, other's
                                               Call "guest1": mover's part of it, guest1's

In each of them the other side has the place of `OTHER`, with its own access, so whoever measures a
call of two measures a room. What guests say to one another is no part of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from p2pquic.core.trace import Entry, Registered
from p2pquic.lab.floor import Direction
from p2pquic.lab.networks import MOVER, OTHER, Host
from p2pquic.lab.scenarios import Scenario

Traces = Mapping[str, Sequence[Entry]]
"""By host, what its program wrote down."""


@dataclass(frozen=True, slots=True)
class Call:
    """The mover with the host `other`, under the names `MOVER` and `OTHER`."""

    other: str
    scenario: Scenario
    traces: Traces


def calls(scenario: Scenario, traces: Traces) -> Iterator[Call]:
    """Every call of the mover."""
    if not scenario.topology.guests:
        yield Call(OTHER, scenario, traces)
        return
    for host in scenario.topology.others:
        yield Call(
            host.name,
            _without_the_rest(scenario, host),
            {
                MOVER: _about(_peer_id(traces[host.name]), traces[MOVER]),
                OTHER: _about(_peer_id(traces[MOVER]), traces[host.name]),
            },
        )


def course(direction: Direction, other: str) -> str:
    """The direction with the name of the other side."""
    return direction.replace(OTHER, other)


def _without_the_rest(scenario: Scenario, host: Host) -> Scenario:
    up = scenario.other_up
    if host.name != OTHER:
        up = tuple(interface.name for interface in host.interfaces)
    topology = dataclasses.replace(
        scenario.topology, other=dataclasses.replace(host, name=OTHER), guests=()
    )
    return dataclasses.replace(scenario, topology=topology, other_up=up)


def _peer_id(trace: Sequence[Entry]) -> str:
    """Under which id the others know the one who wrote this; empty if it never came in."""
    ids = (entry.record.peer for entry in trace if isinstance(entry.record, Registered))
    return next(ids, "")


def _about(peer: str, trace: Sequence[Entry]) -> list[Entry]:
    """What concerns the call with this peer, or no call in particular."""
    return [entry for entry in trace if getattr(entry.record, "remote", peer) == peer]
