"""The relay as one path of a call: to QUIC it never moves, whatever its leg does beneath.

QUIC packet --wrap--> frame on the selected leg --> server --> the other end
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from p2pquic.core.actions import SendDatagram
from p2pquic.core.addresses import LocalSocket, ServerAddress
from p2pquic.core.path import RelayPath
from p2pquic.session.relay_legs import RelayLegs
from p2pquic.wire.signaling import RelayOpened

FIRST_ANNOUNCE_WAIT = 0.1  # seconds; doubled after each announcement that nothing came back for
LONGEST_ANNOUNCE_WAIT = 5.0  # seconds


class Hearing(NamedTuple):
    """How a server hears us: on which socket, if on any, and whether it answers just now.

    `works_from`: when the newest left of what went there and was answered (seconds).
    """

    local: LocalSocket | None
    answers: bool = True
    works_from: float = math.inf


class RelayRoute:
    """The relay of one call at one server; without a session it leads nowhere."""

    def __init__(self, server: ServerAddress) -> None:
        self.server = server
        self.path: RelayPath | None = None
        self.local: LocalSocket | None = None  # the socket the server hears us on
        self.server_answers = True
        self.leg_doubted_until = -math.inf  # in hot manner its leg is not relied on alone before
        self._legs: RelayLegs | None = None
        self._used: Sequence[LocalSocket] = ()
        self._heard_at = -math.inf  # on the leg the server hears us on
        self._doubted_at = self._works_from = -math.inf
        self._announce_wait = FIRST_ANNOUNCE_WAIT
        self.announce_at: float | None = -math.inf  # when to `announce`: no packet came yet

    @property
    def session(self) -> bytes | None:
        """The id that relay frames of this call carry."""
        return None if self._legs is None else self._legs.session

    def reaches(self, local: LocalSocket) -> bool:
        """Whether a leg from this socket could lead to the server."""
        return self.server.serves(local)

    @property
    def is_ready(self) -> bool:
        """Whether a packet could be sent by it now."""
        return self._legs is not None and self.local is not None

    def open(self, message: RelayOpened) -> None:
        """The server opened a session for this call."""
        self._legs = RelayLegs(message.session, message.key, message.ticket)
        self.path = RelayPath(message.session, self.server)
        self.announce_at = -math.inf
        self._used = ()
        self.use([] if self.local is None else [self.local])

    def move(self, hearing: Hearing) -> bool:
        """The server hears us so now; whether that is on another socket."""
        local, self.server_answers, self._works_from = hearing
        moved, self.local = local != self.local, local
        if moved:
            self._doubted_at = self._heard_at = -math.inf
            self.announce_at = -math.inf
            self._announce_wait = FIRST_ANNOUNCE_WAIT
            self.use([] if local is None else [local])
        return moved

    def use(self, sockets: Sequence[LocalSocket]) -> None:
        """Speak, and be spoken to, on the legs of these sockets; preferred first."""
        if self._legs is not None and tuple(sockets) != self._used:
            self._used = tuple(sockets)
            self._legs.select(self._used)

    def doubt(self, now: float) -> None:
        """The usual leg may be dead: it has to be heard again."""
        self._doubted_at = now

    @property
    def legs_in_use(self) -> int:
        """By how many sockets its packets leave."""
        return len(self._used)

    @property
    def usual_leg_lives(self) -> bool:
        """Whether the leg the server hears us on carried both ways since it was doubted, if ever.

        What the other end answers does not tell by which leg it heard us; the server does.
        """
        return self._doubted_at == -math.inf or (
            self._heard_at > self._doubted_at and self._works_from >= self._doubted_at
        )

    @property
    def interface(self) -> str:
        """By which its packets leave; of several legs the preferred one."""
        return self._used[0].interface if self._used else ""

    def announce(self, now: float) -> list[SendDatagram]:
        """Show the server where we are, until a packet of the other end comes.

        Any other answer is not enough: ours to a challenge may have been lost, and to an address
        that is not proved the server forwards next to nothing.
        """
        if self._legs is None or self.local is None:
            return []
        self.announce_at = now + self._announce_wait
        self._announce_wait = min(2 * self._announce_wait, LONGEST_ANNOUNCE_WAIT)
        return [self._send(self.local, self._legs.announce(self.local))]

    def show(self, sockets: Sequence[LocalSocket]) -> list[SendDatagram]:
        """Let the server know these legs, so that it can reach us there if we fall silent."""
        if self._legs is None:
            return []
        return [self._send(socket, self._legs.announce(socket)) for socket in sockets]

    def wrap(self, packet: bytes) -> list[SendDatagram]:
        """What carries a QUIC packet to the server."""
        if self._legs is None or self.local is None:
            return []
        return [self._send(socket, frame) for socket, frame in self._legs.wrap(packet)]

    def receive(
        self, local: LocalSocket, data: bytes, now: float
    ) -> tuple[bytes | None, list[SendDatagram]]:
        """A frame of our session arrived: the QUIC packet in it, if any, and what to answer.

        Raises:
            ProtocolError: it is not to be believed.
        """
        assert self._legs is not None
        packet, replies = self._legs.receive(local, data)
        if local == self.local:
            self._heard_at = now
        if packet is not None:
            self.announce_at = None
        return packet, [self._send(socket, reply) for socket, reply in replies]

    def _send(self, local: LocalSocket, frame: bytes) -> SendDatagram:
        return SendDatagram(local, self.server.seen_from(local), frame)
