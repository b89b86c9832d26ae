"""The internet between access networks: links in time, and on them the simulator's world.

    host -- NAT -- access link -- (core, no delay) -- access link -- NAT -- host
            |      `AccessLinks`: delay, jitter, loss, up and down      |
            `-----------------  `VirtualInternet` adds these  ---------'

`AccessLinks` is what both worlds share; in the lab its cargo is IP packets of real kernels, in
the simulator UDP payloads. In the simulator the NAT stands at the host's end of the access link:
it maps a packet the moment it is sent and judges one the moment it arrives, which is what makes
hole punching a race worth simulating. A packet that left before its interface went down travels
on; a packet that arrives at an interface that is down dies there in silence.

A network may also die where no host can see it: a link that carries nothing either way, or a way
from one link to another. These swallow what is in the air as well.

A shared network is a place like the internet: who stands in it is reached there directly, and what
is meant for somebody else goes to its NAT, which hands it on, or back in if it makes hairpins.

A link with a rate has a `Bottleneck` each way. A packet stands in line for the one of its source
when it is sent, and for the one of its target when it gets there.

Both are pure: time is passed in, dice come seeded, and the runner asks `next_time` when to call
again. No ICMP, no MTU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, assert_never

from p2pquic.core.addresses import LocalAddress, LocalSocket, SocketAddress
from p2pquic.core.errors import UsageError
from p2pquic.lab.access_links import AccessLinks, Flight, Tally
from p2pquic.lab.nat import Firewall, NatBox
from p2pquic.lab.networks import LAN, WAN, Link, Topology, next_address
from p2pquic.lab.scenarios import Change

HEADERS = 28  # bytes of IP and UDP around a payload: what a link with a rate carries as well


@dataclass(frozen=True, slots=True)
class Arrival:
    """A datagram reached the socket `local` of `host`; `remote` is its sender as seen there."""

    host: str
    local: LocalSocket
    remote: SocketAddress
    data: bytes


class _Datagram(NamedTuple):
    source: SocketAddress
    destination: SocketAddress
    data: bytes

    @property
    def addresses(self) -> tuple[SocketAddress, SocketAddress]:
        """Whom it means and who it comes from, in the order in which a NAT asks."""
        return self.destination, self.source

    def comes(self, source: SocketAddress) -> _Datagram:
        """The same from another address."""
        return self._replace(source=source)

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return HEADERS + len(self.data)


class VirtualInternet:
    """Everything between the sockets of a topology. `tallies` counts packets by their fate."""

    def __init__(self, topology: Topology, links_up: Iterable[Link], random: Random) -> None:
        self.links: AccessLinks[_Datagram] = AccessLinks(topology, links_up, random)
        self._preferred: dict[str, str] = {}  # by host, the interface that is first in spite of all
        self._accesses = topology.accesses
        interfaces, ipv4 = topology.interfaces, topology.accesses
        self._hosts = {  # in the order in which a kernel prefers them
            (link, family): accesses[link].address
            for link, each in interfaces.items()
            for family, accesses in ((4, ipv4), (6, topology.ipv6_accesses))
            if (each.has_ipv4 if family == 4 else each.has_ipv6)
        }
        self._guards: dict[tuple[Link, int], NatBox | Firewall] = {
            (link, 4): NatBox(each.nat, ipv4[link].public, random)
            for link, each in interfaces.items()
            if each.nat is not None
        }
        for link, each in interfaces.items():
            guard = each.guard(6)
            if each.has_ipv6 and guard is not None:
                self._guards[link, 6] = Firewall(guard.lifetime)
        doors = {Link(each.name, WAN): each.nat for each in topology.networks}
        self._doors = {  # the NATs of the shared networks
            door: NatBox(nat, self._accesses[door].public, random) for door, nat in doors.items()
        }

    @property
    def next_time(self) -> float | None:
        """When to call `deliver`; None while no packet is in the air."""
        return self.links.next_time

    @property
    def tallies(self) -> Counter[Tally]:
        return self.links.tallies

    def local_addresses(self, host: str) -> tuple[LocalAddress, ...]:
        """The usable addresses of a host, preferred first: what its kernel would tell it."""
        links = [
            (link, address)
            for (link, _), address in self._hosts.items()
            if link.host == host and self.links.is_up(link)
        ]
        links.sort(key=lambda each: self._preferred.get(host) != each[0].interface)
        return tuple(LocalAddress(address, link.interface) for link, address in links)

    def apply(self, change: Change) -> None:
        """Something changes, now.

        Raises:
            UsageError: the topology has no such link, way or NAT.
        """
        match change.kind:
            case "interface_down":
                self.interface_down(change.link)
            case "interface_up":
                self.interface_up(change.link)
            case "link_dies":
                self.links.link_dies(change.link)
            case "link_recovers":
                self.links.link_recovers(change.link)
            case "way_dies":
                self.links.way_dies(*change.way)
            case "way_recovers":
                self.links.way_recovers(*change.way)
            case "nat_forgets":
                self.nat_forgets(change.link)
            case "address_replaced":
                new = self._accesses[change.link] = next_address(self._accesses[change.link])
                self._hosts[change.link, 4] = new.address
            case "interface_preferred":
                self._preferred[change.host] = change.interface
            case "server_dies":
                pass  # a program; its machine is there as before
            case _:
                assert_never(change.kind)

    def interface_up(self, link: Link) -> None:
        """The interface has its address and route again. Its NAT remembers what it knew."""
        self.links.take_up(link)

    def interface_down(self, link: Link) -> None:
        """The interface is gone; what is on the way to it dies when it arrives."""
        self.links.take_down(link)

    def nat_forgets(self, link: Link) -> None:
        """The NAT of the interface forgets every mapping and gives other ports from now on.

        That of a shared network stands at the network's side WAN.

        Raises:
            UsageError: there is no NAT.
        """
        guards = [guard for (at, _), guard in self._guards.items() if at == link]
        if link in self._doors:
            guards.append(self._doors[link])
        if not guards:
            raise UsageError(f"There is no NAT at {link}.")
        for guard in guards:
            guard.forget()

    def send(
        self, host: str, local: LocalSocket, remote: SocketAddress, data: bytes, now: float
    ) -> None:
        """A host sends a datagram from its socket `local` to `remote`.

        Raises:
            UsageError: the host has no such interface, or another address on it.
        """
        link = Link(host, local.interface)
        if self._hosts.get((link, local.family)) != local.host:
            raise UsageError(f"{host} has no address {local.host} on {local.interface}.")
        source = local.address
        if (guard := self._guards.get((link, local.family))) and self.links.is_up(link):
            source = guard.outbound(source, remote, now)
        datagram = _Datagram(source, remote, data)
        self.links.depart(link, remote.host, datagram, now, datagram.size)

    def deliver(self, now: float) -> list[Arrival]:
        """Every datagram that has reached a socket by `now`, in the order of arrival."""
        arrivals = []
        while flights := self.links.arrive(now):
            for flight in flights:
                if Link(flight.target.host, WAN) in self._doors:
                    self._pass_on(flight)
                elif (arrival := self._take_in(flight)) is not None:
                    arrivals.append(arrival)
        return arrivals

    def _take_in(self, flight: Flight[_Datagram]) -> Arrival | None:
        """A packet reached a host's own NAT, or the host itself."""
        link, datagram = flight.target, flight.cargo
        reached: SocketAddress | None = datagram.destination
        if guard := self._guards.get((link, datagram.destination.family)):
            reached = guard.inbound(*datagram.addresses, flight.time)
        if reached is None:
            self.tallies[Tally(flight.source, link, "refused")] += 1
            return None
        local = LocalSocket(reached.host, reached.port, link.interface)
        return Arrival(link.host, local, datagram.source, datagram.data)

    def _pass_on(self, flight: Flight[_Datagram]) -> None:
        """A packet reached the NAT of a shared network, from outside or inside."""
        datagram, time = flight.cargo, flight.time
        inside, outside = Link(flight.target.host, LAN), Link(flight.target.host, WAN)
        nat = self._doors[outside]
        reached: SocketAddress | None = None
        if flight.target == outside:
            reached = nat.inbound(*datagram.addresses, time)
        elif datagram.destination.host != nat.public_host:
            source = nat.outbound(datagram.source, datagram.destination, time)
            leaving = datagram.comes(source)
            self.links.depart(outside, datagram.destination.host, leaving, time, datagram.size)
            return
        elif nat.kind.hairpins:  # the other inside sees the public address (RFC 4787, REQ-9)
            datagram = datagram.comes(nat.outbound(datagram.source, datagram.destination, time))
            reached = nat.inbound(*datagram.addresses, time)
        if reached is None:
            self.tallies[Tally(flight.source, flight.target, "refused")] += 1
            return
        datagram = datagram._replace(destination=reached)
        self.links.depart(inside, reached.host, datagram, time, datagram.size)
