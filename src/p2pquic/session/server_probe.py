"""Asks servers whether they are there, who they are, and where they hear each of our sockets.

    every socket  x  every server of its family  ->  handshake, OBSERVED_ADDRESS, goodbye

It enters no room, so nobody notices but the server. Any key is accepted, since nothing is said
that a wrong server must not hear: whoever reads the answers compares the key with what it expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from p2pquic.core.actions import Action, Finish, SendDatagram
from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.deadlines import earliest
from p2pquic.core.events import DatagramReceived, DeadlinePassed, Event, SocketsChanged
from p2pquic.core.path import DirectPath
from p2pquic.quic import events
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.connection import TIMER_SLACK, MultipathConnection
from p2pquic.quic.frames import AddressDiscovery
from p2pquic.quic.identity import Identity
from p2pquic.session.control_connection import CONTROL_ALPN

PROBE_LIMIT = 3.0  # seconds; in which QUIC sends a lost first packet again several times


@dataclass
class Answer:
    """What one server said to one socket of ours; `handshake` is seconds until it was confirmed."""

    local: LocalSocket
    server: SocketAddress
    heard: bool = False  # something came from there, whatever it was
    handshake: float | None = None
    key_hash: bytes | None = None  # SHA-256 of the key it holds (SPKI)
    observed: SocketAddress | None = None  # where it hears this socket
    refusal: str = ""  # why it ended the conversation itself

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.observed is not None or bool(self.refusal)


@dataclass
class _Attempt:
    answer: Answer
    connection: MultipathConnection


class ServerProbe:
    """A session that ends by itself, after PROBE_LIMIT at the latest; then read `answers`."""

    def __init__(self, servers: Sequence[SocketAddress], identity: Identity) -> None:
        self._servers = servers
        self._identity = identity
        self._attempts: dict[tuple[LocalSocket, SocketAddress], _Attempt] = {}
        self._started_at: float | None = None

    @property
    def answers(self) -> list[Answer]:
        """One per socket and server that speak the same family of IP."""
        return [attempt.answer for attempt in self._attempts.values()]

    @property
    def deadline(self) -> float | None:
        """The earliest timer of any connection, or the end of our patience."""
        if self._started_at is None:
            return None
        timers = [attempt.connection.get_timer() for attempt in self._attempts.values()]
        slackened = [timer + TIMER_SLACK for timer in timers if timer is not None]
        return earliest([self._started_at + PROBE_LIMIT, *slackened])

    def handle(self, event: Event, now: float) -> list[Action]:
        """React to one event."""
        match event:
            case SocketsChanged(sockets) if self._started_at is None:
                self._started_at = now
                for local in sockets:
                    for server in self._servers:
                        if local.family == server.family:
                            self._connect(local, server, now)
            case DatagramReceived(local, remote, data):
                if (attempt := self._attempts.get((local, remote))) is not None:
                    attempt.answer.heard = True
                    attempt.connection.receive_datagram(data, DirectPath(local, remote), now)
                    self._react(attempt, now)
            case DeadlinePassed():
                for attempt in self._attempts.values():
                    timer = attempt.connection.get_timer()
                    if timer is not None and now >= timer:
                        attempt.connection.handle_timer(now)
                        self._react(attempt, now)
        return self._conclude_or_go_on(now)

    def _connect(self, local: LocalSocket, server: SocketAddress, now: float) -> None:
        config = ConnectionConfig(
            self._identity, lambda _: True, CONTROL_ALPN, AddressDiscovery.RECEIVES
        )
        connection = MultipathConnection(config)
        connection.connect(DirectPath(local, server), now)
        self._attempts[local, server] = _Attempt(Answer(local, server), connection)

    def _react(self, attempt: _Attempt, now: float) -> None:
        answer = attempt.answer
        for event in attempt.connection.poll():
            match event:
                case events.HandshakeConfirmed(key_hash):
                    assert self._started_at is not None
                    answer.handshake = now - self._started_at
                    answer.key_hash = key_hash
                case events.AddressObserved(address=address):
                    answer.observed = address
                case events.Terminated(error_code, reason):
                    answer.refusal = reason or f"error {error_code:#x}"

    def _conclude_or_go_on(self, now: float) -> list[Action]:
        if self._started_at is None:
            return []
        is_over = now >= self._started_at + PROBE_LIMIT or all(
            answer.is_complete for answer in self.answers
        )
        if is_over:
            for attempt in self._attempts.values():
                attempt.connection.close(reason_phrase="only asked")
        sends: list[Action] = [
            SendDatagram(path.local, path.remote, data)
            for attempt in self._attempts.values()
            for data, path in attempt.connection.datagrams_to_send(now)
            if isinstance(path, DirectPath)
        ]
        return [*sends, Finish("asked all servers")] if is_over else sends
