"""--prefer and --avoid in whole calls, in virtual time."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from typing import Any

import pytest

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.events import Resilience, SocketsChanged
from p2pquic.core.preference import INDIFFERENT, InterfacePreference
from p2pquic.core.trace import FrameReceived, PathSelected, ReserveChanged
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.networks import OTHER
from p2pquic.lab.scenarios import FRAME_CADENCE, Change, Scenario
from p2pquic.lab.simulator import Simulation, VirtualHost

pytestmark = pytest.mark.slow

BOTH_UP = ("wlan0", "rmnet0")
AVOID_CELLULAR = InterfacePreference(avoid=("rmnet*",))
WIFI_FALLS_SILENT = Change(0.0, "link_dies", "wlan0")
WIFI_RECOVERS = Change(0.0, "link_recovers", "wlan0")
PAUSE = 0.15  # seconds


def prefer(*names: str) -> InterfacePreference:
    return InterfacePreference(prefer=names)


class Call(Simulation):
    """A settled call of a mover on Wi-Fi and cellular; counts what leaves by each interface."""

    def __init__(
        self,
        mover: InterfacePreference,
        other: InterfacePreference = INDIFFERENT,
        name: str = "silent-death",
        **changes: Any,
    ) -> None:
        resilience: Resilience = changes.pop("resilience", "hedged")
        scenario: Scenario = dataclasses.replace(scenario_named(name), mover_up=BOTH_UP, **changes)
        super().__init__(
            scenario, seed=1, resilience=resilience, interfaces={"mover": mover, "other": other}
        )
        self.sent: Counter[str] = Counter()  # bytes of UDP payload, by the mover's interface
        carry = self.internet.send

        def count(
            host: str, local: LocalSocket, remote: SocketAddress, data: bytes, now: float
        ) -> None:
            if host == "mover":
                self.sent[local.interface] += len(data)
            carry(host, local, remote, data, now)

        self.internet.send = count  # type: ignore[method-assign]
        self.settle()
        self.run_for(3.0)
        self.begin = self.now

    def change(self, *changes: Change) -> None:
        """Now; and gaps and selections count from here."""
        self.begin = self.now
        for each in changes:
            self.apply(each)

    def selected(self, host: VirtualHost) -> str:
        """The interface and kind of the path selected last: `wlan0 direct`."""
        last = host.records(PathSelected)[-1].record
        assert isinstance(last, PathSelected)
        return f"{last.local.partition('%')[2]} {last.kind}"

    def selections(self, host: VirtualHost) -> int:
        return sum(entry.t >= self.begin for entry in host.records(PathSelected))

    def longest_gap(self) -> float:
        """Seconds between two arrivals at either end, from the last before `begin` on."""
        gaps = []
        for host in (self.mover, self.other):
            times = [entry.t for entry in host.records(FrameReceived)]
            first = max(time for time in times if time <= self.begin)
            heard = [time for time in times if time >= first]
            gaps += [after - before for before, after in itertools.pairwise(heard)]
        return max(gaps)

    def reserve_changes(self) -> list[bool]:
        records = [e.record for e in self.mover.records(ReserveChanged) if e.t >= self.begin]
        return [record.used for record in records if isinstance(record, ReserveChanged)]


# ---- prefer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("quic_role", ["client", "server"])
def test_the_preferred_interface_is_taken_though_it_is_slower(quic_role: str) -> None:
    call = Call(prefer("eth0", "rmnet0"), mover_quic_role=quic_role)
    assert call.selected(call.mover) == "rmnet0 direct"
    call.change()
    call.run_for(10.0)
    assert call.selections(call.mover) == call.selections(call.other) == 0
    assert call.longest_gap() < FRAME_CADENCE + 0.001


def test_a_relayed_call_leaves_by_the_preferred_interface_too() -> None:
    call = Call(prefer("rmnet0"), name="relay-only")
    assert call.selected(call.mover) == "rmnet0 relay"
    call.change()
    call.run_for(10.0)
    assert call.selections(call.mover) == 0


def test_a_direct_path_by_another_interface_beats_the_relay_by_the_preferred_one() -> None:
    call = Call(prefer("rmnet0"), name="silent-death-relay")
    assert call.selected(call.mover) == "wlan0 direct"


@pytest.mark.parametrize("quic_role", ["client", "server"])
def test_the_call_goes_back_to_the_preferred_interface_when_it_comes(quic_role: str) -> None:
    call = Call(prefer("rmnet0"), mover_quic_role=quic_role)
    call.change(Change(0.0, "interface_down", "rmnet0"))
    call.run_for(2.0)
    assert call.selected(call.mover) == "wlan0 direct"
    call.change(Change(0.0, "interface_up", "rmnet0"))
    call.run_for(1.0)
    assert call.selected(call.mover) == "rmnet0 direct"
    assert call.longest_gap() < 0.040, "by cellular it is 15 ms farther"


# The other side's two networks differ too: the leading end alone would choose wlan0 of both.
PREFERENCES = [
    pytest.param("rmnet0", "wlan0", id="opposite"),
    pytest.param("wlan0", "rmnet0", id="opposite the other way"),
    pytest.param("rmnet0", "rmnet0", id="both the slower"),
    pytest.param(None, "rmnet0", id="one does not care"),
]


@pytest.mark.parametrize("quic_role", ["client", "server"])
@pytest.mark.parametrize(("mine", "theirs"), PREFERENCES)
def test_each_end_has_the_interface_it_prefers_and_neither_pulls(
    mine: str | None, theirs: str, quic_role: str
) -> None:
    call = Call(
        prefer(mine) if mine else INDIFFERENT,
        prefer(theirs),
        name="both-move",
        other_up=BOTH_UP,
        mover_quic_role=quic_role,
    )
    assert call.selected(call.mover) == f"{mine or 'wlan0'} direct"
    assert call.selected(call.other) == f"{theirs} direct"
    call.change()
    call.run_for(20.0)  # a keepalive of each standby path makes it a candidate again
    assert call.selections(call.mover) == call.selections(call.other) == 0


def test_metrics_that_change_the_order_of_two_default_routes_interrupt_nothing() -> None:
    """The kernel's order counts where the person has none; measured round trips count more."""
    call = Call(INDIFFERENT)
    call.change()
    for _ in range(4):
        call.mover.sockets = dict(reversed(call.mover.sockets.items()))
        call._feed(call.mover, SocketsChanged(tuple(call.mover.sockets.values())))
        call.run_for(2.0)
    assert call.selections(call.mover) == call.selections(call.other) == 0
    assert call.longest_gap() < FRAME_CADENCE + 0.001


