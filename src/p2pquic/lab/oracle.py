"""The oracle: what two ends would have heard that know no rule but to flood every path.

    mover --- bundles on every pair of socket and address --- other     the same VirtualInternet,
      |                                                         |       the same changes at the
      +------------------ a server that forwards ---------------+       same times, no dice

It is none of the product's code: no QUIC, no paths, no policy. What it cannot escape is physics,
and that is the point: an address can be sent to only once news of it has arrived, a NAT lets in
only what its inside asked for, a packet takes its time. Each end sends every 20 ms, and at once
when something happens, from each of its sockets to the server and to every address where the
other end was seen, a *bundle*: all frames young enough to be sent again, and what it hears itself.
The server hands each bundle on, says whom it saw where, and replays the last one (200 ms) to an
address it hears for the first time.

What no kernel announces nobody can know before silence tells. So `lean` and `hedged` ends keep
their bundles on the best way only (once a second without frames on all others), until something
is amiss; then they flood until that is answered. Signs of trouble are these:

* an interface of this end went, or its first one came;
* nothing new was heard for three frames and a margin of 30 ms;
* nothing was acknowledged for a round trip, two frames and the same margin;
* the other end says that one of these is true for it.

One rule it keeps that is not physics but RFC 9000, section 8: to an address from which nobody has
echoed what was sent there, no more goes than came from there allows. A way that lives in one
direction alone, to an address that is new, can prove nothing.

A `lean` end waits another 250 ms in silence, since it must be sure. `hot` ends have their frames
on the two ways that share least. Loss and jitter are left out: what they may cost is the verdict's
to say (`verdict`), and so is the tolerance.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from p2pquic.core.addresses import LocalAddress, LocalSocket
from p2pquic.core.events import Resilience
from p2pquic.lab.flooding import Bundle, FloodingEnd, FloodingServer, Parcel, Source
from p2pquic.lab.networks import MOVER, OTHER, SERVER, Host, Topology
from p2pquic.lab.scenarios import FRAME_CADENCE, Change, Scenario
from p2pquic.lab.virtual_internet import VirtualInternet

WARM_UP = 3.0  # seconds it runs before it counts: every address known, every NAT open
PORT = 40000  # of every socket; each has an address of its own
OTHER_END = {MOVER: OTHER, OTHER: MOVER}

Arrivals = dict[int, float]  # when each frame was heard first


class Heard(NamedTuple):
    """What one end heard of the other: its frames, and when anything of it, be it but a sign."""

    frames: Arrivals
    contacts: Sequence[float]


def ask_the_oracle(
    scenario: Scenario,
    changes: Sequence[Change],
    sources: Mapping[str, Source],
    resilience: Resilience,
    begin: float,
    end: float,
) -> dict[str, Heard]:
    """What each end would have heard of the other between `begin` and `end`.

    `changes` carry times of the clock (`at`), as do `sources`, one for each end that speaks.
    """
    flood = _Flood(scenario, sources, resilience, begin - WARM_UP)
    for change in changes:
        flood.at(change.at, lambda change=change: flood.apply(change))  # type: ignore[misc]
    flood.run_until(end)
    return {name: Heard(end.arrivals, end.contacts) for name, end in flood.ends.items()}


class _Flood:
    """The run: one clock, the virtual internet, two ends and a server."""

    def __init__(
        self,
        scenario: Scenario,
        sources: Mapping[str, Source],
        resilience: Resilience,
        begin: float,
    ) -> None:
        self._now = begin
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._cargo: list[tuple[Bundle, float]] = []  # and when it left, by a datagram's number
        up = scenario.links_up
        self._internet = VirtualInternet(_without_dice(scenario.topology), up, Random(0))
        self._listen = _socket(self._internet.local_addresses(SERVER)[0])
        self._server = FloodingServer(self._listen, MOVER, OTHER)
        self.ends = {
            name: FloodingEnd(
                name,
                self._listen.address,
                resilience,
                sources.get(name),
                listens=OTHER_END[name] in sources,
                began=begin,
            )
            for name in (MOVER, OTHER)
        }
        for name in self.ends:
            self._refresh_sockets(name)
            phase = (sources[name].origin - begin) % FRAME_CADENCE if name in sources else 0.0
            self.at(begin + phase, lambda name=name: self._tick(name))  # type: ignore[misc]

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._agenda, (time, next(self._order), action))

    def run_until(self, end: float) -> None:
        """Let time pass."""
        while True:
            arrival, action = self._internet.next_time, self._agenda[0][0]
            self._now = action if arrival is None else min(arrival, action)
            if self._now > end:
                return
            for each in self._internet.deliver(self._now):
                bundle, sent = self._cargo[int.from_bytes(each.data)]
                if each.host == SERVER:
                    answers = self._server.receive(each.remote, bundle, self._now)
                else:
                    hearer = self.ends[each.host]
                    answers = hearer.receive(each.local, each.remote, bundle, sent, self._now)
                self._post(each.host, answers)
            while self._agenda[0][0] <= self._now:
                heapq.heappop(self._agenda)[2]()

    def apply(self, change: Change) -> None:
        """The same as in `Simulation.apply`; whoever has a kernel that says so hears of it."""
        self._internet.apply(change)
        if change.is_announced:
            self._refresh_sockets(change.host)

    def _refresh_sockets(self, name: str) -> None:
        sockets = [_socket(address) for address in self._internet.local_addresses(name)]
        self._post(name, self.ends[name].set_sockets(sockets, self._now))

    def _tick(self, name: str) -> None:
        self.at(self._now + FRAME_CADENCE, lambda: self._tick(name))
        self._post(name, self.ends[name].tick(self._now))

    def _post(self, host: str, parcels: Sequence[Parcel]) -> None:
        for local, remote, bundle in parcels:
            data = len(self._cargo).to_bytes(8)
            self._cargo.append((bundle, self._now))
            self._internet.send(host, local, remote, data, self._now)


def _socket(address: LocalAddress) -> LocalSocket:
    return LocalSocket(address.host, PORT, address.interface)


def _without_dice(topology: Topology) -> Topology:
    def calm(host: Host) -> Host:
        interfaces = (dataclasses.replace(each, jitter=0.0, loss=0.0) for each in host.interfaces)
        return dataclasses.replace(host, interfaces=tuple(interfaces))

    return Topology(calm(topology.mover), calm(topology.other), calm(topology.server))
