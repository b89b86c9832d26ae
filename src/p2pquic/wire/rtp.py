"""Audio on the wire: RTP packets, how GStreamer frames them, and how QUIC carries them.

    GStreamer pipe     | length 2 | RTP packet | length 2 | RTP packet ...    RFC 4571
    QUIC datagram      | flow id (i) | RTP packet |                           RTP over QUIC
    QUIC stream, once  | flow id (i) | SSRC 4 | RTP sequence 2 | frame (i) |  FlowDescription

RTP counts packets in 16 bits, from a random start; frames are counted from 0 and for ever. The
flow description ties the two together, also for a receiver who joins late.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from p2pquic.core.errors import ProtocolError
from p2pquic.wire.varint import decode_varint, encode_varint

_FIXED_HEADER = struct.Struct(">BBHII")  # RFC 3550 section 5.1
_SOURCE_AND_SEQUENCE = struct.Struct(">IH")
_RTP_VERSION = 2
_SEQUENCE_CYCLE = 1 << 16


class RtpHeader(NamedTuple):
    """The header of an RTP packet (RFC 3550 section 5.1); `size` is where the payload begins."""

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    size: int


def decode_rtp_header(packet: bytes) -> RtpHeader:
    """Read the header; contributing sources and an extension are skipped.

    Raises:
        ProtocolError: this is not an RTP packet of version 2, or it is cut short.
    """
    if len(packet) < _FIXED_HEADER.size:
        raise ProtocolError(f"an RTP packet has at least 12 bytes, this one {len(packet)}")
    first, second, sequence, timestamp, ssrc = _FIXED_HEADER.unpack_from(packet)
    if first >> 6 != _RTP_VERSION:
        raise ProtocolError(f"RTP version 2 expected, this packet says {first >> 6}")
    size = _FIXED_HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:
        length = packet[size + 2 : size + 4]
        size += 4 + 4 * int.from_bytes(length, "big")
    if size > len(packet):
        raise ProtocolError("the RTP packet ends within its header")
    return RtpHeader(second >= 0x80, second & 0x7F, sequence, timestamp, ssrc, size)


def encode_stream_packet(packet: bytes) -> bytes:
    """Put the length before a packet, as `rtpstreamdepay` expects it (RFC 4571 section 2).

    Raises:
        ValueError: more than 65535 bytes.
    """
    if len(packet) > 0xFFFF:
        raise ValueError(f"a packet of {len(packet)} bytes does not fit a 16-bit length")
    return len(packet).to_bytes(2, "big") + packet


class StreamPacketSplitter:
    """Cuts the byte stream of `rtpstreampay` into its packets (RFC 4571 section 2)."""

    def __init__(self) -> None:
        self._buffer = bytearray()  # at most one incomplete packet between two calls

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes, cut anywhere; give the packets that are now complete.

        Packets without content are skipped: RFC 4571 allows them to keep a connection alive.
        """
        self._buffer += data
        packets = []
        start = 0
        while len(self._buffer) - start >= 2:
            end = start + 2 + int.from_bytes(self._buffer[start : start + 2], "big")
            if end > len(self._buffer):
                break
            if end > start + 2:
                packets.append(bytes(self._buffer[start + 2 : end]))
            start = end
        del self._buffer[:start]
        return packets


class RoqDatagram(NamedTuple):
    """One RTP packet of one flow (draft-ietf-avtcore-rtp-over-quic-14 section 5.3)."""

    flow: int
    packet: bytes


def encode_roq_datagram(datagram: RoqDatagram) -> bytes:
    """The payload of a QUIC DATAGRAM frame."""
    return encode_varint(datagram.flow) + datagram.packet


def decode_roq_datagram(data: bytes) -> RoqDatagram:
    """Read the payload of a QUIC DATAGRAM frame.

    Raises:
        ProtocolError: there is no flow id, or nothing after it.
    """
    flow, start = decode_varint(data)
    if start == len(data):
        raise ProtocolError("an RTP over QUIC datagram without a packet")
    return RoqDatagram(flow, data[start:])


class FlowDescription(NamedTuple):
    """In flow `flow`, RTP packet `rtp_sequence` of source `ssrc` is audio frame `frame`."""

    flow: int
    ssrc: int
    rtp_sequence: int
    frame: int


def encode_flow_description(description: FlowDescription) -> bytes:
    """The whole content of the stream that tells it."""
    return (
        encode_varint(description.flow)
        + _SOURCE_AND_SEQUENCE.pack(description.ssrc, description.rtp_sequence)
        + encode_varint(description.frame)
    )


def decode_flow_description(data: bytes) -> FlowDescription:
    """Read the whole content of the stream that tells it.

    Raises:
        ProtocolError: it is cut short, or something follows.
    """
    flow, start = decode_varint(data)
    if len(data) < start + _SOURCE_AND_SEQUENCE.size:
        raise ProtocolError("the flow description is cut short")
    ssrc, rtp_sequence = _SOURCE_AND_SEQUENCE.unpack_from(data, start)
    frame, end = decode_varint(data, start + _SOURCE_AND_SEQUENCE.size)
    if end != len(data):
        raise ProtocolError(f"{len(data) - end} bytes follow the flow description")
    return FlowDescription(flow, ssrc, rtp_sequence, frame)


class SequenceExtender:
    """Turns 16-bit RTP sequence numbers into frame numbers.

    The frame meant is the one nearest to the newest so far, which holds while fewer than 32768
    frames (11 minutes) are missed in a row; after that the flow has to be described again.
    """

    def __init__(self, rtp_sequence: int, frame: int) -> None:
        self._offset = (frame - rtp_sequence) % _SEQUENCE_CYCLE
        self._newest = frame

    def extend(self, rtp_sequence: int) -> int:
        """The frame number of the packet with this sequence number.

        Raises:
            ProtocolError: it would lie before frame 0.
        """
        ahead = (rtp_sequence + self._offset - self._newest) % _SEQUENCE_CYCLE
        if ahead >= _SEQUENCE_CYCLE // 2:
            ahead -= _SEQUENCE_CYCLE
        frame = self._newest + ahead
        if frame < 0:
            raise ProtocolError(f"RTP sequence {rtp_sequence} lies before the first frame")
        self._newest = max(self._newest, frame)
        return frame
