"""What was done to the network in a run, and the episodes it amounts to; the same in both worlds.

wlan0 down ....... rmnet0 up      break before make: an outage
rmnet0 up ........ wlan0 down     make before break: an overlap
wlan0 has another address         break before make, of one interface
wlan0's link dies, rmnet0 is up   the same, but nobody says so
a way dies, a NAT forgets         nobody says so, and the interface stays the same
a server dies                     nobody says so, and another relays
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from p2pquic.lab.networks import Link
from p2pquic.lab.scenarios import ChangeKind, Scenario

EpisodeKind = Literal[
    "break before make", "make before break", "link dies", "way dies", "NAT forgets", "server dies"
]

_SILENT: dict[ChangeKind, EpisodeKind] = {
    "link_dies": "link dies",
    "way_dies": "way dies",
    "nat_forgets": "NAT forgets",
    "server_dies": "server dies",
}


@dataclass(frozen=True, slots=True)
class ChangeMade:
    """A change as it was carried out. It took effect between `start` and `end`.

    For `interface_down` nothing passes after `start`; an interface that came `up` is usable at
    `end`. `outage_ms` (L) is the time that a change which brought a host its only address ended,
    from the `start` of the loss to the `end` of this; 0 for every other change. `towards` is the
    far link of a way.
    """

    kind: ChangeKind
    host: str
    interface: str
    start: float
    end: float
    outage_ms: float
    towards: Link | None = None

    @property
    def link(self) -> Link:
        return Link(self.host, self.interface)


@dataclass(frozen=True, slots=True)
class MoveMade:
    """One interface replaced another: `gone` died at `down`, `come` is usable from `usable` on.

    Times in seconds. A real kernel takes a moment to take an interface down: what was sent
    between `down` and `down_end` may or may not have left. With an overlap `usable` lies before;
    it is 0 for an interface that was up from the start. `returns` says that `come` was in use
    before: the NATs on its direct path still know it. Where only what lies behind an interface
    died, `come` is `gone`.
    """

    host: str
    gone: str
    come: str
    down: float
    down_end: float
    usable: float
    returns: bool = False


@dataclass(frozen=True, slots=True)
class Episode:
    """What one `Move` of a scenario amounts to: paths were cut, and a path is possible.

    `moves` says so for each host it happens to. `way` is the way that died, from and to, if it was
    one.
    """

    kind: EpisodeKind
    moves: tuple[MoveMade, ...]
    way: tuple[Link, Link] | None = None

    @property
    def name(self) -> str:
        """For a table: what happened, and where."""
        move = self.moves[0]
        match self.kind:
            case "link dies":
                return f"{move.gone} falls silent"
            case "NAT forgets":
                return f"NAT of {move.gone} forgets"
            case "server dies":
                return f"{move.host} dies"
            case "way dies":
                assert self.way is not None
                return f"no way from {self.way[0]} to {self.way[1]}"
            case _:
                both = "both, " if len(self.moves) > 1 else ""
                return f"{both}{move.gone} to {move.come}"

    @property
    def is_silent(self) -> bool:
        """No kernel says anything."""
        return self.kind in _SILENT.values()

    @property
    def down(self) -> float:
        """The moment of the cut."""
        return min(move.down for move in self.moves)

    @property
    def usable(self) -> float:
        """Since when every host has an interface that will do."""
        return max(move.usable for move in self.moves)

    @property
    def has_overlap(self) -> bool:
        """There is a path at every moment."""
        return self.usable < self.down

    @property
    def outage(self) -> float:
        """L: seconds without any possible path."""
        return max(0.0, self.usable - self.down)

    @property
    def moment(self) -> float:
        """When a path is needed and possible: what a direct path again is counted from."""
        return max(self.down, self.usable)

    def move_of(self, host: str) -> MoveMade | None:
        """What happened to this host."""
        return next((move for move in self.moves if move.host == host), None)


class Outages:
    """Since when a host has had no interface at all."""

    def __init__(self, links_up: Iterable[Link]) -> None:
        self._up = set(links_up)
        self._since: dict[str, float] = {}

    def lost(self, link: Link, start: float) -> None:
        """A link died."""
        self._up.discard(link)
        if not any(each.host == link.host for each in self._up):
            self._since[link.host] = start

    def gained(self, link: Link, end: float) -> float:
        """A link is usable; the seconds of outage that end with it."""
        self._up.add(link)
        return end - self._since.pop(link.host, end)


def episodes(scenario: Scenario, changes: Sequence[ChangeMade]) -> list[Episode]:
    """What happened, one episode per move of the scenario; one that cuts nothing is none."""
    return list(_Chronicle(scenario).tell(changes))


class _Chronicle:
    """Reads the changes of a run in order, and remembers what is up and what was before."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        up = scenario.links_up
        self._usable = {link: 0.0 for link in scenario.topology.interfaces if link in up}
        self._left: set[Link] = set()  # that were in use once

    def tell(self, changes: Sequence[ChangeMade]) -> Iterator[Episode]:
        rest = iter(changes)
        for move in self._scenario.moves:
            made = list(itertools.islice(rest, len(move.changes)))
            episode = self._episode(made)
            if episode is not None:
                yield episode

    def _episode(self, made: Sequence[ChangeMade]) -> Episode | None:
        kind: EpisodeKind | None = None
        moves: dict[str, MoveMade] = {}
        way: tuple[Link, Link] | None = None
        for number, change in enumerate(made):
            later = made[number + 1 :]
            match change.kind:
                case "interface_up":
                    self._usable[change.link] = change.end
                case "interface_down":
                    del self._usable[change.link]
                    come = self._replacement(change, later)
                    if come is not None and change.host not in moves:
                        moves[change.host] = come
                        overlap = come.usable < come.down
                        kind = "make before break" if overlap else "break before make"
                    self._left.add(change.link)
                case "address_replaced":
                    kind = "break before make"
                    moves[change.host] = MoveMade(
                        *change.link, change.interface, change.start, change.end, change.end
                    )
                case "link_dies":
                    kind = _SILENT[change.kind]
                    moves[change.host] = self._silent(change, self._spare(change.link))
                case "way_dies":
                    assert change.towards is not None
                    kind, way = _SILENT[change.kind], (change.link, change.towards)
                    moves[change.host] = self._silent(change, change.link)
                case "nat_forgets" | "server_dies":
                    kind = _SILENT[change.kind]
                    moves[change.host] = self._silent(change, change.link)
        if kind is None:
            return None
        return Episode(kind, tuple(moves.values()), way)

    def _replacement(self, change: ChangeMade, later: Sequence[ChangeMade]) -> MoveMade | None:
        """The interface that is up already, or the first to come; None if there is none."""
        come = self._spare(change.link)
        usable = self._usable.get(come, 0.0)
        if come == change.link:
            up = next(
                (e for e in later if e.host == change.host and e.kind == "interface_up"), None
            )
            if up is None:
                return None
            come, usable = up.link, up.end
        returns = come in self._left
        host, gone = change.link
        return MoveMade(host, gone, come.interface, change.start, change.end, usable, returns)

    def _silent(self, change: ChangeMade, come: Link) -> MoveMade:
        host, gone = change.link
        usable = self._usable[come]
        return MoveMade(host, gone, come.interface, change.start, change.end, usable)

    def _spare(self, link: Link) -> Link:
        """The host's first other interface that is up; the same if there is none."""
        order = self._scenario.topology.interfaces
        up = [each for each in order if each in self._usable and each.host == link.host]
        return next((each for each in up if each != link), link)
