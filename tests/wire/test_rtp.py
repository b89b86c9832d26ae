"""RTP headers, RFC 4571 framing, RTP over QUIC datagrams, and flow descriptions."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.errors import ProtocolError
from p2pquic.wire.rtp import (
    FlowDescription,
    RoqDatagram,
    RtpHeader,
    SequenceExtender,
    StreamPacketSplitter,
    decode_flow_description,
    decode_roq_datagram,
    decode_rtp_header,
    encode_flow_description,
    encode_roq_datagram,
    encode_stream_packet,
)
from p2pquic.wire.varint import MAX_VARINT

flows = st.integers(0, MAX_VARINT)
sequences = st.integers(0, 0xFFFF)


def rtp(first: int = 0x80, sequence: int = 7, rest: bytes = b"") -> bytes:
    return struct.pack(">BBHII", first, 0x80 | 96, sequence, 960, 0xCAFE) + rest


def test_the_header_of_a_plain_packet() -> None:
    header = decode_rtp_header(rtp(rest=b"opus"))
    assert header == RtpHeader(
        marker=True, payload_type=96, sequence=7, timestamp=960, ssrc=0xCAFE, size=12
    )


def test_contributing_sources_and_an_extension_are_skipped() -> None:
    packet = rtp(0x80 | 0x10 | 2, rest=bytes(8) + b"\xbe\xde\x00\x01" + bytes(4) + b"opus")
    assert packet[decode_rtp_header(packet).size :] == b"opus"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        rtp()[:11],
        rtp(0x40),
        rtp(0x82),
        rtp(0x90),
        rtp(0x90, rest=b"\xbe\xde\x00"),
        rtp(0x90, rest=b"\xbe\xde\x00\x01"),
    ],
)
def test_what_is_not_a_whole_header_is_a_protocol_error(packet: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_rtp_header(packet)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_header_or_a_protocol_error(data: bytes) -> None:
    with suppress(ProtocolError):
        assert 12 <= decode_rtp_header(data).size <= len(data)


@pytest.mark.slow
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=10), st.data())
def test_packets_come_out_of_a_stream_as_they_went_in_wherever_it_is_cut(
    packets: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(encode_stream_packet(packet) for packet in packets)
    splitter = StreamPacketSplitter()
    out = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        out += splitter.feed(stream[:cut])
        stream = stream[cut:]
    assert out == packets


def test_an_empty_packet_in_a_stream_is_skipped() -> None:
    assert StreamPacketSplitter().feed(b"\x00\x00\x00\x01x") == [b"x"]


def test_a_packet_too_long_for_its_length_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="65536"):
        encode_stream_packet(bytes(65536))


@given(flows, st.binary(min_size=1))
def test_a_datagram_is_read_as_it_was_written(flow: int, packet: bytes) -> None:
    datagram = RoqDatagram(flow, packet)
    assert decode_roq_datagram(encode_roq_datagram(datagram)) == datagram


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x40", b"\x40\x05"])
def test_a_datagram_without_flow_or_packet_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_roq_datagram(data)


@given(st.builds(FlowDescription, flows, st.integers(0, 0xFFFFFFFF), sequences, flows))
def test_a_flow_description_is_read_as_it_was_written(description: FlowDescription) -> None:
    data = encode_flow_description(description)
    assert decode_flow_description(data) == description
    for wrong in (data[:-1], data + b"\x00"):
        with pytest.raises(ProtocolError):
            decode_flow_description(wrong)


@given(st.binary(max_size=32))
def test_any_bytes_are_a_flow_description_or_a_protocol_error(data: bytes) -> None:
    with suppress(ProtocolError):
        decode_flow_description(data)


def test_rtp_sequences_extend_to_frame_numbers_over_the_turn_of_65536() -> None:
    extender = SequenceExtender(rtp_sequence=65534, frame=100)
    assert [extender.extend(n) for n in (65534, 65535, 0, 1)] == [100, 101, 102, 103]


def test_a_late_packet_extends_backwards() -> None:
    extender = SequenceExtender(rtp_sequence=0, frame=100)
    assert extender.extend(5) == 105
    assert extender.extend(65535) == 99
    assert extender.extend(6) == 106


def test_a_packet_before_the_first_frame_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        SequenceExtender(rtp_sequence=10, frame=0).extend(9)


@given(sequences, st.lists(st.integers(-1000, 30000), max_size=50))
def test_any_walk_with_steps_under_32768_is_followed(start: int, steps: list[int]) -> None:
    extender = SequenceExtender(start, 2000)
    newest = 2000
    for step in steps:
        frame = newest + step
        assert extender.extend((start + frame - 2000) & 0xFFFF) == frame
        newest = max(newest, frame)
