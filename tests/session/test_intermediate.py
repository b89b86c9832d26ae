"""The server against strangers, one datagram at a time."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.events import DatagramReceived, DeadlinePassed, HangUpRequested
from p2pquic.core.path import DirectPath
from p2pquic.core.trace import Closed
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.identity import Identity
from p2pquic.session.control_link import CONTROL_ALPN
from p2pquic.session.intermediate_session import MOST_STRANGERS, IntermediateSession

LISTEN = LocalSocket("198.51.100.4", 4433, "")
STRANGER = SocketAddress("203.0.113.5", 999)


def server() -> IntermediateSession:
    return IntermediateSession(LISTEN, Identity.generate(), bytes(32), os.urandom)


def first_packet() -> bytes:
    config = ConnectionConfig(Identity.generate(), bool, CONTROL_ALPN)
    client = MultipathConnection(config)
    client.connect(DirectPath(LISTEN, STRANGER), 0.0)
    return client.datagrams_to_send(0.0)[0][0]


@settings(max_examples=50)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=1300),
            st.binary(max_size=30).map(lambda tail: (b"\xc0\0\0\0\1" + tail).ljust(1200, b"\0")),
        ),
        max_size=10,
    )
)
def test_whatever_a_stranger_sends_the_server_lives(datagrams: list[bytes]) -> None:
    session = server()
    now = 1000.0
    for data in datagrams:
        session.handle(DatagramReceived(LISTEN, STRANGER, data), now)
        if session.deadline is not None:
            now = max(now, session.deadline)
            session.handle(DeadlinePassed(), now)


def test_a_flood_of_first_packets_does_not_shut_others_out() -> None:
    session = server()
    for _ in range(MOST_STRANGERS + 20):
        session.handle(DatagramReceived(LISTEN, STRANGER, first_packet()), 1000.0)
    assert len(session._clients) == MOST_STRANGERS
    answers = session.handle(DatagramReceived(LISTEN, STRANGER, first_packet()), 1000.0)
    assert answers, "who comes last is answered"


def test_the_end_is_written_down() -> None:
    actions = server().handle(HangUpRequested("stopped"), 1000.0)
    assert any(getattr(action, "record", None) == Closed("stopped") for action in actions)
