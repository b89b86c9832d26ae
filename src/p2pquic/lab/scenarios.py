"""Scenarios: how a world looks and what happens in it, as plain data for both worlds.

    mover   --- wlan0 --- NAT ---+
            --- rmnet0 -- NAT ---+--- internet ---+--- eth0 --- server
    other   --- eth0 ---- NAT ---+

The simulator (`virtual_internet`, `nat`) and the lab of real kernels (`topology`, `kernel_lab`)
read the same scenario, so a figure from one can be laid beside a figure from the other. All
delay sits in the access links; the core between them costs nothing, so a one-way path is the sum
of two access delays.

Nothing here runs, rolls dice (but for `timeline`, from a seed) or knows how a world is built.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

from p2pquic.core.errors import UsageError

FRAME_CADENCE = 0.020  # seconds between audio frames; a change falls anywhere inside one
OUTAGE = 0.500  # seconds without any address (L): what a phone needs to fall back to cellular
OVERLAP = 2.0  # seconds both networks are up in make-before-break: time to validate, with room

MOVER, OTHER, SERVER = "mover", "other", "server"  # the names of the three hosts

Dependence = Literal["endpoint-independent", "address-dependent", "address-and-port-dependent"]
Role = Literal["sender", "receiver", "both"]
QuicRole = Literal["client", "server", "any"]
ChangeKind = Literal[
    "interface_down",  # the kernel loses link, routes and address, and says so
    "interface_up",
    "link_dies",  # the access network carries nothing, either way; no kernel notices
    "link_recovers",
    "way_dies",  # nothing passes any more from this link towards another; one way only
    "way_recovers",
    "nat_forgets",  # the NAT forgets every mapping and gives other ports from now on
]


@dataclass(frozen=True, slots=True)
class Nat:
    """A kind of NAT in the terms of RFC 4787: which part of the remote address it looks at.

    `mapping` (section 4.1) decides when two flows share a public port, `filtering` (section 5)
    who may answer. `lifetime` is how long, in seconds, a silent mapping is remembered: the RFC
    asks for two minutes, the field gives about thirty seconds.
    """

    mapping: Dependence
    filtering: Dependence
    port_preservation: bool = True
    lifetime: float = 30.0


PORT_RESTRICTED = Nat("endpoint-independent", "address-and-port-dependent")
SYMMETRIC = Nat("address-and-port-dependent", "address-and-port-dependent", port_preservation=False)
FULL_CONE = Nat("endpoint-independent", "endpoint-independent")


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface and the access network behind it; times in seconds, one way.

    `nat` None is a public address. Each packet waits `delay` plus a uniform share of `jitter`, so
    packets pass one another only where jitter is asked for; `loss` is a probability per packet.
    """

    name: str
    delay: float
    nat: Nat | None
    jitter: float = 0.0
    loss: float = 0.0


WIFI = Interface("wlan0", delay=0.010, nat=PORT_RESTRICTED)
CELLULAR = Interface("rmnet0", delay=0.025, nat=PORT_RESTRICTED)
HOME = Interface("eth0", delay=0.010, nat=PORT_RESTRICTED)
DATA_CENTRE = Interface("eth0", delay=0.005, nat=None)


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
    """Where an interface stands: the host's own address there, its gateway, its public face.

    `address` equals `public`, and there is no gateway, where there is no NAT.
    """

    address: str
    gateway: str | None
    public: str


@dataclass(frozen=True, slots=True)
class Topology:
    """The three hosts of a call, each under its own name. The mover has somewhere to move to."""

    mover: Host = Host(MOVER, (WIFI, CELLULAR))
    other: Host = Host(OTHER, (HOME,))
    server: Host = Host(SERVER, (DATA_CENTRE,))

    @property
    def hosts(self) -> tuple[Host, ...]:
        return (self.mover, self.other, self.server)

    @property
    def interfaces(self) -> dict[Link, Interface]:
        """Every access link of the world."""
        return {Link(host.name, each.name): each for host in self.hosts for each in host.interfaces}

    @property
    def accesses(self) -> dict[Link, Access]:
        """The addresses of every link, the same in both worlds.

        Every access network has a subnet of its own: public faces come from 198.51.100.0/24
        (RFC 5737, for documentation), so that no packet could mean a real machine.
        """
        return {
            link: _access(number, each.nat)
            for number, (link, each) in enumerate(self.interfaces.items(), start=1)
        }


