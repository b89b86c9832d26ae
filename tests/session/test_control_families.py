"""A server of both families: the one connection moves from one to the other, and finds the living.

IPv4 of wlan0  --------+
IPv6 of wlan0  --------+--- server, 203.0.113.4 and 2001:db8:f::4
IPv6 of rmnet0 --------+
"""

from __future__ import annotations

import heapq
import itertools

import pytest

from p2pquic.core.actions import SendDatagram
from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.events import DatagramReceived, DeadlinePassed, Event
from p2pquic.core.trace import MemberJoined, MemberLeft
from p2pquic.quic.identity import Identity
from p2pquic.session.control_link import ANSWER_LIMIT, PATIENCE, ControlLink
from p2pquic.session.intermediate_session import IntermediateSession
from p2pquic.session.server_key import ServerKey
from p2pquic.wire.signaling import PROTOCOL_VERSION, Register
from tests.session.relay_world import SECRET, counting_entropy

LISTEN = (LocalSocket("203.0.113.4", 4433, "eth0"), LocalSocket("2001:db8:f::4", 4433, "eth0"))
SERVER = ServerAddress.of(*(each.address for each in LISTEN))
WLAN_4 = LocalSocket("192.0.2.1", 5000, "wlan0")
WLAN_6 = LocalSocket("2001:db8:1::1", 5000, "wlan0")
RMNET_6 = LocalSocket("2001:db8:2::1", 5000, "rmnet0")
BEHIND_NAT64 = SocketAddress("64:ff9b::cb00:7104", 4433)  # the server, as DNS64 has it (RFC 6052)
OUT_OF_NAT64 = SocketAddress("198.51.100.64", 5000)  # RMNET_6, as the translator shows it
DELAY = 0.015  # seconds one way
EVERY_SOCKET = {each.address: each for each in (*LISTEN, WLAN_4, WLAN_6, RMNET_6)}


class World:
    """A link, the real server, and a network that may carry one family only."""

    def __init__(
        self,
        *sockets: LocalSocket,
        dead: frozenset[int] = frozenset(),
        server: ServerAddress = SERVER,
    ) -> None:
        self.now = 1000.0
        self.dead = dead
        self.log: list[object] = []  # what the server wrote down
        self._air: list[tuple[float, int, DatagramReceived]] = []
        self._order = itertools.count()
        key = Identity.generate()
        self.server = IntermediateSession(LISTEN, key, SECRET, counting_entropy())
        self.link = ControlLink(
            server,
            Identity.generate(),
            ServerKey([key.key_hash]),
            Register(PROTOCOL_VERSION, "room", "both"),
        )
        self.link.set_sockets(sockets, self.now)

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        until = self.now + seconds
        while True:
            for send in self.link.flush(self.now):
                self._carry(send)
            arrival = self._air[0][0] if self._air else None
            times = [arrival, self.link.deadline, self.server.deadline]
            self.now = max(self.now, min([until + 1, *(time for time in times if time)]))
            if self.now > until:
                self.now = until
                return
            if arrival is not None and arrival <= self.now:
                event = heapq.heappop(self._air)[2]
                if event.local in LISTEN:
                    self._feed(event)
                else:
                    self.link.receive(event.local, event.data, self.now)
            self.link.tick(self.now)
            self._feed(DeadlinePassed())

    def _feed(self, event: Event) -> None:
        for action in self.server.handle(event, self.now):
            if isinstance(action, SendDatagram):
                self._carry(action)
            else:
                self.log.append(getattr(action, "record", action))

    def _carry(self, send: SendDatagram) -> None:
        assert send.local.family == send.remote.family
        if send.local.family not in self.dead:
            local, remote = send.local.address, send.remote
            if remote == BEHIND_NAT64:
                local, remote = OUT_OF_NAT64, LISTEN[0].address
            elif remote == OUT_OF_NAT64:
                local, remote = BEHIND_NAT64, RMNET_6.address
            arrived = DatagramReceived(EVERY_SOCKET[remote], local, send.data)
            heapq.heappush(self._air, (self.now + DELAY, next(self._order), arrived))


@pytest.mark.parametrize(
    ("before", "after"), [(WLAN_4, RMNET_6), (RMNET_6, WLAN_4)], ids=["to IPv6", "to IPv4"]
)
def test_the_connection_moves_to_the_other_family(before: LocalSocket, after: LocalSocket) -> None:
    world = World(before)
    world.run(2.0)
    assert world.link.local == before
    world.link.set_sockets([after], world.now)
    world.run(1.0)
    assert world.link.local == after
    assert world.link.observed == {after: after.address}
    assert world.link.works_since(world.now - 1.0)
    kinds = [type(record) for record in world.log]
    assert kinds.count(MemberJoined) == 1, "one connection, one registration"
    assert MemberLeft not in kinds


def test_a_server_of_ipv4_alone_is_reached_through_nat64_where_dns64_says_it_is() -> None:
    world = World(WLAN_4, server=ServerAddress.of(LISTEN[0].address, BEHIND_NAT64))
    world.run(2.0)
    world.link.set_sockets([RMNET_6], world.now)
    world.run(1.0)
    assert world.link.local == RMNET_6
    assert world.link.observed == {RMNET_6: OUT_OF_NAT64}


def test_every_socket_of_both_families_is_observed() -> None:
    world = World(WLAN_4, WLAN_6, RMNET_6)
    world.run(2.0)
    assert world.link.observed == {each: each.address for each in (WLAN_4, WLAN_6, RMNET_6)}


@pytest.mark.parametrize("dead", [4, 6])
def test_the_first_contact_is_not_held_up_by_a_family_that_leads_nowhere(dead: int) -> None:
    world = World(WLAN_4, WLAN_6, dead=frozenset({dead}))
    world.run(PATIENCE + 0.5)
    assert world.link.local == (WLAN_6 if dead == 4 else WLAN_4)
    world.run(ANSWER_LIMIT)
    assert world.link.failure is None
    assert world.link.lost is None


def test_a_server_that_answers_in_neither_family_is_given_up() -> None:
    world = World(WLAN_4, WLAN_6, dead=frozenset({4, 6}))
    world.run(ANSWER_LIMIT + 0.1)
    assert world.link.failure is not None
    assert str(SERVER) in world.link.failure
