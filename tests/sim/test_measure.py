"""Floors, losses and gaps from traces made by hand, where the right answer is known."""

from __future__ import annotations

import dataclasses
import math

import pytest

from p2pquic.core.events import Resilience
from p2pquic.core.trace import (
    Entry,
    FrameReceived,
    FrameRepeated,
    FrameSent,
    FrameUnsent,
    PathSelected,
)
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.changes import ChangeMade, Episode, Outages, episodes
from p2pquic.lab.floor import Direction, floor
from p2pquic.lab.measure import Spread, conduct, measure
from p2pquic.lab.networks import Link
from p2pquic.lab.scenarios import (
    FRAME_CADENCE,
    Move,
    Scenario,
    break_before_make,
    make_before_break,
    timeline,
)

DOWN, USABLE = 10.0, 10.5
RELAY_AFTER, DIRECT_BEFORE, DIRECT_AFTER = 0.045, 0.020, 0.035
OUTAGE, OVERLAP, RELAYED = map(
    scenario_named, ("break-before-make", "make-before-break", "relay-only")
)


def carried_out(scenario: Scenario, cut: float = DOWN) -> list[ChangeMade]:
    """The changes of a scenario, without a moment's delay, the first interruption at `cut`."""
    planned = timeline(scenario, seed=1)
    first = next(each for each in planned if each.kind != "interface_up")
    return [
        ChangeMade(each.kind, *each.link, time := cut + each.at - first.at, time, 0.0, each.towards)
        for each in planned
    ]


def episode_of(scenario: Scenario) -> Episode:
    return episodes(scenario, carried_out(scenario))[0]


def ticks(phase: float) -> dict[str, list[float]]:
    """When both sources' frames are due, the last one before DOWN being `phase` seconds old."""
    due = [DOWN - phase + n * FRAME_CADENCE for n in range(-100, 200)]
    return {"mover": due, "other": due}


def floor_of(
    name: str, direction: Direction, phase: float = 0.005, resilience: Resilience = "hedged"
) -> float | None:
    scenario = scenario_named(name)
    return floor(direction, ticks(phase), scenario, episode_of(scenario), resilience)


@pytest.mark.parametrize("phase", [0.0, 0.007, 0.0199])
def test_the_floors_of_the_design_at_the_default_delays(phase: float) -> None:
    """The first table of the design's section 3, with U the phase."""
    there: Direction = "mover to other"
    assert floor_of("break-before-make", there, phase) == pytest.approx(
        0.5 + 0.030 + 0.015 - 0.020 + phase
    )
    assert floor_of("make-before-break", there, phase) == pytest.approx(FRAME_CADENCE + 0.015)
    assert floor_of("relay-only", there, phase) == pytest.approx(0.5 + 0.045 - 0.030 + phase)
    assert floor_of("long-outage", there, phase) == pytest.approx(8.0 + 0.025 + phase)


def test_towards_the_mover_what_was_in_flight_died_with_the_interface() -> None:
    back: Direction = "other to mover"  # heard at DOWN - 0.005, since 20 ms are a whole cadence
    assert floor_of("break-before-make", back) == pytest.approx(0.5 + 0.060 + 0.005)
    assert floor_of("make-before-break", back) == pytest.approx(0.070 + 0.005)
    assert floor_of("make-before-break", back, resilience="hot") == pytest.approx(
        FRAME_CADENCE + 0.015
    )


def test_the_servers_memory_spares_the_way_back_where_frames_were_relayed() -> None:
    phase = 0.005 - 0.010  # heard at DOWN - 0.005 after 30 ms by the relay
    assert floor_of("relay-only", "other to mover", phase) == pytest.approx(0.5 + 0.060 + 0.005)


@pytest.mark.parametrize("direction", ["mover to other", "other to mover"])
def test_two_that_move_at_once_meet_at_the_server(direction: Direction) -> None:
    """L + the way to the server + the way from there, both new; L ends with the later of both."""
    scenario = scenario_named("both-move")
    episode = episode_of(scenario)
    assert {move.host for move in episode.moves} == {"mover", "other"}
    assert 0.5 < episode.outage < 0.5 + FRAME_CADENCE
    got = floor(direction, ticks(0.0), scenario, episode)
    assert got == pytest.approx(episode.outage + 0.060 + 0.010, abs=0.010001)


@pytest.mark.parametrize("direction", ["mover to other", "other to mover"])
@pytest.mark.parametrize(
    ("name", "hedged", "hot"),
    [
        ("silent-death", 0.125, 0.035),  # to cellular: 15 ms longer
        ("silent-death-relay", 0.135, 0.045),  # to the relay over cellular: 25 ms longer
        ("wifi-pause", 0.125, 0.035),
    ],
)
def test_a_silent_death_must_be_suspected_unless_a_copy_is_under_way(
    name: str, direction: Direction, hedged: float, hot: float
) -> None:
    assert floor_of(name, direction) == pytest.approx(hedged)
    assert floor_of(name, direction, resilience="hot") == pytest.approx(hot)


