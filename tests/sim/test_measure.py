"""Floors, losses and gaps from traces made by hand, where the right answer is known."""

from __future__ import annotations

import math

import pytest

from p2pquic.core.trace import Entry, FrameReceived, FrameRepeated, FrameSent, FrameUnsent
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.changes import ChangeMade, MoveMade, Outages, moves_made
from p2pquic.lab.floor import Delays, floor
from p2pquic.lab.measure import Spread, measure
from p2pquic.lab.scenarios import FRAME_CADENCE, Link, Scenario, Topology

TOPOLOGY = Topology()
DOWN, USABLE = 10.0, 10.5
OUTAGE = MoveMade("mover", "wlan0", "rmnet0", DOWN, DOWN, USABLE)
OVERLAP = MoveMade("mover", "wlan0", "rmnet0", DOWN, DOWN, DOWN - 2.0)
RELAY_AFTER, DIRECT_BEFORE, DIRECT_AFTER = 0.045, 0.020, 0.035


def ticks(phase: float) -> list[float]:
    """When a source's frames are due, the last one before DOWN being `phase` seconds old."""
    return [DOWN - phase + n * FRAME_CADENCE for n in range(-100, 200)]


def delays(move: MoveMade, *, relayed: bool = False) -> Delays:
    return Delays.of(TOPOLOGY, move, relayed=relayed)


@pytest.mark.parametrize("phase", [0.0, 0.007, 0.0199])
def test_the_floors_of_the_design_at_the_default_delays(phase: float) -> None:
    """The first table of the design's section 3, with U the phase."""
    due = ticks(phase)
    assert floor("mover to other", due, OUTAGE, delays(OUTAGE)) == pytest.approx(
        0.5 + 0.030 + 0.015 - 0.020 + phase
    )
    assert floor("mover to other", due, OVERLAP, delays(OVERLAP)) == pytest.approx(
        FRAME_CADENCE + 0.015
    )
    relayed = delays(OUTAGE, relayed=True)
    assert floor("mover to other", due, OUTAGE, relayed) == pytest.approx(
        0.5 + 0.045 - 0.030 + phase
    )


def test_towards_the_mover_what_was_in_flight_died_with_the_interface() -> None:
    due = ticks(0.005)  # a frame is heard at DOWN - 0.005, since 20 ms are a whole cadence
    assert floor("other to mover", due, OUTAGE, delays(OUTAGE)) == pytest.approx(
        0.5 + 0.090 + 0.005
    )
    assert floor("other to mover", due, OVERLAP, delays(OVERLAP)) == pytest.approx(0.070 + 0.005)


def test_the_servers_memory_spares_the_way_back_where_frames_were_relayed() -> None:
    relayed = delays(OUTAGE, relayed=True)
    due = [time + 0.010 for time in ticks(0.005)]  # heard at DOWN - 0.005 after 30 ms by the relay
    assert floor("other to mover", due, OUTAGE, relayed) == pytest.approx(0.5 + 0.060 + 0.005)


def test_a_source_that_did_not_run_has_no_floor() -> None:
    assert floor("mover to other", [], OUTAGE, delays(OUTAGE)) is None


def trace_pair(
    arrivals: dict[int, float],
    *,
    resent: frozenset[int] = frozenset(),
    repeated: int = 0,
) -> dict[str, list[Entry]]:
    """The mover's frames every 20 ms from 9.0 s on (frame 50 is due at DOWN); what arrived when."""
    mover: list[Entry] = []
    for seq in range(150):
        due = 9.0 + seq * FRAME_CADENCE
        record = (
            FrameUnsent(seq, "b")
            if DOWN <= due < USABLE
            else FrameSent(seq, "direct/wlan0", "b", "first")
        )
        mover.append(Entry(due, record))
    mover += [Entry(USABLE, FrameSent(seq, "relay/rmnet0", "b", "resend")) for seq in resent]
    other = [
        Entry(time, FrameReceived(seq, "direct/eth0" if time < USABLE else "relay/eth0", "a"))
        for seq, time in arrivals.items()
    ]
    other += [Entry(USABLE + 0.1, FrameRepeated(0, "relay/eth0", "a"))] * repeated
    return {"mover": mover, "other": sorted(other, key=lambda entry: entry.t)}


