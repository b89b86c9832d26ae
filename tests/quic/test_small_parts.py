"""Frames, epochs, identities and headers: the engine's small parts."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from aioquic.buffer import Buffer, BufferReadError
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.errors import ProtocolError, UsageError
from p2pquic.quic.frames import (
    OBSERVED_ADDRESS_IPV4,
    OBSERVED_ADDRESS_IPV6,
    AddressDiscovery,
    ObservedAddress,
    PathClass,
    PathSelect,
    encode_address_discovery,
    find_address_discovery,
)
from p2pquic.quic.identity import Identity, parse_fingerprint
from p2pquic.quic.packets import destination_connection_id, is_quic, opens_connection
from p2pquic.quic.path_select import EPOCH_JUMP_LIMIT, PathSelection

varints = st.integers(min_value=0, max_value=2**62 - 1)
addresses = st.builds(
    SocketAddress,
    st.ip_addresses()
    .filter(lambda ip: not (ip.is_unspecified or ip.is_multicast or ip.is_reserved))
    .map(str),
    st.integers(min_value=1, max_value=65535),
)


@given(st.builds(PathSelect, varints, st.sampled_from(PathClass), varints, st.booleans()))
def test_path_select_comes_back_as_it_went(frame: PathSelect) -> None:
    buffer = Buffer(capacity=64)
    frame.push(buffer)
    assert PathSelect.pull(Buffer(data=buffer.data)) == frame


@given(st.builds(ObservedAddress, varints, addresses))
def test_observed_address_comes_back_as_it_went(frame: ObservedAddress) -> None:
    buffer = Buffer(capacity=64)
    frame.push(buffer)
    assert ObservedAddress.pull(Buffer(data=buffer.data), frame.frame_type) == frame


@given(st.binary(max_size=40))
def test_any_bytes_are_a_frame_or_a_typed_error(data: bytes) -> None:
    readers = (
        PathSelect.pull,
        lambda buffer: ObservedAddress.pull(buffer, OBSERVED_ADDRESS_IPV4),
        lambda buffer: ObservedAddress.pull(buffer, OBSERVED_ADDRESS_IPV6),
    )
    for read in readers:
        with contextlib.suppress(ProtocolError, BufferReadError):
            read(Buffer(data=data))


@pytest.mark.parametrize("address", [("0.0.0.0", 1), ("224.0.0.1", 1), ("192.0.2.1", 0)])
def test_nobody_is_observed_at_an_address_that_is_none(address: tuple[str, int]) -> None:
    buffer = Buffer(capacity=64)
    frame = ObservedAddress(0, SocketAddress(*address))
    frame.push(buffer)
    with pytest.raises(ProtocolError):
        ObservedAddress.pull(Buffer(data=buffer.data), frame.frame_type)


@given(st.sampled_from(AddressDiscovery), st.binary(max_size=20))
def test_address_discovery_is_found_among_other_parameters(
    value: AddressDiscovery, other: bytes
) -> None:
    buffer = Buffer(capacity=64)
    buffer.push_uint_var(0x20)
    buffer.push_uint_var(len(other))
    buffer.push_bytes(other)
    assert find_address_discovery(buffer.data + encode_address_discovery(value)) is value
    assert find_address_discovery(buffer.data) is None


@given(st.binary(max_size=60))
def test_any_transport_parameters_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        find_address_discovery(data)


def test_an_unknown_value_of_address_discovery_is_refused() -> None:
    with pytest.raises(ProtocolError):
        find_address_discovery(encode_address_discovery(AddressDiscovery.BOTH)[:-1] + b"\x03")


def test_the_higher_epoch_wins_and_a_tie_goes_to_the_client() -> None:
    client, server = PathSelection(is_client=True), PathSelection(is_client=False)
    client.choose()
    server.choose()
    assert not client.accepts(server.epoch)
    assert server.accepts(client.epoch)
    server.choose()
    assert client.accepts(server.epoch)
    assert not client.announcing
    assert not client.accepts(server.epoch), "a repeat changes nothing"


def test_a_choice_that_was_acknowledged_still_yields_to_the_clients_of_the_same_epoch() -> None:
    client, server = PathSelection(is_client=True), PathSelection(is_client=False)
    client.choose()
    server.choose()
    assert not client.accepts(server.epoch)
    server.acknowledged(server.epoch)  # the client heard it, and kept to its own
    assert server.accepts(client.epoch)
    assert not server.accepts(client.epoch), "a repeat changes nothing"


def test_an_epoch_that_leaps_is_an_error() -> None:
    selection = PathSelection(is_client=True)
    assert selection.accepts(EPOCH_JUMP_LIMIT)
    with pytest.raises(ProtocolError, match="jumps"):
        selection.accepts(2 * EPOCH_JUMP_LIMIT + 1)


def test_an_identity_survives_the_disk(tmp_path: Path) -> None:
    identity = Identity.generate()
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    identity.save(certificate, key)
    assert key.stat().st_mode & 0o777 == 0o600
    loaded = Identity.load(certificate, key)
    assert loaded.fingerprint == identity.fingerprint
    assert parse_fingerprint(identity.fingerprint) == identity.key_hash
    assert identity.key_hash.hex().startswith(identity.peer_id)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one, two = Identity.generate(), Identity.generate()
    one.save(tmp_path / "c1", tmp_path / "k1")
    two.save(tmp_path / "c2", tmp_path / "k2")
    with pytest.raises(UsageError, match="was not made for the key"):
        Identity.load(tmp_path / "c1", tmp_path / "k2")
    with pytest.raises(UsageError, match="Cannot read"):
        Identity.load(tmp_path / "no", tmp_path / "k2")
    (tmp_path / "junk").write_text("junk")
    with pytest.raises(UsageError, match="make cert"):
        Identity.load(tmp_path / "junk", tmp_path / "k2")


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:zz", "md5:" + "0" * 64, "0" * 64])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="fingerprint"):
        parse_fingerprint(text)


@given(st.binary(max_size=1500))
def test_any_datagram_is_sorted_without_error(data: bytes) -> None:
    is_quic(data)
    connection_id = destination_connection_id(data)
    assert connection_id is None or len(connection_id) <= 255
    if opens_connection(data):
        assert is_quic(data)
