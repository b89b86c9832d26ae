"""One peer of a relay session as the server sees it: where it is and what it lacks.

A peer has up to four legs, one per interface. A frame with a good tag from an unknown address moves
its leg there at once if nothing newer was heard on that leg; the address is challenged while
packets already flow, under QUIC's rules (RFC 9000 sections 8 and 9.3):

    address == validated      proven: no limit
    address != validated      three times what came from there, until it answers the challenge;
                              unless a proven leg serves the peer anyway, each packet goes to its
                              last proven address too

so whoever replays a captured packet gets a few copies and cannot take the call.

The last 200 ms for the peer are remembered, with the legs they went out on. A leg that is new,
newly wanted or just moved is sent what it lacks: that is all there is to a replay. A peer that is
silent is sent to on every leg it ever showed: who cannot reach us may still be reached.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.frames import SequenceWindow
from p2pquic.wire.relay_frame import (
    CHALLENGE_SIZE,
    LEGS,
    OVERHEAD,
    REPLAY_WINDOW,
    Direction,
    FrameType,
    RelayFrame,
    encode,
    is_newer,
    legs_of,
)

MEMORY_TIME = 0.200  # seconds; a longer outage is for the peers' own re-sends to heal
MEMORY_BYTES = 64 * 1024  # per peer; 200 ms at 2.6 Mbit/s, many times an audio call
MEMORY_PACKETS = 256  # per peer; bounds the search when packets are tiny
AMPLIFICATION_LIMIT = 3  # times what came from an unproven address (RFC 9000 section 8)
SILENCE = 0.1  # seconds; as long as two ends doubt each other before they ask every path
CHALLENGE_INTERVAL = 0.100  # seconds; a lost challenge is repeated, yet leaves credit to audio
MOVES_PER_SECOND = 10  # per peer; no honest one changes its addresses as often
MOVES_AT_ONCE = 10  # all four legs twice, and some

Sends = list[tuple[SocketAddress, bytes]]

_LEGS_OF = [legs_of(mask) for mask in range(1 << LEGS)]


class Tokens:
    """Permission for `rate` events per second, `burst` of them at once."""

    __slots__ = ("_burst", "_left", "_rate", "_updated")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = self._left = burst
        self._updated = -math.inf

    def take(self, now: float) -> bool:
        """Use one, if there is one."""
        self._left = min(self._burst, self._left + (now - self._updated) * self._rate)
        self._updated = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(slots=True)
class _Remembered:
    """A packet, when it came, and the legs it went out on (a bit each)."""

    packet: bytes
    came: float
    legs: int = 0


class _Memory:
    """The newest packets for one peer, bounded in time, bytes and number."""

    __slots__ = ("_packets", "_size")

    def __init__(self) -> None:
        self._packets: deque[_Remembered] = deque()  # oldest first
        self._size = 0  # bytes

    def add(self, packet: bytes, now: float) -> _Remembered:
        remembered = _Remembered(packet, now)
        self._packets.append(remembered)
        self._size += len(packet)
        self._forget_old(now)
        return remembered

    def lacking(self, bit: int, now: float) -> list[_Remembered]:
        """What did not go out on that leg, newest first."""
        self._forget_old(now)
        return [remembered for remembered in reversed(self._packets) if not remembered.legs & bit]

    def unmark(self, bit: int) -> None:
        """That leg is somewhere else now: nothing went out there yet."""
        for remembered in self._packets:
            remembered.legs &= ~bit

    def _forget_old(self, now: float) -> None:
        packets = self._packets
        while packets and (
            packets[0].came < now - MEMORY_TIME
            or self._size > MEMORY_BYTES
            or len(packets) > MEMORY_PACKETS
        ):
            self._size -= len(packets.popleft().packet)


@dataclass(slots=True, eq=False)
class Leg:
    """One interface of a peer: its addresses, its limits, and what went through (with headers)."""

    number: int
    address: SocketAddress
    next_sequence: int
    challenge: bytes
    window: SequenceWindow = field(default_factory=lambda: SequenceWindow(REPLAY_WINDOW))
    validated: SocketAddress | None = None  # the last address here that answered a challenge
    challenged: float = -math.inf
    credit: int = 0  # bytes that may still go to an unproven `address`
    lacks: bool = True  # some remembered packet may not have gone out here
    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0

    @property
    def bit(self) -> int:
        """This leg's place in a mask."""
        return 1 << self.number

    @property
    def proven(self) -> bool:
        """Whether the peer was shown to be where it is."""
        return self.address == self.validated

    @property
    def room(self) -> float:
        """The bytes that the amplification limit lets go to `address`."""
        return math.inf if self.proven else self.credit


