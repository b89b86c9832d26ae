"""Moves of ends that share a network, or stand behind NATs in a row, against their floors."""

from __future__ import annotations

import pytest

from p2pquic.core.addresses import parse_socket_address
from p2pquic.core.trace import FrameReceived, Observed, PathSelected
from p2pquic.lab.access_links import Tally
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.measure import measure
from p2pquic.lab.networks import MOVER, OTHER, SERVER, Link
from p2pquic.lab.simulator import Simulation

MARGIN = 0.005  # seconds above the floor: what the program may add of its own, in virtual time


def simulate(name: str) -> Simulation:
    call = Simulation(scenario_named(name), seed=1)
    call.run()
    return call


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one-lan", "two-nats", "hairpin", "carrier-nat"])
def test_a_move_between_such_networks_costs_what_physics_asks(name: str) -> None:
    call = simulate(name)
    traces = {host.name: host.trace for host in (call.mover, call.other)}
    passages = measure(call.scenario, traces, call.changes, call.resilience)
    assert {passage.direction for passage in passages} == {"mover to other", "other to mover"}
    for passage in passages:
        assert passage.above_floor is not None
        assert passage.above_floor <= MARGIN, passage
        assert passage.lost == 0, passage


@pytest.mark.slow
def test_a_call_in_one_lan_stays_in_it() -> None:
    call = Simulation(scenario_named("one-lan"), seed=1)
    call.settle()
    call.run_until(call.now + 1.0)
    inside = Tally(Link(MOVER, "wlan0"), Link(OTHER, "eth0"), "arrived")
    relayed = Tally(Link(SERVER, "eth0"), Link("house", "wan"), "arrived")
    before = call.internet.tallies.copy()
    call.run_until(call.now + 5.0)
    since = call.internet.tallies - before
    assert since[inside] >= 250  # a frame every 20 ms
    assert since[relayed] < 20  # signs of life of the two links to the server


@pytest.mark.slow
@pytest.mark.parametrize("sender", [SERVER, OTHER])
def test_a_nat_with_mappings_of_30_s_lets_in_whoever_stands_by(sender: str) -> None:
    """The other end by the direct path that stands by, the server by the relay's leg there."""
    call = Simulation(scenario_named("carrier-nat"), seed=1)
    call.settle()
    call.run_until(call.now + 44.0)
    (seen,) = (
        parse_socket_address(record.address)
        for entry in call.mover.trace
        if isinstance(record := entry.record, Observed) and record.local.endswith("rmnet0")
    )
    (local,) = call.hosts[sender].sockets.values()
    arrived = Tally(Link(sender, "eth0"), Link("carrier", "wan"), "arrived")
    refused = arrived._replace(fate="refused")
    before = call.internet.tallies.copy()
    call.internet.send(sender, local, seen, b"are you there", call.now)
    call.run_until(call.now + 0.1)
    since = call.internet.tallies - before
    assert since[arrived] >= 1
    assert since[refused] == 0


@pytest.mark.slow
def test_two_homes_behind_a_nat_that_does_not_hairpin_hear_each_other_by_the_relay() -> None:
    call = simulate("no-hairpin")
    for host in (call.mover, call.other):
        kinds = {e.record.kind for e in host.trace if isinstance(e.record, PathSelected)}
        assert kinds == {"relay"}
        assert len(host.records(FrameReceived)) > 100
