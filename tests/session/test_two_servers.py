"""A peer has two servers, which know nothing of each other; one of them dies. In virtual time."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

import pytest

from p2pquic.core.events import Resilience
from p2pquic.core.trace import (
    Closed,
    Connected,
    Failed,
    FrameReceived,
    MemberJoined,
    MemberLeft,
    PathSelected,
    Registered,
    Suspected,
)
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.networks import DATA_CENTRE, Host, Link
from p2pquic.lab.scenarios import FRAME_CADENCE, Change
from p2pquic.lab.simulator import ORIGIN, Simulation, VirtualHost
from p2pquic.quic.identity import Identity
from p2pquic.session.intermediate_session import IntermediateSession
from tests.session.test_server_trouble import BACK_WITHIN, ENDS, Call

NEAR, FAR = "server", "far"
FARTHER = 0.025  # seconds that a packet takes longer to the far server: a relayed way 50 ms
TAKEOVER = 0.170  # seconds without audio when the server dies that relays: 75 to 85 ms as of any
# silent death, the longer way, and what the phases of two ends add
BOTH = (FAR, NEAR)  # as named: the nearer one is not simply the first


class Meeting(Call):
    """A call of two peers that were told of both servers, or of what `told` says."""

    def __init__(
        self,
        name: str,
        *,
        resilience: Resilience = "hedged",
        told: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        scenario = scenario_named(name)
        slow = dataclasses.replace(DATA_CENTRE, delay=DATA_CENTRE.delay + FARTHER)
        topology = dataclasses.replace(scenario.topology, more_servers=(Host(FAR, (slow,)),))
        told = dict.fromkeys(ENDS, BOTH) | dict(told or {})
        Simulation.__init__(
            self,
            dataclasses.replace(scenario, topology=topology),
            seed=1,
            resilience=resilience,
            told=told,
        )
        self.near, self.far = self.servers
        self.begin = ORIGIN

    def begins(self) -> Meeting:
        """The peers start; the call settles."""
        self.settle()
        self.run_for(2.0)
        self.begin = self.now
        return self

    def dies(self, server: VirtualHost) -> float:
        """A server is killed, now."""
        self.stop(server, kindly=False)
        return self.now

    def serves(self, server: VirtualHost) -> bool:
        """Whether both ends have last chosen this server's relay."""
        (listen,) = server.sockets.values()
        chosen = [host.records(PathSelected)[-1].record for host in (self.mover, self.other)]
        return all(
            isinstance(each, PathSelected) and each.remote_address == str(listen.address)
            for each in chosen
        )

    def hears(self) -> bool:
        """Whether both ends have audio up to now."""
        return all(self.hosts[name].records(FrameReceived)[-1].t > self.now - 0.1 for name in ENDS)


@pytest.mark.parametrize("resilience", ["lean", "hedged", "hot"])
def test_the_nearer_server_relays_and_the_other_takes_over(resilience: Resilience) -> None:
    call = Meeting("relay-only", resilience=resilience).begins()
    assert call.serves(call.near)
    died = call.dies(call.near)
    call.run_for(3.0)
    assert call.serves(call.far)
    for name in ENDS:
        assert call.longest_gap(call.hosts[name], died) < TAKEOVER
    call.start_anew(call.near)
    back = call.now
    call.run_for(BACK_WITHIN + 1.5)
    assert call.serves(call.near), "it is nearer, and asked as soon as it is back"
    for name in ENDS:
        assert call.longest_gap(call.hosts[name], back) < 2 * FRAME_CADENCE
        assert not call.told(call.hosts[name], Closed)
        assert not call.told(call.hosts[name], MemberLeft)


def test_of_a_death_of_the_server_that_stands_by_nothing_is_heard() -> None:
    call = Meeting("relay-only").begins()
    died = call.dies(call.far)
    call.run_for(5.0)
    for name in ENDS:
        host = call.hosts[name]
        assert call.longest_gap(host, died) < 2 * FRAME_CADENCE
        assert not call.told(host, Suspected)
        assert len(call.told(host, Failed)) == 1


def test_a_quiet_call_with_a_relay_that_stands_by_has_no_false_alarm() -> None:
    call = Meeting("relay-only").begins()
    call.run_for(32.0)
    for name in ENDS:
        assert not call.told(call.hosts[name], Suspected)


@pytest.mark.parametrize("later", [0.3, 5.0], ids=["unnoticed yet", "noticed"])
def test_a_direct_call_moves_through_the_server_that_is_left(later: float) -> None:
    call = Meeting("break-before-make").begins()
    died = call.dies(call.near)
    call.run_for(later)
    for name in ENDS:
        assert call.longest_gap(call.hosts[name], died) < 2 * FRAME_CADENCE
    moved = call.now
    call.apply(Change(0.0, "interface_down", "wlan0"))
    call.run_for(0.5)
    call.apply(Change(0.0, "interface_up", "rmnet0"))
    call.run_for(2.0)
    for name in ENDS:
        assert call.longest_gap(call.hosts[name], moved) < 0.5 + 0.35
        last = call.told(call.hosts[name], PathSelected)[-1][1]
        assert last.kind == "direct"


