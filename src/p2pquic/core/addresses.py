"""The addresses every layer speaks of: where a socket stands and whom it reaches.

Plain tuples, so that they are hashable, comparable and cheap; `SocketAddress` can be handed to
a socket as it is.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from p2pquic.core.errors import InvalidAddressError

UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")  # RFC 4193


class SocketAddress(NamedTuple):
    """A UDP transport address: a numeric IP address and a port (0..65535)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.host else 4


class LocalAddress(NamedTuple):
    """An IP address of this host and the interface that owns it."""

    host: str
    interface: str

    def __str__(self) -> str:
        return f"{self.host}%{self.interface}"


class LocalSocket(NamedTuple):
    """An open UDP socket of ours: bound to `host`:`port` on `interface`.

    It is the local half of every path, so it identifies the socket in events and actions.
    """

    host: str
    port: int
    interface: str

    def __str__(self) -> str:
        return f"{SocketAddress(self.host, self.port)}%{self.interface}"

    @property
    def address(self) -> SocketAddress:
        """The bound address without its interface."""
        return SocketAddress(self.host, self.port)

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.host else 4


class ServerAddress(NamedTuple):
    """Where one server is to be found: its address in each family of IP, None where it has none.

    A peer keeps both, for it may move to a network that has only the other.
    """

    ipv4: SocketAddress | None = None
    ipv6: SocketAddress | None = None

    @classmethod
    def of(cls, *addresses: SocketAddress) -> ServerAddress:
        """One address, or one of each family; of several of one family the last."""
        by_family = {address.family: address for address in addresses}
        return cls(by_family.get(4), by_family.get(6))

    def __str__(self) -> str:
        return ",".join(map(str, self.addresses))

    @property
    def addresses(self) -> tuple[SocketAddress, ...]:
        """Those there are."""
        return tuple(address for address in self if address is not None)

    def serves(self, local: LocalSocket) -> bool:
        """Whether the server speaks the family of this socket of ours."""
        return (self.ipv6 if local.family == 6 else self.ipv4) is not None

    def seen_from(self, local: LocalSocket) -> SocketAddress:
        """Where this socket of ours finds it.

        Raises:
            ValueError: it does not speak this family; ask `serves` before.
        """
        address = self.ipv6 if local.family == 6 else self.ipv4
        if address is None:
            raise ValueError(f"the server at {self} has no IPv{local.family} address")
        return address


def may_be_offered(host: str) -> bool:
    """Whether the other end may be told of this address, as far as it can be seen from here.

    Loopback may: whoever has a call by it has no other, and nobody else believes it (`can_lead`).
    """
    return not _is_nobody(ipaddress.ip_address(host))


def can_lead(local: str, remote: str) -> bool:
    """Whether a packet from our address may ever get to this address of the other end.

    The other end, or a server, may name any address at all, so one that stands for nobody on the
    internet is believed only as far as its scope goes: a unique local address (RFC 4193) where we
    have one too, loopback from loopback. A link-local address means another host on every link; an
    IPv4 address in IPv6 clothes (RFC 4291 section 2.5.5) would get round what is said of IPv4.
    """
    here, there = ipaddress.ip_address(local), ipaddress.ip_address(remote)
    if here.version != there.version or _is_nobody(there):
        return False
    if there in UNIQUE_LOCAL and here not in UNIQUE_LOCAL:
        return False
    return here.is_loopback or not there.is_loopback


def _is_nobody(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it stands for a host on each link, for many hosts, or for an IPv4 host."""
    is_embedded = isinstance(ip, ipaddress.IPv6Address) and (
        ip.ipv4_mapped is not None or (int(ip) >> 32 == 0 and not ip.is_loopback)
    )
    return is_embedded or ip.is_link_local or ip.is_multicast or ip.is_unspecified


def require_unicast(address: SocketAddress) -> None:
    """Check that this can be the address of one host, written in the one canonical way.

    Raises:
        ValueError: it cannot; says why.
    """
    ip = ipaddress.ip_address(address.host)
    if str(ip) != address.host or "%" in address.host:
        raise ValueError(f"{address.host!r} is not written as {ip}")
    if ip.is_unspecified or ip.is_multicast or address.host == "255.255.255.255":
        raise ValueError(f"{address.host} is not the address of one host")
    if not 1 <= address.port <= 65535:
        raise ValueError(f"port {address.port} is not between 1 and 65535")


def parse_socket_address(text: str) -> SocketAddress:
    """Read `192.0.2.1:4433` or `[2001:db8::1]:4433`.

    Raises:
        InvalidAddressError: the text is not a numeric address with a port.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ip = ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        raise InvalidAddressError(text) from None
    if not colon or not 0 <= number <= 65535 or not port.isascii() or not port.isdigit():
        raise InvalidAddressError(text)
    return SocketAddress(str(ip), number)
