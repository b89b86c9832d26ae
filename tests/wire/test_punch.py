"""STUN probes between two peers."""

from __future__ import annotations

from contextlib import suppress

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.errors import ProtocolError
from p2pquic.wire.punch import (
    LARGEST_PUNCH,
    PunchRequest,
    PunchResponse,
    decode,
    encode_request,
    encode_response,
    is_punch,
)

KEY = b"known to the two peers"
TRANSACTION = bytes(range(12))

transactions = st.binary(min_size=12, max_size=12)
usernames = st.text("abc123:äé", min_size=1, max_size=30)
mapped = st.builds(
    SocketAddress,
    st.ip_addresses().filter(lambda ip: getattr(ip, "scope_id", None) is None).map(str),
    st.integers(0, 65535),
)


@pytest.mark.slow
@given(transactions, usernames, st.binary(min_size=1, max_size=64))
def test_a_request_is_read_as_it_was_written(transaction: bytes, username: str, key: bytes) -> None:
    data = encode_request(transaction, username, key)
    request = decode(data)
    assert is_punch(data)
    assert isinstance(request, PunchRequest)
    assert (request.transaction, request.username) == (transaction, username)
    assert request.verify(key)
    assert not request.verify(key + b"!")


@pytest.mark.slow
@given(transactions, usernames, mapped)
def test_a_response_is_read_as_it_was_written(
    transaction: bytes, username: str, address: SocketAddress
) -> None:
    response = decode(encode_response(transaction, username, address, KEY))
    assert isinstance(response, PunchResponse)
    assert (response.transaction, response.username) == (transaction, username)
    assert response.mapped == address
    assert response.verify(KEY)
    assert not response.verify(b"another key")


@pytest.mark.slow
@given(st.data())
def test_a_changed_byte_cannot_change_what_is_said(data: st.DataObject) -> None:
    original = encode_request(TRANSACTION, "peer", KEY)
    probe = bytearray(original)
    place = data.draw(st.integers(0, len(probe) - 1))
    probe[place] ^= data.draw(st.integers(1, 255))
    with suppress(ProtocolError):
        assert decode(bytes(probe)) == decode(original)  # the length of the last attribute


STUN_PREFIX = st.sampled_from([0x0001, 0x0101, 0x0111, 0x0002, 0x3EEF])


@st.composite
def stun_like(draw: st.DrawFn) -> bytes:
    """Valid headers over invalid attributes: what reaches deepest into a parser."""
    body = b""
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from([*stun.ATTRIBUTES_BY_TYPE, 0x7777]))
        value = draw(st.binary(max_size=24))
        length = draw(st.just(len(value)) | st.integers(0, 65535))
        body += kind.to_bytes(2, "big") + length.to_bytes(2, "big") + value
    header = draw(STUN_PREFIX).to_bytes(2, "big") + len(body).to_bytes(2, "big")
    return header + b"\x21\x12\xa4\x42" + TRANSACTION + body


@pytest.mark.slow
@given(st.binary(max_size=100) | stun_like())
def test_any_bytes_are_a_probe_or_a_protocol_error(data: bytes) -> None:
    with suppress(ProtocolError):
        decode(data).verify(KEY)


@given(st.binary(max_size=60))
def test_what_is_behind_a_correct_fingerprint_is_an_error_or_a_value_too(garbage: bytes) -> None:
    body = garbage + bytes(-len(garbage) % 4)
    length = (len(body) + 8).to_bytes(2, "big")
    data = b"\x00\x01" + length + b"\x21\x12\xa4\x42" + TRANSACTION + body
    data += b"\x80\x28\x00\x04" + stun.message_fingerprint(data).to_bytes(4, "big")
    with suppress(ProtocolError):
        decode(data).verify(KEY)


def unauthenticated() -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, TRANSACTION)
    message.attributes["USERNAME"] = "peer"
    message.add_fingerprint()
    return bytes(message)


def without_fingerprint() -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, TRANSACTION)
    message.attributes["USERNAME"] = "peer"
    message.attributes["MESSAGE-INTEGRITY"] = stun.message_integrity(bytes(message), KEY)
    return bytes(message)


def response_without_address() -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, TRANSACTION)
    message.attributes["USERNAME"] = "peer"
    message.add_message_integrity(KEY)
    return bytes(message)


def too_long() -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, TRANSACTION)
    message.attributes["USERNAME"] = "p" * LARGEST_PUNCH
    message.add_message_integrity(KEY)
    return bytes(message)


@pytest.mark.parametrize(
    "data",
    [unauthenticated(), without_fingerprint(), response_without_address(), too_long()],
    ids=["unauthenticated", "without fingerprint", "response without address", "too long"],
)
def test_stun_that_is_no_probe_of_ours_is_a_protocol_error(data: bytes) -> None:
    assert is_punch(data)
    with pytest.raises(ProtocolError):
        decode(data)


def test_a_quic_packet_is_no_probe() -> None:
    assert not is_punch(b"\x40" + bytes(100))
    assert not is_punch(b"\x00" + bytes(100))


def test_a_wrong_size_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        encode_request(b"short", "peer", KEY)
    with pytest.raises(ValueError, match="user name"):
        encode_request(TRANSACTION, "", KEY)
