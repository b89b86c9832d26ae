"""The messages between peer and intermediate server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.errors import ProtocolError
from p2pquic.wire.signaling import (
    LARGEST_MESSAGE,
    Candidate,
    Candidates,
    Connect,
    Leave,
    Member,
    MemberJoined,
    MemberLeft,
    PeerCandidates,
    Refused,
    Register,
    RelayOpened,
    ToPeer,
    ToPeerDecoder,
    ToServer,
    ToServerDecoder,
    Welcome,
    encode,
)

ALICE, BOB = "0a" * 16, "0b" * 16

peers = st.sampled_from([ALICE, BOB])
roles = st.sampled_from(["sender", "receiver", "both"])
hosts = st.sampled_from(["192.0.2.1", "127.0.0.1", "2001:db8::1", "::1"])
ports = st.integers(1, 65535)
rounds = st.integers(0, 2**32 - 1)
addresses = st.builds(SocketAddress, hosts, ports)
kinds = st.sampled_from(["host", "server-reflexive", "peer-reflexive"])
candidates = st.lists(st.builds(Candidate, hosts, ports, kinds), max_size=8)
members = st.builds(Member, peers, roles)

to_server: st.SearchStrategy[ToServer] = st.one_of(
    st.builds(Register, st.integers(1, 9), st.text("room ♫", min_size=1, max_size=64), roles),
    st.builds(Connect, peers),
    st.builds(Candidates, peers, rounds, candidates),
    st.just(Leave()),
)
to_peer: st.SearchStrategy[ToPeer] = st.one_of(
    st.builds(Welcome, peers, addresses, st.lists(members, max_size=15)),
    st.builds(MemberJoined, members),
    st.builds(MemberLeft, peers),
    st.builds(
        RelayOpened,
        peers,
        st.binary(min_size=8, max_size=8),
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=1, max_size=128),
    ),
    st.builds(PeerCandidates, peers, rounds, candidates, st.none() | addresses),
    st.builds(Refused, st.text("no. ", max_size=500)),
)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(2, "big") + body


def to_server_of(**fields: Any) -> bytes:
    """A message as a careless or hostile peer would write it."""
    return framed(msgspec.msgpack.encode(fields))


@pytest.mark.slow
@given(st.lists(to_server, max_size=5), st.data())
def test_messages_to_the_server_arrive_wherever_the_stream_is_cut(
    messages: list[ToServer], data: st.DataObject
) -> None:
    stream = b"".join(encode(message) for message in messages)
    decoder = ToServerDecoder()
    cut = data.draw(st.integers(0, len(stream)))
    assert decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]) == messages


@pytest.mark.slow
@given(st.lists(to_peer, max_size=5))
def test_messages_to_a_peer_arrive_byte_by_byte(messages: list[ToPeer]) -> None:
    decoder = ToPeerDecoder()
    arrived: list[ToPeer] = []
    for byte in b"".join(encode(message) for message in messages):
        arrived += decoder.feed(bytes([byte]))
    assert arrived == messages


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_a_protocol_error(data: bytes) -> None:
    for stream in (data, framed(data)):
        for decoder in (ToServerDecoder(), ToPeerDecoder()):
            try:
                decoder.feed(stream)
            except ProtocolError:
                continue


def test_a_message_of_the_other_direction_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        ToServerDecoder().feed(encode(MemberLeft(ALICE)))
    with pytest.raises(ProtocolError):
        ToPeerDecoder().feed(encode(Leave()))


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "Connect"},
        {"type": "Connect", "peer": ALICE.upper()},
        {"type": "Connect", "peer": ALICE + "\n"},
        {"type": "Connect", "peer": ALICE[:-1]},
        {"type": "Connect", "peer": 7},
        {"type": "Disconnect"},
        {"peer": ALICE},
        {"type": "Register", "version": 0, "room": "r", "role": "both"},
        {"type": "Register", "version": 1, "room": "", "role": "both"},
        {"type": "Register", "version": 1, "room": "r" * 65, "role": "both"},
        {"type": "Register", "version": 1, "room": "r", "role": "listener"},
        {"type": "Candidates", "to": ALICE, "round": -1, "candidates": []},
        {"type": "Candidates", "to": ALICE, "round": 2**32, "candidates": []},
    ],
)
def test_what_breaks_a_bound_is_a_protocol_error(fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        ToServerDecoder().feed(to_server_of(**fields))


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("example.org", 4433),
        ("192.0.2.001", 4433),
        ("2001:DB8::1", 4433),
        ("fe80::1%eth0", 4433),
        ("0.0.0.0", 4433),
        ("::", 4433),
        ("224.0.0.1", 4433),
        ("255.255.255.255", 4433),
        ("192.0.2.1", 0),
        ("192.0.2.1", 65536),
        ("", 4433),
    ],
)
def test_a_candidate_is_the_numeric_address_of_one_host(host: str, port: int) -> None:
    candidate = {"host": host, "port": port, "kind": "host"}
    data = to_server_of(type="Candidates", to=ALICE, round=0, candidates=[candidate])
    with pytest.raises(ProtocolError):
        ToServerDecoder().feed(data)


def test_nine_candidates_are_too_many() -> None:
    nine = [Candidate("192.0.2.1", port, "host") for port in range(1, 10)]
    with pytest.raises(ProtocolError):
        ToServerDecoder().feed(encode(Candidates(ALICE, 0, nine)))


def test_fields_of_a_newer_version_are_ignored() -> None:
    data = to_server_of(type="Connect", peer=ALICE, mood="good")
    assert ToServerDecoder().feed(data) == [Connect(ALICE)]


def test_too_large_a_message_is_refused_by_its_length_alone() -> None:
    with pytest.raises(ProtocolError, match="16385"):
        ToServerDecoder().feed((LARGEST_MESSAGE + 1).to_bytes(2, "big"))


def test_too_large_a_message_of_our_own_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="too large"):
        encode(Refused("no" * LARGEST_MESSAGE))


@pytest.mark.parametrize("deep", [b"\x91" * 16000, b"\x81" * 16000])
def test_arrays_in_arrays_without_end_are_a_protocol_error(deep: bytes) -> None:
    with pytest.raises(ProtocolError):
        ToServerDecoder().feed(framed(deep))
    unknown_field = b"\x82\xa4type\xa5Leave\xa1x" + deep
    with pytest.raises(ProtocolError):
        ToServerDecoder().feed(framed(unknown_field))


def test_text_that_is_not_utf_8_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        ToServerDecoder().feed(framed(b"\x82\xa4type\xa7Connect\xa4peer\xa2\xff\xfe"))
