"""Who waits for the other end shows the relay where it is, until a packet comes."""

from __future__ import annotations

import itertools

import pytest

from p2pquic.core.actions import Log, SendDatagram
from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.trace import Record, Unanswered
from p2pquic.quic.identity import Identity
from p2pquic.session.pair_config import PairConfig
from p2pquic.session.pair_opening import ANSWER_TIME
from p2pquic.session.pair_session import PairSession
from p2pquic.session.relay_legs import RelayLegs
from p2pquic.session.relay_route import (
    FIRST_ANNOUNCE_WAIT,
    LONGEST_ANNOUNCE_WAIT,
    Hearing,
    RelayRoute,
)
from p2pquic.session.relay_switch import RelaySwitch
from p2pquic.wire.relay_frame import is_relay_frame
from p2pquic.wire.signaling import Member, RelayOpened
from tests.session.relay_world import ALICE, SECRET, counting_entropy

SERVER = SocketAddress("198.51.100.4", 4433)
WLAN = LocalSocket("192.0.2.1", 5000, "wlan0")
CALLER = LocalSocket("198.51.100.9", 5000, "eth0")
RMNET = LocalSocket("192.0.2.2", 5000, "rmnet0")


class Callee:
    """The QUIC server of a call just opened (or its client), and the real relay, out of reach."""

    def __init__(self, local: LocalSocket | None = WLAN, *, is_client: bool = False) -> None:
        self.now = 0.0
        self.told: list[Record] = []
        identity = Identity.generate()
        me, other = "f" * len(identity.peer_id), "0" * len(identity.peer_id)
        if is_client:
            me, other = other, me
        config = PairConfig(
            me,
            Member(other, "both"),
            (ServerAddress.of(SERVER),),
            True,
            True,
            "hedged",
            "auto",
            give_up=60.0,
        )
        self.switch = RelaySwitch(SECRET, counting_entropy())
        grant, self.grant_of_caller = self.switch.open_session(me, other, self.now)
        self.session = PairSession(config, identity, counting_entropy(), self.now)
        sockets = () if local is None else (local,)
        self.session.set_sockets(sockets, {ServerAddress.of(SERVER): Hearing(local)}, self.now)
        self.session.open_relay(ServerAddress.of(SERVER), RelayOpened(other, *grant), self.now)

    def sends(self) -> list[SendDatagram]:
        sends = self.session.flush(self.now)
        for each in self.session.drain():
            if isinstance(each, SendDatagram):
                sends.append(each)
            elif isinstance(each, Log):
                self.told.append(each.record)
        assert all(is_relay_frame(each.data) and each.remote == SERVER for each in sends)
        return sends

    def arrives(self, datagrams: list[tuple[SocketAddress, bytes]], now: float) -> None:
        """What the relay sends reaches us."""
        for address, data in datagrams:
            if address == WLAN.address:
                self.session.on_relay_frame(WLAN, SERVER, data, now)

    def run(self, until: float) -> list[float]:
        """Let time pass; when it announced itself."""
        announced = [self.now] * len(self.sends())
        for _ in range(1000):
            due = self.session.deadline
            if due is None or due > until:
                self.now = until
                return announced
            self.now = max(self.now, due)
            self.session.tick(self.now)
            announced += [self.now] * len(self.sends())
        raise AssertionError("the session never comes to rest")


def test_it_announces_itself_again_after_waits_that_double_up_to_a_limit() -> None:
    announced = Callee().run(30.0)
    waits = [after - before for before, after in itertools.pairwise(announced)]
    expected = [min(FIRST_ANNOUNCE_WAIT * 2**n, LONGEST_ANNOUNCE_WAIT) for n in range(len(waits))]
    assert announced[0] == 0.0
    assert waits == pytest.approx(expected)
    assert waits[-1] == LONGEST_ANNOUNCE_WAIT


def test_once_a_packet_of_the_other_end_came_it_is_silent() -> None:
    callee = Callee()
    (announcement,) = callee.sends()
    callee.arrives(callee.switch.receive(WLAN.address, announcement.data, 0.01), 0.02)
    (response,) = callee.sends()
    callee.switch.receive(WLAN.address, response.data, 0.03)
    caller = RelayLegs(*callee.grant_of_caller)
    caller.select([CALLER])
    for _, data in caller.wrap(bytes(100)):
        callee.arrives(callee.switch.receive(CALLER.address, data, 0.04), 0.05)
    assert callee.run(30.0) == []


def test_where_the_server_hears_us_nowhere_nothing_is_announced() -> None:
    callee = Callee(local=None)
    assert callee.run(10.0) == []
    callee.session.set_sockets((RMNET,), {ServerAddress.of(SERVER): Hearing(RMNET)}, callee.now)
    assert callee.run(10.05) == [10.0]


def test_from_a_new_socket_it_announces_itself_at_once() -> None:
    callee = Callee()
    callee.run(3.0)
    callee.session.set_sockets((RMNET,), {ServerAddress.of(SERVER): Hearing(RMNET)}, callee.now)
    (announcement,) = callee.sends()
    assert announcement.local == RMNET


def test_when_its_only_socket_goes_it_falls_silent() -> None:
    callee = Callee()
    callee.run(0.05)
    callee.session.set_sockets((), {ServerAddress.of(SERVER): Hearing(None)}, callee.now)
    assert callee.run(10.0) == []


def test_a_person_is_told_once_that_the_other_end_does_not_answer() -> None:
    callee = Callee()
    callee.run(60.0)
    assert callee.told == [Unanswered(callee.session.remote, ANSWER_TIME)]


def test_it_is_told_as_well_when_a_handshake_finds_no_answer() -> None:
    caller = Callee(is_client=True)
    caller.run(20.0)
    assert caller.told == [Unanswered(caller.session.remote, ANSWER_TIME)]


# ---- the usual leg -------------------------------------------------------------------------------


def leg_lives(route: RelayRoute) -> bool:
    return route.usual_leg_lives


def test_a_leg_in_doubt_has_to_be_heard_again() -> None:
    switch = RelaySwitch(SECRET, counting_entropy())
    grant, _ = switch.open_session(ALICE, "0b" * 16, 0.0)
    route = RelayRoute(ServerAddress.of(SERVER))
    route.move(Hearing(WLAN))
    route.open(RelayOpened("0b" * 16, *grant))
    assert leg_lives(route), "nobody doubts it"
    (announcement,) = route.announce(1.0)
    ((_, challenge),) = switch.receive(WLAN.address, announcement.data, 1.0)
    route.doubt(2.0)
    assert not leg_lives(route)
    route.receive(WLAN, challenge, 2.5)
    assert leg_lives(route)
    route.doubt(3.0)
    assert not leg_lives(route)
    route.move(Hearing(RMNET))
    assert leg_lives(route), "the doubt was about another leg"
