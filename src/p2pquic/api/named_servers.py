"""The servers that a person named: where they are, and the keys they have to have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from p2pquic.core.addresses import ServerAddress, SocketAddress
from p2pquic.core.errors import UsageError
from p2pquic.session.peer_config import MOST_SERVERS, Server
from p2pquic.trust.known_servers import KnownServers, Pin


def choose_pins(
    names: Sequence[str], told: Sequence[str], known: KnownServers
) -> dict[str, Pin | None]:
    """Which keys each server may have, by its name (HOST:PORT); None to trust the first it shows.

    Raises:
        UsageError: there are none or too many, one is named twice, what was told is no
            fingerprint, or what is known cannot be read.
    """
    if not 1 <= len(names) <= MOST_SERVERS:
        raise UsageError(f"{len(names)} servers are named; a peer can have 1 to {MOST_SERVERS}.")
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"The server {name} is named twice; once will do.")
    return {name: known.choose_pin(name, told) for name in names}


def find_servers(
    pins: Mapping[str, Pin | None], resolve: Callable[[str], ServerAddress]
) -> dict[str, Server]:
    """The servers by their names, in that order.

    Raises:
        UsageError: a name leads nowhere, or two to the same server.
    """
    names: dict[SocketAddress, str] = {}
    servers = {}
    for name, pin in pins.items():
        server = resolve(name)
        for address in server.addresses:
            if address in names:
                both = f"{names[address]} and {name}"
                raise UsageError(f"{both} are the same server, at {address}; name it once.")
            names[address] = name
        servers[name] = Server(server) if pin is None else Server(server, *pin)
    return servers
