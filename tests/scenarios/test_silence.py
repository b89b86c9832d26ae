"""What no kernel announces, in virtual time: each way for a path to die, and what it may cost."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import pytest

from p2pquic.core.events import Resilience
from p2pquic.core.trace import Closed, FrameReceived, FrameSent, PathSelected, Suspected
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.measure import Conduct, Passage, conduct, measure
from p2pquic.lab.networks import MOVER, OTHER, SERVER, Link
from p2pquic.lab.scenarios import FRAME_CADENCE, Change, Move, QuicRole, Scenario
from p2pquic.lab.simulator import ORIGIN, Simulation, VirtualHost

BOTH_QUIC_ROLES: tuple[QuicRole, ...] = ("client", "server")
NO_MARGIN = 1e-6  # seconds: sums of floats round
HEDGED = (
    0.115  # seconds: a silent death at the default delays, noticed and hedged; the issue gives 130
)
LEAN = 0.130  # seconds: the frame on the way by the dead path is sent again, in its turn
HOT_NAT = 0.070  # seconds, by the phase of both sources: the next frame of ours opens the leg anew
SETTLED = 3.0  # seconds after which every call here is on its direct path


def simulate(
    scenario: Scenario | str,
    resilience: Resilience = "hedged",
    quic_role: QuicRole = "any",
    seed: int = 1,
) -> Simulation:
    known = scenario_named(scenario) if isinstance(scenario, str) else scenario
    placed = dataclasses.replace(known, mover_quic_role=quic_role)
    simulation = Simulation(placed, seed, resilience=resilience)
    simulation.run()
    return simulation


def passages(simulation: Simulation) -> list[Passage]:
    traces = {host.name: host.trace for host in (simulation.mover, simulation.other)}
    return measure(simulation.scenario, traces, simulation.changes, simulation.resilience)


def conducted(simulation: Simulation) -> Conduct:
    traces = {host.name: host.trace for host in (simulation.mover, simulation.other)}
    return conduct(simulation.scenario, traces, simulation.changes, ORIGIN + SETTLED)


def switches(simulation: Simulation) -> list[str]:
    """Every selection of a path after the first change, at either end."""
    begin = simulation.changes[0].start
    return [
        entry.record.reason
        for host in (simulation.mover, simulation.other)
        for entry in host.records(PathSelected)
        if isinstance(entry.record, PathSelected) and entry.t > begin
    ]


def arrivals(host: VirtualHost, begin: float) -> list[float]:
    return [entry.t for entry in host.records(FrameReceived) if entry.t > begin]


def longest_gap(times: Sequence[float]) -> float:
    return max(after - before for before, after in itertools.pairwise(times))


@pytest.mark.slow
@pytest.mark.parametrize("quic_role", BOTH_QUIC_ROLES)
@pytest.mark.parametrize(
    "name",
    ["silent-death", "silent-death-relay", "nat-forgets", "way-dies-there", "way-dies-back",
     "black-hole"],
)  # fmt: skip
@pytest.mark.parametrize("seed", [1, 2])
def test_a_death_in_silence_is_heard_for_a_round_trip_and_some(
    name: str, quic_role: QuicRole, seed: int
) -> None:
    for passage in passages(simulate(name, "hedged", quic_role, seed)):
        assert passage.gap <= HEDGED, passage
        assert passage.lost == 0, passage


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["silent-death", "nat-forgets", "way-dies-there", "way-dies-back", "black-hole"]
)
def test_lean_goes_round_it_nearly_as_soon_and_sends_nothing_twice(name: str) -> None:
    simulation = simulate(name, "lean")
    for passage in passages(simulation):
        assert passage.gap <= LEAN, passage
        assert passage.lost == 0, passage
    for host in (simulation.mover, simulation.other):
        copies = {e.record.copy for e in host.trace if isinstance(e.record, FrameSent)}
        assert copies <= {"first", "resend"}


@pytest.mark.slow
@pytest.mark.parametrize("quic_role", BOTH_QUIC_ROLES)
@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("make-before-break", 0.035),
        ("silent-death", 0.035),
        ("silent-death-relay", 0.045),
        ("nat-forgets", HOT_NAT),
        ("way-dies-there", 0.030),
        ("way-dies-back", 0.030),
        ("black-hole", 0.030),
        ("sixty-moves", 0.020),
    ],
)
def test_hot_hears_only_the_difference_of_two_delays(
    name: str, limit: float, quic_role: QuicRole
) -> None:
    for passage in passages(simulate(name, "hot", quic_role)):
        assert passage.gap <= limit + NO_MARGIN, passage
        assert passage.lost == 0, passage


@pytest.mark.slow
def test_hot_does_not_rely_on_a_second_way_that_has_died_before() -> None:
    """Nothing of the mover passes by cellular any more; then its direct way dies as well."""
    leg_dies = Change(0.0, "way_dies", "rmnet0", MOVER, towards=Link(SERVER, "eth0"))
    direct_dies = Change(0.0, "way_dies", "wlan0", MOVER, towards=Link(OTHER, "eth0"))
    cellular_dies = Change(0.0, "way_dies", "rmnet0", MOVER, towards=Link(OTHER, "eth0"))
    scenario = dataclasses.replace(
        scenario_named("silent-death"),
        moves=(Move(0.0, (leg_dies, cellular_dies)), Move(2.0, (direct_dies,))),
    )
    simulation = simulate(scenario, "hot")
    arrivals = sorted(entry.t for entry in simulation.other.records(FrameReceived))
    died = simulation.changes[-1].start
    late = [b - a for a, b in itertools.pairwise(arrivals) if b > died]
    assert max(late) < 2 * FRAME_CADENCE


@pytest.mark.slow
@pytest.mark.parametrize("resilience", ["hedged", "hot"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_pause_of_wifi_costs_copies_and_no_decision(resilience: Resilience, seed: int) -> None:
    simulation = simulate("wifi-pause", resilience, seed=seed)
    assert switches(simulation) == []
    assert all(passage.lost == 0 for passage in passages(simulation))
    assert simulation.mover.records(Suspected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["way-dies-there", "way-dies-back"])
def test_a_direction_that_dies_alone_is_hedged_and_does_not_switch(name: str) -> None:
    assert switches(simulate(name)) == []


@pytest.mark.slow
def test_when_the_other_direction_dies_too_the_call_leaves_the_path_once() -> None:
    left, *others = switches(simulate("black-hole"))
    assert left == "nothing comes through the path before"
    assert others[-1] == "the other end chose it"
    assert len(others) <= 2, "the other end may have come to the same conclusion by itself"


@pytest.mark.slow
def test_moves_in_quick_succession_cost_a_decision_at_each_end_and_no_more() -> None:
    simulation = simulate("sixty-moves")
    assert len(switches(simulation)) <= 2 * 60
    for passage in passages(simulation):
        assert passage.gap <= 0.060 + NO_MARGIN
        assert passage.lost == 0


@pytest.mark.slow
@pytest.mark.parametrize("quic_role", BOTH_QUIC_ROLES)
@pytest.mark.parametrize("name", ["both-move", "long-outage"])
def test_whoever_moves_and_however_long_it_takes_the_gap_is_at_its_floor(
    name: str, quic_role: QuicRole
) -> None:
    for passage in passages(simulate(name, "hedged", quic_role)):
        assert passage.above_floor is not None
        assert passage.above_floor <= 0.005, passage
        assert passage.lost == 0, passage


@pytest.mark.slow
def test_random_loss_costs_repeats_of_what_was_lost_and_next_to_no_copies() -> None:
    scenario = dataclasses.replace(scenario_named("lossy"), aftermath=30.0)
    simulation = simulate(scenario)
    figures = conducted(simulation)
    assert figures.switches == 0
    assert figures.duplicates <= 0.02
    assert figures.undelivered <= 0.001


def outage_of_everything(seconds: float, aftermath: float = 3.0) -> Scenario:
    """The other side's network swallows everything for a while; no kernel says a word."""
    changes = (
        Change(0.0, "link_dies", "eth0", "other"),
        Change(seconds, "link_recovers", "eth0", "other"),
    )
    return dataclasses.replace(
        scenario_named("no-change"), moves=(Move(0.0, changes),), settle=1.0, aftermath=aftermath
    )


