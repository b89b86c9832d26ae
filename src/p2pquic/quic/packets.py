"""Just enough of QUIC's header to know for whom a datagram is (RFC 8999, RFC 9000 section 17)."""

from __future__ import annotations

CONNECTION_ID_SIZE = 8  # bytes of every id we issue
SMALLEST_INITIAL = 1200  # bytes of a datagram that may open a connection (RFC 9000 section 14.1)
_QUIC_V1 = b"\x00\x00\x00\x01"


def is_quic(data: bytes) -> bool:
    """Whether a datagram is QUIC among the others of one port: bit 0x40 (RFC 9443)."""
    return bool(data) and bool(data[0] & 0x40)


def destination_connection_id(data: bytes) -> bytes | None:
    """The connection id a datagram is sent to; None if it is cut short."""
    if not data:
        return None
    if not data[0] & 0x80:
        return data[1 : 1 + CONNECTION_ID_SIZE] if len(data) > CONNECTION_ID_SIZE else None
    if len(data) < 6 or len(data) < 6 + data[5]:
        return None
    return data[6 : 6 + data[5]]


def opens_connection(data: bytes) -> bool:
    """Whether a datagram may be a client's first: a padded Initial packet of QUIC version 1."""
    return len(data) >= SMALLEST_INITIAL and data[0] & 0xF0 == 0xC0 and data[1:5] == _QUIC_V1
