"""Two ends of a QUIC connection in memory, ours or stock, driven alike.

    End --send--> packets --DELAY--> End        and acknowledgements back

The clock is virtual; what is measured is the CPU time of the calls that any driver has to make.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.path import DirectPath
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.events import DatagramArrived
from p2pquic.quic.identity import Identity

DELAY = 0.001  # virtual seconds one way
ACK_PATIENCE = 0.002  # virtual seconds in which any end has acknowledged; stock waits for one
MOST_ROUNDS = 50  # of both ends in turns until a handshake is done
_PATH = DirectPath(LocalSocket("192.0.2.1", 1, "eth0"), SocketAddress("192.0.2.2", 1))


class End(Protocol):
    """What the benchmarks need of an engine."""

    @property
    def is_confirmed(self) -> bool:
        """Whether the handshake is over for this end."""
        ...

    def send(self, payload: bytes, now: float) -> None:
        """Queue a datagram."""
        ...

    def packets(self, now: float) -> list[bytes]:
        """What leaves now."""
        ...

    def receive(self, packet: bytes, now: float) -> int:
        """A packet arrived; gives how many datagrams were in it."""
        ...


class OurEnd:
    """The product's engine."""

    def __init__(self, connection: MultipathConnection) -> None:
        self._connection = connection

    @classmethod
    def pair(cls, client: Identity, server: Identity) -> tuple[OurEnd, OurEnd]:
        """Both ends, each knowing the other's key; the first has begun the handshake."""
        first = MultipathConnection(ConnectionConfig(client, server.key_hash.__eq__, "bench"))
        second = MultipathConnection(
            ConnectionConfig(server, client.key_hash.__eq__, "bench"),
            first.original_destination_connection_id,
        )
        first.connect(_PATH, 0.0)
        return cls(first), cls(second)

    @property
    def is_confirmed(self) -> bool:
        return self._connection.is_confirmed

    def send(self, payload: bytes, now: float) -> None:
        self._connection.send_datagram(payload, None, _PATH, now)

    def packets(self, now: float) -> list[bytes]:
        timer = self._connection.get_timer()
        if timer is not None and timer <= now:
            self._connection.handle_timer(now)
        return [data for data, _ in self._connection.datagrams_to_send(now)]

    def receive(self, packet: bytes, now: float) -> int:
        self._connection.receive_datagram(packet, _PATH, now)
        return sum(isinstance(event, DatagramArrived) for event in self._connection.poll())

    def acknowledge_within(self, seconds: float) -> None:
        """How long an acknowledgement may wait for a datagram to ride on."""
        self._connection.acknowledge_within(seconds)


class EnginePair:
    """Two connected ends."""

    def __init__(self, ends: tuple[End, End]) -> None:
        self.now = 0.0
        self._ends = ends
        self.arrived = 0
        for _ in range(MOST_ROUNDS):
            if all(end.is_confirmed for end in ends):
                break
            self.carry(*ends)
            self.carry(*reversed(ends))
        else:
            raise AssertionError("the handshake never ends")

    def carry(self, source: End, target: End) -> None:
        """What `source` has to say arrives at `target`."""
        packets = source.packets(self.now)
        self.now += DELAY
        for packet in packets:
            self.arrived += target.receive(packet, self.now)

    def rest(self) -> None:
        """Let both ends finish: connection ids, acknowledgements."""
        for _ in range(5):
            self.now += ACK_PATIENCE
            self.carry(*self._ends)
            self.carry(*reversed(self._ends))

    def send_singly(self, payload: bytes, count: int) -> None:
        """One way; every datagram is acknowledged by a packet of its own before the next."""
        client, server = self._ends
        for _ in range(count):
            client.send(payload, self.now)
            self.carry(client, server)
            self.now += ACK_PATIENCE
            self.carry(server, client)

    def send_in_turns(self, payload: bytes, count: int) -> None:
        """Both ways, `count` in all, as in a call: acknowledgements may ride on the next."""
        for number in range(count):
            source, target = self._ends if number % 2 else reversed(self._ends)
            source.send(payload, self.now)
            self.carry(source, target)


MakeEnds = Callable[[], tuple[End, End]]
