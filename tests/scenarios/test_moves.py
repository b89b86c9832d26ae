"""Every scenario in virtual time: the real sessions, held against the floor of their phase."""

from __future__ import annotations

import dataclasses

import pytest

from p2pquic.core.events import Resilience
from p2pquic.core.trace import (
    Closed,
    Dropped,
    FrameReceived,
    FrameRepeated,
    FrameSent,
    Hedging,
    PathSelected,
    Registered,
)
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.changes import episodes
from p2pquic.lab.measure import connections, frames_of, measure, undelivered
from p2pquic.lab.scenarios import QuicRole
from p2pquic.lab.simulator import Simulation

MARGIN = 0.005  # seconds above the floor: what the program may add of its own, in virtual time
SUSPICION = 0.010  # seconds below it: the floor has the other end learn of a move from the mover,
# and one that notices by itself that nothing comes back may be a little sooner
BOTH_QUIC_ROLES: tuple[QuicRole, ...] = ("client", "server")
MOVING = [
    "break-before-make",
    "break-before-make-sender",
    "break-before-make-receiver",
    "make-before-break",
    "relay-only",
    "other-side-public",
]


def simulate(
    name: str, quic_role: QuicRole = "any", seed: int = 1, resilience: Resilience = "hedged"
) -> Simulation:
    scenario = dataclasses.replace(scenario_named(name), mover_quic_role=quic_role)
    simulation = Simulation(scenario, seed, resilience=resilience)
    simulation.run()
    return simulation


def traces(simulation: Simulation) -> dict[str, list]:  # type: ignore[type-arg]
    return {host.name: host.trace for host in (simulation.mover, simulation.other)}


def check(simulation: Simulation) -> None:
    """Within 5 ms of the floor, nothing lost, one connection from first to last."""
    passages = measure(
        simulation.scenario, traces(simulation), simulation.changes, simulation.resilience
    )
    assert passages
    for passage in passages:
        assert passage.above_floor is not None
        assert -SUSPICION < passage.above_floor <= MARGIN, passage
        assert passage.lost == 0, passage
    told = episodes(simulation.scenario, simulation.changes)
    for direction in {passage.direction for passage in passages}:
        frames = frames_of(direction, traces(simulation))
        flight = 0.045 if direction == "other to mover" else 0.0
        assert undelivered(frames, told, flight) == []
    ids = connections(traces(simulation))
    assert ids["mover"] == ids["other"]
    assert len(ids["mover"]) == 1
    for host in (simulation.mover, simulation.other):
        assert not host.records(Dropped)
        assert host.finished == "the scenario is over"


@pytest.mark.slow
@pytest.mark.parametrize("quic_role", BOTH_QUIC_ROLES)
@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_move_costs_what_physics_asks_and_loses_nothing(
    name: str, quic_role: QuicRole, seed: int
) -> None:
    check(simulate(name, quic_role, seed))


@pytest.mark.slow
@pytest.mark.parametrize("quic_role", BOTH_QUIC_ROLES)
def test_to_cellular_and_back_twice(quic_role: QuicRole) -> None:
    simulation = simulate("wifi-cellular-wifi-twice", quic_role)
    check(simulation)
    passages = measure(simulation.scenario, traces(simulation), simulation.changes)
    assert len(passages) == 8


@pytest.mark.slow
@pytest.mark.parametrize("quic_role", BOTH_QUIC_ROLES)
def test_the_direct_path_is_back_within_150_ms(quic_role: QuicRole) -> None:
    simulation = simulate("break-before-make", quic_role)
    for passage in measure(simulation.scenario, traces(simulation), simulation.changes):
        assert passage.direct_again is not None
        assert passage.direct_again <= 0.150


@pytest.mark.slow
def test_the_first_frame_after_a_move_leaves_at_once_by_the_relay_and_directly() -> None:
    simulation = simulate("break-before-make")
    usable = simulation.changes[-1].end
    at_once = [
        entry.record
        for entry in simulation.mover.trace
        if isinstance(entry.record, FrameSent) and entry.t == usable
    ]
    newest = max(record.seq for record in at_once)
    assert at_once[0].seq == newest, "the newest pending frame goes first"
    assert {record.path.partition("/")[0] for record in at_once if record.seq == newest} == {
        "relay",
        "direct",
    }


@pytest.mark.slow
def test_lean_never_duplicates() -> None:
    simulation = simulate("break-before-make", resilience="lean")
    check(simulation)
    copies = [
        entry.record.copy
        for host in (simulation.mover, simulation.other)
        for entry in host.trace
        if isinstance(entry.record, FrameSent)
    ]
    assert "duplicate" not in copies
    assert not simulation.mover.records(Hedging)


@pytest.mark.slow
def test_hedging_begins_with_the_move_and_ends_soon_after() -> None:
    simulation = simulate("break-before-make")
    usable = simulation.changes[-1].end
    hedging = simulation.mover.records(Hedging)
    assert [getattr(entry.record, "on", None) for entry in hedging] == [True, False]
    assert hedging[0].t == usable
    assert hedging[1].t < usable + 0.2


@pytest.mark.slow
@pytest.mark.parametrize("quic_role", BOTH_QUIC_ROLES)
def test_without_a_change_no_frame_is_sent_twice(quic_role: QuicRole) -> None:
    simulation = simulate("no-change", quic_role)
    for host in (simulation.mover, simulation.other):
        assert not host.records(FrameRepeated)
        selected = [entry.record for entry in host.records(PathSelected)]
        assert len(selected) <= 3, "the relay, a direct path, and agreement on it"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_peers_that_start_in_the_same_instant_hear_each_other_within_half_a_second(
    seed: int,
) -> None:
    simulation = simulate("start-together", seed=seed)
    later = max(host.records(Registered)[0].t for host in (simulation.mover, simulation.other))
    for host in (simulation.mover, simulation.other):
        assert host.records(FrameReceived)[0].t - later <= 0.5
        last = host.records(PathSelected)[-1].record
        assert isinstance(last, PathSelected)
        assert last.kind == "direct"


@pytest.mark.slow
def test_a_run_repeats_in_every_time_and_decision() -> None:
    first, second = (simulate("break-before-make", "client", seed=4) for _ in range(2))

    def decisions(simulation: Simulation) -> list[object]:
        return [
            (host.name, entry.t, type(entry.record), getattr(entry.record, "path", ""))
            for host in (simulation.mover, simulation.other)
            for entry in host.trace
        ]

    assert decisions(first) == decisions(second)


@pytest.mark.slow
def test_a_goodbye_ends_the_call_at_the_other_side() -> None:
    simulation = simulate("no-change")
    for host in (simulation.mover, simulation.other):
        ends = [entry.record for entry in host.records(Closed)]
        assert len(ends) == 2, "of the call, and of the session"
