"""When a call doubts the network, the link to the server asks every path at once, and moves."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence

import pytest

from p2pquic.core.actions import SendDatagram
from p2pquic.core.addresses import LocalSocket, ServerAddress
from p2pquic.core.events import DatagramReceived, DeadlinePassed
from p2pquic.quic.identity import Identity
from p2pquic.session.control_connection import HURRY_LIMIT, PROBE_INTERVAL
from p2pquic.session.control_link import ControlLink
from p2pquic.session.intermediate_session import IntermediateSession
from p2pquic.session.server_key import ServerKey
from p2pquic.wire.signaling import PROTOCOL_VERSION, Leave, MemberLeft, Register, ToPeer
from tests.session.relay_world import SECRET, counting_entropy

LISTEN = LocalSocket("198.51.100.4", 4433, "eth0")
WLAN = LocalSocket("192.0.2.1", 5000, "wlan0")
RMNET = LocalSocket("192.0.2.2", 5000, "rmnet0")
DELAY = 0.015  # seconds one way
ROUND_TRIP = 2 * DELAY


class World:
    """A link with its sockets, the real server, and networks that fall silent."""

    def __init__(
        self,
        *sockets: LocalSocket,
        server_key: Identity | None = None,
        pins: Callable[[Identity], Sequence[bytes]] = lambda server: [server.key_hash],
        advice: str = "",
    ) -> None:
        self.now = 1000.0
        self.dead: set[LocalSocket] = set()
        self.dead_upward: set[LocalSocket] = set()
        self.delays = {WLAN: DELAY, RMNET: DELAY}
        self.sent: list[tuple[float, LocalSocket, int]] = []
        self.heard: list[ToPeer] = []
        self.spoke_on: set[LocalSocket | None] = set()  # what the server heard us on
        self._air: list[tuple[float, int, LocalSocket, bytes, bool]] = []
        self._order = itertools.count()
        self.server_key = server_key or Identity.generate()
        self.server = IntermediateSession([LISTEN], self.server_key, SECRET, counting_entropy())
        self.link = ControlLink(
            ServerAddress.of(LISTEN.address),
            Identity.generate(),
            ServerKey(pins(self.server_key), advice),
            Register(PROTOCOL_VERSION, "room", "both"),
        )
        self.link.set_sockets(sockets, self.now)
        self.run(2.0)
        if self.link.failure is None:
            assert self.link.local == sockets[0]
            assert set(self.link.observed) == set(sockets)
        self.heard.clear()

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        until = self.now + seconds
        self._flush()
        for _ in range(100_000):
            arrival = self._air[0][0] if self._air else until + 1
            times = [arrival, self.link.deadline, self.server.deadline]
            self.now = max(self.now, min(time for time in times if time is not None))
            if self.now > until:
                self.now = until
                return
            if arrival <= self.now:
                _, _, local, data, upward = heapq.heappop(self._air)
                if upward:
                    self._feed(DatagramReceived(LISTEN, local.address, data))
                else:
                    self.heard += self.link.receive(local, data, self.now)
            if self.link.deadline is not None and self.link.deadline <= self.now:
                self.link.tick(self.now)
            if self.server.deadline is not None and self.server.deadline <= self.now:
                self._feed(DeadlinePassed())
            self._flush()
        raise AssertionError("the link never comes to rest")

    def _feed(self, event: DatagramReceived | DeadlinePassed) -> None:
        for action in self.server.handle(event, self.now):
            if isinstance(action, SendDatagram):
                for local in (WLAN, RMNET):
                    if action.remote == local.address:
                        self._carry(local, action.data, upward=False)

    def _flush(self) -> None:
        self.spoke_on.add(self.link.local)
        for send in self.link.flush(self.now):
            self.sent.append((self.now, send.local, len(send.data)))
            self._carry(send.local, send.data, upward=True)

    def _carry(self, local: LocalSocket, data: bytes, *, upward: bool) -> None:
        if local not in self.dead | (self.dead_upward if upward else set()):
            item = (self.now + self.delays[local], next(self._order), local, data, upward)
            heapq.heappush(self._air, item)


def test_a_hurry_challenges_every_path_at_once() -> None:
    world = World(WLAN, RMNET)
    world.sent.clear()
    start = world.now
    world.link.hurry(start)
    world.run(0.001)
    assert {local for at, local, size in world.sent if size >= 1200} == {WLAN, RMNET}
    assert {at for at, _, _ in world.sent} == {start}


def test_a_hurry_moves_the_relays_socket_from_a_path_that_is_silent_to_one_that_answers() -> None:
    world = World(WLAN, RMNET)
    world.dead = {WLAN}
    world.link.hurry(world.now)
    world.run(HURRY_LIMIT - 0.001)
    assert world.link.local == WLAN, "it may be slow"
    world.run(0.002)
    assert world.link.local == RMNET
    world.run(5.0)
    assert world.link.local == RMNET
    assert world.link.failure is None


@pytest.mark.parametrize("sockets", [(WLAN, RMNET), (WLAN,)])
def test_when_nothing_answers_nobody_knows_better_and_it_stays(
    sockets: tuple[LocalSocket, ...],
) -> None:
    world = World(*sockets)
    world.dead, world.delays[WLAN] = {WLAN, RMNET}, 2 * DELAY
    world.spoke_on.clear()
    world.link.hurry(world.now)
    world.run(HURRY_LIMIT + 0.5)
    world.dead = set()
    world.run(3.0)
    assert world.spoke_on == {WLAN}, "not even for the moment until its slower answer comes"
    assert world.link.failure is None


def test_when_both_answer_nothing_changes() -> None:
    world = World(WLAN, RMNET)
    world.link.hurry(world.now)
    world.run(1.0)
    assert world.link.local == WLAN


@pytest.mark.parametrize(("slower", "taken"), [(0.003, WLAN), (0.050, RMNET)])
def test_the_preferred_path_is_taken_unless_another_is_faster(
    slower: float, taken: LocalSocket
) -> None:
    world = World(WLAN)
    world.delays[WLAN] += slower
    world.link.set_sockets([], world.now)
    world.link.set_sockets([WLAN, RMNET], world.now)
    for _ in range(30):
        world.link.hurry(world.now)
        world.run(1.0)
    world.link.set_sockets([WLAN, RMNET], world.now)
    assert world.link.local == taken


def test_a_standby_that_died_is_no_reason_to_move() -> None:
    world = World(WLAN, RMNET)
    world.dead = {RMNET}
    world.link.hurry(world.now)
    world.run(1.0)
    assert world.link.local == WLAN


def test_the_preferred_path_is_taken_again_once_it_answers() -> None:
    world = World(WLAN, RMNET)
    world.dead = {WLAN}
    world.link.hurry(world.now)
    world.run(1.0)
    assert world.link.local == RMNET
    world.dead = set()
    world.run(2.0)
    assert world.link.local == WLAN


def test_what_answered_just_before_the_hurry_has_to_answer_again() -> None:
    world = World(WLAN, RMNET)
    world.link.hurry(world.now)
    world.run(1.0)
    world.dead = {WLAN}
    world.link.hurry(world.now)
    world.run(HURRY_LIMIT + 0.001)
    assert world.link.local == RMNET


def test_hurrying_twice_is_hurrying_once() -> None:
    world = World(WLAN, RMNET)
    world.dead = {WLAN}
    world.link.hurry(world.now)
    world.run(HURRY_LIMIT / 2)
    world.sent.clear()
    world.link.hurry(world.now)
    world.run(0.0)
    assert not [size for _, local, size in world.sent if local == RMNET]
    world.run(HURRY_LIMIT / 2 + 0.001)
    assert world.link.local == RMNET, "as from the first"


def test_a_server_that_does_not_answer_for_a_second_is_asked_on_every_path() -> None:
    world = World(WLAN, RMNET)
    world.dead = {WLAN}
    world.run(2 * PROBE_INTERVAL + HURRY_LIMIT + ROUND_TRIP)
    assert world.link.local == RMNET


def test_before_the_server_is_known_there_is_nothing_to_hurry() -> None:
    link = ControlLink(
        ServerAddress.of(LISTEN.address),
        Identity.generate(),
        ServerKey([bytes(32)]),
        Register(PROTOCOL_VERSION, "room", "both"),
    )
    link.hurry(0.0)
    assert link.flush(0.0) == []
    link.set_sockets([WLAN], 0.0)
    before = link.flush(0.0)
    link.hurry(0.0)
    assert (len(before), link.flush(0.0)) == (1, [])


def test_a_path_that_only_brings_the_servers_packets_does_not_work() -> None:
    world = World(WLAN, RMNET)
    world.dead_upward = {WLAN}
    world.link.hurry(world.now)
    world.link.send(Leave())  # what the server says to it comes by wlan0 all the same
    world.run(HURRY_LIMIT + 0.001)
    assert world.link.local == RMNET


@pytest.mark.parametrize("speaker", ["peer", "server"])
def test_what_was_said_into_a_dead_path_is_said_again_with_the_move(speaker: str) -> None:
    world = World(WLAN, RMNET)
    world.dead = {WLAN}
    if speaker == "peer":
        world.link.send(Leave())
    else:
        world.server._clients[0].send(MemberLeft("0a" * 16))
    world.link.hurry(world.now)
    world.run(HURRY_LIMIT + 4 * ROUND_TRIP)
    assert world.link.local == RMNET
    if speaker == "peer":
        assert world.server._clients[0].registration is None
    else:
        assert world.heard == [MemberLeft("0a" * 16)]


def test_without_a_pin_the_first_key_is_trusted_and_told_once() -> None:
    world = World(WLAN, pins=lambda _: [])
    assert world.link.key.take_newly_trusted() == world.server_key.key_hash
    assert world.link.key.take_newly_trusted() is None


def test_a_pinned_key_is_not_news() -> None:
    assert World(WLAN).link.key.take_newly_trusted() is None


def test_another_key_than_the_pin_is_refused_with_both_keys_and_advice() -> None:
    other = Identity.generate()
    world = World(WLAN, pins=lambda _: [other.key_hash], advice="Look into the file.")
    assert world.link.failure is not None
    for part in (other.fingerprint, world.server_key.fingerprint, "was refused", "Look into"):
        assert part in world.link.failure
    assert world.link.key.take_newly_trusted() is None


def test_of_several_pins_the_one_it_had_first_is_the_servers_own() -> None:
    other = Identity.generate()
    world = World(WLAN, pins=lambda server: [server.key_hash, other.key_hash])
    assert world.link.failure is None
    assert world.link.key.accepts(world.server_key.key_hash)
    assert not world.link.key.accepts(other.key_hash)


def test_a_key_that_the_server_shows_and_does_not_hold_is_not_trusted() -> None:
    impostor = Identity(Identity.generate().private_key, Identity.generate().certificate)
    world = World(WLAN, server_key=impostor, pins=lambda _: [])
    assert world.link.key.take_newly_trusted() is None
    assert world.link.failure is not None
    assert "0x133" in world.link.failure  # RFC 8446 4.4.3: decrypt_error, for a wrong signature
