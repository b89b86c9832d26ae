"""One NAT, two worlds: the fake NAT is held to what the kernel's NAT does, and both to RFC 4787.
The same for networks that die where no host can see it.

A lab that cannot be built is a failure and not a skip: without it nothing keeps the fake honest.
"""

from __future__ import annotations

import dataclasses
import select
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from random import Random
from typing import NamedTuple, Protocol

import pytest

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.lab.namespaces import gain_rights
from p2pquic.lab.networks import (
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    Host,
    Interface,
    Link,
    Nat,
    Topology,
)
from p2pquic.lab.topology import KernelWorld
from p2pquic.lab.virtual_internet import VirtualInternet

DELAY = 0.001  # seconds per access link: the contract is about who arrives, not when
NOTHING = 0.100  # seconds after which what has not arrived will not


class Endpoint(NamedTuple):
    """A socket of the contract: one private, three public."""

    link: Link
    address: SocketAddress


KERNELS_OWN = 51000  # a port as a kernel hands them out by itself, which a NAT may want to keep
PRIVATE = Endpoint(Link("mover", "wlan0"), SocketAddress("192.168.1.2", KERNELS_OWN))
STRANGER = Endpoint(Link("other", "eth0"), SocketAddress("198.51.100.2", 6000))
SERVER = Endpoint(Link("server", "eth0"), SocketAddress("198.51.100.3", 443))
SAME_HOST_OTHER_PORT = Endpoint(Link("server", "eth0"), SocketAddress("198.51.100.3", 444))
ENDPOINTS = (PRIVATE, STRANGER, SERVER, SAME_HOST_OTHER_PORT)


class World(Protocol):
    """What the contract needs to do in a world."""

    def send(self, source: Endpoint, destination: SocketAddress) -> None:
        """Send one datagram."""

    def sender_seen_by(self, target: Endpoint) -> SocketAddress | None:
        """Who the next datagram at `target` comes from; None if none comes."""

    def pause(self, seconds: float) -> None:
        """Let time pass."""

    def interface_up(self, link: Link) -> object: ...

    def interface_down(self, link: Link) -> object: ...

    def link_dies(self, link: Link) -> object: ...

    def link_recovers(self, link: Link) -> object: ...

    def way_dies(self, source: Link, target: Link) -> object: ...

    def way_recovers(self, source: Link, target: Link) -> object: ...

    def nat_forgets(self, link: Link) -> object: ...


def topology(nat: Nat) -> Topology:
    return Topology(
        Host("mover", (Interface("wlan0", DELAY, nat),)),
        Host("other", (Interface("eth0", DELAY, None),)),
        Host("server", (Interface("eth0", DELAY, None),)),
    )


class Simulated:
    """The world of the simulator."""

    def __init__(self, world: Topology, endpoints: Iterable[Endpoint] = ENDPOINTS) -> None:
        self._internet = VirtualInternet(world, world.interfaces, Random(7))
        self._now = 0.0
        self._inboxes: dict[SocketAddress, list[SocketAddress]] = {e.address: [] for e in endpoints}
        self.interface_up = self._internet.interface_up
        self.interface_down = self._internet.interface_down
        self.nat_forgets = self._internet.nat_forgets
        links = self._internet.links
        self.link_dies, self.link_recovers = links.link_dies, links.link_recovers
        self.way_dies, self.way_recovers = links.way_dies, links.way_recovers

    def send(self, source: Endpoint, destination: SocketAddress) -> None:
        local = LocalSocket(*source.address, source.link.interface)
        self._internet.send(source.link.host, local, destination, b"x", self._now)

    def sender_seen_by(self, target: Endpoint) -> SocketAddress | None:
        self.pause(NOTHING)
        inbox = self._inboxes[target.address]
        return inbox.pop(0) if inbox else None

    def pause(self, seconds: float) -> None:
        self._now += seconds
        for arrival in self._internet.deliver(self._now):
            self._inboxes[arrival.local.address].append(arrival.remote)


