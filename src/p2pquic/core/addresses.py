"""The addresses every layer speaks of: where a socket stands and whom it reaches.

Plain tuples, so that they are hashable, comparable and cheap; `SocketAddress` can be handed to
a socket as it is.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from p2pquic.core.errors import InvalidAddressError


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
