"""The server against strangers, one datagram at a time."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pquic.core.actions import Action, SendDatagram
from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.events import DatagramReceived, DeadlinePassed, HangUpRequested
from p2pquic.core.path import DirectPath
from p2pquic.core.trace import Closed
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.identity import Identity
from p2pquic.session.control_connection import CONTROL_ALPN
from p2pquic.session.control_link import ControlLink
from p2pquic.session.intermediate_session import (
    MOST_STRANGERS,
    TELLING_PAUSE,
    IntermediateSession,
)
from p2pquic.session.server_key import ServerKey
from p2pquic.wire.signaling import (
    PROTOCOL_VERSION,
    Candidates,
    Connect,
    Member,
    MemberJoined,
    MemberLeft,
    PeerCandidates,
    Register,
    ToPeer,
    Welcome,
)

LISTEN = LocalSocket("198.51.100.4", 4433, "")
STRANGER = SocketAddress("203.0.113.5", 999)


def server() -> IntermediateSession:
    return IntermediateSession([LISTEN], Identity.generate(), bytes(32), os.urandom)


def first_packet() -> bytes:
    config = ConnectionConfig(Identity.generate(), bool, CONTROL_ALPN)
    client = MultipathConnection(config)
    client.connect(DirectPath(LISTEN, STRANGER), 0.0)
    return client.datagrams_to_send(0.0)[0][0]


@settings(max_examples=50)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=1300),
            st.binary(max_size=30).map(lambda tail: (b"\xc0\0\0\0\1" + tail).ljust(1200, b"\0")),
        ),
        max_size=10,
    )
)
def test_whatever_a_stranger_sends_the_server_lives(datagrams: list[bytes]) -> None:
    session = server()
    now = 1000.0
    for data in datagrams:
        session.handle(DatagramReceived(LISTEN, STRANGER, data), now)
        if session.deadline is not None:
            now = max(now, session.deadline)
            session.handle(DeadlinePassed(), now)


def test_a_flood_of_first_packets_does_not_shut_others_out() -> None:
    session = server()
    for _ in range(MOST_STRANGERS + 20):
        session.handle(DatagramReceived(LISTEN, STRANGER, first_packet()), 1000.0)
    assert len(session._clients) == MOST_STRANGERS
    answers = session.handle(DatagramReceived(LISTEN, STRANGER, first_packet()), 1000.0)
    assert answers, "who comes last is answered"


def test_the_end_is_written_down() -> None:
    actions = server().handle(HangUpRequested("stopped"), 1000.0)
    assert any(getattr(action, "record", None) == Closed("stopped") for action in actions)


class Room:
    """The server and some links to it, with no time between them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.identity = Identity.generate()
        self.server = IntermediateSession([LISTEN], self.identity, bytes(32), os.urandom)
        self.links: dict[LocalSocket, ControlLink] = {}
        self.told: dict[LocalSocket, list[ToPeer]] = {}
        self.public: dict[LocalSocket, SocketAddress] = {}  # where the server sees each

    def join(self, identity: Identity, instance: bytes) -> LocalSocket:
        """A link of its own, by a socket of its own, which names it."""
        hello = Register(PROTOCOL_VERSION, "room", "both", instance)
        link = ControlLink(
            ServerAddress.of(LISTEN.address), identity, ServerKey([self.identity.key_hash]), hello
        )
        socket = LocalSocket("192.0.2.1", 5000 + len(self.links), "eth0")
        self.links[socket], self.told[socket] = link, []
        self.public[socket] = socket.address
        link.set_sockets([socket], self.now)
        self.talk()
        return socket

    def talk(self) -> None:
        """Until nobody has anything more to say."""
        while sends := [send for link in self.links.values() for send in link.flush(self.now)]:
            for send in sends:
                arrived = DatagramReceived(LISTEN, self.public[send.local], send.data)
                for action in self.server.handle(arrived, self.now):
                    self.deliver(action)

    def remap(self, socket: LocalSocket, port: int) -> SocketAddress:
        """A NAT gives it this port, and it speaks; gives where it is seen now."""
        self.public[socket] = SocketAddress("198.51.100.1", port)
        self.links[socket].send(Connect("0" * 32))
        self.talk()
        return self.public[socket]

    def pass_time(self, seconds: float) -> None:
        """Long enough for a goodbye to be over (RFC 9000 section 10.2)."""
        self.now += seconds
        for socket, link in self.links.items():
            self.told[socket] += link.tick(self.now)
        self.talk()

    def deliver(self, action: Action) -> None:
        for socket, link in self.links.items():
            if isinstance(action, SendDatagram) and action.remote == self.public[socket]:
                self.told[socket] += link.receive(socket, action.data, self.now)


def test_of_two_with_one_key_the_newer_is_let_in_and_the_older_is_told_why_it_is_out() -> None:
    room = Room()
    twins = Identity.generate()
    older, witness = room.join(twins, b"one"), room.join(Identity.generate(), b"")
    room.told[witness].clear()
    newer = room.join(twins, b"two")
    room.pass_time(1.0)
    assert "another peer with this key" in str(room.links[older].failure)
    assert room.links[newer].failure is None
    assert room.told[witness] == [
        MemberLeft(twins.peer_id),
        MemberJoined(Member(twins.peer_id, "both", b"two")),
    ]


def test_who_only_connects_anew_is_welcome_and_nobody_hears_of_it() -> None:
    room = Room()
    peer, other = Identity.generate(), Identity.generate()
    room.join(peer, b"one")
    witness = room.join(other, b"")
    room.told[witness].clear()
    again = room.join(peer, b"one")
    room.pass_time(1.0)
    assert room.told[witness] == []
    (welcome,) = room.told[again]
    assert isinstance(welcome, Welcome)
    assert welcome.members == [Member(other.peer_id, "both", b"")]


def test_who_was_offered_candidates_hears_at_once_where_the_server_sees_their_peer_now() -> None:
    room = Room()
    peer, other = Identity.generate(), Identity.generate()
    mover, witness = room.join(peer, b""), room.join(other, b"")
    room.links[mover].send(Candidates(other.peer_id, 7, []))
    room.talk()
    room.told[witness].clear()
    seen = room.remap(mover, 6001)
    assert room.told[witness] == [PeerCandidates(peer.peer_id, 7, [], seen)]
    room.now += TELLING_PAUSE / 2
    room.remap(mover, 6002)
    assert len(room.told[witness]) == 1, "one packet tells many: not each of a flood"
    room.now += TELLING_PAUSE
    seen = room.remap(mover, 6003)
    assert room.told[witness][1:] == [PeerCandidates(peer.peer_id, 7, [], seen)]