class Kernel:
    """The world of the lab."""

    def __init__(
        self, world: Topology, stack: ExitStack, endpoints: Iterable[Endpoint] = ENDPOINTS
    ) -> None:
        self._world = stack.enter_context(KernelWorld(world, world.interfaces, seed=7))
        self._sockets = {each: stack.enter_context(self._open(each)) for each in endpoints}
        self.interface_up = self._world.interface_up
        self.interface_down = self._world.interface_down
        self.nat_forgets = self._world.nat_forgets
        self.link_dies, self.link_recovers = self._world.link_dies, self._world.link_recovers
        self.way_dies, self.way_recovers = self._world.way_dies, self._world.way_recovers

    def _open(self, endpoint: Endpoint) -> socket.socket:
        machine = self._world.host(endpoint.link.host)
        udp = machine.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(endpoint.address)
        udp.settimeout(NOTHING)
        return udp

    def send(self, source: Endpoint, destination: SocketAddress) -> None:
        self._sockets[source].sendto(b"x", destination)

    def sender_seen_by(self, target: Endpoint) -> SocketAddress | None:
        try:
            _, (host, port) = self._sockets[target].recvfrom(1)
        except TimeoutError:
            return None
        return SocketAddress(host, port)

    def pause(self, seconds: float) -> None:
        select.select([], [], [], seconds)  # a kernel's clock cannot be turned


@contextmanager
def simulated(nat: Nat) -> Iterator[World]:
    yield Simulated(topology(nat))


@contextmanager
def kernel(nat: Nat) -> Iterator[World]:
    gain_rights()
    with ExitStack() as stack:
        yield Kernel(topology(nat), stack)


OpenWorld = Callable[[Nat], AbstractContextManager[World]]


@pytest.fixture(
    params=[simulated, pytest.param(kernel, marks=[pytest.mark.lab, pytest.mark.slow])],
    ids=["simulated", "kernel"],
)
def open_world(request: pytest.FixtureRequest) -> OpenWorld:
    chosen: OpenWorld = request.param
    return chosen


def public_address(world: World, towards: Endpoint) -> SocketAddress:
    """The address `towards` sees when the private socket sends to it."""
    world.send(PRIVATE, towards.address)
    seen = world.sender_seen_by(towards)
    assert seen is not None
    assert seen.host == "198.51.100.1"
    return seen


def reaches_private(world: World, source: Endpoint, public: SocketAddress) -> bool:
    world.send(source, public)
    return world.sender_seen_by(PRIVATE) == source.address


def test_an_endpoint_independent_mapping_keeps_one_public_port(open_world: OpenWorld) -> None:
    with open_world(PORT_RESTRICTED) as world:
        public = public_address(world, SERVER)
        assert public.port == PRIVATE.address.port
        assert public_address(world, SAME_HOST_OTHER_PORT) == public
        assert public_address(world, STRANGER) == public


def test_a_mapping_that_keeps_no_port_number_is_one_for_all_remotes_too(
    open_world: OpenWorld,
) -> None:
    with open_world(dataclasses.replace(PORT_RESTRICTED, port_preservation=False)) as world:
        public = public_address(world, SERVER)
        assert public.port != PRIVATE.address.port
        assert public_address(world, SAME_HOST_OTHER_PORT) == public
        assert public_address(world, STRANGER) == public
        assert reaches_private(world, STRANGER, public)


def test_a_symmetric_mapping_takes_another_port_for_every_remote(open_world: OpenWorld) -> None:
    with open_world(SYMMETRIC) as world:
        ports = {public_address(world, remote).port for remote in ENDPOINTS[1:]}
        assert len(ports) == 3
        assert public_address(world, SERVER) == public_address(world, SERVER)


@pytest.mark.parametrize(
    "nat",
    [PORT_RESTRICTED, SYMMETRIC, dataclasses.replace(PORT_RESTRICTED, port_preservation=False)],
)
def test_only_who_was_spoken_to_may_answer(nat: Nat, open_world: OpenWorld) -> None:
    with open_world(nat) as world:
        public = public_address(world, SERVER)
        assert reaches_private(world, SERVER, public)
        assert not reaches_private(world, SAME_HOST_OTHER_PORT, public)
        assert not reaches_private(world, STRANGER, public)
        assert reaches_private(world, SERVER, public)


def test_a_full_cone_lets_everybody_answer(open_world: OpenWorld) -> None:
    with open_world(FULL_CONE) as world:
        public = public_address(world, SERVER)
        for remote in ENDPOINTS[1:]:
            assert reaches_private(world, remote, public)


@pytest.mark.parametrize("nat", [PORT_RESTRICTED, SYMMETRIC])
def test_unsolicited_packets_are_dropped(nat: Nat, open_world: OpenWorld) -> None:
    with open_world(nat) as world:
        assert not reaches_private(world, STRANGER, SocketAddress("198.51.100.1", KERNELS_OWN))


