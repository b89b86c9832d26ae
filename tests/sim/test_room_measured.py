"""A room is measured as what it is made of: the mover's calls, each as if it were the only one."""

from __future__ import annotations

import dataclasses

import pytest

from p2pquic.core.trace import Connected, Entry, FrameReceived, FrameSent, Registered
from p2pquic.lab.calls import calls
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.measure import conduct, measure
from p2pquic.lab.networks import CELLULAR, MOVER, OTHER, Host, Topology
from p2pquic.lab.scenarios import Scenario
from p2pquic.lab.simulator import Simulation

FAR = dataclasses.replace(CELLULAR, name="wwan0", delay=0.080)
ROOM = dataclasses.replace(
    scenario_named("room-of-nine"), topology=Topology(guests=(Host("far", (FAR,)),))
)


def registered(peer: str) -> Entry:
    return Entry(0.0, Registered(peer, "lab", "192.0.2.1:1"))


def test_of_the_movers_trace_a_call_has_what_concerns_it() -> None:
    connected = Entry(1.0, Connected("b", "direct", "client", "00"))
    to_other, to_far = (Entry(2.0, FrameSent(1, "p", peer, "first")) for peer in ("b", "c"))
    heard = Entry(2.1, FrameReceived(1, "p", "a"))
    among_guests = Entry(2.2, FrameReceived(1, "p", "b"))
    traces = {
        MOVER: [registered("a"), connected, to_other, to_far],
        OTHER: [registered("b"), heard],
        "far": [registered("c"), heard, among_guests],
    }
    with_other, with_far = calls(ROOM, traces)
    assert with_other.traces[MOVER] == [registered("a"), connected, to_other]
    assert with_far.traces[MOVER] == [registered("a"), to_far]
    assert with_far.traces[OTHER] == [registered("c"), heard]
    assert (with_other.other, with_far.other) == (OTHER, "far")


def test_the_other_side_of_a_call_stands_where_its_guest_does() -> None:
    _, with_far = calls(ROOM, {MOVER: [], OTHER: [], "far": []})
    assert with_far.scenario.topology.other == Host(OTHER, (FAR,))
    assert with_far.scenario.other_up == ("wwan0",)
    assert with_far.scenario.topology.guests == ()


def test_a_call_of_two_is_left_as_it_is() -> None:
    scenario: Scenario = scenario_named("no-change")
    traces = {MOVER: [registered("a")], OTHER: [registered("b")]}
    (call,) = calls(scenario, traces)
    assert (call.scenario, call.traces) == (scenario, traces)


@pytest.mark.slow
def test_each_receiver_has_figures_of_its_own_beside_the_floor_of_its_own_access() -> None:
    room = Simulation(ROOM, seed=3)
    room.run()
    traces = {host.name: host.trace for host in room.peers}
    passages = measure(ROOM, traces, room.changes)
    assert [each.course for each in passages] == ["mover to other", "mover to far"]
    for passage in passages:
        assert passage.lost == 0
        assert passage.above_floor is not None
        assert -0.001 < passage.above_floor < 0.005
    assert conduct(ROOM, traces, room.changes, room.settled).undelivered == 0
