"""One connection of a peer to the intermediate server, kept alive wherever the peer goes.

It carries signaling, brings back under which address the world sees each of our sockets
(OBSERVED_ADDRESS, by a path of its own for every socket), and decides which socket the server
hears us on: the relay's leg follows that choice, since both share one NAT binding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from p2pquic.core.actions import SendDatagram
from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.deadlines import earliest
from p2pquic.core.errors import ProtocolError
from p2pquic.core.path import DirectPath, PathAddress
from p2pquic.core.preference import INDIFFERENT, InterfacePreference
from p2pquic.core.selector import SWITCH_GAIN
from p2pquic.quic import events
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.connection import TIMER_SLACK, MultipathConnection
from p2pquic.quic.frames import AddressDiscovery
from p2pquic.quic.identity import Identity
from p2pquic.session.direct_paths import KEEPALIVE_INTERVAL
from p2pquic.session.server_key import ServerKey
from p2pquic.wire.signaling import REPLACED, Register, ToPeer, ToPeerDecoder, ToServer, encode

CONTROL_ALPN = "p2pquic-control/1"
CONTROL_STREAM = 0  # the client's first bidirectional stream
PROBE_INTERVAL = 1.0  # seconds between signs of life, so that a lost server is noticed
FIRST_CHALLENGE_WAIT = 0.2  # seconds until a path without an answer is challenged again
HURRY_LIMIT = 0.3  # seconds in which a path must answer when something may be wrong
LONGEST_HURRY_PAUSE = 5.0  # seconds between two such questions while the doubt goes on; they double
LONGEST_CHALLENGE_WAIT = 15.0  # seconds; a Wi-Fi that leads nowhere may lead somewhere later


class ControlConnection:
    """The connection, from the first socket on."""

    def __init__(
        self,
        server: ServerAddress,
        identity: Identity,
        key: ServerKey,
        hello: Register,
        preference: InterfacePreference = INDIFFERENT,
    ) -> None:
        self.server = server
        self.observed: dict[LocalSocket, SocketAddress] = {}
        self.local: LocalSocket | None = None  # the socket the server hears us on
        self.ended: str | None = None  # why there is no connection any more, for a person
        self.is_replaced = False  # it ended since another peer with our key has registered
        self._identity = identity
        self._key = key
        self._shown: bytes | None = None  # the key in the server's certificate, perhaps not its own
        self._hello = hello
        self._preference = preference
        self._sockets: tuple[LocalSocket, ...] = ()
        self._connection: MultipathConnection | None = None
        self._decoder = ToPeerDecoder()
        self._probe_at: float | None = None
        self._keepalive_at: float | None = None  # of the paths beside the selected one
        self._challenge_at: float | None = None
        self._challenge_wait = FIRST_CHALLENGE_WAIT
        self._hurried_at: float | None = None  # since when every path is being asked
        self._hurry_pause = 0.0
        self._hurry_again_at = -math.inf
        self._stirred = False  # since the last flush: it may have something to say
        self._timer: float | None = None  # of the connection, as of the last flush

    @property
    def deadline(self) -> float | None:
        """When to call `tick`; to be read after a `flush`."""
        if self._connection is None or self.local is None:
            return None
        hurry_ends = None if self._hurried_at is None else self._hurried_at + HURRY_LIMIT
        times = [self._probe_at, self._keepalive_at, self._challenge_at, hurry_ends, self._timer]
        return earliest(times)

    @property
    def is_confirmed(self) -> bool:
        """Whether the server has proved its key, and the connection lasts."""
        return self._connection is not None and self._connection.is_confirmed

    @property
    def waiting_since(self) -> float | None:
        """When the first of what the server should have acknowledged, and did not, was sent."""
        if self._connection is None or self._connection.selected is None:
            return None
        return self._connection.answers(self._connection.selected).waiting_since

    @property
    def rtt(self) -> float:
        """The round trip to the server in seconds; 0 as long as it is not known."""
        if self._connection is None or self._connection.selected is None:
            return 0.0
        return self._connection.rtt(self._connection.selected) or 0.0

    @property
    def works_from(self) -> float:
        """When the newest left of what went by the socket the server hears us on, and back."""
        path = None if self._connection is None else self._connection.selected
        if self._connection is None or path is None:
            return -math.inf
        answers = self._connection.answers(path)
        return min(answers.heard_at, answers.arrived_from)

    def works_since(self, moment: float) -> bool:
        """Whether the socket the server hears us on carried something both ways since then."""
        path = None if self._connection is None else self._connection.selected
        return path is not None and self._works(path, moment)

    def owns(self, connection_id: bytes) -> bool:
        """Whether a packet to this connection id is ours."""
        return self._connection is not None and self._connection.owns(connection_id)

    def set_sockets(self, sockets: Sequence[LocalSocket], now: float) -> None:
        """These are our open sockets now, preferred first."""
        self._stirred = True
        self._sockets = tuple(socket for socket in sockets if self.server.serves(socket))
        self.observed = {
            socket: address for socket, address in self.observed.items() if socket in self._sockets
        }
        if self.ended is not None:
            return
        if not self.is_confirmed:
            self._connect_from_the_first(now)
        else:
            self._move(now)

    def send(self, message: ToServer) -> None:
        """Queue a message."""
        self._stirred = True
        if self._connection is not None and self.is_confirmed:
            self._connection.send_stream_data(CONTROL_STREAM, encode(message))

    def receive(self, local: LocalSocket, data: bytes, now: float) -> list[ToPeer]:
        """A QUIC datagram from the server; gives the messages in it."""
        assert self._connection is not None
        self._stirred = True
        self._connection.receive_datagram(data, self._path_of(local), now)
        return self._react(now)

    def hurry(self, now: float) -> None:
        """Something may be wrong with the network: find out which paths to the server live.

        It also brings back under which address the server sees each of them now.
        """
        if self._connection is None or not self._connection.is_confirmed:
            return
        if self._hurried_at is not None or now < self._hurry_again_at:
            return
        if now > self._hurry_again_at + LONGEST_HURRY_PAUSE:
            self._hurry_pause = 0.0  # another doubt
        self._hurried_at, self._stirred = now, True
        for path in self._connection.paths:
            self._connection.challenge(path)

    def tick(self, now: float) -> list[ToPeer]:
        """The deadline has come."""
        self._stirred = True
        if self._connection is None:
            return []
        timer = self._connection.get_timer()
        if timer is not None and now >= timer:
            self._connection.handle_timer(now)
        if self._probe_at is not None and now >= self._probe_at:
            self._probe_at = now + PROBE_INTERVAL
            self._connection.send_ping(0)
            self._hurry_if_silent(now)
        if self._keepalive_at is not None and now >= self._keepalive_at:
            self._keep_alive(self._connection, now)
        if self._challenge_at is not None and now >= self._challenge_at:
            self._challenge_unproven(now)
        if self._hurried_at is not None and now >= self._hurried_at + HURRY_LIMIT:
            self._conclude_hurry(self._hurried_at, now)
        return self._react(now)

    def _keep_alive(self, connection: MultipathConnection, now: float) -> None:
        """Let no NAT forget a socket that stands by: its relay leg may be needed any moment."""
        self._keepalive_at = now + KEEPALIVE_INTERVAL
        for path in connection.paths:
            if path != connection.selected and connection.is_validated(path):
                connection.challenge(path)

    def _hurry_if_silent(self, now: float) -> None:
        if self.waiting_since is not None and now - self.waiting_since >= PROBE_INTERVAL:
            self.hurry(now)

    def flush(self, now: float) -> list[SendDatagram]:
        """What is to be sent: nothing, as long as nothing was said and nothing happened.

        During a call that is nearly always so, and asking the connection takes longer than a frame.
        """
        if self._connection is None or self.local is None or not self._stirred:
            return []
        self._stirred = False
        sends = [
            SendDatagram(path.local, path.remote, data)
            for data, path in self._connection.datagrams_to_send(now)
            if isinstance(path, DirectPath) and path.local in self._sockets
        ]
        timer = self._connection.get_timer()
        self._timer = None if timer is None else timer + TIMER_SLACK
        return sends

    def close(self, reason: str) -> None:
        """Say goodbye."""
        self._stirred = True
        if self._connection is not None:
            self._connection.close(reason_phrase=reason)

    def _connect_from_the_first(self, now: float) -> None:
        """Before the handshake is confirmed there is no moving, only starting anew."""
        if self.local in self._sockets or not self._sockets:
            return
        self.local = self._sockets[0]
        self._decoder = ToPeerDecoder()
        self._connection = MultipathConnection(
            ConnectionConfig(self._identity, self._judge, CONTROL_ALPN, AddressDiscovery.RECEIVES)
        )
        self._connection.connect(self._path_of(self.local), now)

    def _path_of(self, local: LocalSocket) -> DirectPath:
        """From a socket to the server's address of its family: a move may be from one to the other.

        It is the same server by either, since it is the same connection.
        """
        return DirectPath(local, self.server.seen_from(local))

    def _judge(self, key_hash: bytes) -> bool:
        self._shown = key_hash
        return self._key.accepts(key_hash)

    def _move(self, now: float) -> None:
        """Have a path for every socket and speak on the preferred one that answers."""
        assert self._connection is not None
        for socket in self._sockets:
            path = self._path_of(socket)
            if path not in self._connection.paths:
                self._connection.open_path(path, proven_rtt=None, now=now)
        self._challenge_wait = FIRST_CHALLENGE_WAIT
        self._challenge_unproven(now)
        self._prefer(now)

    def _prefer(self, now: float) -> None:
        """Select the best socket whose path answers; any, if the one in use is gone.

        That is, of the interfaces that the person likes best, the first which is not slower than
        another: frames that leave a slower leg when a doubt has passed, in which they left by all
        of them, would be missed like lost ones.
        """
        assert self._connection is not None
        open_paths = [
            path
            for socket in self._sockets
            if (path := self._path_of(socket)) in self._connection.paths
        ]
        answering = [path for path in open_paths if self._connection.is_validated(path)]
        if answering:
            best = min(self._preference.order(path.local.interface) for path in answering)
            times = {
                path: self._connection.rtt(path) or 0.0
                for path in answering
                if self._preference.order(path.local.interface) == best
            }
            limit = min(times.values()) + SWITCH_GAIN
            chosen = next(path for path, time in times.items() if time < limit)
        elif self.local in self._sockets or not open_paths:
            chosen = None
        else:
            chosen = open_paths[0]
        if self.local not in self._sockets:
            self.local = None
        before = self._connection.selected
        if chosen is not None and chosen != before:
            self._connection.select(chosen)
            if before in self._connection.paths:  # or what comes next would wait for it
                self._connection.abandon_flight(before, now)
        if chosen is not None:
            self.local = chosen.local
        for dead in self._connection.paths:
            if isinstance(dead, DirectPath) and dead.local not in self._sockets:
                self._connection.close_path(dead, now)

    def _conclude_hurry(self, since: float, now: float) -> None:
        """Doubt the paths that did not answer, unless none did: then nobody knows better."""
        assert self._connection is not None
        self._hurried_at = None
        self._hurry_again_at = now + self._hurry_pause
        self._hurry_pause = min(LONGEST_HURRY_PAUSE, 2 * self._hurry_pause + HURRY_LIMIT)
        paths = self._connection.paths
        silent = [path for path in paths if not self._works(path, since)]
        if 0 < len(silent) < len(paths):
            for path in silent:
                self._connection.doubt(path)
            self._challenge_wait = FIRST_CHALLENGE_WAIT
            self._challenge_unproven(now)
            self._prefer(now)

    def _works(self, path: PathAddress, since: float) -> bool:
        """Whether the path carried something in both directions since then.

        To be heard by it is not enough: the relay's leg goes there as well as back.
        """
        assert self._connection is not None
        answers = self._connection.answers(path)
        return answers.heard_at > since and answers.arrived_from >= since

    def _challenge_unproven(self, now: float) -> None:
        assert self._connection is not None
        unproven = [
            path for path in self._connection.paths if not self._connection.is_validated(path)
        ]
        for path in unproven:
            self._connection.challenge(path)
        self._challenge_at = now + self._challenge_wait if unproven else None
        self._challenge_wait = min(2 * self._challenge_wait, LONGEST_CHALLENGE_WAIT)

    def _react(self, now: float) -> list[ToPeer]:
        assert self._connection is not None
        messages: list[ToPeer] = []
        for event in self._connection.poll():
            match event:
                case events.HandshakeConfirmed(key_hash):
                    self._key.on_proved(key_hash)
                    self._probe_at = now + PROBE_INTERVAL
                    self._keepalive_at = now + KEEPALIVE_INTERVAL
                    self._connection.send_stream_data(CONTROL_STREAM, encode(self._hello))
                    self._move(now)
                case events.PathValidated():
                    self._prefer(now)
                case events.AddressObserved(DirectPath(local=local), address):
                    self.observed[local] = address
                case events.StreamData(stream_id=stream, data=data) if stream == CONTROL_STREAM:
                    messages += self._read(self._connection, data)
                case events.Terminated(error_code, reason):
                    self._end(error_code, reason)
        return messages

    def _read(self, connection: MultipathConnection, data: bytes) -> list[ToPeer]:
        """Decode; a server that says what no server of ours says is not listened to any longer."""
        connection.read(CONTROL_STREAM, len(data))
        try:
            return self._decoder.feed(data)
        except ProtocolError as error:
            connection.close(error_code=1, reason_phrase=str(error))
            return []

    def _end(self, error_code: int, reason: str) -> None:
        self._connection = None
        self.is_replaced = error_code == REPLACED
        if self._shown is not None and not self._key.accepts(self._shown):
            self.ended = self._key.explain_refusal(self.server, self._shown)
            return
        self.ended = (
            f"The connection to the intermediate server at {self.server} ended: "
            f"{reason or f'error {error_code:#x}'}."
        )
