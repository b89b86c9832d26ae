"""The relay's frame and the tickets that outlive a restart of the server."""

from __future__ import annotations

from hashlib import blake2s

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.errors import ProtocolError
from p2pquic.wire.relay_frame import (
    CHALLENGE_SIZE,
    EPOCHS,
    LEGS,
    OVERHEAD,
    SEQUENCES,
    Direction,
    FrameType,
    RelayFrame,
    decode,
    encode,
    encode_unknown_session,
    is_newer,
    is_relay_frame,
    legs_of,
)
from p2pquic.wire.relay_ticket import (
    Ticket,
    decode_ticket,
    derive_key,
    encode_ticket,
    new_ticket,
    session_of,
)

KEY = b"k" * 32
SECRET = b"s" * 32
PEERS = ("0a" * 16, "0b" * 16)

PAYLOADS = {
    FrameType.DATA: st.binary(min_size=1, max_size=1500),
    FrameType.CHALLENGE: st.binary(min_size=8, max_size=8),
    FrameType.RESPONSE: st.binary(min_size=8, max_size=8),
    FrameType.ANNOUNCE: st.just(b""),
    FrameType.UNKNOWN_SESSION: st.just(b""),
    FrameType.TICKET: st.binary(min_size=1, max_size=128),
}


@st.composite
def frames(draw: st.DrawFn) -> RelayFrame:
    kind = draw(st.sampled_from(FrameType))
    return RelayFrame(
        kind,
        draw(st.binary(min_size=8, max_size=8)),
        draw(st.integers(0, LEGS - 1)),
        draw(st.integers(0, EPOCHS - 1)),
        draw(st.integers(0, 15)),
        draw(st.integers(0, SEQUENCES - 1)),
        draw(PAYLOADS[kind]),
    )


DATA = RelayFrame(FrameType.DATA, b"session!", 1, 2, 3, 4, b"quic")

directions = st.sampled_from(Direction)
keys = st.binary(min_size=32, max_size=32)


@given(frames(), keys, directions)
def test_a_frame_is_read_as_it_was_written(
    frame: RelayFrame, key: bytes, direction: Direction
) -> None:
    data = encode(frame, key, direction)
    assert is_relay_frame(data)
    assert decode(data) == frame._replace(raw=data)
    assert decode(data).verify(key, direction)


def test_a_quic_packet_of_1200_bytes_fits_into_the_smallest_mtu_of_ipv6() -> None:
    data = encode(DATA._replace(payload=bytes(1200)), KEY, Direction.TO_PEER)
    assert OVERHEAD == 26
    assert len(data) + 40 + 8 <= 1280


def test_the_bytes_of_a_frame_are_those_of_the_specification() -> None:
    data = encode(DATA, KEY, Direction.TO_SERVER)
    assert data[:18].hex(" ") == "04 73 65 73 73 69 6f 6e 21 01 00 23 00 00 00 00 00 04"
    covered = b"\x00" + data[:18] + b"quic"  # direction, header, payload
    assert data[18:26] == blake2s(covered, key=KEY, digest_size=8).digest()
    assert data[26:] == b"quic"