class RelayPeer:
    """One side of a session.

    `first_sequence` is above all that the server used before a restart; `heard` is when the last
    good frame came, or when the session was opened.
    """

    def __init__(
        self,
        session: bytes,
        key: bytes,
        peer: str,
        first_sequence: int,
        entropy: Callable[[int], bytes],
        now: float,
    ) -> None:
        self.session = session
        self.key = key
        self.peer = peer
        self.legs: dict[int, Leg] = {}
        self.heard = now
        self._first_sequence = first_sequence
        self._entropy = entropy
        self._epoch: int | None = None  # of the newest `wanted`
        self._mask = 0  # the legs it wants to be sent to on; none: the one last heard
        self._targets: list[Leg] = []  # what the mask comes to
        self._last_heard: Leg | None = None
        self._last_proven: Leg | None = None  # the leg last heard from its validated address
        self._memory = _Memory()
        self._moves = Tokens(MOVES_PER_SECOND, MOVES_AT_ONCE)

    def hear(self, frame: RelayFrame, source: SocketAddress, now: float) -> Sends | None:
        """A frame with a good tag came from `source`: follow it, and send what is lacking.

        None if it came before, or is too old to tell.
        """
        leg = self.legs.get(frame.leg)
        if leg is None:
            leg = self.legs[frame.leg] = Leg(
                frame.leg, source, self._first_sequence, self._entropy(CHALLENGE_SIZE)
            )
        is_newest = frame.sequence > leg.window.newest
        if not leg.window.accept(frame.sequence):
            return None
        self.heard = now
        leg.packets_in += 1
        leg.bytes_in += len(frame.raw)
        if is_newest:
            self._follow(leg, source, now)
        if source == leg.address:
            self._credit(leg, frame)
        if self._epoch is None or is_newer(frame.epoch, self._epoch):
            self._epoch, self._mask = frame.epoch, frame.mask
        self._retarget()
        return self._challenge(leg, now) + self._replay(now)

    def deliver(self, packet: bytes, now: float) -> Sends:
        """Send the other peer's packet on the wanted legs, and remember it."""
        if now - self.heard > SILENCE:
            self._aim_at(list(self.legs.values()))
        remembered = self._memory.add(packet, now)
        sends = []
        proven = False
        for leg in self._targets:
            if leg.room >= OVERHEAD + len(packet):
                remembered.legs |= leg.bit
                sends.append(self._send(leg, leg.address, FrameType.DATA, packet))
            else:
                leg.lacks = True
            proven = proven or leg.proven
        last = self._last_proven
        if not proven and last is not None and last.validated is not None:
            sends.append(self._send(last, last.validated, FrameType.DATA, packet))
        return sends + self._replay(now) if now - self.heard > SILENCE else sends

    def _follow(self, leg: Leg, source: SocketAddress, now: float) -> None:
        """Move `leg` to where it was heard; going back to a validated address costs nothing."""
        if source != leg.address and (source == leg.validated or self._moves.take(now)):
            leg.address = source
            leg.credit = 0  # what an address did not use up, the next does not inherit
            leg.challenge = self._entropy(CHALLENGE_SIZE)
            leg.challenged = -math.inf
            leg.lacks = True
            self._memory.unmark(leg.bit)
        if source == leg.address:
            self._last_heard = leg

    def _credit(self, leg: Leg, frame: RelayFrame) -> None:
        """A frame from where `leg` is: it earns credit, or proves the address."""
        if not leg.proven:
            leg.credit += AMPLIFICATION_LIMIT * len(frame.raw)
            if frame.type is FrameType.RESPONSE and frame.payload == leg.challenge:
                leg.validated = leg.address
        if leg.proven:
            self._last_proven = leg

    def _retarget(self) -> None:
        """Find the legs to send on; one that was not among them lacks what went out since."""
        targets = [self.legs[number] for number in _LEGS_OF[self._mask] if number in self.legs]
        if not targets and self._last_heard is not None:
            targets = [self._last_heard]
        self._aim_at(targets)

    def _aim_at(self, targets: list[Leg]) -> None:
        if targets != self._targets:
            for leg in targets:
                leg.lacks = leg.lacks or leg not in self._targets
            self._targets = targets

    def _challenge(self, leg: Leg, now: float) -> Sends:
        """Ask an unproven address for proof, again every 100 ms while something comes from it."""
        if leg.proven or now - leg.challenged < CHALLENGE_INTERVAL:
            return []
        if leg.room < OVERHEAD + CHALLENGE_SIZE:
            return []
        leg.challenged = now
        return [self._send(leg, leg.address, FrameType.CHALLENGE, leg.challenge)]

    def _replay(self, now: float) -> Sends:
        """Send each target what it lacks, as far as the credit goes.

        The newest packets are chosen, being the most playable; they go in their own order, since
        QUIC takes packets that come out of order for lost ones.
        """
        sends: Sends = []
        for leg in self._targets:
            if not leg.lacks:
                continue
            leg.lacks = False
            room = leg.room
            chosen = []
            for remembered in self._memory.lacking(leg.bit, now):
                room -= OVERHEAD + len(remembered.packet)
                if room < 0:
                    leg.lacks = True  # the rest when there is credit again
                    break
                chosen.append(remembered)
            for remembered in reversed(chosen):
                remembered.legs |= leg.bit
                sends.append(self._send(leg, leg.address, FrameType.DATA, remembered.packet))
        return sends

    def _send(
        self, leg: Leg, to: SocketAddress, kind: FrameType, payload: bytes
    ) -> tuple[SocketAddress, bytes]:
        """The next frame on `leg`, counted; the caller has looked at the credit."""
        frame = RelayFrame(kind, self.session, leg.number, 0, 0, leg.next_sequence, payload)
        data = encode(frame, self.key, Direction.TO_PEER)
        leg.next_sequence += 1
        leg.packets_out += 1
        leg.bytes_out += len(data)
        if to == leg.address and not leg.proven:
            leg.credit -= len(data)
        return to, data
