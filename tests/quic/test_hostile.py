"""What an authenticated but hostile, or an unlucky, other end cannot do."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aioquic import tls
from aioquic.buffer import Buffer
from aioquic.quic.connection import QuicConnectionError, QuicReceiveContext
from aioquic.quic.packet import QuicFrameType

from p2pquic.quic import events
from p2pquic.quic.config import FOR_MESSAGES, ConnectionConfig
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.frames import PathClass, PathSelect
from p2pquic.quic.identity import Identity
from tests.quic.pair import End, Pair, direct, relay

A, B = "10.0.0.1", "10.0.0.2"
WLAN, HOME = direct(A, B), direct(B, A)
MALFORMED_INITIAL = b"\xc0\x00\x00\x00\x01\x15" + bytes(1194)  # a connection id of 21 bytes


def context(end: End, frame_path: Any) -> QuicReceiveContext:
    own = end.connection._host_cids[0].cid
    return QuicReceiveContext(tls.Epoch.ONE_RTT, own, frame_path, None, 0.0, 1)


def test_a_packet_that_only_looks_like_an_initial_leaves_no_trap() -> None:
    config = ConnectionConfig(Identity.generate(), bool, "test")
    server = MultipathConnection(config, MALFORMED_INITIAL[6:27])
    server.receive_datagram(MALFORMED_INITIAL, HOME, 0.0)
    assert server.selected is None
    server.get_timer()
    assert server.datagrams_to_send(0.0) == []


def test_a_stream_that_the_other_end_refuses_ends_the_connection_and_not_the_program() -> None:
    pair = Pair()
    pair.client.connection.send_stream_data(0, b"hello")
    pair.run(pair.now + 0.2)
    pair.server.connection.send_stream_data(0, b"hello")
    pair.run(pair.now + 0.2)
    pair.client.connection.stop_stream(0, 1)
    pair.run(pair.now + 0.5)
    pair.server.connection.send_stream_data(0, b"are you there?")
    pair.run(pair.now + 2)
    assert pair.client.seen(events.Terminated)


def test_who_does_not_read_cannot_make_us_remember_for_ever() -> None:
    pair = Pair()
    pair.cut_both(relay())
    for _ in range(100):
        pair.server.connection.send_stream_data(1, bytes(FOR_MESSAGES.unsent // 50))
    assert len(pair.server.connection._streams[1].sender._buffer) <= FOR_MESSAGES.unsent * 1.1


def test_retiring_every_connection_id_is_a_violation_and_not_a_crash() -> None:
    pair = Pair()
    connection = pair.server.connection
    connection._peer_cid_available.clear()
    buffer = Buffer(capacity=64)
    for value in (7, 7):  # a number already known, which retires all below it
        buffer.push_uint_var(value)
    buffer.push_uint8(8)
    buffer.push_bytes(bytes(24))
    with pytest.raises(QuicConnectionError, match="no connection id is left"):
        connection._handle_new_connection_id_frame(
            context(pair.server, connection._paths[relay()]),
            QuicFrameType.NEW_CONNECTION_ID,
            Buffer(data=buffer.data),
        )


def test_what_is_lost_on_a_path_opened_by_the_other_end_is_sent_again() -> None:
    pair = Pair()
    pair.join(WLAN, HOME, delay=0.02)
    pair.client.connection.open_path(WLAN, proven_rtt=None, now=pair.now)
    pair.client.connection.challenge(WLAN)
    pair.client.connection.select(WLAN)
    pair.run(pair.now + 0.5)
    pair.cut(pair.server, HOME)
    stream = pair.server.connection.get_next_available_stream_id(is_unidirectional=True)
    pair.server.connection.send_stream_data(stream, b"the last word", end_stream=True)
    pair.run(pair.now + 0.05)
    pair.join(WLAN, HOME, delay=0.02)
    pair.run(pair.now + 2.0)
    assert [event.data for event in pair.client.seen(events.StreamData)] == [b"the last word"]


def test_a_path_the_other_end_gave_up_is_not_taken_back() -> None:
    pair = Pair()
    pair.join(WLAN, HOME, delay=0.02)
    pair.client.connection.open_path(WLAN, proven_rtt=None, now=pair.now)
    pair.client.connection.challenge(WLAN)
    pair.run(pair.now + 0.5)
    pair.client.connection.select(WLAN)
    pair.run(pair.now + 0.5)
    client = pair.client.connection
    client._retire_peer_cid(cast(Any, client._paths[WLAN].cid))  # gone, without another choice
    client._paths[WLAN].cid = None
    client._selected = client._paths[relay()]
    client._show(client._selected)
    pair.run(pair.now + 0.5)
    assert pair.server.seen(events.PathRetired) == [events.PathRetired(HOME)]
    assert pair.server.connection.selected == HOME
    assert not pair.server.connection.is_validated(HOME)
    pair.server.connection.select(relay())
    assert HOME not in pair.server.connection.paths


def test_an_older_choice_heard_late_does_not_undo_a_newer_one() -> None:
    pair = Pair()
    pair.join(WLAN, HOME, delay=0.02)
    server = pair.server.connection
    pair.client.connection.open_path(WLAN, proven_rtt=None, now=pair.now)
    pair.client.connection.challenge(WLAN)
    pair.run(pair.now + 0.5)
    sequence = server._paths[HOME].host_sequence
    assert sequence is not None
    server._awaited = PathSelect(1, PathClass.DIRECT, sequence)  # named, not yet heard
    server.select(relay())
    pair.client.connection.challenge(WLAN)
    pair.run(pair.now + 0.5)
    assert server.selected == relay()


def test_a_receiver_that_only_acknowledges_forgets_what_it_sent() -> None:
    pair = Pair()
    pair.talk(pair.client, relay(), frames=400)
    sent = pair.server.connection._paths[relay()].recovery.sent.sent_packets
    assert len(sent) < 20
