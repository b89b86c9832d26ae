"""What lets a restarted relay carry on: keys that can be derived again, and a ticket.

The server keeps one secret on disk and nothing about sessions. Each peer holds a ticket that
names the session; the server's own MAC on it says that it was once opened. The peer's key follows
from the secret and the ticket, so whose frame a ticket came in is proved by the frame's tag.

    | session 8 | first peer 16 | second peer 16 | expiry 8 | MAC 16 |
"""

from __future__ import annotations

import hmac
import struct
from hashlib import blake2s
from typing import NamedTuple

from p2pquic.core.errors import ProtocolError
from p2pquic.wire.relay_frame import KEY_SIZE, SESSION_SIZE

MAC_SIZE = 16  # bytes; more than a frame's tag, since a ticket is good for a day

_FIELDS = struct.Struct(f">{SESSION_SIZE}s16s16sQ")
_MAC_PURPOSE = b"p2p-tick"  # 8 bytes, the size of BLAKE2s's personalisation
_KEY_PURPOSE = b"p2p-key."


class Ticket(NamedTuple):
    """A session between two peers: side 0's id of it, both peers, expiry in whole Unix seconds."""

    session: bytes
    peers: tuple[str, str]
    expiry: int


def session_of(session: bytes, side: int) -> bytes:
    """The id that frames of peer `side` (0 or 1) carry, from either id of the session."""
    return session[:-1] + bytes([session[-1] & 0xFE | side])


def new_ticket(random: bytes, peers: tuple[str, str], expiry: int) -> Ticket:
    """A ticket for a session that has never been; `random` is 8 unpredictable bytes."""
    return Ticket(session_of(random, 0), peers, expiry)


def derive_key(ticket: Ticket, side: int, secret: bytes) -> bytes:
    """The key of peer `side`'s frames, both ways."""
    message = bytes([side]) + _encode_fields(ticket)
    return blake2s(message, key=secret, person=_KEY_PURPOSE, digest_size=KEY_SIZE).digest()


def encode_ticket(ticket: Ticket, secret: bytes) -> bytes:
    """The bytes a peer keeps; they mean nothing to it."""
    fields = _encode_fields(ticket)
    return fields + _mac(fields, secret)


def decode_ticket(data: bytes, secret: bytes) -> Ticket:
    """Read a ticket and check that it is ours.

    Raises:
        ProtocolError: it has another size, or a server with another secret issued it.
    """
    if len(data) != _FIELDS.size + MAC_SIZE:
        raise ProtocolError(f"a relay ticket has {_FIELDS.size + MAC_SIZE} bytes, not {len(data)}")
    fields = data[: _FIELDS.size]
    if not hmac.compare_digest(data[_FIELDS.size :], _mac(fields, secret)):
        raise ProtocolError("this relay ticket was not issued by this server")
    session, first, second, expiry = _FIELDS.unpack(fields)
    return Ticket(session, (first.hex(), second.hex()), expiry)


def _encode_fields(ticket: Ticket) -> bytes:
    first, second = (bytes.fromhex(peer) for peer in ticket.peers)
    return _FIELDS.pack(ticket.session, first, second, ticket.expiry)


def _mac(fields: bytes, secret: bytes) -> bytes:
    return blake2s(fields, key=secret, person=_MAC_PURPOSE, digest_size=MAC_SIZE).digest()
