"""A Wi-Fi with an address, a default route and no internet behind it; in virtual time.

Packets vanish there. A login page changes nothing: it answers TCP alone. That an ICMP "prohibited"
does no harm either, a real kernel has to say: tests/net/captive_host.py.
"""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from p2pquic.core.preference import INDIFFERENT, InterfacePreference
from p2pquic.core.trace import Failed, FrameReceived, PathSelected, Registered, Suspected
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.scenarios import FRAME_CADENCE, SETTLE, Change
from p2pquic.lab.simulator import ORIGIN, Simulation, VirtualHost
from p2pquic.session.control_link import HEAD_START

pytestmark = pytest.mark.slow

CAPTIVE = Change(0.0, "link_dies", "wlan0")
WIFI_COMES, WIFI_GOES = Change(0.0, "interface_up", "wlan0"), Change(0.0, "interface_down", "wlan0")
CELLULAR_COMES = Change(0.0, "interface_up", "rmnet0")
CELLULAR_GOES = Change(0.0, "interface_down", "rmnet0")
STAGGER = 0.5  # seconds until the mover starts
ROUND_TRIP = 0.060  # seconds, to the server by cellular


class World(Simulation):
    """The mover's Wi-Fi is captive from the start."""

    def __init__(
        self, mover_up: tuple[str, ...], preference: InterfacePreference = INDIFFERENT
    ) -> None:
        scenario = dataclasses.replace(
            scenario_named("break-before-make"), mover_up=mover_up, stagger=STAGGER
        )
        super().__init__(scenario, seed=1, interfaces={"mover": preference})
        self.apply(CAPTIVE)
        self.settle()
        self.run_for(SETTLE)

    def longest_gap(self, host: VirtualHost, since: float) -> float:
        """Seconds between two arrivals, from the last before `since` to this moment."""
        times = [entry.t for entry in host.records(FrameReceived)]
        first = max(time for time in times if time <= since)
        heard = [*(time for time in times if time >= first), self.now]
        return max(after - before for before, after in itertools.pairwise(heard))

    def interface(self) -> str:
        last = self.mover.records(PathSelected)[-1].record
        assert isinstance(last, PathSelected)
        return last.local.partition("%")[2]


def registered_after(world: World) -> float:
    """Seconds from the mover's start."""
    return world.mover.records(Registered)[0].t - ORIGIN - STAGGER


def test_at_the_start_the_server_is_found_by_the_other_interface() -> None:
    world = World(("wlan0", "rmnet0"))
    assert registered_after(world) < HEAD_START + 3 * ROUND_TRIP
    assert world.interface() == "rmnet0"
    assert not world.mover.records(Failed)


@pytest.mark.parametrize(
    "preference",
    [InterfacePreference(avoid=("rmnet*",)), InterfacePreference(prefer=("wlan0",))],
    ids=["cellular avoided", "Wi-Fi preferred"],
)
def test_whatever_the_person_prefers(preference: InterfacePreference) -> None:
    world = World(("wlan0", "rmnet0"), preference)
    assert registered_after(world) < 2 * HEAD_START + 3 * ROUND_TRIP
    assert world.interface() == "rmnet0"


def test_where_the_first_interface_leads_out_the_others_are_not_asked() -> None:
    """That would cost a handshake each time."""
    scenario = dataclasses.replace(
        scenario_named("break-before-make"), mover_up=("wlan0", "rmnet0")
    )
    world = Simulation(scenario, seed=1)
    world.settle()
    assert len(world.mover.records(Registered)) == 1
    assert world.mover.records(Registered)[0].t - ORIGIN - STAGGER < HEAD_START


def test_a_captive_wifi_that_joins_a_call_is_not_heard() -> None:
    world = World(("rmnet0",))
    joins = world.now
    world.apply(WIFI_COMES)
    world.run_for(20.0)
    for host in (world.mover, world.other):
        assert world.longest_gap(host, joins) < FRAME_CADENCE + 0.005
        assert not [entry for entry in host.records(Suspected) if entry.t > joins]
    world.apply(WIFI_GOES)
    world.run_for(2.0)
    for host in (world.mover, world.other):
        assert world.longest_gap(host, joins) < FRAME_CADENCE + 0.005


def test_when_the_other_interface_goes_the_call_is_silent_until_it_comes_back() -> None:
    world = World(("wlan0", "rmnet0"))
    goes = world.now
    world.apply(CELLULAR_GOES)
    world.run_for(5.0)
    comes = world.now
    world.apply(CELLULAR_COMES)
    world.run_for(3.0)
    for host in (world.mover, world.other):
        assert world.longest_gap(host, goes) < comes - goes + 0.130
    assert world.interface() == "rmnet0"


def test_or_until_somebody_has_logged_in_to_the_wifi() -> None:
    world = World(("wlan0", "rmnet0"))
    goes = world.now
    world.apply(CELLULAR_GOES)
    world.run_for(5.0)
    logged_in = world.now
    world.apply(dataclasses.replace(CAPTIVE, kind="link_recovers"))
    world.run_for(3.0)
    for host in (world.mover, world.other):
        assert world.longest_gap(host, goes) < logged_in - goes + 0.130
    assert world.interface() == "wlan0"
