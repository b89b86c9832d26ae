"""Random worlds: a whole scenario, drawn from one integer.

seed --> topology (NATs, delays, jitter, loss) + changes + resilience = World --> a file, a run

A world is plain data. What no person would write down is the point: changes on top of changes,
silent ones beside announced ones, at both ends, behind every pair of NAT kinds. Changes are drawn
so that they mean something: only what is up goes down, only what is dead recovers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Literal, get_args

from p2pquic.core.events import Resilience
from p2pquic.lab.nat import can_punch
from p2pquic.lab.networks import (
    FULL_CONE,
    MOVER,
    OTHER,
    PORT_RESTRICTED,
    SERVER,
    SYMMETRIC,
    Host,
    Interface,
    Link,
    Nat,
    Topology,
)
from p2pquic.lab.scenarios import Change, ChangeKind, Move, Scenario

NATS: dict[str, Nat | None] = {
    "public": None,
    "full cone": FULL_CONE,
    "address-restricted": Nat("endpoint-independent", "address-dependent"),
    "port-restricted": PORT_RESTRICTED,
    "port-restricted, other ports": Nat(
        "endpoint-independent", "address-and-port-dependent", port_preservation=False
    ),
    "address-dependent": Nat("address-dependent", "address-dependent", port_preservation=False),
    "symmetric": SYMMETRIC,
}
NAT_NAMES: dict[Nat | None, str] = {nat: name for name, nat in NATS.items()}

MOST_CHANGES = 10
LONG_SPAN = 6.0  # seconds in which the changes fall; with start, settling and end some 10 s
SHORT_SPAN = 2.5  # the same for worlds that must be cheap
SETTLE = 1.5  # seconds; the slowest punch is over, and the oracle knows its way round
AFTERMATH = 2.0  # seconds after the last change: what has to come back is back by then
SHORTEST_WAIT = 0.021  # seconds between two changes: more than a frame, so their order is sure
DELAYS = (0.001, 0.300)  # seconds one way from end to end; each access has a part of it
USUAL_DELAY = 0.025  # seconds of an access, about which delays scatter by powers of ten
MOST_LOSS = 0.025  # of a packet on one access link, so at most 5 % from end to end
MOST_JITTER = 0.020  # seconds; a whole frame

Palette = Literal["announced", "silent", "mixed"]
_ANNOUNCED: frozenset[ChangeKind] = frozenset({"interface_down", "interface_up"})
_NEVER_RANDOM: frozenset[ChangeKind] = frozenset(
    {"address_replaced", "interface_preferred", "server_dies"}
)
RANDOM_KINDS: frozenset[ChangeKind] = frozenset(get_args(ChangeKind)) - _NEVER_RANDOM
_PALETTES: dict[Palette, frozenset[ChangeKind]] = {
    "announced": _ANNOUNCED,
    "silent": RANDOM_KINDS - _ANNOUNCED,
    "mixed": RANDOM_KINDS,
}


@dataclass(frozen=True, slots=True)
class World:
    """A scenario with all that a run of it needs; the content of a scenario file."""

    scenario: Scenario
    seed: int
    resilience: Resilience


def random_world(seed: int, span: float = LONG_SPAN) -> World:
    """The world of a seed; its changes fall within `span` seconds."""
    random = Random(seed)
    topology = _topology(random)
    up = frozenset(
        link for host in (topology.mover, topology.other) for link in _links_up(host, random)
    ) | {Link(SERVER, topology.server.interfaces[0].name)}
    changes = _changes(topology, up, span, random)
    scenario = Scenario(
        name=f"world-{seed}",
        summary=f"Random world {seed} of {len(changes)} changes.",
        topology=topology,
        mover_up=_names(up, MOVER),
        other_up=_names(up, OTHER),
        moves=(Move(0.0, changes),) if changes else (),
        mover_role=random.choices(("both", "sender", "receiver"), (4, 1, 1))[0],
        mover_quic_role=random.choice(("client", "server")),
        settles_on="direct" if has_direct_path(topology, up) else "relay",
        stagger=random.choice((0.0, random.uniform(0.0, 0.5))),
        settle=SETTLE,
        aftermath=AFTERMATH,
    )
    resilience = random.choices(get_args(Resilience), (1, 3, 1))[0]
    return World(scenario, seed, resilience)


def has_direct_path(topology: Topology, up: frozenset[Link]) -> bool:
    """Whether any pair of living interfaces allows one."""
    interfaces = topology.interfaces
    mine, others = (
        [interfaces[link].nat for link in up if link.host == host] for host in (MOVER, OTHER)
    )
    return any(can_punch(one, other) for one in mine for other in others)


# ---- topology --------------------------------------------------------------------------------


def _topology(random: Random) -> Topology:
    """Half of all worlds lose nothing, and half shake nothing: there the checks are sharpest."""
    loss = random.choice((0.0, random.uniform(0.0, MOST_LOSS)))
    jitter = random.choice((0.0, random.uniform(0.0, MOST_JITTER)))

    def interface(name: str, nat: Nat | None) -> Interface:
        return Interface(
            name,
            delay=_delay(random),
            nat=nat,
            jitter=round(random.uniform(0.0, jitter), 4),
            loss=round(random.uniform(0.0, loss), 4),
        )

    def peer(name: str, names: tuple[str, ...]) -> Host:
        count = random.choice((1, 2))
        kinds = random.choices(tuple(NATS.values()), k=count)
        return Host(name, tuple(map(interface, names, kinds)))

    return Topology(
        mover=peer(MOVER, ("wlan0", "rmnet0")),
        other=peer(OTHER, ("eth0", "wlan1")),
        server=Host(SERVER, (Interface("eth0", min(_delay(random), 0.050), None),)),
    )


def _delay(random: Random) -> float:
    """Of one access, in seconds: mostly tens of milliseconds, sometimes a satellite's."""
    least, most = (delay / 2 for delay in DELAYS)
    drawn = USUAL_DELAY * math.exp(random.gauss(0.0, 0.9))
    return round(min(most, max(least, drawn)), 4)


