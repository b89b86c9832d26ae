"""What a person typed, as this machine understands it: servers by name, folders by user."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from p2pquic.core.addresses import SocketAddress, parse_socket_address
from p2pquic.core.errors import InvalidAddressError, UsageError


def look_up(text: str) -> SocketAddress:
    """Read HOST:PORT, asking the resolver if HOST is a name.

    Raises:
        UsageError: no such name, or no address in it.
    """
    host, _, port = text.rpartition(":")
    try:
        return parse_socket_address(text)
    except InvalidAddressError:
        if not host or ":" in host or not port.isdecimal() or int(port) > 65535:
            raise
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"Cannot find the host {host!r}: {error}.") from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)  # what a server listens on by default
    return SocketAddress(str(found[0][4][0]), int(port))


def resolve(text: str) -> SocketAddress:
    """The same for a server that is to be reached.

    Raises:
        UsageError: as there, or it is an address or a port that no server can have.
    """
    address = look_up(text)
    if address.port == 0:
        raise UsageError(f"{text} has port 0, where no server can be.")
    if address.host in ("0.0.0.0", "::"):
        raise UsageError(f"{address.host} stands for every address; name one the server has.")
    return address


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
