"""Hole punching probes: STUN binding requests and responses between two peers (RFC 8489).

A probe opens our NAT, a response proves that the remote hears us and tells under which address.
Both are authenticated with a key that only the two peers know (it comes from inside their
end-to-end connection), so a stranger's datagram can create no path. The STUN codec is aioice's;
this file decides what of STUN we speak and turns its errors into ours.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from aioice import stun

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.errors import ProtocolError

TRANSACTION_SIZE = 12  # bytes (RFC 8489 section 5)
LARGEST_PUNCH = 548  # bytes that pass any IPv4 path; STUN's own 16-bit length cannot overflow
LONGEST_USERNAME = 128  # bytes; ours have 65

_HEADER_SIZE = 20
_MAGIC_COOKIE = (0x2112A442).to_bytes(4, "big")
_REQUIRED = ("USERNAME", "MESSAGE-INTEGRITY", "FINGERPRINT")


@dataclass(frozen=True, slots=True)
class PunchRequest:
    """Somebody asks under which address we hear it. Believe nothing before `verify`."""

    transaction: bytes
    username: str
    _message: stun.Message = field(repr=False, compare=False)

    def verify(self, key: bytes) -> bool:
        """Whether the sender holds `key`, compared in constant time."""
        return self._message.check_message_integrity(key)


@dataclass(frozen=True, slots=True)
class PunchResponse:
    """Our request was heard, from `mapped`. Believe nothing before `verify`."""

    transaction: bytes
    username: str
    mapped: SocketAddress
    _message: stun.Message = field(repr=False, compare=False)

    def verify(self, key: bytes) -> bool:
        """Whether the sender holds `key`, compared in constant time."""
        return self._message.check_message_integrity(key)


def is_punch(data: bytes) -> bool:
    """Whether a datagram is STUN: first byte 0..3 and the magic cookie (RFC 9443, RFC 8489)."""
    return len(data) >= _HEADER_SIZE and data[0] <= 3 and data[4:8] == _MAGIC_COOKIE


def encode_request(transaction: bytes, username: str, key: bytes) -> bytes:
    """A binding request; `transaction` is 12 unpredictable bytes.

    Raises:
        ValueError: a transaction id of another size, or a user name that is empty or too long.
    """
    message = _message(stun.Class.REQUEST, transaction, username)
    message.add_message_integrity(key)
    return bytes(message)


def encode_response(transaction: bytes, username: str, mapped: SocketAddress, key: bytes) -> bytes:
    """The answer to a request that came from `mapped`.

    Raises:
        ValueError: a transaction id of another size, or a user name that is empty or too long.
    """
    message = _message(stun.Class.RESPONSE, transaction, username)
    message.attributes["XOR-MAPPED-ADDRESS"] = mapped
    message.add_message_integrity(key)
    return bytes(message)


def decode(data: bytes) -> PunchRequest | PunchResponse:
    """Read a probe or its answer. What it says is unproven until `verify`.

    Raises:
        ProtocolError: anything else than a whole, authenticated binding request or response.
    """
    if not is_punch(data) or len(data) > LARGEST_PUNCH:
        raise ProtocolError(f"{len(data)} bytes are not a punching probe")
    try:
        message = stun.parse_message(data)
    except (ValueError, struct.error) as error:
        # ValueError: lengths, addresses, fingerprint, unknown method, text that is not UTF-8.
        # struct.error: an attribute of fixed size with another size.
        raise ProtocolError(f"not a punching probe: {error}") from None
    for name in _REQUIRED:
        if name not in message.attributes:
            raise ProtocolError(f"a punching probe without {name}")
    username = message.attributes["USERNAME"]
    if message.message_method == stun.Method.BINDING:
        if message.message_class == stun.Class.REQUEST:
            return PunchRequest(message.transaction_id, username, message)
        mapped = message.attributes.get("XOR-MAPPED-ADDRESS")
        if message.message_class == stun.Class.RESPONSE and mapped:
            return PunchResponse(message.transaction_id, username, SocketAddress(*mapped), message)
    raise ProtocolError("STUN, but neither a binding request nor a success with an address")


def _message(message_class: stun.Class, transaction: bytes, username: str) -> stun.Message:
    if len(transaction) != TRANSACTION_SIZE:
        raise ValueError(f"a STUN transaction id has 12 bytes, not {len(transaction)}")
    if not 1 <= len(username.encode()) <= LONGEST_USERNAME:
        raise ValueError(f"a user name has 1 to {LONGEST_USERNAME} bytes: {username!r}")
    return stun.Message(
        stun.Method.BINDING, message_class, transaction, attributes={"USERNAME": username}
    )
