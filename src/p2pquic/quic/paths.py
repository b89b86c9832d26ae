"""What the engine keeps of one path, and the datagrams that wait for it."""

from __future__ import annotations

from collections import deque
from typing import Any

from aioquic.quic.connection import QuicConnectionId, QuicNetworkPath

from p2pquic.core.path import PathAddress
from p2pquic.quic.frames import ObservedAddress
from p2pquic.quic.recovery import PathRecovery

VOUCHED_BYTES = 6000  # counted as received from an address that proved itself on another path:
# three times that is a second of audio and its challenges
CHALLENGES_KEPT = 8  # answers to older challenges say nothing about now


class OutgoingDatagram(bytes):
    """The payload of a DATAGRAM frame that remembers what it carries and since when it waits."""

    tag: Any
    queued_at: float

    @classmethod
    def of(cls, payload: bytes, tag: Any, now: float) -> OutgoingDatagram:
        """Wrap a payload; `tag` comes back when it is acknowledged or lost."""
        datagram = cls(payload)
        datagram.tag = tag
        datagram.queued_at = now
        return datagram


class Path(QuicNetworkPath):
    """A path of a multipath connection. `addr` is its PathAddress; the rest is its state."""

    addr: PathAddress

    def __init__(self, addr: PathAddress, recovery: PathRecovery) -> None:
        super().__init__(addr)
        self.recovery = recovery
        self.outbox: deque[OutgoingDatagram] = deque()
        self.cid: QuicConnectionId | None = None  # the other end's: what we send to
        self.host_cid: QuicConnectionId | None = None  # ours: what the other end sends to
        self.is_doubted = False  # it was validated, and has to show again that it lives
        self.is_probed = False  # its owner waits for an answer to a challenge
        self.followed = -1  # number of the packet that moved it to its address last
        self.retired = False  # the other end gave the path up
        self.challenge_due = False
        self.ping_due = False
        self.ack_at: float | None = None  # what came by it is acknowledged on it by then
        self.challenges: dict[bytes, float] = {}  # unanswered ones and when they left
        self.observation_due = False  # the other end is to be told its address on this path
        self.observation: ObservedAddress | None = None  # the newest the other end told us
        self.local_challenge_sent = True  # so that aioquic sends none by itself; we do

    @property
    def host_sequence(self) -> int | None:
        """The number of our connection id that the other end sends to."""
        return None if self.host_cid is None else self.host_cid.sequence_number

    @property
    def has_something_to_say(self) -> bool:
        """Whether a packet should leave on it though it may not be the selected one."""
        return bool(
            self.outbox
            or self.challenge_due
            or self.ping_due
            or self.remote_challenges
            or self.observation_due
        )

    def wants_to_speak(self, now: float) -> bool:
        """The same, or an acknowledgement has found nothing to ride on for long enough."""
        return self.has_something_to_say or (self.ack_at is not None and self.ack_at <= now)

    def vouch(self) -> None:
        """Grant credit (RFC 9000 section 8) to an address that is known, by a path that is not."""
        self.bytes_received += VOUCHED_BYTES

    def note_challenge(self, now: float) -> None:
        """Remember when the challenge just written left."""
        self.challenges[self.local_challenges[-1]] = now
        while len(self.challenges) > CHALLENGES_KEPT:
            del self.challenges[next(iter(self.challenges))]
        self.challenge_due = False

    def move(self, addr: PathAddress, received: int) -> None:
        """The remote address changed: nothing is proved of the new one (RFC 9000 section 9.3)."""
        self.addr = addr
        self.is_validated = False
        self.bytes_received = received
        self.bytes_sent = 0
        self.challenges.clear()
        self.challenge_due = True

    def drop_stale(self, now: float, lifetime: float) -> None:
        """Forget datagrams that have waited longer than `lifetime` seconds."""
        while self.outbox and now - self.outbox[0].queued_at > lifetime:  # oldest first
            self.outbox.popleft()
