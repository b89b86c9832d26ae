"""Two engines on a virtual clock, joined by links that tests take up and down.

The ends are `client` and `server`; each knows a path by its own address, and `join` says which
two addresses are the two sides of one way through the world.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TypeVar

from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.path import DirectPath, PathAddress, RelayPath
from p2pquic.quic import events
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.frames import AddressDiscovery
from p2pquic.quic.identity import Identity

T = TypeVar("T")

FRAME = 0.02  # seconds between audio frames
TIMER_SLACK = 1e-6  # timers fire a microsecond late: sums of floats round


def direct(own: str, other: str) -> DirectPath:
    """A direct path between two made-up hosts, seen from the first."""
    return DirectPath(LocalSocket(own, 1000, own), SocketAddress(other, 1000))


def relay() -> RelayPath:
    """The relay path, which both ends call the same."""
    return RelayPath(b"session1", ServerAddress.of(SocketAddress("server", 1)))


@dataclass
class End:
    """One engine and what it told us."""

    connection: MultipathConnection
    events: list[events.ConnectionEvent] = field(default_factory=list)
    arrivals: list[tuple[float, bytes, PathAddress]] = field(default_factory=list)

    def seen(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


class Pair:
    """The two ends and the world between them."""

    def __init__(
        self,
        *,
        client_discovery: AddressDiscovery | None = None,
        server_discovery: AddressDiscovery | None = None,
        connect: bool = True,
    ) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._air: list[tuple[float, int, End, bytes, PathAddress]] = []
        self._ways: dict[tuple[int, PathAddress], tuple[End, PathAddress, float]] = {}
        self.sent: list[tuple[float, End, PathAddress, int]] = []
        client_identity, server_identity = Identity.generate(), Identity.generate()
        self.client = End(
            MultipathConnection(
                ConnectionConfig(
                    client_identity, server_identity.key_hash.__eq__, "test", client_discovery
                )
            )
        )
        self.server = End(
            MultipathConnection(
                ConnectionConfig(
                    server_identity, client_identity.key_hash.__eq__, "test", server_discovery
                ),
                self.client.connection.original_destination_connection_id,
            )
        )
        if connect:
            self.join(relay(), relay(), delay=0.03)
            self.client.connection.connect(relay(), self.now)
            self.run(0.5)

    def other(self, end: End) -> End:
        return self.server if end is self.client else self.client

    def join(self, client_path: PathAddress, server_path: PathAddress, delay: float) -> None:
        """What the client sends on `client_path` arrives on `server_path`, and back."""
        self._ways[id(self.client), client_path] = (self.server, server_path, delay)
        self._ways[id(self.server), server_path] = (self.client, client_path, delay)

    def cut(self, end: End, path: PathAddress) -> None:
        """What `end` sends on `path` from now on gets lost."""
        self._ways.pop((id(end), path), None)

    def cut_both(self, path: PathAddress) -> None:
        """Lose a way, named by the client's side, in both directions."""
        way = self._ways.pop((id(self.client), path), None)
        if way is not None:
            self._ways.pop((id(self.server), way[1]), None)

    def step(self, end: End) -> None:
        """Let an end say what it has to say."""
        for event in end.connection.poll():
            end.events.append(event)
            if isinstance(event, events.DatagramArrived):
                end.arrivals.append((self.now, event.data, event.path))
        for data, path in end.connection.datagrams_to_send(self.now):
            self.sent.append((self.now, end, path, len(data)))
            if (way := self._ways.get((id(end), path))) is not None:
                receiver, arrival_path, delay = way
                heapq.heappush(
                    self._air, (self.now + delay, next(self._order), receiver, data, arrival_path)
                )

    def run(self, until: float) -> None:
        """Let virtual time pass."""
        self.step(self.client)
        self.step(self.server)
        for _ in range(200_000):
            timers = [
                (at + TIMER_SLACK, end)
                for end in (self.client, self.server)
                if (at := end.connection.get_timer()) is not None
            ]
            timer_at, end = min(timers, key=lambda timer: timer[0], default=(until + 1, None))
            arrival_at = self._air[0][0] if self._air else until + 1
            if min(timer_at, arrival_at) > until:
                self.now = until
                return
            if arrival_at <= timer_at:
                self.now, _, end, data, path = heapq.heappop(self._air)
                end.connection.receive_datagram(data, path, self.now)
            else:
                assert end is not None
                self.now = max(self.now, timer_at)
                end.connection.handle_timer(self.now)
            self.step(end)
        raise AssertionError("the engines never come to rest")

    def talk(self, end: End, path: PathAddress | None, frames: int, first: int = 0) -> None:
        """Send one frame every 20 ms on a path (None: the selected one at that time)."""
        for number in range(first, first + frames):
            chosen = path or end.connection.selected
            assert chosen is not None
            end.connection.send_datagram(b"%4d" % number * 43, number, chosen, self.now)
            self.run(self.now + FRAME)
