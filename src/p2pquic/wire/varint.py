"""QUIC's variable-length integers (RFC 9000 section 16).

The top two bits of the first byte tell the length: 1, 2, 4 or 8 bytes for 6, 14, 30 or 62 bits.
"""

from __future__ import annotations

from p2pquic.core.errors import ProtocolError

MAX_VARINT = (1 << 62) - 1


def encode_varint(value: int) -> bytes:
    """The shortest encoding of `value`, 0 to `MAX_VARINT`.

    Raises:
        ValueError: the value does not fit.
    """
    for prefix, size in enumerate((1, 2, 4, 8)):
        bits = size * 8 - 2
        if 0 <= value < 1 << bits:
            return (prefix << bits | value).to_bytes(size, "big")
    raise ValueError(f"{value} does not fit into a QUIC integer (0 to 2^62 - 1)")


def decode_varint(data: bytes, offset: int = 0) -> tuple[int, int]:
    """The integer at `offset`, and the offset of what follows it.

    Raises:
        ProtocolError: the data ends before the integer does.
    """
    if offset >= len(data):
        raise ProtocolError("the data ends where an integer should begin")
    size = 1 << (data[offset] >> 6)
    end = offset + size
    if end > len(data):
        raise ProtocolError(f"the data ends within an integer of {size} bytes")
    value = int.from_bytes(data[offset:end], "big") & (1 << (size * 8 - 2)) - 1
    return value, end