def test_an_unsolicited_packet_does_not_move_the_mapping_it_came_before(
    open_world: OpenWorld,
) -> None:
    """Else a punch that comes too early would spoil the one that answers it."""
    with open_world(PORT_RESTRICTED) as world:
        public = public_address(world, SERVER)
        assert not reaches_private(world, STRANGER, public)
        assert public_address(world, STRANGER) == public
        assert reaches_private(world, STRANGER, public)


def test_a_mapping_outlives_the_interface_it_was_made_from(open_world: OpenWorld) -> None:
    with open_world(PORT_RESTRICTED) as world:
        public = public_address(world, SERVER)
        world.interface_down(PRIVATE.link)
        assert not reaches_private(world, SERVER, public)
        world.interface_up(PRIVATE.link)
        assert reaches_private(world, SERVER, public)


def test_a_packet_already_on_its_way_survives_the_death_of_its_interface(
    open_world: OpenWorld,
) -> None:
    with open_world(PORT_RESTRICTED) as world:
        world.send(PRIVATE, SERVER.address)
        world.interface_down(PRIVATE.link)
        assert world.sender_seen_by(SERVER) is not None


def test_a_silent_mapping_is_forgotten(open_world: OpenWorld) -> None:
    with open_world(dataclasses.replace(PORT_RESTRICTED, lifetime=1.0)) as world:
        public = public_address(world, SERVER)
        world.pause(0.5)
        assert reaches_private(world, SERVER, public)
        world.pause(1.5)
        assert not reaches_private(world, SERVER, public)


def test_a_nat_does_not_hairpin(open_world: OpenWorld) -> None:
    with open_world(PORT_RESTRICTED) as world:
        public = public_address(world, SERVER)
        world.send(PRIVATE, public)
        assert world.sender_seen_by(PRIVATE) is None


@pytest.mark.parametrize("nat", [PORT_RESTRICTED, SYMMETRIC])
def test_a_nat_that_forgets_refuses_answers_until_it_is_spoken_through_again(
    nat: Nat, open_world: OpenWorld
) -> None:
    with open_world(nat) as world:
        before = public_address(world, SERVER)
        world.nat_forgets(PRIVATE.link)
        assert not reaches_private(world, SERVER, before)
        after = public_address(world, SERVER)
        assert after.port != before.port
        assert not reaches_private(world, SERVER, before)
        assert reaches_private(world, SERVER, after)


def test_what_a_forgetful_nat_gives_anew_is_endpoint_independent_again(
    open_world: OpenWorld,
) -> None:
    with open_world(PORT_RESTRICTED) as world:
        ports = [public_address(world, SERVER).port]
        for _ in range(2):
            world.nat_forgets(PRIVATE.link)
            public = public_address(world, SERVER)
            assert public_address(world, SAME_HOST_OTHER_PORT) == public
            assert public_address(world, STRANGER) == public
            ports.append(public.port)
        assert len(set(ports)) == 3


def test_a_symmetric_nat_stays_symmetric_when_it_forgets(open_world: OpenWorld) -> None:
    with open_world(SYMMETRIC) as world:
        world.nat_forgets(PRIVATE.link)
        assert len({public_address(world, remote).port for remote in ENDPOINTS[1:]}) == 3


def test_a_link_that_dies_carries_nothing_and_forgets_nothing(open_world: OpenWorld) -> None:
    with open_world(PORT_RESTRICTED) as world:
        public = public_address(world, SERVER)
        world.link_dies(PRIVATE.link)
        assert not reaches_private(world, SERVER, public)
        world.send(PRIVATE, SERVER.address)
        assert world.sender_seen_by(SERVER) is None
        world.link_recovers(PRIVATE.link)
        assert reaches_private(world, SERVER, public)
        assert public_address(world, SERVER) == public


def test_a_way_dies_in_one_direction_and_between_two_links_only(open_world: OpenWorld) -> None:
    with open_world(PORT_RESTRICTED) as world:
        public = public_address(world, SERVER)
        world.way_dies(PRIVATE.link, SERVER.link)
        world.send(PRIVATE, SERVER.address)
        assert world.sender_seen_by(SERVER) is None
        assert reaches_private(world, SERVER, public)
        assert public_address(world, STRANGER) == public
        world.way_recovers(PRIVATE.link, SERVER.link)
        assert public_address(world, SERVER) == public
