"""A datagram of the application, in a flow of its own beside the audio.

    QUIC datagram   | flow id (i) = 1 | sequence 8 | data |

The sequence counts from 0 and names a datagram in all its copies, so that repeats are known.
"""

from __future__ import annotations

import struct

from p2pquic.core.errors import ProtocolError

LARGEST_DATAGRAM = 1150  # bytes: what a QUIC packet of 1200 leaves beside its headers and ours
_SEQUENCE = struct.Struct(">Q")


def encode_datagram(sequence: int, data: bytes) -> bytes:
    """What follows the flow id."""
    return _SEQUENCE.pack(sequence) + data


def decode_datagram(packet: bytes) -> tuple[int, bytes]:
    """The sequence and the data.

    Raises:
        ProtocolError: it is cut short.
    """
    if len(packet) < _SEQUENCE.size:
        raise ProtocolError(f"a datagram of {len(packet)} bytes has no sequence")
    (sequence,) = _SEQUENCE.unpack_from(packet)
    return sequence, packet[_SEQUENCE.size :]
