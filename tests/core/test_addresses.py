"""Which addresses may be named, and believed: what a hostile end names leads nowhere."""

from __future__ import annotations

import pytest

from p2pquic.core.addresses import (
    LocalSocket,
    ServerAddress,
    SocketAddress,
    can_lead,
    may_be_offered,
)

IPV4, IPV6 = SocketAddress("203.0.113.1", 4433), SocketAddress("2001:db8::1", 4433)
BY_IPV4 = LocalSocket("192.168.1.2", 4000, "wlan0")
BY_IPV6 = LocalSocket("2001:db8:1::2", 4000, "wlan0")


def test_a_server_of_both_families_is_seen_from_each_socket_at_the_address_of_its_family() -> None:
    server = ServerAddress.of(IPV6, IPV4)
    assert server.serves(BY_IPV4)
    assert server.serves(BY_IPV6)
    assert server.seen_from(BY_IPV4) == IPV4
    assert server.seen_from(BY_IPV6) == IPV6
    assert IPV4 in server
    assert str(server) == "203.0.113.1:4433,[2001:db8::1]:4433"


def test_a_server_of_one_family_is_out_of_reach_from_the_other() -> None:
    server = ServerAddress.of(IPV4)
    assert not server.serves(BY_IPV6)
    assert IPV6 not in server
    assert str(server) == str(IPV4)
    with pytest.raises(ValueError, match="no IPv6 address"):
        server.seen_from(BY_IPV6)


@pytest.mark.parametrize(
    ("local", "remote", "leads"),
    [
        ("192.168.1.2", "198.51.100.1", True),
        ("192.168.1.2", "10.0.0.1", True),  # perhaps the same home
        ("192.168.1.2", "169.254.7.7", False),
        ("192.168.1.2", "127.0.0.1", False),
        ("192.168.1.2", "224.0.0.251", False),
        ("192.168.1.2", "2001:db8::1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("2001:db8:1::2", "2001:db8::1", True),
        ("2001:db8:1::2", "198.51.100.1", False),
        ("2001:db8:1::2", "64:ff9b::c633:6401", True),  # an IPv4 host behind NAT64 (RFC 6052)
        ("2001:db8:1::2", "::1", False),
        ("::1", "::1", True),
        ("2001:db8:1::2", "fe80::1", False),
        ("2001:db8:1::2", "ff02::fb", False),
        ("2001:db8:1::2", "::ffff:127.0.0.1", False),
        ("2001:db8:1::2", "::127.0.0.1", False),
        ("::1", "::ffff:127.0.0.1", False),
        ("2001:db8:1::2", "fd00:1::1", False),
        ("fd00:1::2", "fd00:1::1", True),
        ("fd00:1::2", "2001:db8::1", True),
    ],
)
def test_a_packet_may_lead(local: str, remote: str, leads: bool) -> None:
    assert can_lead(local, remote) is leads


@pytest.mark.parametrize(
    ("host", "offered"),
    [
        ("192.168.1.2", True),
        ("2001:db8::1", True),
        ("fd00::1", True),
        ("127.0.0.1", True),
        ("fe80::1", False),
        ("169.254.1.1", False),
        ("::ffff:192.0.2.1", False),
        ("ff02::1", False),
    ],
)
def test_an_address_may_be_offered(host: str, offered: bool) -> None:
    assert may_be_offered(host) is offered
