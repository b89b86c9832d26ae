"""The server's relay: forwards between two peers packets it cannot read, and follows them.

    peer A   leg 0 --+                 +-- leg 0   peer B      leg: one interface of a peer
             leg 1 --+-- RelaySwitch --+

Each peer has its own session id (they differ in the last bit) and its own key, so one look into a
table tells whose frame this is and for whom. Where a peer is and what it is sent: relay_peer.

Nothing is kept on disk but a secret. A server that was restarted does not know a session, says so
with a hint, is shown the ticket it once issued, derives the same keys again, and carries on. It is
silent towards everybody else: a wrong tag, a repeat, or noise is dropped and counted in `dropped`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal, NamedTuple

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.errors import ProtocolError
from p2pquic.session.relay_peer import RelayPeer, Sends, Tokens
from p2pquic.wire.relay_frame import (
    KEY_SIZE,
    SEQUENCES,
    SESSION_SIZE,
    Direction,
    FrameType,
    RelayFrame,
    decode,
    encode_unknown_session,
)
from p2pquic.wire.relay_ticket import (
    Ticket,
    decode_ticket,
    derive_key,
    encode_ticket,
    new_ticket,
    session_of,
)

HINTS_PER_SECOND = 1000  # in all; 26 kB/s is the most that a flood of strangers can draw
IDLE_TIME = 120.0  # seconds; twice the 60 s after which peers give up
SWEEP_INTERVAL = 10.0  # seconds between two looks for idle sessions
MOST_VOID = 10_000  # closed sessions remembered; who leaves and comes all day must not fill memory
TICKET_LIFETIME = 24 * 3600  # seconds; longer than any call
SEQUENCES_PER_SECOND = 1 << 16  # numbers start at the time of day in this unit, so they are above
# those a server used before it was restarted, whatever it forgot; 48 bits last until 2106

Drop = Literal["malformed", "repeated", "wrong tag", "wrong ticket", "unknown session"]


class RelayGrant(NamedTuple):
    """What one peer needs to use its half of a session (`RelayOpened` tells it)."""

    session: bytes
    key: bytes
    ticket: bytes


class LegStatistics(NamedTuple):
    """What went through one leg, headers included; in and out as the server sees it."""

    session: bytes
    peer: str
    leg: int
    address: SocketAddress
    validated: bool
    packets_in: int
    bytes_in: int
    packets_out: int
    bytes_out: int


class _Half(NamedTuple):
    """A peer of a session and the one it talks to."""

    peer: RelayPeer
    other: RelayPeer


class RelaySwitch:
    """All relay sessions of one server.

    `secret` is 32 bytes which survive a restart; `entropy(n)` gives n unpredictable bytes.
    `unix_origin` is the Unix time at which `now` was 0: tickets and sequence numbers have to
    outlive the clock of one process.
    """

    def __init__(
        self, secret: bytes, entropy: Callable[[int], bytes], unix_origin: float = 0.0
    ) -> None:
        if len(secret) != KEY_SIZE:
            raise ValueError(f"the relay's secret has {KEY_SIZE} bytes, not {len(secret)}")
        self.dropped: Counter[Drop] = Counter()
        self._secret = secret
        self._entropy = entropy
        self._unix_origin = unix_origin
        self._halves: dict[bytes, _Half] = {}
        self._void: dict[bytes, float] = {}  # closed sessions, and until when to remember them
        self._hints = Tokens(HINTS_PER_SECOND, HINTS_PER_SECOND)
        self._next_sweep = 0.0

    @property
    def deadline(self) -> float | None:
        """When to call `expire`; None while there is nothing that could."""
        return self._next_sweep if self._halves or self._void else None

    def open_session(self, peer_a: str, peer_b: str, now: float) -> tuple[RelayGrant, RelayGrant]:
        """A new session between two members who both agreed; the grants in their order."""
        expiry = int(self._unix_origin + now) + TICKET_LIFETIME
        ticket = new_ticket(self._entropy(SESSION_SIZE), (peer_a, peer_b), expiry)
        self._open(ticket, now)
        data = encode_ticket(ticket, self._secret)
        a, b = (self._halves[session_of(ticket.session, side)].peer for side in (0, 1))
        return RelayGrant(a.session, a.key, data), RelayGrant(b.session, b.key, data)

    def close_session(self, session: bytes, now: float) -> None:
        """End a session, named by either peer's id of it; no ticket brings it back."""
        half = self._halves.pop(session, None)
        if half is not None:
            del self._halves[half.other.session]
        for side in (0, 1):
            self._void[session_of(session, side)] = now + TICKET_LIFETIME
        while len(self._void) > MOST_VOID:
            del self._void[next(iter(self._void))]

    def expire(self, now: float) -> list[bytes]:
        """Forget the sessions nobody was heard in for two minutes; give both ids of each.

        Their tickets stay good: a peer that wakes up again carries on.
        """
        self._next_sweep = now + SWEEP_INTERVAL
        idle = [
            session
            for session, half in self._halves.items()
            if now - max(half.peer.heard, half.other.heard) >= IDLE_TIME
        ]
        for session in idle:
            del self._halves[session]
        self._void = {session: end for session, end in self._void.items() if end > now}
        return idle

    def statistics(self) -> list[LegStatistics]:
        """What went through each leg that was ever heard."""
        return [
            LegStatistics(
                session,
                half.peer.peer,
                leg.number,
                leg.address,
                leg.proven,
                leg.packets_in,
                leg.bytes_in,
                leg.packets_out,
                leg.bytes_out,
            )
            for session, half in self._halves.items()
            for leg in half.peer.legs.values()
        ]

    def receive(self, source: SocketAddress, data: bytes, now: float) -> Sends:
        """A datagram came from `source`; give the datagrams to send, in order.

        Never raises for what is in the datagram: what cannot be used is dropped and counted.
        """
        try:
            frame = decode(data)
        except ProtocolError:
            return self._drop("malformed")
        if frame.type is FrameType.CHALLENGE or frame.type is FrameType.UNKNOWN_SESSION:
            return self._drop("malformed")  # ours to say; answering could go round for ever
        half = self._halves.get(frame.session)
        if half is None:
            return self._on_unknown_session(frame, source, now)
        if not frame.verify(half.peer.key, Direction.TO_SERVER):
            return self._drop("wrong tag")
        return self._forward(half, frame, source, now)

    def _forward(self, half: _Half, frame: RelayFrame, source: SocketAddress, now: float) -> Sends:
        replies = half.peer.hear(frame, source, now)
        if replies is None:
            return self._drop("repeated")
        if frame.type is FrameType.DATA:
            return half.other.deliver(frame.payload, now) + replies
        return replies

    def _on_unknown_session(self, frame: RelayFrame, source: SocketAddress, now: float) -> Sends:
        """Ask for the ticket, or take it."""
        if frame.type is not FrameType.TICKET:
            if frame.session not in self._void and self._hints.take(now):
                return [(source, encode_unknown_session(frame))]
            return self._drop("unknown session")
        try:
            ticket = decode_ticket(frame.payload, self._secret)
        except ProtocolError:
            return self._drop("wrong ticket")
        side = frame.session[-1] & 1
        expired = self._unix_origin + now >= ticket.expiry
        if (
            expired
            or frame.session in self._void
            or frame.session != session_of(ticket.session, side)
        ):
            return self._drop("wrong ticket")
        if not frame.verify(derive_key(ticket, side, self._secret), Direction.TO_SERVER):
            return self._drop("wrong tag")
        self._open(ticket, now)
        return self._forward(self._halves[frame.session], frame, source, now)

    def _open(self, ticket: Ticket, now: float) -> None:
        first_sequence = int((self._unix_origin + now) * SEQUENCES_PER_SECOND) % SEQUENCES
        a, b = (
            RelayPeer(
                session_of(ticket.session, side),
                derive_key(ticket, side, self._secret),
                ticket.peers[side],
                first_sequence,
                self._entropy,
                now,
            )
            for side in (0, 1)
        )
        if not self._halves and not self._void:
            self._next_sweep = now + SWEEP_INTERVAL
        self._halves[a.session] = _Half(a, b)
        self._halves[b.session] = _Half(b, a)

    def _drop(self, reason: Drop) -> Sends:
        self.dropped[reason] += 1
        return []
