"""Access links in time: what both worlds of the lab share.

    departs --> line before its link --> delay, jitter, loss --> line before the other --> arrives
                (if that has a rate)                             (if that has a rate)

In the lab the cargo is IP packets of real kernels, in the simulator UDP payloads. Pure: time is
passed in, dice come seeded, and the runner asks `next_time` when to call again.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from random import Random
from typing import Generic, Literal, NamedTuple, TypeVar

from p2pquic.core.errors import UsageError
from p2pquic.lab.bottleneck import Bottleneck
from p2pquic.lab.networks import LAN, WAN, Interface, Link, Topology

Cargo = TypeVar("Cargo")
Fate = Literal["sent", "arrived", "lost", "dropped", "swallowed", "dead", "unroutable", "refused"]


class Tally(NamedTuple):
    """What became of packets from one link to another; `target` None is nowhere.

    "sent" counts all of them and is the sum of the next six once nothing is in the air:
    "arrived" at the far access network, "lost" by the dice, "dropped" from the line before a link
    that is too slow for them, "swallowed" by a link or a way that carries nothing, "dead" at an
    interface that was down (at either end), "unroutable" for want of such an address. Of those
    that arrived a NAT "refused" some; only the simulator can see that.
    """

    source: Link
    target: Link | None
    fate: Fate


class Flight(NamedTuple, Generic[Cargo]):
    """A packet in the air, ordered by arrival and then by departure.

    It arrives at `target`; or, with seconds of its way `left`, at the line before that.
    """

    time: float
    number: int
    source: Link
    target: Link
    cargo: Cargo
    size: int
    left: float | None = None


class AccessLinks(Generic[Cargo]):
    """The access links of a topology and what is in the air on them; `tallies` counts packets."""

    def __init__(self, topology: Topology, links_up: Iterable[Link], random: Random) -> None:
        self._interfaces = topology.links
        self._segment_of = {link: each.segment for link, each in topology.accesses.items()}
        self._link_of = {(at.segment, at.public): link for link, at in topology.accesses.items()}
        self._link_of |= {("", at.public): link for link, at in topology.ipv6_accesses.items()}
        self._way_out = {each.name: Link(each.name, LAN) for each in topology.networks}
        self._up: set[Link] = set()
        self._dead_links: set[Link] = set()
        self._dead_ways: set[tuple[Link, Link]] = set()
        self._random = random
        self._in_the_air: list[Flight[Cargo]] = []
        self._departures = 0
        self._out = _bottlenecks(self._interfaces)
        self._in = _bottlenecks(self._interfaces)
        self.tallies: Counter[Tally] = Counter()
        for network in topology.networks:
            self._up |= {Link(network.name, WAN), Link(network.name, LAN)}
        for link in links_up:
            self.take_up(link)

    @property
    def next_time(self) -> float | None:
        """When to call `arrive`: a packet may have got somewhere; None while none is in the air."""
        return self._in_the_air[0].time if self._in_the_air else None

    def is_up(self, link: Link) -> bool:
        return link in self._up

    def take_up(self, link: Link) -> None:
        """The link is usable.

        Raises:
            UsageError: the topology has no such link.
        """
        self._require(link)
        self._up.add(link)

    def take_down(self, link: Link) -> None:
        """The interface there is gone: what arrives from now on dies.

        Raises:
            UsageError: the topology has no such link.
        """
        self._require(link)
        self._up.discard(link)

    def link_dies(self, link: Link) -> None:
        """The link carries nothing any more, either way; nobody is told.

        Raises:
            UsageError: the topology has no such link.
        """
        self._require(link)
        self._dead_links.add(link)

    def link_recovers(self, link: Link) -> None:
        """The link carries packets again."""
        self._dead_links.discard(link)

    def way_dies(self, source: Link, target: Link) -> None:
        """Nothing passes from `source` to `target` any more; the way back is another.

        Raises:
            UsageError: the topology has no such link.
        """
        self._require(source)
        self._require(target)
        self._dead_ways.add((source, target))

    def way_recovers(self, source: Link, target: Link) -> None:
        """Packets pass from `source` to `target` again."""
        self._dead_ways.discard((source, target))

    def depart(self, source: Link, destination: str, cargo: Cargo, now: float, size: int) -> None:
        """A packet of `size` bytes leaves `source` for `destination`, an address of its network.

        Whatever has no such address there goes to the NAT of that network, if it is a shared one.
        A packet to the address it comes from goes nowhere.
        """
        segment = self._segment_of[source]
        target = self._link_of.get((segment, destination), self._way_out.get(segment))
        self.tallies[Tally(source, target, "sent")] += 1
        if source not in self._up:
            self.tallies[Tally(source, target, "dead")] += 1
            return
        if target is None or target == source:
            self.tallies[Tally(source, target, "unroutable")] += 1
            return
        if self._is_swallowed(source, target):
            self.tallies[Tally(source, target, "swallowed")] += 1
            return
        links = self._interfaces[source], self._interfaces[target]
        if any(self._random.random() < link.loss for link in links):
            self.tallies[Tally(source, target, "lost")] += 1
            return
        leaves = self._out[source].passes_at(size, now) if source in self._out else now
        if leaves is None:
            self.tallies[Tally(source, target, "dropped")] += 1
            return
        first, second = (self._transit(link) for link in links)
        self._departures += 1
        flight = Flight(leaves + first + second, self._departures, source, target, cargo, size)
        if target in self._in:
            flight = flight._replace(time=leaves + first, left=second)
        heapq.heappush(self._in_the_air, flight)

    def arrive(self, now: float) -> list[Flight[Cargo]]:
        """Every packet that has reached a living link by `now`, in the order of arrival."""
        flights = []
        while self._in_the_air and self._in_the_air[0].time <= now:
            flight = heapq.heappop(self._in_the_air)
            if flight.left is not None:
                self._stand_in_line(flight, flight.left)
                continue
            fate = self._fate_on_arrival(flight.source, flight.target)
            self.tallies[Tally(flight.source, flight.target, fate)] += 1
            if fate == "arrived":
                flights.append(flight)
        return flights

    def _stand_in_line(self, flight: Flight[Cargo], left: float) -> None:
        """A packet has reached the line before its target, from where it has `left` to go."""
        leaves = self._in[flight.target].passes_at(flight.size, flight.time)
        if leaves is None:
            self.tallies[Tally(flight.source, flight.target, "dropped")] += 1
        else:
            heapq.heappush(self._in_the_air, flight._replace(time=leaves + left, left=None))

    def _fate_on_arrival(self, source: Link, target: Link) -> Fate:
        if self._is_swallowed(source, target):
            return "swallowed"
        return "arrived" if target in self._up else "dead"

    def _is_swallowed(self, source: Link, target: Link) -> bool:
        return not self._dead_links.isdisjoint((source, target)) or (
            (source, target) in self._dead_ways
        )

    def _require(self, link: Link) -> None:
        if link not in self._interfaces:
            raise UsageError(f"The topology has no link {link}.")

    def _transit(self, link: Interface) -> float:
        """Seconds a packet spends on one access link. No jitter rolls no dice."""
        return link.delay + (self._random.uniform(0.0, link.jitter) if link.jitter else 0.0)


def _bottlenecks(interfaces: Mapping[Link, Interface]) -> dict[Link, Bottleneck]:
    """One for each link that has a rate."""
    return {
        link: Bottleneck(each.rate, each.queue)
        for link, each in interfaces.items()
        if each.rate is not None
    }