@pytest.mark.slow
@pytest.mark.parametrize("resilience", ["lean", "hedged", "hot"])
def test_after_twenty_seconds_of_nothing_the_first_packet_that_passes_brings_the_newest_frame(
    resilience: Resilience,
) -> None:
    simulation = simulate(outage_of_everything(20.0), resilience)
    back = simulation.changes[-1].start
    for sender, receiver in (
        (simulation.mover, simulation.other),
        (simulation.other, simulation.mover),
    ):
        first = next(entry for entry in receiver.records(FrameReceived) if entry.t > back)
        assert first.t - back < 0.060, "a frame is sent every 20 ms, and takes 20 to 30 more"
        due = {
            entry.record.seq: entry.t
            for entry in sender.records(FrameSent)
            if isinstance(entry.record, FrameSent) and entry.record.copy == "first"
        }
        assert isinstance(first.record, FrameReceived)
        assert due[first.record.seq] > back - 0.025, "nothing stale goes first"
        assert longest_gap(arrivals(receiver, back + 0.5)) < 0.1


@pytest.mark.slow
def test_a_call_that_hears_nothing_for_the_give_up_time_ends_and_says_why() -> None:
    simulation = simulate(outage_of_everything(70.0, aftermath=1.0), "lean")
    (end, *_) = simulation.mover.records(Closed)
    assert isinstance(end.record, Closed)
    assert end.record.reason == "nothing heard for 60 s"
    assert end.t - simulation.changes[0].start == pytest.approx(60.0, abs=0.1)


@pytest.mark.slow
def test_a_direct_path_that_works_again_after_half_a_minute_carries_the_call_again() -> None:
    black_hole = scenario_named("black-hole")
    ways = [change for move in black_hole.moves for change in move.changes]
    gone = [dataclasses.replace(change, at=0.0) for change in ways]
    back = [dataclasses.replace(change, at=30.0, kind="way_recovers") for change in ways]
    scenario = dataclasses.replace(
        black_hole, moves=(Move(0.0, (*gone, *back)),), settle=1.0, aftermath=35.0
    )
    simulation = simulate(scenario)
    recovered = simulation.changes[-1].start
    again = [
        entry.t - recovered
        for entry in simulation.mover.records(PathSelected)
        if isinstance(entry.record, PathSelected)
        and entry.record.kind == "direct"
        and entry.t > recovered
    ]
    assert again, "pairs that fail are tried ever less, and never given up"
    assert again[0] < 31.0, "the waits double: none is longer than all before it"
    assert longest_gap(arrivals(simulation.other, recovered)) < 0.060, "unheard"
