"""Every kind of NAT against every other (RFC 4787): who gets a direct path, and to which address.

What is expected is not written down twice: `reach` floods the same NATs, a rule of three lines
(`can_punch`) says the same, and the call has to find what they say. docs/nats.md is their table.
"""

from __future__ import annotations

import dataclasses
import itertools
import runpy
from pathlib import Path
from typing import get_args

import pytest

from p2pquic.core.trace import FrameReceived, Observed, PathSelected
from p2pquic.lab.nat import can_punch
from p2pquic.lab.neighbourhoods import KINDS, NEIGHBOURHOODS, name_of, pair
from p2pquic.lab.networks import (
    MOVER,
    OTHER,
    PORT_RESTRICTED,
    SYMMETRIC,
    Dependence,
    Link,
    Nat,
    Topology,
)
from p2pquic.lab.reach import CandidateKind, Reach, reach
from p2pquic.lab.scenarios import Scenario
from p2pquic.lab.simulator import ORIGIN, Simulation, VirtualHost

TOOL = Path(__file__).parents[2] / "tools" / "nat_table.py"
LONG_ENOUGH = 4.0  # seconds from the first packet to the path a call settles on
EVERY_KIND: list[Nat | None] = [
    None,
    *(Nat(*kind) for kind in itertools.product(*[get_args(Dependence)] * 2, (True, False))),
]
HERE, THERE = Link(MOVER, "wlan0"), Link(OTHER, "eth0")
FLIPPED: list[Nat | None] = [  # those of KINDS with the other manner of giving ports
    dataclasses.replace(nat, port_preservation=not nat.port_preservation)
    for nat in KINDS
    if nat is not None
]


def settled_call(topology: Topology) -> Simulation:
    call = Simulation(Scenario("nats", "Two ends.", topology), seed=1)
    call.start()
    call.run_until(ORIGIN + LONG_ENOUGH)
    return call


def reached_by(host: VirtualHost, other: VirtualHost) -> CandidateKind | None:
    """What the address is to `other` by which `host` reaches it; None by the relay."""
    chosen = [e.record for e in host.trace if isinstance(e.record, PathSelected)][-1]
    if chosen.kind == "relay":
        return None
    if chosen.remote_address in {str(each.address) for each in other.sockets.values()}:
        return "host"
    seen = {str(record.address) for e in other.trace if isinstance(record := e.record, Observed)}
    return "server-reflexive" if chosen.remote_address in seen else "peer-reflexive"


def assert_as_expected(topology: Topology) -> None:
    call = settled_call(topology)
    found = Reach(reached_by(call.other, call.mover), reached_by(call.mover, call.other))
    assert found == reach(topology, HERE, THERE)
    for host in (call.mover, call.other):
        assert host.records(FrameReceived)[-1].t > call.now - 0.1


def test_the_rule_of_who_can_punch_is_what_a_flood_finds() -> None:
    for one, other in itertools.product(EVERY_KIND, repeat=2):
        assert reach(pair(one, other), HERE, THERE).is_direct is can_punch(one, other)


def test_whether_a_nat_keeps_port_numbers_changes_nothing_for_a_flood() -> None:
    flipped = dict(zip(KINDS, [None, *FLIPPED], strict=True))
    for one, other in itertools.product(KINDS, repeat=2):
        expected = reach(pair(one, other), HERE, THERE)
        assert reach(pair(flipped[one], other), HERE, THERE) == expected
        assert reach(pair(flipped[one], flipped[other]), HERE, THERE) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other"), [*itertools.combinations_with_replacement(KINDS, 2)], ids=name_of
)
def test_a_call_is_direct_between_those_nats_that_let_it(
    one: Nat | None, other: Nat | None
) -> None:
    assert_as_expected(pair(one, other))


@pytest.mark.slow
@pytest.mark.parametrize("partner", [PORT_RESTRICTED, SYMMETRIC], ids=name_of)
@pytest.mark.parametrize("one", FLIPPED, ids=name_of)
def test_whether_a_nat_keeps_port_numbers_changes_nothing_for_a_call(
    one: Nat, partner: Nat
) -> None:
    assert_as_expected(pair(one, partner))


@pytest.mark.parametrize("topology", NEIGHBOURHOODS.values(), ids=NEIGHBOURHOODS.keys())
def test_a_call_is_direct_wherever_the_neighbourhood_lets_it(topology: Topology) -> None:
    assert_as_expected(topology)


def test_the_table_of_who_reaches_whom_is_up_to_date() -> None:
    tool = runpy.run_path(str(TOOL))
    assert tool["FILE"].read_text() == tool["nat_table"](), "run: python tools/nat_table.py"
