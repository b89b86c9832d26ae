"""What a person typed, as this machine understands it: servers by name, folders by user.

server.example:12345                      a name, with the first address of each family
203.0.113.1:12345                         that address
203.0.113.1:12345,[2001:db8::1]:12345     one server that has both
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from p2pquic.core.addresses import ServerAddress, SocketAddress, parse_socket_address
from p2pquic.core.errors import InvalidAddressError, UsageError


def resolve(text: str) -> ServerAddress:
    """Read HOST:PORT, asking the resolver if HOST is a name: the server's address of each family.

    A server without a name is written as one address, or as both with a comma between.

    Raises:
        UsageError: no such name, no address in it, two of one family, or a port that no server
            can have.
    """
    server = look_up(text)
    for address in server.addresses:
        if address.port == 0:
            raise UsageError(f"{text} has port 0, where no server can be.")
        if address.host in ("0.0.0.0", "::"):
            raise UsageError(f"{address.host} stands for every address; name one the server has.")
    return server


def look_up(text: str) -> ServerAddress:
    """The same of an address to listen on, where port 0 and "every address" have a meaning."""
    if "," not in text:
        return ServerAddress.of(*_addresses_of(text))
    addresses = [address for part in text.split(",") for address in _addresses_of(part)]
    server = ServerAddress.of(*addresses)
    if len(addresses) > len(server.addresses):
        raise UsageError(
            f"{text} names several addresses of one family; a server has one of IPv4 and one of "
            "IPv6."
        )
    return server


def _addresses_of(text: str) -> list[SocketAddress]:
    """Of a numeric address itself, of a name the first of each family."""
    host, _, port = text.rpartition(":")
    try:
        return [parse_socket_address(text)]
    except InvalidAddressError:
        if not host or ":" in host or not port.isdecimal() or int(port) > 65535:
            raise
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"Cannot find the host {host!r}: {error}.") from None
    first = {entry[0]: str(entry[4][0]) for entry in reversed(found)}
    return [SocketAddress(host, int(port)) for host in first.values()]


def data_directory() -> Path:
    """Where this user's programs keep their data.

    `XDG_DATA_HOME` is obeyed everywhere (XDG base directory specification); without it the place
    is the one that each system has for it.

    Raises:
        UsageError: this user has no home directory.
    """
    told = Path(os.environ.get("XDG_DATA_HOME", ""))
    if told.is_absolute():  # any other is to be ignored
        return told / "p2pquic"
    try:
        return _usual_data_home(sys.platform, Path.home()) / "p2pquic"
    except RuntimeError:
        raise UsageError(
            "You have no home directory to keep keys in. Set XDG_DATA_HOME to a folder of yours."
        ) from None


def _usual_data_home(platform: str, home: Path) -> Path:
    if platform == "darwin":
        return home / "Library" / "Application Support"
    if platform == "win32":  # not the roaming folder: a key belongs to one machine
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    return home / ".local" / "share"