def _links_up(host: Host, random: Random) -> list[Link]:
    links = [Link(host.name, each.name) for each in host.interfaces]
    return links if random.random() < 0.5 else [random.choice(links)]


def _names(up: frozenset[Link], host: str) -> tuple[str, ...]:
    return tuple(sorted(link.interface for link in up if link.host == host))


# ---- changes ---------------------------------------------------------------------------------


@dataclass
class _State:
    """What has happened so far, so that the next change means something."""

    topology: Topology
    up: set[Link]
    dead: set[Link] = field(default_factory=set)
    dead_ways: set[tuple[Link, Link]] = field(default_factory=set)

    def possible(self) -> list[tuple[ChangeKind, Link, Link | None]]:
        """Every change that would change something."""
        found: list[tuple[ChangeKind, Link, Link | None]] = []
        for link, interface in self.topology.interfaces.items():
            if link.host != SERVER:
                found.append(("interface_down" if link in self.up else "interface_up", link, None))
            if link in self.up:
                found.append(("link_recovers" if link in self.dead else "link_dies", link, None))
                found += [
                    ("way_recovers" if (link, far) in self.dead_ways else "way_dies", link, far)
                    for far in self.topology.interfaces
                    if far.host != link.host and far in self.up
                ]
                if interface.nat is not None:
                    found.append(("nat_forgets", link, None))
        return found

    def make(self, kind: ChangeKind, link: Link, far: Link | None) -> None:
        """Remember a change."""
        match kind:
            case "interface_down":
                self.up.discard(link)
            case "interface_up":
                self.up.add(link)
            case "link_dies":
                self.dead.add(link)
            case "link_recovers":
                self.dead.discard(link)
            case "way_dies" if far is not None:
                self.dead_ways.add((link, far))
            case "way_recovers" if far is not None:
                self.dead_ways.discard((link, far))


def _changes(
    topology: Topology, up: frozenset[Link], span: float, random: Random
) -> tuple[Change, ...]:
    palette = _PALETTES[random.choice(get_args(Palette))]
    count = min(MOST_CHANGES, 1 + int(random.expovariate(0.3)))
    waits = [random.expovariate(1.0) for _ in range(count)]
    scale = min(1.5, span / sum(waits))  # of few changes none comes too late
    state = _State(topology, set(up))
    changes: list[Change] = []
    at = 0.0
    for wait in waits:
        possible = [each for each in state.possible() if each[0] in palette]
        if not possible:
            break
        kind = random.choice(sorted({each[0] for each in possible}))
        kind, link, far = random.choices(
            *zip(*((each, _weight(each[1])) for each in possible if each[0] == kind), strict=True)
        )[0]
        state.make(kind, link, far)
        at = round(at + (max(SHORTEST_WAIT, wait * scale) if changes else 0.0), 4)
        changes.append(Change(at, kind, link.interface, link.host, far))
    return tuple(changes)


def _weight(link: Link) -> float:
    """Servers seldom lose their network."""
    return 0.3 if link.host == SERVER else 1.0
