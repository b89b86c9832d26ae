"""By which of its addresses an interface is reached from another: tried out on the NATs themselves.

    host               the address that stands on the interface
    server-reflexive   where the server sees it (RFC 8445 section 2)
    peer-reflexive     one that only the other end ever saw
    None               by none: such a call stays on the relay

Both ends send to every address they know of the other, again and again. What arrives opens NATs
and teaches addresses, and what is answered is a way. Nobody guesses ports. What this flood cannot
reach no punching can, and a call shall be direct wherever it can.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Literal, NamedTuple, get_args

import msgspec

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.lab.networks import SERVER, Link, Topology
from p2pquic.lab.virtual_internet import Arrival, VirtualInternet

CandidateKind = Literal["host", "server-reflexive", "peer-reflexive"]
BEST_FIRST: tuple[CandidateKind, ...] = get_args(CandidateKind)

ROUNDS = 6  # of sending: one opens the NATs, two teach an address, two answer; one to spare
ROUND = 1.0  # seconds between them, more than any way takes; together less than a NAT remembers
PORT, SERVER_PORT = 50000, 443


class Reach(NamedTuple):
    """How each of two ends is reached by the other; both None if they are not."""

    first: CandidateKind | None
    second: CandidateKind | None

    @property
    def is_direct(self) -> bool:
        """Whether packets pass both ways without the relay."""
        return self.first is not None and self.second is not None


class _Call(NamedTuple):
    """What an end says: by which address it calls the other, and by which it was called."""

    you: SocketAddress
    me: SocketAddress | None


@dataclass
class _End:
    link: Link
    local: LocalSocket
    seen: SocketAddress | None = None  # by the server
    heard: dict[SocketAddress, SocketAddress] = field(default_factory=dict)  # by remote: our name
    works: set[SocketAddress] = field(default_factory=set)  # remotes that answered

    def hear(self, arrival: Arrival) -> None:
        call = msgspec.json.decode(arrival.data, type=_Call)
        self.heard[arrival.remote] = call.you
        if call.me == arrival.remote:
            self.works.add(arrival.remote)

    def kind(self, address: SocketAddress) -> CandidateKind:
        """What this address of ours is to the other end."""
        if address == self.local.address:
            return "host"
        return "server-reflexive" if address == self.seen else "peer-reflexive"


@lru_cache(maxsize=1024)
def reach(topology: Topology, first: Link, second: Link) -> Reach:
    """How two interfaces of a topology reach each other, each by its best candidate."""
    internet = VirtualInternet(topology, topology.interfaces, Random(1))
    ends = [
        _End(link, LocalSocket(topology.accesses[link].address, PORT + number, link.interface))
        for number, link in enumerate((first, second))
    ]
    _ask_the_server(internet, topology, ends)
    for number in range(1, ROUNDS + 1):
        now = number * ROUND
        for end, other in (ends, reversed(ends)):
            told = [each for each in (other.local.address, other.seen) if each is not None]
            for remote in dict.fromkeys([*told, *end.heard]):
                call = msgspec.json.encode(_Call(remote, end.heard.get(remote)))
                internet.send(end.link.host, end.local, remote, call, now)
        for arrival in internet.deliver(now + ROUND / 2):
            for end in ends:
                if arrival.local == end.local:
                    end.hear(arrival)
    a, b = ends
    return Reach(_best(a, b), _best(b, a))


def _ask_the_server(internet: VirtualInternet, topology: Topology, ends: list[_End]) -> None:
    (server,) = (link for link in topology.interfaces if link.host == SERVER)
    address = SocketAddress(topology.accesses[server].public, SERVER_PORT)
    for end in ends:
        internet.send(end.link.host, end.local, address, end.link.host.encode(), 0.0)
    for arrival in internet.deliver(ROUND / 2):
        for end in ends:
            if arrival.data == end.link.host.encode():
                end.seen = arrival.remote


def _best(end: _End, other: _End) -> CandidateKind | None:
    """The best of the addresses by which the other end reaches this one."""
    kinds = {end.kind(address) for address in other.works}
    return next((kind for kind in BEST_FIRST if kind in kinds), None)
