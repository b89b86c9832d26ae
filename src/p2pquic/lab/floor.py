"""Floors: the shortest gap that physics allows for one move, from the phase it really had.

The gap is between two arrivals: the last frame that could still get through before the move and
the first that could after it. Both follow from when the source's frames were due, when the
interface died and the next was usable, and the one-way delays; nothing of ours is in it. Towards
the mover it is the floor of an answer that takes the way the news of the move came.

                                      down           usable
    mover sends     |----|----|----|---x..............|=> relay or direct
    other hears           |----|----|----|                    |=>      gap = first - last
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from p2pquic.lab.changes import MoveMade
from p2pquic.lab.scenarios import Topology

Direction = Literal["mover to other", "other to mover"]
DIRECTIONS: tuple[Direction, ...] = ("mover to other", "other to mover")


@dataclass(frozen=True, slots=True)
class Delays:
    """One-way delays of a move in seconds, by the interface that goes and the one that comes.

    `server_*` is between mover and intermediate server; `relayed` says that no direct path is
    possible, `needs_no_punch` that one is there at once: the other side is public, or the NATs
    still know the path.
    """

    direct_before: float
    direct_after: float
    server_after: float
    relay_before: float
    relay_after: float
    relayed: bool
    needs_no_punch: bool

    @classmethod
    def of(cls, topology: Topology, move: MoveMade, *, relayed: bool) -> Delays:
        """Read them off a topology."""
        mover = {interface.name: interface.delay for interface in topology.mover.interfaces}
        other, server = topology.other.interfaces[0], topology.server.interfaces[0]
        gone, come = mover[move.gone], mover[move.come]
        beyond = 2 * server.delay + other.delay  # from the mover's access network, by the relay
        return cls(
            direct_before=gone + other.delay,
            direct_after=come + other.delay,
            server_after=come + server.delay,
            relay_before=gone + beyond,
            relay_after=come + beyond,
            relayed=relayed,
            needs_no_punch=other.nat is None or move.returns,
        )

    @property
    def before(self) -> float:
        """Of the path in use before the move."""
        return self.relay_before if self.relayed else self.direct_before

    @property
    def first(self) -> float:
        """Of the first path that can carry a frame from the mover's new address."""
        if self.needs_no_punch and not self.relayed:
            return self.direct_after
        return self.relay_after


def floor(
    direction: Direction, due: Sequence[float], move: MoveMade, delays: Delays
) -> float | None:
    """The shortest possible gap in seconds; None if the source was not running on both sides.

    `due` are the times at which the sender's source produced its frames. Of the sender that does
    not move it is assumed that it learns of the move from the mover alone.
    """
    last = _last_arrival(direction, due, move, delays)
    first = _first_arrival(direction, due, move, delays)
    if last is None or first is None:
        return None
    return first - last


def _last_arrival(
    direction: Direction, due: Sequence[float], move: MoveMade, delays: Delays
) -> float | None:
    """What left a dying interface before it died arrives; what was on the way to it does not."""
    flight = delays.before
    grace = 0.0 if direction == "mover to other" else flight
    return max((time + flight for time in due if time + grace <= move.down), default=None)


def _first_arrival(
    direction: Direction, due: Sequence[float], move: MoveMade, delays: Delays
) -> float | None:
    after = delays.relay_after if delays.relayed else delays.direct_after
    if direction == "mover to other":
        if move.has_overlap:
            return min((time + after for time in due if time > move.down), default=None)
        return move.usable + delays.first
    if delays.relayed:  # the server remembers the last 200 ms and replays them
        return move.moment + 2 * delays.server_after
    if move.has_overlap:
        return move.down + 2 * after
    return move.usable + 2 * delays.first
