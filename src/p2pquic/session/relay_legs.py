"""The peer's half of a relay session: which interface is which leg, and where to be sent to.

    wlan0   leg 0 --+
    rmnet0  leg 1 --+-- RelayLegs --- QUIC packets of one call
    eth0    leg 2 --+   (IPv6 of an interface is another leg than its IPv4)

To QUIC the session is one path whose address never changes: a leg may be moved, added or dropped
beneath a running handshake. The server learns it from any frame on the leg, and from `wanted` in
each of them. Nothing is sent again from here, and no clock is needed: each answer has a frame of
the server's as its cause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from p2pquic.core.addresses import LocalSocket
from p2pquic.core.errors import ProtocolError
from p2pquic.core.frames import SequenceWindow
from p2pquic.wire.relay_frame import (
    EPOCHS,
    LEGS,
    REPLAY_WINDOW,
    Direction,
    FrameType,
    RelayFrame,
    decode,
    encode,
    tag_of,
)

MOST_SELECTED = LEGS - 1  # interfaces; one number stays free for a standby to announce itself
TAGS_REMEMBERED = 32  # frames of a leg that a hint may speak of: one round trip's worth

Sends = list[tuple[LocalSocket, bytes]]

_Name = tuple[str, int]  # an interface and a family of IP: what a leg is, whatever its address


class Received(NamedTuple):
    """What a datagram brought: a packet for QUIC or none, and what to answer."""

    packet: bytes | None
    replies: Sends


class _Leg:
    """The state of one leg number, kept when it passes to another interface."""

    __slots__ = ("next_sequence", "sent_tags", "window")

    def __init__(self) -> None:
        self.next_sequence = 0
        self.sent_tags: deque[bytes] = deque(maxlen=TAGS_REMEMBERED)
        self.window = SequenceWindow(REPLAY_WINDOW)


class RelayLegs:
    """One session, as `RelayOpened` told it."""

    def __init__(self, session: bytes, key: bytes, ticket: bytes) -> None:
        self.session = session
        self._key = key
        self._ticket = ticket
        self._legs = [_Leg() for _ in range(LEGS)]
        self._numbers: dict[_Name, int] = {}  # of legs, the least recently used first
        self._selected: list[tuple[LocalSocket, int]] = []
        self._epoch = 0
        self._mask = 0

    @property
    def selected(self) -> list[LocalSocket]:
        """The sockets `wrap` sends from, preferred first."""
        return [socket for socket, _ in self._selected]

    def select(self, sockets: Sequence[LocalSocket]) -> None:
        """Send from these sockets, and be sent to on their legs; preferred first.

        An interface is one leg in each family, so of several sockets of one the first is taken; of
        more than three legs the first three. Without any, the server goes on sending to the leg
        it last heard.
        """
        chosen: list[LocalSocket] = []
        for socket in sockets:
            taken = {_name(other) for other in chosen}
            if _name(socket) not in taken and len(chosen) < MOST_SELECTED:
                chosen.append(socket)
        keep = {_name(socket) for socket in chosen}
        self._selected = [(s, self._number_of(_name(s), keep)) for s in chosen]
        mask = sum(1 << number for _, number in self._selected)
        if mask != self._mask:
            self._mask = mask
            self._epoch = (self._epoch + 1) % EPOCHS

    def wrap(self, packet: bytes) -> Sends:
        """The datagrams, one per selected socket, that carry a QUIC packet to the server."""
        return [
            (socket, self._encode(number, FrameType.DATA, packet))
            for socket, number in self._selected
        ]

    def announce(self, local: LocalSocket) -> bytes:
        """A datagram for the server that makes or keeps the leg of `local` warm."""
        keep = {_name(socket) for socket, _ in self._selected}
        return self._encode(self._number_of(_name(local), keep), FrameType.ANNOUNCE, b"")

    def receive(self, local: LocalSocket, data: bytes) -> Received:
        """The server sent `data` to our socket `local`. A repeat brings nothing.

        Raises:
            ProtocolError: it is not from the server, or not of this session.
        """
        frame = decode(data)
        if frame.session != self.session:
            raise ProtocolError("a relay frame of another session")
        if frame.type is FrameType.UNKNOWN_SESSION:
            return Received(None, self._show_ticket(local, frame))
        if not frame.verify(self._key, Direction.TO_PEER):
            raise ProtocolError("a relay frame whose tag is wrong")
        if not self._legs[frame.leg].window.accept(frame.sequence):
            return Received(None, [])
        if frame.type is FrameType.DATA:
            return Received(frame.payload, [])
        if frame.type is FrameType.CHALLENGE:
            return Received(None, self._answer(local, frame))
        raise ProtocolError(f"a relay does not send {frame.type.name}")

    def _answer(self, local: LocalSocket, challenge: RelayFrame) -> Sends:
        """Prove that we are where the server heard us, unless the leg is elsewhere by now."""
        if self._numbers.get(_name(local)) != challenge.leg:
            return []
        return [(local, self._encode(challenge.leg, FrameType.RESPONSE, challenge.payload))]

    def _show_ticket(self, local: LocalSocket, hint: RelayFrame) -> Sends:
        """The server has lost the session: show the ticket, once for all that was in flight.

        A hint has no proof but the tag of a frame we sent, which no stranger off the path knows.
        """
        leg = self._legs[hint.leg]
        if tag_of(hint.raw) not in leg.sent_tags:
            raise ProtocolError("a relay hint that answers nothing we sent")
        leg.sent_tags.clear()
        return [(local, self._encode(hint.leg, FrameType.TICKET, self._ticket))]

    def _number_of(self, leg: _Name, keep: set[_Name]) -> int:
        """The number of a leg; a fifth takes over that of the least recently used one."""
        number = self._numbers.pop(leg, None)
        if number is None:
            free = set(range(LEGS)) - set(self._numbers.values())
            if free:
                number = min(free)
            else:
                unused = next(name for name in self._numbers if name not in keep)
                number = self._numbers.pop(unused)
        self._numbers[leg] = number
        return number

    def _encode(self, number: int, kind: FrameType, payload: bytes) -> bytes:
        leg = self._legs[number]
        frame = RelayFrame(
            kind, self.session, number, self._epoch, self._mask, leg.next_sequence, payload
        )
        data = encode(frame, self._key, Direction.TO_SERVER)
        leg.next_sequence += 1
        leg.sent_tags.append(tag_of(data))
        return data


def _name(local: LocalSocket) -> _Name:
    return local.interface, local.family
