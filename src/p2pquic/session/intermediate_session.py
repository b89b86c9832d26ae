"""The intermediate server's brain: introduces peers, tells them their address, relays.

    datagram --+-- relay frame --> RelaySwitch -----------------> datagrams
               +-- QUIC ---------> connection of one peer -> messages -> Registry -> messages

Everything arrives at one UDP port, of IPv4 and of IPv6. The relay needs no word with the rest once
a session is open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from p2pquic.core.actions import Action, Finish, Log, SendDatagram
from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.errors import ProtocolError
from p2pquic.core.events import (
    DatagramReceived,
    DeadlinePassed,
    Event,
    HangUpRequested,
    MediaPacketReady,
    ResilienceChosen,
    Resumed,
    SocketsChanged,
)
from p2pquic.core.path import DirectPath
from p2pquic.core.trace import Closed, Dropped, Record
from p2pquic.core.trace import MemberJoined as JoinedRecord
from p2pquic.core.trace import MemberLeft as LeftRecord
from p2pquic.quic import events
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.connection import TIMER_SLACK, MultipathConnection
from p2pquic.quic.frames import AddressDiscovery
from p2pquic.quic.identity import Identity, peer_id
from p2pquic.quic.packets import destination_connection_id, is_quic, opens_connection
from p2pquic.session.control_connection import CONTROL_ALPN, CONTROL_STREAM
from p2pquic.session.registry import RegistrationError, Registry
from p2pquic.session.relay_switch import RelaySwitch
from p2pquic.wire.relay_frame import is_relay_frame
from p2pquic.wire.signaling import (
    LONGEST_REASON,
    PROTOCOL_VERSION,
    REPLACED,
    Candidates,
    Connect,
    Leave,
    MemberJoined,
    MemberLeft,
    PeerCandidates,
    Refused,
    Register,
    RelayOpened,
    ToPeer,
    ToServer,
    ToServerDecoder,
    Wanted,
    Welcome,
    encode,
)
from p2pquic.wire.signaling import Member as MemberInfo

TELLING_PAUSE = 0.1  # seconds between two addresses of a peer that others are told of at once
MOST_STRANGERS = 256  # connections that have not proved a key yet


@dataclass(slots=True)
class Offer:
    """The candidates that a peer offered another, and where it was seen when it was last told."""

    candidates: Candidates
    seen_at: SocketAddress


class Client:
    """One peer's control connection."""

    def __init__(self, connection: MultipathConnection) -> None:
        self.connection = connection
        self.decoder = ToServerDecoder()
        self.peer: str | None = None  # known once the certificate is proved
        self.registration: Register | None = None  # in a room
        self.sessions: dict[str, bytes] = {}  # the relay session with each other member
        self.offers: dict[str, Offer] = {}  # the newest to each other member
        self.told_at = -math.inf  # when others heard last that it is elsewhere
        self.stirred = True  # since the last flush: it may have something to say
        self.timer: float | None = None  # of the connection, as of the last flush

    @property
    def observed(self) -> SocketAddress:
        """Where the peer is heard."""
        path = self.connection.selected
        assert isinstance(path, DirectPath)
        return path.remote

    def send(self, message: ToPeer) -> None:
        """Queue a message."""
        self.stirred = True
        self.connection.send_stream_data(CONTROL_STREAM, encode(message))

    def close(self, reason: str, error_code: int = 0) -> None:
        """Say goodbye, with the reason that a person may read."""
        self.stirred = True
        self.connection.close(error_code=error_code, reason_phrase=reason)


