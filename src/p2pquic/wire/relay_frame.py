"""The relay's frame: 26 bytes around a QUIC packet that the relay cannot read.

    | type 1 | session 8 | leg 1 | epoch 12 bits, mask 4 bits | sequence 6 | tag 8 | payload

26 bytes because IPv6's smallest MTU leaves 32 beside a QUIC packet of 1200 bytes. The first
byte is 4..9, which neither QUIC (64..127, 192..255) nor STUN (0..3), DTLS (20..63) or RTP
(128..191) uses, so all of them share one UDP port (RFC 9443).

A *leg* is one interface of one peer. *Wanted* is {epoch, mask}: on which legs the sender wants to
be sent to; the highest epoch wins, since frames overtake each other. The tag is a keyed BLAKE2s
over direction, header and payload: short, because it guards the relay against strangers and the
call against theft of its path; what is said inside QUIC guards itself.
"""

from __future__ import annotations

import hmac
import struct
from enum import IntEnum
from hashlib import blake2s
from typing import NamedTuple

from p2pquic.core.errors import ProtocolError

SESSION_SIZE = 8  # bytes; unguessable, and its last bit says which of the two peers it is for
KEY_SIZE = 32  # bytes; the largest key of BLAKE2s
TAG_SIZE = 8  # bytes; 2^64 guesses over the network to forge one packet
CHALLENGE_SIZE = 8  # bytes, as QUIC's PATH_CHALLENGE (RFC 9000 section 19.17)
LARGEST_TICKET = 128  # bytes
LEGS = 4  # per peer: as many as the mask has bits
EPOCHS = 1 << 12  # `wanted` counts in 12 bits
SEQUENCES = 1 << 48  # numbers of one leg in one direction
REPLAY_WINDOW = 128  # sequence numbers by which frames may be reordered: 200 ms of a busy call


class FrameType(IntEnum):
    """What a frame is for."""

    DATA = 4  # both ways: a QUIC packet
    CHALLENGE = 5  # server to peer: echo these 8 bytes from where you are
    RESPONSE = 6  # peer to server: the echo
    ANNOUNCE = 7  # peer to server: this leg is here; empty
    UNKNOWN_SESSION = 8  # server to peer: the header that came, echoed; its tag proves nothing
    TICKET = 9  # peer to server: proof that the session existed


class Direction(IntEnum):
    """Where a frame goes; under the tag, so that no frame can be sent back to its author."""

    TO_SERVER = 0
    TO_PEER = 1


class RelayFrame(NamedTuple):
    """One frame. `raw` is what `decode` read, tag included; empty in a frame not yet encoded."""

    type: FrameType
    session: bytes
    leg: int
    epoch: int
    mask: int
    sequence: int
    payload: bytes
    raw: bytes = b""

    def verify(self, key: bytes, direction: Direction) -> bool:
        """Whether a holder of `key` sent this in `direction`; compared in constant time."""
        expected = _tag(self.raw[:_HEADER_SIZE], self.payload, key, direction)
        return hmac.compare_digest(expected, tag_of(self.raw))


_HEADER = struct.Struct(">B8sBQ")  # the last 8 bytes: epoch 12 bits, mask 4, sequence 48
_HEADER_SIZE = _HEADER.size
OVERHEAD = _HEADER_SIZE + TAG_SIZE  # bytes a frame adds to its payload
_SEQUENCE_MASK = SEQUENCES - 1
_TYPES = {int(frame_type): frame_type for frame_type in FrameType}
_DIRECTIONS = {direction: bytes([direction]) for direction in Direction}
_PAYLOAD_SIZES = {  # fewest and most bytes
    FrameType.DATA: (1, 0xFFFF),
    FrameType.CHALLENGE: (CHALLENGE_SIZE, CHALLENGE_SIZE),
    FrameType.RESPONSE: (CHALLENGE_SIZE, CHALLENGE_SIZE),
    FrameType.ANNOUNCE: (0, 0),
    FrameType.UNKNOWN_SESSION: (0, 0),
    FrameType.TICKET: (1, LARGEST_TICKET),
}


def is_relay_frame(data: bytes) -> bool:
    """Whether a datagram is ours, by its first byte."""
    return len(data) >= OVERHEAD and data[0] in _TYPES


def encode(frame: RelayFrame, key: bytes, direction: Direction) -> bytes:
    """The frame as a datagram, with its tag."""
    header = _HEADER.pack(
        frame.type,
        frame.session,
        frame.leg,
        frame.epoch << 52 | frame.mask << 48 | frame.sequence,
    )
    return header + _tag(header, frame.payload, key, direction) + frame.payload


def tag_of(data: bytes) -> bytes:
    """The tag of an encoded frame; in a hint, that of the frame which caused it."""
    return data[_HEADER_SIZE:OVERHEAD]


def encode_unknown_session(cause: RelayFrame) -> bytes:
    """The hint that answers `cause`: its header and tag, never longer than it.

    There is no key to prove it with. The echoed tag, which a stranger cannot guess, tells the
    peer that its own frame caused the hint.
    """
    return bytes([FrameType.UNKNOWN_SESSION]) + cause.raw[1:OVERHEAD]


def decode(data: bytes) -> RelayFrame:
    """Read a datagram. Nothing in it is to be believed before `verify`.

    Raises:
        ProtocolError: it is not a relay frame, or its parts do not fit together.
    """
    if len(data) < OVERHEAD:
        raise ProtocolError(f"a relay frame has at least {OVERHEAD} bytes, this one {len(data)}")
    first, session, leg, rest = _HEADER.unpack_from(data)
    frame_type = _TYPES.get(first)
    if frame_type is None:
        raise ProtocolError(f"{first} is not a type of relay frame")
    if leg >= LEGS:
        raise ProtocolError(f"leg {leg} of a relay session: there are only {LEGS}")
    fewest, most = _PAYLOAD_SIZES[frame_type]
    if not fewest <= len(data) - OVERHEAD <= most:
        raise ProtocolError(
            f"{len(data) - OVERHEAD} bytes in a relay frame of type {frame_type.name}"
        )
    return RelayFrame(
        frame_type,
        session,
        leg,
        rest >> 52,
        rest >> 48 & 0xF,
        rest & _SEQUENCE_MASK,
        data[OVERHEAD:],
        data,
    )


def is_newer(epoch: int, than: int) -> bool:
    """Whether `epoch` follows `than` in 12-bit serial arithmetic (RFC 1982 section 3.2)."""
    return 0 < (epoch - than) % EPOCHS < EPOCHS // 2


def legs_of(mask: int) -> list[int]:
    """The leg numbers in a mask, lowest first."""
    return [leg for leg in range(LEGS) if mask >> leg & 1]


def _tag(header: bytes, payload: bytes, key: bytes, direction: Direction) -> bytes:
    covered = _DIRECTIONS[direction] + header + payload
    return blake2s(covered, key=key, digest_size=TAG_SIZE).digest()