CHANGES = [
    ChangeMade("interface_down", "mover", "wlan0", DOWN, DOWN, 0.0),
    ChangeMade("interface_up", "mover", "rmnet0", USABLE, USABLE, 500.0),
]
SCENARIO: Scenario = scenario_named("break-before-make")


def delivered(missing: set[int]) -> dict[int, float]:
    return {
        seq: max(
            9.0 + seq * FRAME_CADENCE + DIRECT_BEFORE, USABLE + RELAY_AFTER if seq >= 50 else 0
        )
        for seq in range(150)
        if seq not in missing
    }


def test_a_frame_dropped_on_purpose_is_late_and_one_in_the_window_is_lost() -> None:
    too_old, in_the_window, before_the_cut = 52, 60, 40
    traces = trace_pair(delivered({too_old, in_the_window, before_the_cut}))
    (passage,) = measure(SCENARIO, traces, CHANGES)
    assert passage.direction == "mover to other"
    assert (passage.lost, passage.late) == (2, 1)


def test_gap_outage_and_copies_are_counted() -> None:
    traces = trace_pair(delivered(set(range(50, 56))), resent=frozenset({60, 61}), repeated=3)
    (passage,) = measure(SCENARIO, traces, CHANGES)
    assert passage.outage == pytest.approx(0.5)
    assert passage.gap == pytest.approx(USABLE + RELAY_AFTER - (9.98 + DIRECT_BEFORE))
    assert (passage.resent, passage.duplicated) == (2, 3)
    assert [path for _, path in passage.timeline] == ["direct/eth0", "relay/eth0"]


def test_a_direction_that_never_comes_back_is_no_short_gap() -> None:
    traces = trace_pair(delivered(set(range(50, 150))))
    (passage,) = measure(SCENARIO, traces, CHANGES)
    assert passage.gap == math.inf
    assert passage.lost > 50


def test_with_an_overlap_no_loss_is_excused() -> None:
    down = [
        ChangeMade("interface_up", "mover", "rmnet0", DOWN - 2, DOWN - 2, 0.0),
        ChangeMade("interface_down", "mover", "wlan0", DOWN, DOWN, 0.0),
    ]
    (passage,) = measure(SCENARIO, trace_pair(delivered({49, 50, 51})), down)
    assert (passage.lost, passage.late) == (3, 0)


def test_moves_are_paired_in_order() -> None:
    changes = [
        *CHANGES,
        ChangeMade("interface_up", "mover", "wlan0", 15.0, 15.1, 0.0),
        ChangeMade("interface_down", "mover", "rmnet0", 17.0, 17.1, 0.0),
    ]
    first, second = moves_made(changes)
    assert (first.gone, first.come, first.has_overlap, first.outage) == (
        "wlan0",
        "rmnet0",
        False,
        0.5,
    )
    assert (second.gone, second.come, second.has_overlap, second.outage) == (
        "rmnet0",
        "wlan0",
        True,
        0.0,
    )
    assert second.moment == 17.0


def test_an_outage_ends_only_where_there_was_none_left() -> None:
    wlan, rmnet = Link("mover", "wlan0"), Link("mover", "rmnet0")
    outages = Outages([wlan])
    assert outages.gained(rmnet, 5.0) == 0.0
    outages.lost(wlan, 6.0)
    outages.lost(rmnet, 7.0)
    assert outages.gained(wlan, 9.0) == 2.0


def test_p95_needs_forty_runs() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 3.0, None)
    assert Spread.of([float(n) for n in range(40)]).p95 == 37.0
