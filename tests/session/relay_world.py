"""Two peers, a relay between them, and a network without delay whose clock a test moves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.session.relay_legs import RelayLegs
from p2pquic.session.relay_switch import RelaySwitch

ALICE, BOB = "0a" * 16, "0b" * 16
SECRET = b"the relay's secret: thirty-two b"
UNIX_ORIGIN = 1.8e9  # seconds


def counting_entropy() -> Callable[[int], bytes]:
    """Unpredictable enough for a test: never the same twice."""
    counter = itertools.count(1)
    return lambda size: next(counter).to_bytes(size, "big")


@dataclass
class End:
    """One peer: its half of the session, its open sockets, and what came out for QUIC."""

    world: World
    legs: RelayLegs
    sockets: dict[SocketAddress, LocalSocket] = field(default_factory=dict)
    heard: list[bytes] = field(default_factory=list)

    def opens(self, interface: str, address: str, port: int = 5000) -> LocalSocket:
        """A socket which the relay sees under its own address."""
        socket = LocalSocket(address, port, interface)
        self.sockets[socket.address] = socket
        return socket

    def closes(self, socket: LocalSocket) -> None:
        """What is sent to that socket is lost from now on."""
        del self.sockets[socket.address]

    def selects(self, *sockets: LocalSocket) -> None:
        self.legs.select(sockets)

    def sends(self, packet: bytes) -> None:
        for socket, data in self.legs.wrap(packet):
            self.world.arrives(socket.address, data)

    def announces(self, socket: LocalSocket) -> None:
        self.world.arrives(socket.address, self.legs.announce(socket))

    def receives(self, socket: LocalSocket, data: bytes) -> None:
        received = self.legs.receive(socket, data)
        if received.packet is not None:
            self.heard.append(received.packet)
        for local, reply in received.replies:
            self.world.arrives(local.address, reply)


class World:
    """A session that was just opened; nobody was heard yet."""

    def __init__(self) -> None:
        self.now = 0.0
        self.switch = RelaySwitch(SECRET, counting_entropy(), UNIX_ORIGIN)
        grant_a, grant_b = self.switch.open_session(ALICE, BOB, self.now)
        self.a = End(self, RelayLegs(*grant_a))
        self.b = End(self, RelayLegs(*grant_b))
        self.sent: list[tuple[SocketAddress, bytes]] = []  # all that the relay ever sent

    def arrives(self, source: SocketAddress, data: bytes) -> None:
        """A datagram reaches the relay; what it sends reaches whoever has that address."""
        sends = self.switch.receive(source, data, self.now)
        self.sent += sends
        for address, answer in sends:
            for end in (self.a, self.b):
                if address in end.sockets:
                    end.receives(end.sockets[address], answer)

    def restarts(self) -> None:
        """The server forgets everything but its secret, and its clock starts anew."""
        self.switch = RelaySwitch(SECRET, counting_entropy(), UNIX_ORIGIN + self.now + 1.0)
        self.now = 0.0

    def sent_to(self, address: SocketAddress) -> int:
        """How many datagrams the relay sent there."""
        return sum(1 for to, _ in self.sent if to == address)


def in_a_call() -> World:
    """Both peers have one proven leg and have heard each other."""
    world = World()
    for end, address in ((world.a, "192.0.2.1"), (world.b, "198.51.100.1")):
        wlan = end.opens("wlan0", address)
        end.selects(wlan)
        end.announces(wlan)
    world.a.sends(b"hello b")
    world.b.sends(b"hello a")
    assert world.a.heard == [b"hello a"]
    assert world.b.heard == [b"hello b"]
    world.a.heard.clear()
    world.b.heard.clear()
    world.now = 10.0
    return world
