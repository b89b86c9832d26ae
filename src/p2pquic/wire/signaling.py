"""What peer and intermediate server say to each other on their control stream.

    | length 2 | MessagePack map, {"type": name, ...} | length 2 | ...

A closed union per direction; whatever is not in it, or breaks a bound stated here, is a
ProtocolError. Fields a newer version may add are ignored. What a message means is decided in
session/.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from p2pquic.core.addresses import SocketAddress, require_unicast
from p2pquic.core.errors import ProtocolError
from p2pquic.wire.relay_frame import KEY_SIZE, LARGEST_TICKET, SESSION_SIZE

PROTOCOL_VERSION = 2
LARGEST_MESSAGE = 16 * 1024  # bytes; the largest honest one, a full Welcome, has under 2 KiB
MOST_CANDIDATES = 8  # addresses per peer; each costs the other side a probe
MOST_MEMBERS = 16  # peers in a room; each pair of them is a call of its own
LONGEST_ROOM_NAME = 64  # characters
LONGEST_REASON = 500  # characters
INSTANCE_SIZE = 8  # bytes
REPLACED = 0x1000  # QUIC error code: another peer with this key has registered

PeerId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
"""The first 16 bytes of the SHA-256 of the peer's public key (SPKI), as hexadecimal digits."""

Room = Annotated[str, Meta(min_length=1, max_length=LONGEST_ROOM_NAME)]
Round = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
"""Counts a peer's lists of candidates; a higher round cancels a lower."""

Role = Literal["sender", "receiver", "both"]
Instance = Annotated[bytes, Meta(max_length=INSTANCE_SIZE)]
"""Random, made at a peer's start: tells one that was started anew from one that connects anew."""

CandidateKind = Literal["host", "server-reflexive", "peer-reflexive"]


class _Message(msgspec.Struct, frozen=True, tag_field="type", tag=True):
    """Base of every message: its class name is its tag."""


class Candidate(msgspec.Struct, frozen=True):
    """An address under which a peer may be reached: a numeric unicast host and a port."""

    host: str
    port: int
    kind: CandidateKind

    def __post_init__(self) -> None:
        require_unicast(self.address)

    @property
    def address(self) -> SocketAddress:
        """Where to send to."""
        return SocketAddress(self.host, self.port)


class Member(msgspec.Struct, frozen=True):
    """A peer in the room and what it came for."""

    peer: PeerId
    role: Role
    instance: Instance = b""


class Register(_Message, frozen=True):
    """Peer: let me into this room. The first message; the certificate says who I am."""

    version: Annotated[int, Meta(ge=1)]
    room: Room
    role: Role
    instance: Instance = b""


class Connect(_Message, frozen=True):
    """Peer: I am willing to be connected with this member."""

    peer: PeerId


class Candidates(_Message, frozen=True):
    """Peer: tell member `to` that I may be reached here."""

    to: PeerId
    round: Round
    candidates: Annotated[list[Candidate], Meta(max_length=MOST_CANDIDATES)]


class Leave(_Message, frozen=True):
    """Peer: I am leaving the room."""


class Welcome(_Message, frozen=True):
    """Server: you are in, your address looks like `observed`, and these were here before you."""

    peer: PeerId
    observed: SocketAddress
    members: Annotated[list[Member], Meta(max_length=MOST_MEMBERS - 1)]

    def __post_init__(self) -> None:
        require_unicast(self.observed)


class MemberJoined(_Message, frozen=True):
    """Server: somebody entered the room."""

    member: Member


class MemberLeft(_Message, frozen=True):
    """Server: somebody left the room."""

    peer: PeerId


class Wanted(_Message, frozen=True):
    """Server: `peer` said Connect to you, and you did not since your last session with it."""

    peer: PeerId


class RelayOpened(_Message, frozen=True):
    """Server: you and `peer` both said Connect; this relay session is yours."""

    peer: PeerId
    session: Annotated[bytes, Meta(min_length=SESSION_SIZE, max_length=SESSION_SIZE)]
    key: Annotated[bytes, Meta(min_length=KEY_SIZE, max_length=KEY_SIZE)]
    ticket: Annotated[bytes, Meta(min_length=1, max_length=LARGEST_TICKET)]


class PeerCandidates(_Message, frozen=True):
    """Server: `peer` says it may be reached here.

    `observed` is the server's own testimony: where it hears that peer's control connection.
    """

    peer: PeerId
    round: Round
    candidates: Annotated[list[Candidate], Meta(max_length=MOST_CANDIDATES)]
    observed: SocketAddress | None

    def __post_init__(self) -> None:
        if self.observed is not None:
            require_unicast(self.observed)


class Refused(_Message, frozen=True):
    """Server: no; a sentence for the person who asked."""

    reason: Annotated[str, Meta(max_length=LONGEST_REASON)]


ToServer = Register | Connect | Candidates | Leave
ToPeer = Welcome | MemberJoined | MemberLeft | Wanted | RelayOpened | PeerCandidates | Refused

_T = TypeVar("_T")
_encoder = msgspec.msgpack.Encoder()


def encode(message: ToServer | ToPeer) -> bytes:
    """The message as bytes of the control stream.

    Raises:
        ValueError: it is larger than `LARGEST_MESSAGE`.
    """
    body = _encoder.encode(message)
    if len(body) > LARGEST_MESSAGE:
        raise ValueError(f"a {type(message).__name__} of {len(body)} bytes is too large to send")
    return len(body).to_bytes(2, "big") + body


class _Decoder(Generic[_T]):
    """Turns one direction of a control stream into messages.

    After a ProtocolError nothing can be known about what follows: close the connection.
    """

    def __init__(self, decoder: msgspec.msgpack.Decoder[_T]) -> None:
        self._decoder = decoder
        self._buffer = bytearray()  # at most one incomplete message between two calls

    def feed(self, data: bytes) -> list[_T]:
        """Take the next bytes, cut anywhere; give the messages that are now complete.

        Raises:
            ProtocolError: the bytes are no message of this direction.
        """
        self._buffer += data
        messages = []
        start = 0
        while len(self._buffer) - start >= 2:
            size = int.from_bytes(self._buffer[start : start + 2], "big")
            if size > LARGEST_MESSAGE:
                raise ProtocolError(f"a control message of {size} bytes: at most {LARGEST_MESSAGE}")
            end = start + 2 + size
            if end > len(self._buffer):
                break
            messages.append(self._decode(bytes(self._buffer[start + 2 : end])))
            start = end
        del self._buffer[:start]
        return messages

    def _decode(self, body: bytes) -> _T:
        try:
            return self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # Not MessagePack or not our schema; a name that is not UTF-8; arrays in arrays in ...
            raise ProtocolError(f"a control message that is not valid: {error}") from None


class ToServerDecoder(_Decoder[ToServer]):
    """Reads, at the server, what a peer says."""

    def __init__(self) -> None:
        super().__init__(msgspec.msgpack.Decoder(ToServer))


class ToPeerDecoder(_Decoder[ToPeer]):
    """Reads, at a peer, what the server says."""

    def __init__(self) -> None:
        super().__init__(msgspec.msgpack.Decoder(ToPeer))
