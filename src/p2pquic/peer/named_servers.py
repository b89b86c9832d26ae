"""The servers that a person named: where they are, and the keys they have to have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.errors import UsageError
from p2pquic.peer.known_servers import KnownServers
from p2pquic.session.peer_config import MOST_SERVERS, Server

OTHER_PIN = "Correct --pin if whoever runs the server confirms the other key."


def find_servers(
    names: Sequence[str],
    pins: Collection[bytes],
    known: KnownServers | None,
    resolve: Callable[[str], SocketAddress],
) -> dict[str, Server]:
    """The servers by their names (HOST:PORT, as they were typed), in that order.

    Each must have one of the keys in `pins` (their SHA-256, 32 bytes); where there are `known`
    servers instead, the key that it had when it was first met.

    Raises:
        UsageError: a name leads nowhere, two lead to one server, there are too many, or what is
            known cannot be read.
    """
    if len(names) > MOST_SERVERS:
        raise UsageError(
            f"--intermediate is given {len(names)} times; a peer can have {MOST_SERVERS} servers."
        )
    addresses: dict[SocketAddress, str] = {}
    for name in names:
        address = resolve(name)
        if (before := addresses.get(address)) is not None:
            also = "twice" if name == before else f"as {before} and as {name}"
            raise UsageError(f"--intermediate names the server at {address} {also}; once will do.")
        addresses[address] = name
    return {name: _server(name, address, pins, known) for address, name in addresses.items()}


def _server(
    name: str, address: SocketAddress, pins: Collection[bytes], known: KnownServers | None
) -> Server:
    if known is None:
        return Server(address, pins, OTHER_PIN)
    pin = known.pin(name)
    return Server(address) if pin is None else Server(address, (pin.key_hash,), pin.advice)