def _access(number: int, nat: Nat | None) -> Access:
    public = f"198.51.100.{number}"
    if nat is None:
        return Access(public, None, public)
    return Access(f"192.168.{number}.2", f"192.168.{number}.1", public)


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happens to an interface, `at` seconds after its move begins.

    `towards` is the far link of a way that dies or recovers, and of nothing else.
    """

    at: float
    kind: ChangeKind
    interface: str
    host: str = MOVER
    towards: Link | None = None

    @property
    def link(self) -> Link:
        return Link(self.host, self.interface)


@dataclass(frozen=True, slots=True)
class Move:
    """Changes that belong together, beginning `after` seconds of a settled call.

    They share one random phase of the frame cadence, so the times between them are exact.
    """

    after: float
    changes: tuple[Change, ...]


def break_before_make(gone: str, come: str, after: float = 0.0, outage: float = OUTAGE) -> Move:
    """`gone` dies; `outage` seconds later `come` is there."""
    return Move(after, (Change(0.0, "interface_down", gone), Change(outage, "interface_up", come)))


def make_before_break(gone: str, come: str, after: float = 0.0, overlap: float = OVERLAP) -> Move:
    """`come` is there `overlap` seconds before `gone` dies."""
    return Move(after, (Change(0.0, "interface_up", come), Change(overlap, "interface_down", gone)))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world, who does what in it, and what happens once the call has settled.

    `mover_up` names the mover's interfaces that are up from the start; every other host has all
    of its own. The mover starts `stagger` seconds after the other side. `settle` seconds pass on
    the path wanted before the first move may begin, and `aftermath` seconds after the last change
    before the call ends.
    """

    name: str
    summary: str
    topology: Topology = Topology()
    mover_up: tuple[str, ...] = ("wlan0",)
    moves: tuple[Move, ...] = ()
    mover_role: Role = "both"
    mover_quic_role: QuicRole = "any"
    settles_on: Literal["direct", "relay"] = "direct"
    stagger: float = 0.5
    settle: float = 3.0
    aftermath: float = 4.0

    @property
    def other_role(self) -> Role:
        """What the other side does: the counterpart of the mover's role."""
        match self.mover_role:
            case "sender":
                return "receiver"
            case "receiver":
                return "sender"
            case "both":
                return "both"

    @property
    def links_up(self) -> frozenset[Link]:
        """The links that are up when the world begins."""
        return frozenset(
            link
            for link in self.topology.interfaces
            if link.host != MOVER or link.interface in self.mover_up
        )


def timeline(scenario: Scenario, seed: int) -> tuple[Change, ...]:
    """Every change in order, `at` counted from the settled moment.

    Each move begins at its own random phase of the frame cadence: a gap depends on where in a
    frame the cut falls, and a fixed phase would measure one point of that and call it the truth.
    """
    random = Random(seed)
    changes = []
    for move in scenario.moves:
        begin = move.after + random.uniform(0.0, FRAME_CADENCE)
        changes += [dataclasses.replace(each, at=begin + each.at) for each in move.changes]
    return tuple(sorted(changes, key=lambda change: change.at))


def scenario_named(name: str) -> Scenario:
    """Look a scenario up.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in SCENARIOS:
        raise UsageError(f"There is no scenario {name!r}. Choose from: {', '.join(SCENARIOS)}.")
    return SCENARIOS[name]


_WIFI_TO_CELLULAR = break_before_make(gone="wlan0", come="rmnet0")

_ALL = (
    Scenario(
        "break-before-make",
        "Wi-Fi dies, half a second later cellular is there; both sides send and receive.",
        moves=(_WIFI_TO_CELLULAR,),
    ),
    Scenario(
        "break-before-make-sender",
        "The side that only sends changes from Wi-Fi to cellular, half a second apart.",
        moves=(_WIFI_TO_CELLULAR,),
        mover_role="sender",
    ),
    Scenario(
        "break-before-make-receiver",
        "The side that only receives changes from Wi-Fi to cellular, half a second apart.",
        moves=(_WIFI_TO_CELLULAR,),
        mover_role="receiver",
    ),
    Scenario(
        "make-before-break",
        "Cellular comes up two seconds before Wi-Fi dies.",
        moves=(make_before_break(gone="wlan0", come="rmnet0"),),
    ),
    Scenario(
        "relay-only",
        "Symmetric NATs on both sides allow no direct path; Wi-Fi dies, then cellular is there.",
        topology=Topology(
            mover=Host(
                MOVER,
                (
                    dataclasses.replace(WIFI, nat=SYMMETRIC),
                    dataclasses.replace(CELLULAR, nat=SYMMETRIC),
                ),
            ),
            other=Host(OTHER, (dataclasses.replace(HOME, nat=SYMMETRIC),)),
        ),
        moves=(_WIFI_TO_CELLULAR,),
        settles_on="relay",
    ),
    Scenario(
        "wifi-cellular-wifi-twice",
        "To cellular and back, twice, six seconds apart, each time with an outage between.",
        moves=(
            break_before_make(gone="wlan0", come="rmnet0"),
            break_before_make(gone="rmnet0", come="wlan0", after=6.0),
            break_before_make(gone="wlan0", come="rmnet0", after=12.0),
            break_before_make(gone="rmnet0", come="wlan0", after=18.0),
        ),
    ),
    Scenario(
        "other-side-public",
        "Wi-Fi dies, then cellular is there; the other side has a public address.",
        topology=Topology(other=Host(OTHER, (dataclasses.replace(HOME, nat=None),))),
        moves=(_WIFI_TO_CELLULAR,),
    ),
    Scenario(
        "start-together",
        "Both sides start at the same instant and nothing changes: the way to a direct path.",
        stagger=0.0,
    ),
    Scenario(
        "no-change",
        "Nothing happens: what the world itself costs.",
    ),
)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
