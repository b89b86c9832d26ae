"""A NAT as a pure object, in the terms of RFC 4787.

A kind of NAT is nothing but which fields of the remote address its keys keep:

                                      key of a mapping          key of a permission
    endpoint-independent              private                   -
    address-dependent                 private, remote host      remote host
    address-and-port-dependent        private, remote           remote

A packet going out finds or makes the mapping of its key, which owns a public port, and permits
answers from its destination. A packet coming in passes if its port belongs to a mapping and its
sender is permitted. Traffic in either direction keeps the permission alive; a mapping lives as
long as one of its permissions.

A hairpin is a packet that goes out and comes in again: whoever carries it asks for both. It knows
only UDP and expects more ports than flows: it is one household's NAT.
A contract test holds it to what the kernel's NAT does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from p2pquic.core.addresses import SocketAddress
from p2pquic.lab.networks import Dependence, Nat

DYNAMIC_PORTS = (1024, 65535)  # ports a mapping may own; those below belong to services

_RemoteKey = tuple[str | int, ...]


@dataclass(slots=True)
class _Mapping:
    private: SocketAddress
    public: SocketAddress
    expiries: dict[_RemoteKey, float] = field(default_factory=dict)  # by permitted remote

    def is_alive(self, now: float) -> bool:
        return any(expiry > now for expiry in self.expiries.values())


class NatBox:
    """One NAT with one public address."""

    def __init__(self, kind: Nat, public_host: str, random: Random) -> None:
        self.kind = kind
        self.public_host = public_host
        self._random = random
        self._by_key: dict[tuple[SocketAddress, _RemoteKey], _Mapping] = {}
        self._by_port: dict[int, _Mapping] = {}
        self._former_ports: set[int] = set()  # of mappings it was made to forget

    def forget(self) -> None:
        """Forget every mapping, as a router does that starts again; later ones get other ports."""
        self._former_ports |= self._by_port.keys()
        self._by_key.clear()
        self._by_port.clear()

    def outbound(
        self, private: SocketAddress, destination: SocketAddress, now: float
    ) -> SocketAddress:
        """The public address a packet from `private` to `destination` leaves with."""
        key = private, _kept(self.kind.mapping, destination)
        mapping = self._by_key.get(key)
        if mapping is None or not mapping.is_alive(now):
            mapping = _Mapping(private, SocketAddress(self.public_host, self._port(private, now)))
            self._by_key[key] = self._by_port[mapping.public.port] = mapping
        mapping.expiries[_kept(self.kind.filtering, destination)] = now + self.kind.lifetime
        return mapping.public

    def inbound(
        self, public: SocketAddress, source: SocketAddress, now: float
    ) -> SocketAddress | None:
        """The private address a packet from `source` to `public` reaches; None if refused."""
        mapping = self._by_port.get(public.port)
        if mapping is None or public.host != self.public_host:
            return None
        permission = _kept(self.kind.filtering, source)
        if mapping.expiries.get(permission, now) <= now:
            return None
        mapping.expiries[permission] = now + self.kind.lifetime
        return mapping.private

    def _port(self, private: SocketAddress, now: float) -> int:
        if self.kind.port_preservation and self._is_free(private.port, now):
            return private.port
        while True:
            port = self._random.randint(*DYNAMIC_PORTS)
            if self._is_free(port, now):
                return port

    def _is_free(self, port: int, now: float) -> bool:
        if port in self._former_ports:
            return False
        mapping = self._by_port.get(port)
        return mapping is None or not mapping.is_alive(now)


def _kept(dependence: Dependence, remote: SocketAddress) -> _RemoteKey:
    """The fields of a remote address that a key of this dependence keeps."""
    match dependence:
        case "endpoint-independent":
            return ()
        case "address-dependent":
            return (remote.host,)
        case "address-and-port-dependent":
            return (remote.host, remote.port)


class Firewall:
    """What stands before an IPv6 address: it lets in what answers, and translates nothing."""

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._expiries: dict[tuple[SocketAddress, SocketAddress], float] = {}

    def forget(self) -> None:
        """Forget whom it let out, as a router does that starts again."""
        self._expiries.clear()

    def outbound(
        self, source: SocketAddress, destination: SocketAddress, now: float
    ) -> SocketAddress:
        """The address a packet leaves with, which is its own; answers may come in."""
        self._expiries[source, destination] = now + self._lifetime
        return source

    def inbound(
        self, destination: SocketAddress, source: SocketAddress, now: float
    ) -> SocketAddress | None:
        """The address a packet reaches, which is the one it was sent to; None if refused."""
        flow = destination, source
        if self._expiries.get(flow, now) <= now:
            return None
        self._expiries[flow] = now + self._lifetime
        return destination


def can_punch(one: Nat | None, other: Nat | None) -> bool:
    """Whether packets can pass directly between two NATs once both insides have sent (RFC 4787).

    An inside that maps by destination comes from a port nobody was told of. So somebody must be
    where he is said to be, and if the other is not, his filter must not ask for the port. If nobody
    is, one must at least be let in where he was said to be, by a filter that asks for nothing; the
    other must not mind the port of the answer, and one of them keep a port for all ports of the
    other's host. None is an address without a NAT.
    """
    if _is_where_it_says(one) and _is_where_it_says(other):
        return True
    if _is_where_it_says(one):
        return one is None or one.filtering != "address-and-port-dependent"
    if _is_where_it_says(other):
        return other is None or other.filtering != "address-and-port-dependent"
    assert one is not None
    assert other is not None
    filters, mappings = {one.filtering, other.filtering}, {one.mapping, other.mapping}
    return (
        "endpoint-independent" in filters
        and "address-and-port-dependent" not in filters
        and "address-dependent" in mappings
    )


def _is_where_it_says(nat: Nat | None) -> bool:
    return nat is None or nat.mapping == "endpoint-independent"