@pytest.mark.parametrize("after", [0.08, 0.16, 0.24])
def test_a_call_whose_handshake_hangs_on_a_dead_server_begins_anew_by_the_other(
    after: float,
) -> None:
    call = Meeting("relay-only")
    call.start()
    call.run_until(ORIGIN + call.scenario.stagger + after)
    call.dies(call.near)
    call.run_for(5.0)
    assert call.hears()
    assert call.serves(call.far)


def test_a_server_that_is_not_there_holds_up_nothing_and_serves_when_it_comes() -> None:
    call = Meeting("relay-only")
    call.dies(call.near)
    call.begins()
    alone = Meeting("relay-only", told=dict.fromkeys(ENDS, (FAR,))).begins()
    for name in ENDS:
        (connected,) = call.hosts[name].records(Connected)
        assert connected.t == pytest.approx(alone.hosts[name].records(Connected)[0].t, abs=0.001)
    call.run_for(10.0)
    for name in ENDS:
        ((_, told),) = call.told(call.hosts[name], Failed)
        assert "does not answer" in told.message
    call.start_anew(call.near)
    call.run_for(8.0)
    assert call.serves(call.near)
    assert call.hears()
    for name in ENDS:
        assert len(call.hosts[name].records(Connected)) == 1


@pytest.mark.parametrize("reason", ["told", "reached"])
def test_a_server_of_one_end_only_is_of_no_use_and_no_harm(reason: str) -> None:
    call = Meeting("relay-only", told={"other": (FAR,)} if reason == "told" else None)
    if reason == "reached":
        call.apply(Change(0.0, "way_dies", "eth0", "other", towards=Link(NEAR, "eth0")))
    call.begins()
    call.run_for(12.0)
    assert call.serves(call.far)
    assert call.hears()
    for name in ENDS:
        joined = call.hosts[name].records(MemberJoined)
        assert len(joined) == 1
    call.dies(call.near)
    call.run_for(5.0)
    assert call.hears()
    assert not call.told(call.mover, MemberLeft)


def test_a_server_with_another_key_is_refused_and_the_other_serves() -> None:
    call = Meeting("break-before-make")
    stranger = Identity.generate()
    (listen,) = call.near.sockets.values()
    call.near.machine = IntermediateSession([listen], stranger, bytes(32), os.urandom)
    call.begins()
    call.run_for(5.0)
    for name in ENDS:
        host = call.hosts[name]
        (failed,) = [entry.record for entry in host.records(Failed)]
        assert isinstance(failed, Failed)
        assert f"shows the key {stranger.fingerprint}" in failed.message, "told once, asked again"
        assert [entry.record for entry in host.records(Registered)] != []
    assert call.hears()


def test_when_no_server_is_left_at_the_start_the_peer_ends_with_both_reasons() -> None:
    call = Meeting("break-before-make")
    call.dies(call.near)
    call.dies(call.far)
    call.start()
    call.run_until(ORIGIN + 11.0)
    for name in ENDS:
        reason = call.hosts[name].finished
        assert reason is not None
        for server in call.servers:
            (listen,) = server.sockets.values()
            assert str(listen.address) in reason


def test_a_peer_that_was_started_anew_is_called_anew_once() -> None:
    call = Meeting("break-before-make").begins()
    call.stop(call.mover, kindly=False)
    call.start_anew(call.mover)
    call.run_for(4.0)
    assert [ended.reason for _, ended in call.told(call.other, Closed)] == [
        "the other end began anew"
    ]
    assert len(call.told(call.other, Connected)) == 1
    assert call.hears()


def test_that_the_second_server_introduces_a_pair_later_does_not_begin_its_call_anew() -> None:
    """Who is met there first is told to be `Wanted`; that must not end a call in its next doubt."""
    call = Meeting("break-before-make").begins()
    call.apply(Change(0.0, "link_dies", "wlan0"))
    call.run_for(1.5)
    call.apply(Change(0.0, "link_recovers", "wlan0"))
    call.run_for(1.5)
    assert call.hears()
    for name in ENDS:
        assert len(call.hosts[name].records(Connected)) == 1
        assert not call.told(call.hosts[name], Closed)


def test_who_leaves_while_a_server_is_away_has_left() -> None:
    call = Meeting("break-before-make").begins()
    call.dies(call.near)
    call.run_for(4.0)
    call.stop(call.mover, kindly=True)
    call.run_for(1.0)
    ((_, left),) = call.told(call.other, MemberLeft)
    (entered,) = call.other.records(MemberJoined)
    assert isinstance(entered.record, MemberJoined)
    assert left.peer == entered.record.peer
