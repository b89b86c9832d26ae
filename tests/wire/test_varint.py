"""QUIC's variable-length integers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.errors import ProtocolError
from p2pquic.wire.varint import MAX_VARINT, decode_varint, encode_varint


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (37, "25"),
        (15293, "7bbd"),
        (494878333, "9d7f3e7d"),
        (151288809941952652, "c2197c5eff14e88c"),
    ],
)
def test_the_examples_of_rfc_9000_appendix_a_1(value: int, encoded: str) -> None:
    assert encode_varint(value).hex() == encoded
    assert decode_varint(bytes.fromhex(encoded)) == (value, len(encoded) // 2)


@given(st.integers(0, MAX_VARINT), st.binary(max_size=4), st.binary(max_size=4))
def test_what_is_written_is_read_at_any_offset(value: int, before: bytes, after: bytes) -> None:
    data = before + encode_varint(value) + after
    assert decode_varint(data, len(before)) == (value, len(data) - len(after))


@given(st.integers(0, MAX_VARINT))
def test_an_integer_cut_short_is_a_protocol_error(value: int) -> None:
    with pytest.raises(ProtocolError):
        decode_varint(encode_varint(value)[:-1])


@pytest.mark.parametrize("value", [-1, MAX_VARINT + 1])
def test_what_does_not_fit_is_our_own_mistake(value: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode_varint(value)
