"""The oracle itself: at the floor of every named scenario, and never below physics."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.events import Resilience
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.changes import ChangeMade, Outages, episodes
from p2pquic.lab.flooding import CREDIT, NOTHING, Bundle, Proofs, Source, Way
from p2pquic.lab.floor import ENDS, floor
from p2pquic.lab.networks import MOVER, OTHER
from p2pquic.lab.oracle import Arrivals, ask_the_oracle
from p2pquic.lab.scenarios import FRAME_CADENCE, Change, Scenario, timeline

BEGIN = 1000.0
AFTERMATH = 2.0
ORIGINS = {MOVER: 990.003, OTHER: 990.011}
SPARED_BY_MEMORY = 0.030  # seconds: the way from the server to the other side and back
TICK = FRAME_CADENCE  # seconds: an end that listens to silence looks at its clock this often
NOTICED = 2 * FRAME_CADENCE  # seconds
SMALL = 1e-4
ANNOUNCED = [
    "break-before-make",
    "make-before-break",
    "relay-only",
    "other-side-public",
    "both-move",
    "long-outage",
]
SILENT = ["silent-death", "silent-death-relay", "nat-forgets", "way-dies-there", "way-dies-back"]


def changes_of(scenario: Scenario, seed: int = 1) -> list[Change]:
    return [
        dataclasses.replace(change, at=BEGIN + change.at) for change in timeline(scenario, seed)
    ]


def heard(
    scenario: Scenario, resilience: Resilience = "hedged", seed: int = 1
) -> dict[str, Arrivals]:
    changes = changes_of(scenario, seed)
    end = changes[-1].at + AFTERMATH
    sources = {name: Source(origin, end) for name, origin in ORIGINS.items()}
    found = ask_the_oracle(scenario, changes, sources, resilience, BEGIN, end)
    return {name: each.frames for name, each in found.items()}


def longest_gap(arrivals: Arrivals) -> float:
    times = sorted(time for time in arrivals.values() if time > BEGIN - 0.1)
    return max(after - before for before, after in itertools.pairwise(times))


def floors(scenario: Scenario, resilience: Resilience, seed: int) -> dict[str, float]:
    """By receiver; in scenarios of one episode."""
    outages = Outages(scenario.links_up)
    made = []
    for change in changes_of(scenario, seed):
        outage = 0.0
        if change.kind == "interface_down":
            outages.lost(change.link, change.at)
        elif change.kind == "interface_up":
            outage = outages.gained(change.link, change.at)
        at, towards = change.at, change.towards
        made.append(ChangeMade(change.kind, *change.link, at, at, 1000 * outage, towards))
    (episode,) = episodes(scenario, made)
    due = {
        name: [origin + n * FRAME_CADENCE for n in range(2000)] for name, origin in ORIGINS.items()
    }
    found = {}
    for direction, (_, receiver) in ENDS.items():
        lowest = floor(direction, due, scenario, episode, resilience)
        assert lowest is not None
        found[receiver] = lowest
    return found


@pytest.mark.slow
@pytest.mark.parametrize("resilience", ["hedged", "hot"])
@pytest.mark.parametrize("name", ANNOUNCED)
def test_announced_moves_cost_the_oracle_the_floor(name: str, resilience: Resilience) -> None:
    """Towards the mover it may use the server's memory, which `floor` leaves out off the relay."""
    for seed in (1, 2, 3):
        scenario = scenario_named(name)
        lowest = floors(scenario, resilience, seed)
        arrivals = heard(scenario, resilience, seed)
        for receiver in (MOVER, OTHER):
            above = longest_gap(arrivals[receiver]) - lowest[receiver]
            assert -SPARED_BY_MEMORY - SMALL <= above <= SMALL, (seed, receiver)


@pytest.mark.slow
@pytest.mark.parametrize("resilience", ["hedged", "hot"])
@pytest.mark.parametrize("name", SILENT)
def test_silent_deaths_cost_the_oracle_what_noticing_costs(
    name: str, resilience: Resilience
) -> None:
    """Its margins are not those of `floor`, and one who listens to silence does so by the tick."""
    scenario = scenario_named(name)
    lowest = floors(scenario, resilience, 1)
    arrivals = heard(scenario, resilience)
    for receiver in (MOVER, OTHER):
        assert abs(longest_gap(arrivals[receiver]) - lowest[receiver]) <= NOTICED, receiver


@pytest.mark.slow
def test_a_lean_end_waits_until_it_is_sure() -> None:
    hedged, lean = (
        max(map(longest_gap, heard(scenario_named("silent-death"), resilience).values()))
        for resilience in ("hedged", "lean")
    )
    assert lean - hedged == pytest.approx(0.250, abs=TICK)


@pytest.mark.slow
def test_nothing_arrives_before_it_can() -> None:
    scenario = scenario_named("break-before-make")
    arrivals = heard(scenario)
    for receiver, sender in ((OTHER, MOVER), (MOVER, OTHER)):
        ages = [time - ORIGINS[sender] - seq * 0.020 for seq, time in arrivals[receiver].items()]
        assert min(ages) >= 0.020 - 1e-6, "wlan0 10 ms, eth0 10 ms"


@pytest.mark.slow
def test_a_host_without_a_network_hears_nothing() -> None:
    scenario = scenario_named("break-before-make")
    down, usable = (change.at for change in changes_of(scenario))
    assert not any(down < time < usable for time in heard(scenario)[MOVER].values())


def bundle(frames: range, echo: float = -math.inf) -> Bundle:
    return Bundle(OTHER, Way("eth0", ""), 0.0, frames, False, True, True, -1, {}, echo)


def test_an_address_that_proved_nothing_gets_what_its_own_frames_allow() -> None:
    proofs, there = Proofs(), SocketAddress("203.0.113.1", 1)
    assert not proofs.allow(there)
    proofs.sends(there, 5.0)
    proofs.came(there, bundle(range(1)))
    proofs.came(there, bundle(NOTHING))
    assert [proofs.allow(there) for _ in range(CREDIT + 1)] == [True] * CREDIT + [False]


@pytest.mark.parametrize(("echo", "proves"), [(5.0, True), (4.9, False)])
def test_an_echo_of_what_went_there_proves_an_address_for_good(echo: float, proves: bool) -> None:
    proofs, there = Proofs(), SocketAddress("203.0.113.1", 1)
    proofs.sends(there, 5.0)
    proofs.came(there, bundle(NOTHING, echo))
    assert all(proofs.allow(there) is proves for _ in range(100))
