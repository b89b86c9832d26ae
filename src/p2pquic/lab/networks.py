"""How a world looks: hosts, their interfaces, the networks these stand in, and every address.

    mover   --- wlan0 --- NAT ---+
            --- rmnet0 -- NAT ---+--- internet ---+--- eth0 --- server
    other   --- eth0 ---- NAT ---+

All delay sits in the access links, and in the NATs of networks that hosts share; the core between
them costs nothing, so a one-way path is the sum of two access delays. Plain data: what happens in
such a world is in `scenarios`, and how one is built neither of them knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from p2pquic.core.errors import UsageError

QUEUE = 0.100  # seconds of its rate that a link keeps waiting: usual for access networks

MOVER, OTHER, SERVER = "mover", "other", "server"  # the names of the three hosts
WAN, LAN = "wan", "lan"  # the two sides of a shared network's NAT

Families = Literal["IPv4", "IPv6", "both"]  # of IP that an access network carries
Dependence = Literal["endpoint-independent", "address-dependent", "address-and-port-dependent"]


@dataclass(frozen=True, slots=True)
class Nat:
    """A kind of NAT in the terms of RFC 4787: which part of the remote address it looks at.

    `mapping` (section 4.1) decides when two flows share a public port, `filtering` (section 5)
    who may answer. `lifetime` is how long, in seconds, a silent mapping is remembered: the RFC
    asks for two minutes, the field gives about thirty seconds. Who `hairpins` (section 6) lets two
    insides of its own reach each other by their public addresses.
    """

    mapping: Dependence
    filtering: Dependence
    port_preservation: bool = True
    lifetime: float = 30.0
    hairpins: bool = False


PORT_RESTRICTED = Nat("endpoint-independent", "address-and-port-dependent")
SYMMETRIC = Nat("address-and-port-dependent", "address-and-port-dependent", port_preservation=False)
FULL_CONE = Nat("endpoint-independent", "endpoint-independent")


@dataclass(frozen=True, slots=True)
class Network:
    """A network of private addresses that interfaces share by naming it, and the NAT to outside.

    `behind` is the network in which that NAT stands, None the internet; `delay` the seconds from
    here to there, one way.

        phone   wlan0 --+
                        +-- Network("home") --- Network("carrier") --- internet
        laptop  eth0  --+
    """

    name: str
    nat: Nat
    delay: float = 0.0
    behind: Network | None = None


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface and the access network behind it; times in seconds, one way.

    `nat` is a NAT of its own; without one the IPv4 address is public, or of the shared `network` in
    which it stands. With one, it is the NAT that stands there. IPv6 has no NAT; with `firewall` a
    router lets in only what answers, as home routers and cellular networks do (RFC 6092). Each
    packet waits `delay` plus a uniform share of `jitter`, so packets pass one another only where
    jitter is asked for; `loss` is a probability per packet. A
    link of `rate` bits per second, each way, makes who comes while it is busy wait, and drops who
    would wait longer than `queue`; None is no limit.
    """

    name: str
    delay: float
    nat: Nat | None
    jitter: float = 0.0
    loss: float = 0.0
    network: Network | None = None
    families: Families = "IPv4"
    firewall: bool = True
    rate: float | None = None
    queue: float = QUEUE

    @property
    def networks(self) -> tuple[Network, ...]:
        """The shared networks around it, from the inside out."""
        around: list[Network] = []
        network = self.network
        while network is not None:
            around.append(network)
            network = network.behind
        return tuple(around)

    @property
    def has_ipv4(self) -> bool:
        return self.families != "IPv6"

    @property
    def has_ipv6(self) -> bool:
        return self.families != "IPv4"

    def guard(self, family: int) -> Nat | None:
        """What stands before its address of this family, in the terms of a NAT."""
        if family == 4:
            return self.nat
        return PORT_RESTRICTED if self.firewall else None


WIFI = Interface("wlan0", delay=0.010, nat=PORT_RESTRICTED)
CELLULAR = Interface("rmnet0", delay=0.025, nat=PORT_RESTRICTED)
HOME = Interface("eth0", delay=0.010, nat=PORT_RESTRICTED)
DATA_CENTRE = Interface("eth0", delay=0.005, nat=None, firewall=False)


@dataclass(frozen=True, slots=True)
class Host:
    """A machine and its interfaces, preferred first."""

    name: str
    interfaces: tuple[Interface, ...]


class Link(NamedTuple):
    """The access link of one interface of one host: what goes up and down and is counted."""

    host: str
    interface: str

    def __str__(self) -> str:
        return f"{self.host}/{self.interface}"


class Access(NamedTuple):
    """Where an interface stands: the host's own address there, its gateway, its face outside.

    `segment` is the shared network of that face; "" is the internet. `address` equals `public`
    where there is no NAT of its own, and there is no gateway on the internet.
    """

    address: str
    gateway: str | None
    public: str
    segment: str = ""


