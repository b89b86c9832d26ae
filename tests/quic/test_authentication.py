"""Nobody gets a word in who does not hold the expected key."""

from __future__ import annotations

import pytest
from aioquic import tls

from p2pquic.quic import events
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.identity import Identity
from p2pquic.quic.pinned_tls import PinnedContext
from tests.quic.pair import End, Pair, relay


def pair_of(client: MultipathConnection, server: MultipathConnection) -> Pair:
    pair = Pair(connect=False)
    pair.client, pair.server = End(client), End(server)
    pair.join(relay(), relay(), delay=0.03)
    client.connect(relay(), 0.0)
    pair.run(3.0)
    return pair


def ends(
    client_key: Identity, server_key: Identity, client_pin: bytes, server_pin: bytes
) -> tuple[MultipathConnection, MultipathConnection]:
    client = MultipathConnection(ConnectionConfig(client_key, client_pin.__eq__, "test"))
    server = MultipathConnection(
        ConnectionConfig(server_key, server_pin.__eq__, "test"),
        client.original_destination_connection_id,
    )
    return client, server


def test_a_server_with_another_key_is_refused() -> None:
    client_key, server_key, other = (Identity.generate() for _ in range(3))
    pair = pair_of(*ends(client_key, server_key, other.key_hash, client_key.key_hash))
    assert not pair.client.seen(events.HandshakeConfirmed)
    assert not pair.server.seen(events.HandshakeConfirmed)
    assert "another key" in pair.client.seen(events.Terminated)[0].reason


def test_a_client_with_another_key_is_refused_before_it_counts_as_connected() -> None:
    client_key, server_key, other = (Identity.generate() for _ in range(3))
    pair = pair_of(*ends(client_key, server_key, server_key.key_hash, other.key_hash))
    assert not pair.client.seen(events.HandshakeConfirmed)
    assert not pair.server.seen(events.HandshakeConfirmed)
    assert pair.server.seen(events.Terminated)


def test_a_client_without_a_certificate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    client_key, server_key = Identity.generate(), Identity.generate()
    client, server = ends(client_key, server_key, server_key.key_hash, client_key.key_hash)
    adopt = PinnedContext.adopt.__func__  # type: ignore[attr-defined]

    def adopt_and_forget(cls: type, stock: tls.Context, accepts: object) -> PinnedContext:
        context: PinnedContext = adopt(cls, stock, accepts)
        if stock._is_client:
            context.certificate = None
        return context

    monkeypatch.setattr(PinnedContext, "adopt", classmethod(adopt_and_forget))
    pair = pair_of(client, server)
    assert not pair.server.seen(events.HandshakeConfirmed)
    assert "no certificate" in pair.server.seen(events.Terminated)[0].reason


def test_packets_of_a_stranger_open_no_path() -> None:
    pair = Pair()
    from tests.quic.pair import direct

    forged = b"\x40" + pair.server.connection._host_cids[0].cid + bytes(60)
    pair.server.connection.receive_datagram(forged, direct("x", "y"), pair.now)
    assert pair.server.connection.paths == [relay()]