# ---- avoid ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("resilience", ["lean", "hedged", "hot"])
def test_in_quiet_times_not_a_byte_leaves_by_what_is_avoided(resilience: Resilience) -> None:
    call = Call(AVOID_CELLULAR, resilience=resilience)
    call.run_for(20.0)
    assert call.sent["rmnet0"] == 0
    assert call.selected(call.mover) == "wlan0 direct"


def test_what_is_avoided_is_used_if_nothing_else_is_there() -> None:
    call = Call(InterfacePreference(avoid=("*",)))
    call.run_for(1.0)
    assert call.selected(call.mover) == "wlan0 direct"


def test_it_is_used_in_the_moment_in_which_the_last_other_address_goes() -> None:
    call = Call(AVOID_CELLULAR)
    call.change(Change(0.0, "interface_down", "wlan0"))
    call.run_for(3.0)
    assert call.selected(call.mover) == "rmnet0 direct"
    assert call.longest_gap() < 0.100, "no time without an address, and two trips by the relay"
    call.change(Change(0.0, "interface_up", "wlan0"))
    call.run_for(5.0)
    assert call.selected(call.mover) == "wlan0 direct"
    assert call.longest_gap() < FRAME_CADENCE + 0.001, "make before break"
    assert call.reserve_changes() == [False]
    call.sent.clear()
    call.run_for(5.0)
    assert call.sent["rmnet0"] == 0


def test_a_silent_death_calls_it_up_at_suspicion_and_it_is_left_when_wifi_lives_again() -> None:
    call = Call(AVOID_CELLULAR)
    call.change(WIFI_FALLS_SILENT)
    call.run_for(5.0)
    assert call.selected(call.mover) == "rmnet0 direct"
    assert call.longest_gap() < 0.110, "at death it would be 375 ms"
    call.change(WIFI_RECOVERS)
    call.run_for(20.0)
    assert call.selected(call.mover) == "wlan0 direct"
    assert call.longest_gap() < FRAME_CADENCE + 0.001
    assert call.reserve_changes() == [False]


def test_a_pause_of_wifi_costs_a_little_of_it_and_no_move() -> None:
    call = Call(AVOID_CELLULAR)
    call.change(WIFI_FALLS_SILENT)
    call.run_for(PAUSE)
    call.apply(WIFI_RECOVERS)
    call.run_for(10.0)
    assert call.selections(call.mover) == 0
    assert call.reserve_changes() == [True, False]
    assert call.sent["rmnet0"] < 40_000


def test_when_the_other_end_vanishes_it_is_not_used_for_as_long_as_that_lasts() -> None:
    """The server answers by Wi-Fi, so Wi-Fi lives."""
    call = Call(AVOID_CELLULAR)
    call.change(Change(0.0, "interface_down", "eth0", OTHER))
    call.run_for(5.0)
    assert call.reserve_changes() == [True, False]
    call.sent.clear()
    call.run_for(20.0)
    assert call.sent["rmnet0"] == 0


def test_while_the_server_is_away_a_direct_call_does_not_need_it() -> None:
    call = Call(AVOID_CELLULAR)
    call.change()
    call.stop(call.server, kindly=False)
    call.run_for(10.0)
    assert call.sent["rmnet0"] == 0
    call.start_anew(call.server)
    call.run_for(5.0)
    assert call.sent["rmnet0"] == 0


@pytest.mark.parametrize("quic_role", ["client", "server"])
def test_two_ends_that_avoid_something_come_to_rest(quic_role: str) -> None:
    call = Call(
        AVOID_CELLULAR,
        AVOID_CELLULAR,
        name="both-move",
        other_up=BOTH_UP,
        mover_quic_role=quic_role,
    )
    call.change(WIFI_FALLS_SILENT, Change(0.0, "link_dies", "wlan0", OTHER))
    call.run_for(5.0)
    assert (call.selected(call.mover), call.selected(call.other)) == ("rmnet0 direct",) * 2
    call.change(WIFI_RECOVERS, Change(0.0, "link_recovers", "wlan0", OTHER))
    call.run_for(20.0)
    assert (call.selected(call.mover), call.selected(call.other)) == ("wlan0 direct",) * 2
    assert call.selections(call.mover) <= 6
    call.change()
    call.run_for(20.0)
    assert call.selections(call.mover) == call.selections(call.other) == 0
