"""One firewall before IPv6, two worlds: only who was spoken to gets in, nothing is translated."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from random import Random
from typing import Protocol

import pytest

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.lab.namespaces import gain_rights
from p2pquic.lab.networks import PORT_RESTRICTED, Host, Interface, Link, Topology
from p2pquic.lab.topology import KernelWorld
from p2pquic.lab.virtual_internet import VirtualInternet

pytestmark = [pytest.mark.lab, pytest.mark.slow]

NOTHING = 0.1  # seconds after which what has not arrived will not
TOPOLOGY = Topology(
    Host("mover", (Interface("wlan0", 0.001, PORT_RESTRICTED, families="IPv6"),)),
    Host("other", (Interface("eth0", 0.001, None, families="IPv6", firewall=False),)),
    Host("server", (Interface("eth0", 0.001, None, families="IPv6", firewall=False),)),
)
Endpoint = tuple[Link, SocketAddress]


def endpoint(host: str, interface: str, port: int) -> Endpoint:
    link = Link(host, interface)
    return link, SocketAddress(TOPOLOGY.ipv6_accesses[link].address, port)


INSIDE = endpoint("mover", "wlan0", 5000)
STRANGER = endpoint("other", "eth0", 6000)
SERVER = endpoint("server", "eth0", 443)


class World(Protocol):
    """Where datagrams of one byte are sent."""

    def send(self, source: Endpoint, destination: Endpoint) -> None: ...

    def sender_seen_by(self, target: Endpoint) -> SocketAddress | None: ...

    def nat_forgets(self, link: Link) -> object: ...


class Simulated:
    """The world of the simulator."""

    def __init__(self, _: ExitStack) -> None:
        self._internet = VirtualInternet(TOPOLOGY, TOPOLOGY.interfaces, Random(7))
        self._now = 0.0
        self.nat_forgets = self._internet.nat_forgets

    def send(self, source: Endpoint, destination: Endpoint) -> None:
        link, address = source
        local = LocalSocket(*address, link.interface)
        self._internet.send(link.host, local, destination[1], b"x", self._now)

    def sender_seen_by(self, target: Endpoint) -> SocketAddress | None:
        self._now += NOTHING
        arrivals = self._internet.deliver(self._now)
        return next((each.remote for each in arrivals if each.host == target[0].host), None)


class Kernel:
    """The world of the lab."""

    def __init__(self, stack: ExitStack) -> None:
        world = stack.enter_context(KernelWorld(TOPOLOGY, TOPOLOGY.interfaces, seed=7))
        self._sockets = {}
        for link, address in (INSIDE, STRANGER, SERVER):
            udp = stack.enter_context(world.host(link.host).call(_open))
            udp.bind(address)
            udp.settimeout(NOTHING)
            self._sockets[link] = udp
        self.nat_forgets = world.nat_forgets

    def send(self, source: Endpoint, destination: Endpoint) -> None:
        self._sockets[source[0]].sendto(b"x", destination[1])

    def sender_seen_by(self, target: Endpoint) -> SocketAddress | None:
        try:
            _, sender = self._sockets[target[0]].recvfrom(16)
        except TimeoutError:
            return None
        return SocketAddress(sender[0], sender[1])


def _open() -> socket.socket:
    return socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)


@pytest.fixture(params=[Simulated, Kernel])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    make: Callable[[ExitStack], World] = request.param
    gain_rights()
    with ExitStack() as stack:
        yield make(stack)


def test_only_who_was_spoken_to_gets_in_and_nobody_after_it_forgot(world: World) -> None:
    world.send(STRANGER, INSIDE)
    assert world.sender_seen_by(INSIDE) is None
    world.send(INSIDE, SERVER)
    assert world.sender_seen_by(SERVER) == INSIDE[1], "it translates nothing"
    world.send(SERVER, INSIDE)
    assert world.sender_seen_by(INSIDE) == SERVER[1]
    world.send(STRANGER, INSIDE)
    assert world.sender_seen_by(INSIDE) is None
    world.nat_forgets(INSIDE[0])
    world.send(SERVER, INSIDE)
    assert world.sender_seen_by(INSIDE) is None
    world.send(INSIDE, STRANGER)
    assert world.sender_seen_by(STRANGER) == INSIDE[1]
    world.send(STRANGER, INSIDE)
    assert world.sender_seen_by(INSIDE) == STRANGER[1], "a punch"