@given(st.data())
def test_a_frame_with_a_changed_byte_does_not_verify(data: st.DataObject) -> None:
    raw = bytearray(encode(DATA, KEY, Direction.TO_SERVER))
    raw[data.draw(st.integers(10, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    if raw[9] < LEGS:
        assert not decode(bytes(raw)).verify(KEY, Direction.TO_SERVER)


def test_a_frame_does_not_verify_with_another_key_or_in_the_other_direction() -> None:
    frame = decode(encode(DATA, KEY, Direction.TO_SERVER))
    assert not frame.verify(b"x" * 32, Direction.TO_SERVER)
    assert not frame.verify(KEY, Direction.TO_PEER)


@given(
    st.binary(max_size=80) | st.builds(lambda a, b: bytes([a]) + b, st.integers(4, 9), st.binary())
)
def test_any_bytes_are_a_frame_or_a_protocol_error(data: bytes) -> None:
    try:
        frame = decode(data)
    except ProtocolError:
        return
    assert frame.raw == data
    assert not frame.verify(KEY, Direction.TO_SERVER)


@pytest.mark.parametrize(
    "wrong",
    [
        DATA._replace(payload=b""),
        DATA._replace(leg=LEGS),
        DATA._replace(type=FrameType.ANNOUNCE),
        DATA._replace(type=FrameType.RESPONSE, payload=bytes(CHALLENGE_SIZE + 1)),
        DATA._replace(type=FrameType.TICKET, payload=bytes(129)),
    ],
)
def test_parts_that_do_not_fit_together_are_a_protocol_error(wrong: RelayFrame) -> None:
    with pytest.raises(ProtocolError):
        decode(encode(wrong, KEY, Direction.TO_SERVER))


@pytest.mark.parametrize("first", [0, 3, 10, 20, 63, 64, 127, 128, 192, 255])
def test_the_first_byte_tells_us_from_stun_dtls_quic_and_rtp(first: int) -> None:
    assert not is_relay_frame(bytes([first]) + bytes(100))


@given(frames())
def test_the_hint_is_never_larger_than_what_caused_it_and_echoes_its_tag(frame: RelayFrame) -> None:
    cause = decode(encode(frame, KEY, Direction.TO_SERVER))
    hint = encode_unknown_session(cause)
    assert len(hint) <= len(cause.raw)
    assert decode(hint).type is FrameType.UNKNOWN_SESSION
    assert hint[1:] == cause.raw[1:OVERHEAD]


@pytest.mark.parametrize(
    ("epoch", "than", "newer"),
    [(1, 0, True), (0, 1, False), (5, 5, False), (0, 4095, True), (4095, 0, False),
     (2047, 0, True), (2048, 0, False)],
)  # fmt: skip
def test_epochs_are_compared_as_serial_numbers(epoch: int, than: int, newer: bool) -> None:
    assert is_newer(epoch, than) is newer


def test_the_mask_names_legs() -> None:
    assert legs_of(0b0000) == []
    assert legs_of(0b1010) == [1, 3]


tickets = st.builds(
    Ticket,
    st.binary(min_size=8, max_size=8),
    st.tuples(st.just(PEERS[0]), st.just(PEERS[1])),
    st.integers(0, 2**40),
)


@given(tickets)
def test_a_ticket_is_read_as_it_was_issued(ticket: Ticket) -> None:
    data = encode_ticket(ticket, SECRET)
    assert decode_ticket(data, SECRET) == ticket


@given(tickets, st.data())
def test_a_ticket_that_is_not_ours_is_a_protocol_error(ticket: Ticket, data: st.DataObject) -> None:
    good = encode_ticket(ticket, SECRET)
    forged = bytearray(good)
    forged[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    for wrong in (bytes(forged), good[:-1], good + b"\x00", b""):
        with pytest.raises(ProtocolError):
            decode_ticket(wrong, SECRET)
    with pytest.raises(ProtocolError):
        decode_ticket(good, b"t" * 32)


def test_keys_follow_from_the_secret_and_differ_by_peer_and_session() -> None:
    one, two = (new_ticket(bytes([n] * 8), PEERS, 1000) for n in (2, 4))
    keys = {derive_key(ticket, side, SECRET) for ticket in (one, two) for side in (0, 1)}
    assert len(keys) == 4
    assert derive_key(one, 0, SECRET) in keys
    assert derive_key(one, 0, b"t" * 32) not in keys


@given(st.binary(min_size=8, max_size=8))
def test_the_two_ids_of_a_session_differ_in_the_last_bit_only(session: bytes) -> None:
    first, second = session_of(session, 0), session_of(session, 1)
    assert int.from_bytes(first, "big") ^ int.from_bytes(second, "big") == 1
    assert session in (first, second)
