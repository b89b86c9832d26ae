"""The server dies and comes back; a peer is started anew, or sleeps. Calls in virtual time."""

from __future__ import annotations

import dataclasses
import itertools
import os
from typing import TypeVar

import pytest

from p2pquic.core.trace import Closed, Failed, FrameReceived, PathSelected, Record, Registered
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.scenarios import FRAME_CADENCE, Change
from p2pquic.lab.simulator import Simulation, VirtualHost
from p2pquic.quic.identity import Identity
from p2pquic.session.intermediate_session import IntermediateSession

R = TypeVar("R", bound=Record)
BACK_WITHIN = 2.0  # seconds from the server's return until it knows us again
ENDS = ("mover", "other")


class Call(Simulation):
    """A settled call; `interfaces` the mover has up."""

    def __init__(self, name: str, interfaces: tuple[str, ...] | None = None) -> None:
        scenario = scenario_named(name)
        if interfaces is not None:
            scenario = dataclasses.replace(scenario, mover_up=interfaces)
        super().__init__(scenario, seed=1)
        self.settle()
        self.run_for(2.0)
        self.begin = self.now

    def told(self, host: VirtualHost, kind: type[R]) -> list[tuple[float, R]]:
        """When the host traced what of this kind, since the call has settled."""
        return [
            (entry.t, entry.record)
            for entry in host.trace
            if isinstance(entry.record, kind) and entry.t > self.begin
        ]

    def longest_gap(self, host: VirtualHost, since: float) -> float:
        """Seconds between two arrivals, from the last before `since` on."""
        times = [entry.t for entry in host.records(FrameReceived)]
        first = max(time for time in times if time <= since)
        heard = [time for time in times if time >= first]
        return max(after - before for before, after in itertools.pairwise(heard))

    def away_for(self, seconds: float, *, kindly: bool = False) -> None:
        """The server is away for so long, and back now."""
        self.stop(self.server, kindly=kindly)
        self.run_for(seconds)
        self.start_anew(self.server)


@pytest.mark.parametrize("kindly", [True, False], ids=["goodbye", "killed"])
@pytest.mark.parametrize("seconds", [0.05, 0.7, 3.3, 90.0])
def test_a_server_that_was_away_knows_us_soon_and_a_direct_call_hears_nothing_of_it(
    seconds: float, kindly: bool
) -> None:
    call = Call("break-before-make")
    call.away_for(seconds, kindly=kindly)
    back = call.now
    call.run_for(5.0)
    for name in ENDS:
        host = call.hosts[name]
        ((registered, _),) = call.told(host, Registered)
        assert registered - back < BACK_WITHIN
        assert call.longest_gap(host, call.begin) < FRAME_CADENCE + 0.005
        assert len(call.told(host, Failed)) == 1


@pytest.mark.parametrize("kindly", [True, False], ids=["goodbye", "killed"])
def test_a_relayed_call_goes_on_with_the_first_packet_when_the_server_is_back(kindly: bool) -> None:
    call = Call("relay-only")
    call.away_for(1.0, kindly=kindly)
    call.run_for(5.0)
    for name in ENDS:
        host = call.hosts[name]
        assert call.told(host, Registered)
        assert call.longest_gap(host, call.begin) < 1.0 + 0.1
        assert not call.told(host, Closed)


def test_a_move_needs_no_server_where_a_direct_path_stands_by() -> None:
    call = Call("silent-death")
    call.stop(call.server, kindly=False)
    call.run_for(30.0)
    moved = call.now
    call.apply(Change(0.0, "interface_down", "wlan0"))
    call.run_for(3.0)
    for name in ENDS:
        assert call.longest_gap(call.hosts[name], moved) < 0.150
    assert call.told(call.mover, PathSelected)[-1][1].kind == "direct"


def test_after_a_restart_of_the_server_direct_paths_are_found_as_before() -> None:
    call = Call("break-before-make")
    call.away_for(1.0)
    call.run_for(3.0)
    call.apply(Change(0.0, "interface_down", "wlan0"))
    call.run_for(0.5)
    call.apply(Change(0.0, "interface_up", "rmnet0"))
    up = call.now
    call.run_for(3.0)
    chosen, direct = call.told(call.mover, PathSelected)[-1]
    assert direct.kind == "direct"
    assert chosen - up < 0.3


def test_where_the_network_was_at_fault_the_old_connection_goes_on() -> None:
    call = Call("break-before-make")
    call.apply(Change(0.0, "link_dies", "wlan0"))
    call.run_for(4.0)
    call.apply(Change(0.0, "link_recovers", "wlan0"))
    call.run_for(0.4)
    ((_, lost),) = call.told(call.mover, Failed)
    assert "does not answer any more" in lost.message
    call.run_for(3.0)
    assert len(call.told(call.mover, Registered)) <= 1, "at most one attempt won the race"
    assert not call.told(call.other, Registered)


def test_a_peer_that_was_started_anew_is_called_anew() -> None:
    call = Call("break-before-make")
    call.stop(call.mover, kindly=False)
    call.start_anew(call.mover)
    call.run_for(5.0)
    ended = [closed.reason for _, closed in call.told(call.other, Closed)]
    assert ended == ["the other end began anew"]
    assert call.longest_gap(call.other, call.begin) < 2.0
    assert call.told(call.mover, FrameReceived)[-1][0] > call.now - 0.1


def test_a_server_that_comes_back_with_another_key_is_refused_and_the_call_goes_on() -> None:
    call = Call("break-before-make")
    (listen,) = call.server.sockets.values()
    other = Identity.generate()
    call.server.program = lambda: IntermediateSession([listen], other, bytes(32), os.urandom)
    call.away_for(3.0)
    call.run_for(5.0)
    for host in (call.mover, call.other):
        assert not call.told(host, Registered)
        away, refused = [record.message for _, record in call.told(host, Failed)]
        assert "does not answer any more" in away
        assert f"shows the key {other.fingerprint}" in refused, "told once, not at every attempt"
        assert host.finished is None
        assert call.longest_gap(host, call.begin) < 0.1


@pytest.mark.parametrize("seconds", [5.0, 70.0, 300.0])
def test_a_laptop_that_slept_is_in_its_call_again(seconds: float) -> None:
    """It sleeps with its clock running, and misses everything."""
    call = Call("break-before-make")
    call.mover.finished, call.mover.wake_at = "asleep", None
    call.run_for(seconds)
    call.mover.finished, call.mover.wake_at = None, call.now
    woke = call.now
    call.run_for(8.0)
    for name in ENDS:
        heard = [at for at, _ in call.told(call.hosts[name], FrameReceived) if at > woke]
        assert heard[0] - woke < 4.0
        assert heard[-1] > call.now - 0.1
        chosen = [e.record for e in call.hosts[name].trace if isinstance(e.record, PathSelected)]
        assert chosen[-1].kind == "direct"


@pytest.mark.parametrize("seconds", [65.0, 200.0])
def test_who_gave_a_call_up_calls_again_when_the_network_is_back(seconds: float) -> None:
    call = Call("break-before-make")
    call.apply(Change(0.0, "link_dies", "wlan0"))
    call.run_for(seconds)
    call.apply(Change(0.0, "link_recovers", "wlan0"))
    back = call.now
    call.run_for(8.0)
    for name in ENDS:
        ((_, ended),) = call.told(call.hosts[name], Closed)
        assert "nothing heard" in ended.reason
        heard = [at for at, _ in call.told(call.hosts[name], FrameReceived) if at > back]
        assert heard[0] - back < 4.0
        assert heard[-1] > call.now - 0.1