def test_towards_a_forgetful_nat_even_a_copy_waits_for_the_movers_next_frame() -> None:
    there: Direction = "mover to other"
    assert floor_of("nat-forgets", there) == pytest.approx(0.120)
    assert floor_of("nat-forgets", there, resilience="hot") == pytest.approx(0.030)
    back = floor_of("nat-forgets", "other to mover", 0.005, "hot")
    assert back == pytest.approx(0.005 + 0.015 + 0.030)  # heard 5 ms before, next due in 15 ms


def test_a_way_that_dies_interrupts_nothing_that_goes_the_other_way() -> None:
    for name, cut, spared in (
        ("way-dies-there", "mover to other", "other to mover"),
        ("way-dies-back", "other to mover", "mover to other"),
    ):
        assert floor_of(name, cut) == pytest.approx(0.120)  # type: ignore[arg-type]
        assert floor_of(name, spared) == FRAME_CADENCE  # type: ignore[arg-type]


def test_a_way_that_dies_after_the_way_back_did_is_a_death_like_the_first() -> None:
    scenario = scenario_named("black-hole")
    first, second = episodes(scenario, carried_out(scenario))
    assert second.down - first.down == pytest.approx(2.0, abs=FRAME_CADENCE)
    assert floor("other to mover", ticks(0.0), scenario, second) == pytest.approx(0.120)
    assert floor("mover to other", ticks(0.0), scenario, second) == FRAME_CADENCE


def test_a_source_that_did_not_run_has_no_floor() -> None:
    silent: dict[str, list[float]] = {"mover": [], "other": []}
    assert floor("mover to other", silent, OUTAGE, episode_of(OUTAGE)) is None


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
    (passage,) = measure(OUTAGE, traces, CHANGES)
    assert passage.direction == "mover to other"
    assert (passage.lost, passage.late) == (2, 1)


def test_gap_outage_and_copies_are_counted() -> None:
    traces = trace_pair(delivered(set(range(50, 56))), resent=frozenset({60, 61}), repeated=3)
    (passage,) = measure(OUTAGE, traces, CHANGES)
    assert passage.outage == pytest.approx(0.5)
    assert passage.gap == pytest.approx(USABLE + RELAY_AFTER - (9.98 + DIRECT_BEFORE))
    assert (passage.resent, passage.duplicated) == (2, 3)
    assert [path for _, path in passage.timeline] == ["direct/eth0", "relay/eth0"]


def test_a_direction_that_never_comes_back_is_no_short_gap() -> None:
    traces = trace_pair(delivered(set(range(50, 150))))
    (passage,) = measure(OUTAGE, traces, CHANGES)
    assert passage.gap == math.inf
    assert passage.lost > 50


def test_with_an_overlap_no_loss_is_excused() -> None:
    traces = trace_pair(delivered({49, 50, 51}))
    (passage,) = measure(OVERLAP, traces, carried_out(OVERLAP))
    assert (passage.lost, passage.late) == (3, 0)


def test_what_nobody_announces_excuses_no_loss() -> None:
    scenario = scenario_named("silent-death")
    traces = trace_pair(delivered({50, 52}))
    (passage,) = measure(scenario, traces, carried_out(scenario))
    assert (passage.lost, passage.late) == (2, 0)


def test_every_move_of_a_scenario_is_an_episode_of_its_own() -> None:
    scenario = dataclasses.replace(
        OUTAGE,
        moves=(
            break_before_make(gone="wlan0", come="rmnet0"),
            make_before_break(gone="rmnet0", come="wlan0", after=5.0),
            Move(9.0, ()),
        ),
    )
    first, second = episodes(scenario, carried_out(scenario))
    assert (first.name, first.kind) == ("wlan0 to rmnet0", "break before make")
    assert first.outage == pytest.approx(0.5)
    assert (second.name, second.kind) == ("rmnet0 to wlan0", "make before break")
    assert (second.outage, second.moment) == (0.0, second.down)
    assert [move.returns for each in (first, second) for move in each.moves] == [False, True]


def test_of_sixty_moves_each_goes_to_what_is_up_and_none_has_an_outage() -> None:
    scenario = scenario_named("sixty-moves")
    told = episodes(scenario, carried_out(scenario))
    assert len(told) == 60
    assert {each.name for each in told} == {"wlan0 to wlan1", "wlan1 to wlan0"}
    assert all(each.has_overlap and not each.is_silent for each in told)


def test_the_conduct_of_a_call_begins_when_it_has_settled() -> None:
    traces = trace_pair(delivered({10, 120}), resent=frozenset({60}))
    switch = PathSelected("direct/wlan0", "direct", "", "", "", "b")
    duplicate = FrameSent(130, "relay/wlan0", "b", "duplicate")
    traces["mover"] += [Entry(9.1, switch), Entry(9.6, switch), Entry(11.6, duplicate)]
    whole = conduct(scenario_named("no-change"), traces, [], settled=9.5)
    sent = 125 - 25 + 1 + 1  # frames due from 9.5 s on, without those unsent; the others
    assert whole.switches == 1
    assert whole.duplicates == pytest.approx(1 / sent)
    assert whole.undelivered == pytest.approx(1 / 125)


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