@dataclass(frozen=True, slots=True)
class Topology:
    """The three hosts of a call, each under its own name. The mover has somewhere to move to.

    `guests` are further other sides in the same room, with every interface up; `more_servers`
    further servers that peers are told of.
    """

    mover: Host = Host(MOVER, (WIFI, CELLULAR))
    other: Host = Host(OTHER, (HOME,))
    server: Host = Host(SERVER, (DATA_CENTRE,))
    guests: tuple[Host, ...] = ()
    more_servers: tuple[Host, ...] = ()

    @property
    def hosts(self) -> tuple[Host, ...]:
        return (self.mover, self.other, self.server, *self.guests, *self.more_servers)

    @property
    def servers(self) -> tuple[Host, ...]:
        """That peers are told of."""
        return (self.server, *self.more_servers)

    @property
    def others(self) -> tuple[Host, ...]:
        """With whom the mover talks."""
        return (self.other, *self.guests)

    @property
    def peers(self) -> tuple[Host, ...]:
        return (self.mover, *self.others)

    @property
    def interfaces(self) -> dict[Link, Interface]:
        """Every access link of the world."""
        return {Link(host.name, each.name): each for host in self.hosts for each in host.interfaces}

    @property
    def networks(self) -> tuple[Network, ...]:
        """Every shared network of the world, the outer ones first."""
        chains = (reversed(each.networks) for each in self.interfaces.values())
        return tuple(dict.fromkeys(network for chain in chains for network in chain))

    @property
    def links(self) -> dict[Link, Interface]:
        """All that carries packets: access links, and both sides of each shared network's NAT."""
        links = self.interfaces
        for network in self.networks:
            links[Link(network.name, WAN)] = Interface(WAN, network.delay, None)
            links[Link(network.name, LAN)] = Interface(LAN, 0.0, None)
        return links

    def delay(self, one: Link, other: Link) -> float:
        """Seconds one way between two interfaces: up to the network they share, and down again."""
        ends = self.interfaces[one], self.interfaces[other]
        shared = set(ends[0].networks) & set(ends[1].networks)
        ways = (network for end in ends for network in end.networks if network not in shared)
        return ends[0].delay + ends[1].delay + sum(network.delay for network in ways)

    @property
    def accesses(self) -> dict[Link, Access]:
        """The addresses of every one of `links`, the same in both worlds.

        Every access network has a subnet of its own: public faces come from 198.51.100.0/24
        (RFC 5737, for documentation), so that no packet could mean a real machine.
        """
        interfaces, networks = self.interfaces, self.networks
        subnets = {each.name: len(interfaces) + n for n, each in enumerate(networks, start=1)}
        accesses = {
            link: _access(number, each, subnets)
            for number, (link, each) in enumerate(interfaces.items(), start=1)
        }
        for network in networks:
            number = subnets[network.name]
            door = Interface(WAN, network.delay, network.nat, network=network.behind)
            accesses[Link(network.name, WAN)] = _access(number, door, subnets)
            gateway = f"192.168.{number}.1"
            accesses[Link(network.name, LAN)] = Access(gateway, None, gateway, network.name)
        return accesses

    @property
    def ipv6_accesses(self) -> dict[Link, Access]:
        """The IPv6 addresses of every link that has one, of 2001:db8::/32 (RFC 3849).

        A gateway only where there is a firewall, or a NAT for the other family, to be one.
        """
        return {
            link: _ipv6_access(number, has_router=each.nat is not None or each.firewall)
            for number, (link, each) in enumerate(self.interfaces.items(), start=1)
            if each.has_ipv6
        }


def _ipv6_access(number: int, *, has_router: bool) -> Access:
    address = f"2001:db8:{number:x}::2"
    return Access(address, f"2001:db8:{number:x}::1" if has_router else None, address)


def next_address(access: Access) -> Access:
    """The same with the address after it in the network of the interface.

    Raises:
        UsageError: it has no network of its own; there is no NAT.
    """
    if access.gateway is None:
        raise UsageError(f"The public address {access.address} cannot be replaced by another.")
    network, _, number = access.address.rpartition(".")
    return access._replace(address=f"{network}.{int(number) + 1}")


def _access(number: int, interface: Interface, subnets: Mapping[str, int]) -> Access:
    """The addresses of interface `number`, where each shared network has its number as well."""
    if interface.network is None:
        public, gateway, segment = f"198.51.100.{number}", None, ""
    else:
        segment = interface.network.name
        subnet = f"192.168.{subnets[segment]}"
        public, gateway = f"{subnet}.{number + 1}", f"{subnet}.1"
    if interface.nat is None:
        return Access(public, gateway, public, segment)
    return Access(f"192.168.{number}.2", f"192.168.{number}.1", public, segment)
