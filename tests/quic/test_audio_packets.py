"""The packet of a frame is the one that stock code would have built; nothing rare is missed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aioquic import tls
from aioquic.quic.packet import QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import (
    QuicDeliveryState,
    QuicPacketBuilder,
    QuicPacketBuilderStop,
    QuicSentPacket,
)

from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.one_packet import OnePacket
from tests.quic.pair import FRAME, Pair, relay

LARGEST = 1200  # bytes of a packet
LARGEST_DATAGRAM = LARGEST - 11 - 16 - 3  # header, AEAD tag, type and length of its frame


def both_builders(number: int, *, spin_bit: bool) -> tuple[QuicPacketBuilder, QuicPacketBuilder]:
    """Stock code's builder and ours for the same packet."""
    connection = Pair().client.connection
    crypto = connection._cryptos[tls.Epoch.ONE_RTT]
    cid = connection._peer_cid.cid
    stock = QuicPacketBuilder(
        host_cid=b"",
        peer_cid=cid,
        version=1,
        is_client=True,
        max_datagram_size=LARGEST,
        packet_number=number,
        spin_bit=spin_bit,
    )
    stock.start_packet(QuicPacketType.ONE_RTT, crypto)
    ours = OnePacket(cid=cid, number=number, crypto=crypto, spin_bit=spin_bit, largest=LARGEST)
    return stock, ours


def write_frames(builder: QuicPacketBuilder) -> tuple[list[bytes], list[QuicSentPacket], int]:
    handler: Callable[..., None] = print
    builder.start_frame(QuicFrameType.ACK, 20, handler, ("ack",)).push_bytes(b"\x01\x02\x00\x00")
    assert not builder.packet_is_empty
    builder.start_frame(QuicFrameType.DATAGRAM_WITH_LENGTH, 6).push_bytes(b"\x04opus")
    assert builder.remaining_buffer_space == builder.remaining_flight_space == LARGEST - 38
    return *builder.flush(), builder.packet_number


@pytest.mark.parametrize("spin_bit", [False, True])
@pytest.mark.parametrize("number", [7, 70_000])
def test_one_packet_has_the_bytes_that_stock_code_gives_it(number: int, spin_bit: bool) -> None:
    stock, ours = (write_frames(each) for each in both_builders(number, spin_bit=spin_bit))
    assert ours == stock


def test_an_acknowledgement_alone_asks_for_none_and_is_not_in_flight() -> None:
    packets = []
    for builder in both_builders(3, spin_bit=False):
        builder.start_frame(QuicFrameType.ACK, 20).push_bytes(b"\x01\x02\x00\x00")
        packets.append(builder.flush())
    stock, ours = packets
    assert ours == stock
    assert not ours[1][0].in_flight
    assert not ours[1][0].is_ack_eliciting


def test_what_does_not_fit_is_refused_and_an_empty_packet_is_none() -> None:
    for builder in both_builders(3, spin_bit=False):
        assert builder.packet_is_empty
        with pytest.raises(QuicPacketBuilderStop):
            builder.start_frame(QuicFrameType.DATAGRAM_WITH_LENGTH, LARGEST - 26)
        assert builder.flush() == ([], [])
        assert builder.packet_number == 3


def test_a_datagram_leaves_at_once_though_the_acknowledgement_leaves_no_room_for_it() -> None:
    pair = Pair()
    pair.client.connection.acknowledge_within(FRAME)
    pair.server.connection.send_datagram(b"to be acknowledged", 0, relay(), pair.now)
    pair.run(pair.now + 0.035)  # it has arrived
    payload = bytes(LARGEST_DATAGRAM)
    pair.client.connection.send_datagram(payload, "large", relay(), pair.now)
    left = pair.now
    pair.run(pair.now + 0.1)
    sizes = [size for at, end, _, size in pair.sent if end is pair.client and at == left]
    assert len(sizes) == 2
    assert [data for _, data, _ in pair.server.arrivals] == [payload]


def test_a_datagram_that_fits_no_packet_grows_stale_and_stops_nobody() -> None:
    pair = Pair()
    pair.client.connection.send_datagram(bytes(LARGEST), "too large", relay(), pair.now)
    pair.run(pair.now + 0.5)
    pair.talk(pair.client, relay(), 1)
    pair.run(pair.now + 0.1)
    assert len(pair.server.arrivals) == 1


def lose_a_limit(connection: MultipathConnection) -> None:
    limit = connection._local_max_streams_bidi
    connection._on_connection_limit_delivery(QuicDeliveryState.LOST, limit)


def lose_a_connection_id(connection: MultipathConnection) -> None:
    issued = connection._host_cids[-1]
    connection._on_new_connection_id_delivery(QuicDeliveryState.LOST, issued)


@pytest.mark.parametrize(
    "happen",
    [
        lose_a_limit,
        lose_a_connection_id,
        lambda connection: connection.challenge(relay()),
        lambda connection: connection.ping(relay()),
        lambda connection: connection.send_ping(1),
        lambda connection: connection.send_stream_data(0, b"hello"),
        lambda connection: connection.close(),
        lambda connection: connection._send_probe(),
        lambda connection: connection.select(relay()),
    ],
)
def test_whatever_is_rare_leaves_at_once(happen: Callable[[MultipathConnection], None]) -> None:
    pair = Pair()
    connection = pair.client.connection
    assert connection.datagrams_to_send(pair.now) == []
    happen(connection)
    assert len(connection.datagrams_to_send(pair.now)) == 1
    assert connection.datagrams_to_send(pair.now) == []


def test_nothing_leaves_after_a_goodbye() -> None:
    pair = Pair()
    connection = pair.client.connection
    connection.close()
    assert len(connection.datagrams_to_send(pair.now)) == 1
    connection.send_datagram(b"late", "late", relay(), pair.now)
    assert connection.datagrams_to_send(pair.now) == []
