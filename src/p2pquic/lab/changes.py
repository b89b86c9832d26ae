"""What was done to the interfaces in a run, and the moves it amounts to; the same in both worlds.

wlan0 down ....... rmnet0 up      a move with an outage (break before make)
rmnet0 up ........ wlan0 down     a move with an overlap (make before break)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2pquic.lab.scenarios import ChangeKind, Link


@dataclass(frozen=True, slots=True)
class ChangeMade:
    """A change as it was carried out. It took effect between `start` and `end`.

    For `interface_down` nothing passes after `start`; an interface that came `up` is usable at
    `end`. `outage_ms` (L) is the time that a change which brought a host its only address ended,
    from the `start` of the loss to the `end` of this; 0 for every other change.
    """

    kind: ChangeKind
    host: str
    interface: str
    start: float
    end: float
    outage_ms: float


@dataclass(frozen=True, slots=True)
class MoveMade:
    """One interface replaced another: `gone` died at `down`, `come` is usable from `usable` on.

    Times in seconds. A real kernel takes a moment to take an interface down: what was sent
    between `down` and `down_end` may or may not have left. With an overlap `usable` lies before.
    `returns` says that `come` was in use before: the NATs on its direct path still know it.
    """

    host: str
    gone: str
    come: str
    down: float
    down_end: float
    usable: float
    returns: bool = False

    @property
    def has_overlap(self) -> bool:
        """Make before break."""
        return self.usable < self.down

    @property
    def outage(self) -> float:
        """L: seconds without any usable address."""
        return max(0.0, self.usable - self.down)

    @property
    def moment(self) -> float:
        """When a path is needed and there is one: what a direct path again is counted from."""
        return max(self.down, self.usable)


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


def moves_made(changes: Sequence[ChangeMade]) -> list[MoveMade]:
    """Pair the changes of a host, in order: each interface that went with the one that came."""
    moves: list[MoveMade] = []
    waiting: dict[str, ChangeMade] = {}
    for change in changes:
        first = waiting.get(change.host)
        if first is None or first.kind == change.kind:
            waiting[change.host] = change
            continue
        down, up = (first, change) if first.kind == "interface_down" else (change, first)
        returns = any((each.host, each.gone) == (up.host, up.interface) for each in moves)
        moves.append(
            MoveMade(
                change.host, down.interface, up.interface, down.start, down.end, up.end, returns
            )
        )
        del waiting[change.host]
    return moves