class IntermediateSession:
    """The server of the sockets it listens on, at most one of each family of IP.

    Whoever it answers, or relays to, has spoken to the socket of that family before; so one session
    may bridge a peer that has IPv4 alone and one that has IPv6 alone.

    `secret` is 32 bytes that survive a restart; `unix_origin` is the Unix time at which `now` was
    0: what relay sessions count has to outlive the clock of one process.
    """

    def __init__(
        self,
        listen: Sequence[LocalSocket],
        identity: Identity,
        secret: bytes,
        entropy: Callable[[int], bytes],
        unix_origin: float = 0.0,
    ) -> None:
        self._sockets = {socket.family: socket for socket in listen}
        self._config = ConnectionConfig(
            identity, _accept_any_key, CONTROL_ALPN, AddressDiscovery.PROVIDES
        )
        self._relay = RelaySwitch(secret, entropy, unix_origin)
        self._registry = Registry()
        self._clients: list[Client] = []
        self._members: dict[str, Client] = {}
        self._records: list[Record] = []

    @property
    def deadline(self) -> float | None:
        """The earliest timer of any connection, or of the relay."""
        times = [client.timer for client in self._clients]
        return min(
            (time + TIMER_SLACK for time in [*times, self._relay.deadline] if time is not None),
            default=None,
        )

    def handle(self, event: Event, now: float) -> list[Action]:
        """React to one event."""
        match event:
            case DatagramReceived(remote=remote, data=data) if is_relay_frame(data):
                return [
                    SendDatagram(self._sockets[address.family], address, frame)
                    for address, frame in self._relay.receive(remote, data, now)
                ]
            case DatagramReceived(local, remote, data):
                self._receive(DirectPath(local, remote), data, now)
            case DeadlinePassed():
                self._relay.expire(now)
                for client in list(self._clients):
                    if client.timer is not None and now >= client.timer:
                        client.stirred = True
                        client.connection.handle_timer(now)
                        self._react(client, now)
            case HangUpRequested(reason):
                for client in self._clients:
                    client.close("the server stops")
                return [*self._flush(now), Log(Closed(reason)), Finish(reason)]
            case SocketsChanged() | MediaPacketReady() | ResilienceChosen() | Resumed():
                pass  # the server's sockets stay, and it has no media
        return self._flush(now)

    def _receive(self, path: DirectPath, data: bytes, now: float) -> None:
        connection_id = destination_connection_id(data) if is_quic(data) else None
        client = next(
            (
                each
                for each in self._clients
                if connection_id is not None and each.connection.owns(connection_id)
            ),
            None,
        )
        if client is None and (connection_id is None or not opens_connection(data)):
            return  # stray packets of connections that are over are nothing to remember
        known, client = client, client or Client(MultipathConnection(self._config, connection_id))
        client.stirred = True
        client.connection.receive_datagram(data, path, now)
        if client.connection.selected is None:
            return  # it only looked like the beginning of a handshake
        if known is None:
            self._make_room()
            self._clients.append(client)
        self._react(client, now)

    def _make_room(self) -> None:
        """Whoever floods us with first packets pushes out his own: the oldest stranger goes."""
        strangers = [client for client in self._clients if client.peer is None]
        if len(strangers) >= MOST_STRANGERS:
            self._clients.remove(strangers[0])

    def _react(self, client: Client, now: float) -> None:
        seen_at: SocketAddress | None = None
        for event in client.connection.poll():
            match event:
                case events.PathOpened(DirectPath(remote=seen_at)) | events.PathMoved(
                    _, DirectPath(remote=seen_at)
                ):
                    pass  # others are told below, unless it has just offered that itself
                case events.HandshakeConfirmed(key_hash):
                    client.peer = peer_id(key_hash)
                case events.StreamData(stream_id=stream, data=data) if stream == CONTROL_STREAM:
                    self._read(client, data, now)
                case events.PathFollowed(path, before) if path != before:
                    if before in client.connection.paths:  # or what comes next would wait for it
                        client.connection.abandon_flight(before, now)
                case events.Terminated():
                    self._leave(client)
                    self._clients.remove(client)
        if seen_at is not None and now >= client.told_at + TELLING_PAUSE:
            client.told_at = now
            self._tell_where(client, seen_at)

    def _tell_where(self, client: Client, seen_at: SocketAddress) -> None:
        """Who may want to reach a client learns at once that it has another address.

        It would offer that itself; but first it would have to hear of it, a round trip later. Since
        the address is not proved, and one packet tells many, that happens now and then at most.
        """
        for to, offer in client.offers.items():
            if offer.seen_at != seen_at and to in self._members:
                offer.seen_at = seen_at
                self._offer(client, to, offer)

    def _offer(self, client: Client, to: str, offer: Offer) -> None:
        assert client.peer is not None
        offered = offer.candidates
        self._members[to].send(
            PeerCandidates(client.peer, offered.round, offered.candidates, offer.seen_at)
        )

    def _read(self, client: Client, data: bytes, now: float) -> None:
        client.connection.read(CONTROL_STREAM, len(data))
        try:
            for message in client.decoder.feed(data):
                self._obey(client, message, now)
        except ProtocolError as error:
            self._records.append(Dropped(str(error), str(client.observed)))
            client.close(str(error), error_code=1)

    def _obey(self, client: Client, message: ToServer, now: float) -> None:
        match message:
            case Register():
                self._register(client, message)
            case Connect(peer):
                self._connect(client, peer, now)
            case Candidates(to):
                if client.peer is not None and self._registry.share_room(client.peer, to):
                    offer = client.offers[to] = Offer(message, client.observed)
                    self._offer(client, to, offer)
            case Leave():
                for session in client.sessions.values():
                    self._relay.close_session(session, now)
                self._leave(client)

    def _register(self, client: Client, message: Register) -> None:
        """Let a peer into a room: for the first time, anew, or with another connection only.

        Whoever proves the key is the peer, and the newest wins: the old connection may be dead.
        """
        assert client.peer is not None
        if message.version != PROTOCOL_VERSION:
            client.send(
                Refused(
                    f"This server speaks version {PROTOCOL_VERSION} of the protocol, the peer "
                    f"version {message.version}. Update the older of the two."
                )
            )
            return
        before = self._members.get(client.peer, client)
        if before is not client:
            if before.registration == message:
                self._hand_over(before, client)
                return
            self._leave(before)
            before.close("another peer with this key has registered", REPLACED)
        try:
            others = self._registry.register(
                client.peer, message.room, message.role, message.instance
            )
        except RegistrationError as error:
            client.send(Refused(str(error)[:LONGEST_REASON]))
            return
        client.registration = message
        self._members[client.peer] = client
        client.send(Welcome(client.peer, client.observed, others))
        member = MemberInfo(client.peer, message.role, message.instance)
        for other in others:
            self._members[other.peer].send(MemberJoined(member))
        self._records.append(JoinedRecord(client.peer, message.role))

    def _hand_over(self, before: Client, client: Client) -> None:
        """A peer connected anew: nobody else need hear of it."""
        assert client.peer is not None
        client.registration, before.registration = before.registration, None
        client.sessions, before.sessions = before.sessions, {}
        client.offers, before.offers = before.offers, {}
        before.close("this peer has connected anew")
        self._members[client.peer] = client
        client.send(Welcome(client.peer, client.observed, self._registry.others(client.peer)))

    def _connect(self, client: Client, other: str, now: float) -> None:
        """Open a relay session once both members have asked for it; who asks again wants another.

        Until the other asks, too, it is told that it is wanted: its call may not have ended.
        """
        assert client.peer is not None
        if not self._registry.share_room(client.peer, other):
            return
        client.sessions.pop(other, None)
        ends = (client, self._members[other])
        is_mutual = self._registry.willing(client.peer, other)
        if not is_mutual or client.peer in self._members[other].sessions:
            self._members[other].send(Wanted(client.peer))
            return
        for end, peer, grant in zip(
            ends,
            (other, client.peer),
            self._relay.open_session(client.peer, other, now),
            strict=True,
        ):
            end.sessions[peer] = grant.session
            end.send(RelayOpened(peer, grant.session, grant.key, grant.ticket))

    def _leave(self, client: Client) -> None:
        if client.peer is None or client.registration is None:
            return
        for other in self._registry.leave(client.peer):
            self._members[other.peer].send(MemberLeft(client.peer))
            self._members[other.peer].sessions.pop(client.peer, None)
            self._members[other.peer].offers.pop(client.peer, None)
        client.sessions.clear()
        client.offers.clear()
        del self._members[client.peer]
        client.registration = None
        self._records.append(LeftRecord(client.peer))

    def _flush(self, now: float) -> list[Action]:
        """What is to be sent and written; only clients that something happened to are asked."""
        actions: list[Action] = [Log(record) for record in self._records]
        self._records.clear()
        for client in [each for each in self._clients if each.stirred]:
            client.stirred = False
            for data, path in client.connection.datagrams_to_send(now):
                assert isinstance(path, DirectPath)
                actions.append(SendDatagram(path.local, path.remote, data))
            client.timer = client.connection.get_timer()
        return actions


def _accept_any_key(_key_hash: bytes) -> bool:
    """Anybody may register; who they are is their key, proved in the handshake."""
    return True
