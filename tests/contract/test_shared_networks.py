"""Networks that two hosts share, NATs in a row, hairpins: the same in both worlds.

phone  wlan0 ---------------+
                            +-- house --+
laptop eth0 --- own NAT ----+           +-- carrier --- server
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from p2pquic.core.addresses import SocketAddress
from p2pquic.lab.namespaces import gain_rights
from p2pquic.lab.networks import (
    LAN,
    MOVER,
    OTHER,
    PORT_RESTRICTED,
    SERVER,
    WAN,
    Host,
    Interface,
    Link,
    Nat,
    Network,
    Topology,
)
from tests.contract.test_nat_contract import DELAY, Endpoint, Kernel, Simulated, World

KEEPING = PORT_RESTRICTED
RENUMBERING = dataclasses.replace(PORT_RESTRICTED, port_preservation=False)
PHONE, LAPTOP, FAR = Link(MOVER, "wlan0"), Link(OTHER, "eth0"), Link(SERVER, "eth0")

OpenWorld = Callable[[Topology], AbstractContextManager[World]]


CARRIER = Network("carrier", RENUMBERING, DELAY)


def topology(nat: Nat = KEEPING, behind: Network | None = CARRIER) -> Topology:
    house = Network("house", nat, DELAY, behind)
    return Topology(
        Host(MOVER, (Interface(PHONE.interface, DELAY, None, network=house),)),
        Host(OTHER, (Interface(LAPTOP.interface, DELAY, PORT_RESTRICTED, network=house),)),
        Host(SERVER, (Interface(FAR.interface, DELAY, None),)),
    )


def endpoints(world: Topology) -> tuple[Endpoint, Endpoint, Endpoint]:
    """The phone, the laptop, the server."""
    ports = ((PHONE, 51000), (LAPTOP, 52000), (FAR, 443))
    phone, laptop, server = (
        Endpoint(link, SocketAddress(world.accesses[link].address, port)) for link, port in ports
    )
    return phone, laptop, server


@contextmanager
def simulated(world: Topology) -> Iterator[World]:
    yield Simulated(world, endpoints(world))


@contextmanager
def kernel(world: Topology) -> Iterator[World]:
    gain_rights()
    with ExitStack() as stack:
        yield Kernel(world, stack, endpoints(world))


@pytest.fixture(
    params=[simulated, pytest.param(kernel, marks=[pytest.mark.lab, pytest.mark.slow])],
    ids=["simulated", "kernel"],
)
def open_world(request: pytest.FixtureRequest) -> OpenWorld:
    chosen: OpenWorld = request.param
    return chosen


def passes(
    world: World, source: Endpoint, address: SocketAddress, to: Endpoint
) -> SocketAddress | None:
    """Who `to` sees when `source` sends to the address; None if nothing comes."""
    world.send(source, address)
    return world.sender_seen_by(to)


def test_two_in_one_network_speak_without_its_nat(open_world: OpenWorld) -> None:
    plan = topology()
    phone, laptop, _ = endpoints(plan)
    with open_world(plan) as world:
        at_router = SocketAddress(plan.accesses[LAPTOP].public, laptop.address.port)
        assert passes(world, phone, at_router, laptop) is None  # the laptop's own NAT
        assert passes(world, laptop, phone.address, phone) == at_router
        assert passes(world, phone, at_router, laptop) == phone.address


def test_two_nats_in_a_row_are_one_to_the_world_and_let_answers_in(open_world: OpenWorld) -> None:
    plan = topology()
    phone, laptop, server = endpoints(plan)
    carrier = plan.accesses[Link("carrier", WAN)].public
    with open_world(plan) as world:
        seen = [passes(world, each, server.address, server) for each in (phone, laptop)]
        assert [each.host for each in seen if each] == [carrier, carrier]
        for each, public in zip((phone, laptop), seen, strict=True):
            assert public is not None
            assert passes(world, server, public, each) == server.address
        stranger = SocketAddress(carrier, 2)
        assert passes(world, server, stranger, phone) is None


def test_what_is_not_of_the_network_leaves_it(open_world: OpenWorld) -> None:
    plan = topology()
    phone, _, server = endpoints(plan)
    inside_only = SocketAddress(plan.accesses[Link("house", LAN)].public, 9)
    with open_world(plan) as world:
        assert passes(world, server, phone.address, phone) is None
        assert passes(world, server, inside_only, phone) is None


@pytest.mark.parametrize("nat", [KEEPING, RENUMBERING], ids=["keeping", "renumbering"])
def test_a_nat_that_hairpins_leads_back_in_who_was_spoken_to(
    nat: Nat, open_world: OpenWorld
) -> None:
    """Both see the public address of the other, and the filter is asked as for anybody else."""
    plan = topology(dataclasses.replace(nat, hairpins=True), behind=None)
    phone, laptop, server = endpoints(plan)
    with open_world(plan) as world:
        a, b = (passes(world, each, server.address, server) for each in (phone, laptop))
        assert a
        assert b
        assert passes(world, laptop, a, phone) is None
        assert passes(world, phone, b, laptop) == a
        assert passes(world, laptop, a, phone) == b


def test_a_nat_that_does_not_hairpin_drops_what_its_insides_send_to_it(
    open_world: OpenWorld,
) -> None:
    plan = topology(behind=None)
    phone, laptop, server = endpoints(plan)
    with open_world(plan) as world:
        a, b = (passes(world, each, server.address, server) for each in (phone, laptop))
        assert a
        assert b
        for _ in range(2):
            assert passes(world, laptop, a, phone) is None
            assert passes(world, phone, b, laptop) is None
