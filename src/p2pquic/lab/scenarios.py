"""Scenarios: a world, who does what in it, and what happens there, as plain data.

    wlan0 is up    wlan0 goes    rmnet0 comes          wlan0 comes   rmnet0 goes
    --- settle ----+-------------+---------------------+-------------+---- aftermath ---> seconds
                   |--- Move ----|                     |--- Move ----|

The simulator (`virtual_internet`, `nat`) and the lab of real kernels (`topology`, `kernel_lab`)
read the same scenario, so a figure from one can be laid beside a figure from the other. The world
itself is described in `networks`, the scenarios with a name are in `catalogue`. Nothing here runs,
rolls dice (but for `timeline`, from a seed) or knows how a world is built.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from p2pquic.core.errors import UsageError
from p2pquic.lab.networks import MOVER, OTHER, Link, Topology

FRAME_CADENCE = 0.020  # seconds between audio frames; a change falls anywhere inside one
OUTAGE = 0.500  # seconds without any address (L): what a phone needs to fall back to cellular
OVERLAP = 2.0  # seconds both networks are up in make-before-break: time to validate, with room
SETTLE = 2.0  # seconds that suffice to prove and warm every path
AFTERMATH = 2.5  # seconds that suffice to see what became of every frame

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
    "address_replaced",  # the interface gets another address in place of the one it had
    "interface_preferred",  # the interface becomes the kernel's first choice; no address changes
    "server_dies",  # the program on the host is killed; no kernel says so
]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happens at an interface, `at` seconds after its move begins.

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

    @property
    def way(self) -> tuple[Link, Link]:
        """From where to where, of a way that dies or recovers."""
        if self.towards is None:
            raise UsageError(f"A change of the kind {self.kind} leads from a link to another.")
        return self.link, self.towards

    @property
    def is_announced(self) -> bool:
        """Whether the host's own kernel notices and says so."""
        return self.kind in (
            "interface_down",
            "interface_up",
            "address_replaced",
            "interface_preferred",
        )


@dataclass(frozen=True, slots=True)
class Move:
    """Changes that belong together, beginning `after` seconds of a settled call.

    Those of one host share a random phase of the frame cadence, so the times between them are
    exact; between two hosts the phases differ. Moves do not overlap.
    """

    after: float
    changes: tuple[Change, ...]


def break_before_make(
    gone: str,
    come: str,
    after: float = 0.0,
    outage: float = OUTAGE,
    hosts: tuple[str, ...] = (MOVER,),
) -> Move:
    """`gone` dies; `outage` seconds later `come` is there; on each of `hosts`."""
    kinds: tuple[tuple[float, ChangeKind, str], ...] = (
        (0.0, "interface_down", gone),
        (outage, "interface_up", come),
    )
    return Move(after, tuple(Change(*each, host) for host in hosts for each in kinds))


def make_before_break(gone: str, come: str, after: float = 0.0, overlap: float = OVERLAP) -> Move:
    """`come` is there `overlap` seconds before `gone` dies."""
    return Move(after, (Change(0.0, "interface_up", come), Change(overlap, "interface_down", gone)))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world, who does what in it, and what happens once the call has settled.

    `mover_up` and `other_up` name the interfaces that are up from the start. The mover starts
    `stagger` seconds after the other side. `settle` seconds pass on the path wanted before the
    first move may begin, and `aftermath` seconds after the last change before the call ends.
    """

    name: str
    summary: str
    topology: Topology = field(default_factory=Topology)
    mover_up: tuple[str, ...] = ("wlan0",)
    other_up: tuple[str, ...] = ("eth0",)
    moves: tuple[Move, ...] = ()
    mover_role: Role = "both"
    mover_quic_role: QuicRole = "any"
    settles_on: Literal["direct", "relay"] = "direct"
    stagger: float = 0.5
    settle: float = SETTLE
    aftermath: float = AFTERMATH

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
        up = {MOVER: self.mover_up, OTHER: self.other_up}
        return frozenset(
            link
            for link in self.topology.interfaces
            if link.host not in up or link.interface in up[link.host]
        )


def timeline(scenario: Scenario, seed: int) -> tuple[Change, ...]:
    """Every change in order, `at` counted from the settled moment.

    Each move begins at its own random phase of the frame cadence: a gap depends on where in a
    frame the cut falls, and a fixed phase would measure one point of that and call it the truth.
    """
    random = Random(seed)
    changes = []
    for move in scenario.moves:
        hosts = dict.fromkeys(change.host for change in move.changes)
        phase = {host: random.uniform(0.0, FRAME_CADENCE) for host in hosts}
        changes += [
            dataclasses.replace(each, at=move.after + phase[each.host] + each.at)
            for each in move.changes
        ]
    return tuple(sorted(changes, key=lambda change: change.at))
