"""Files through moves: how the world looks, what is done to it, and what share of it was used.

    mover --- wlan0  20 Mbit/s ---+
          --- rmnet0 10 Mbit/s ---+--- internet --- 50 Mbit/s --- other

The yardstick is the path rate: that of the slower end of the path in use, over the time it was in
use. While the mover has no address there is no path, and its rate is zero; so the share says what
the protocol made of what was there. Both worlds measure against it; nothing here runs.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from p2pquic.core.trace import Entry, PathSelected
from p2pquic.lab.bottleneck import BITS
from p2pquic.lab.changes import ChangeMade
from p2pquic.lab.networks import CELLULAR, HOME, MOVER, OTHER, WIFI, Host, Topology
from p2pquic.lab.scenarios import Scenario, break_before_make, make_before_break

Manner = Literal["break", "make"]  # before make, before break
MEGA = 1e6
RATED = Topology(
    mover=Host(
        MOVER,
        (
            dataclasses.replace(WIFI, rate=20 * MEGA),
            dataclasses.replace(CELLULAR, rate=10 * MEGA),
        ),
    ),
    other=Host(OTHER, (dataclasses.replace(HOME, rate=50 * MEGA),)),
)
LIMIT = 0.6  # of the path rate: what a file should reach at least


class Plan(NamedTuple):
    """A file of `size` bytes, and `moves` changes of interface, one every `every` seconds.

    The mover sends it, unless `sender` is the other end.
    """

    size: int
    moves: int = 3
    every: float = 7.0
    manner: Manner = "break"
    sender: Literal["mover", "other"] = "mover"

    @property
    def scenario(self) -> Scenario:
        """From Wi-Fi to cellular, and back, and so on."""
        move = break_before_make if self.manner == "break" else make_before_break
        ways = [(WIFI.name, CELLULAR.name), (CELLULAR.name, WIFI.name)]
        return Scenario(
            "transfer",
            "a file through moves",
            RATED,
            moves=tuple(
                move(*ways[number % 2], after=(number + 1) * self.every)
                for number in range(self.moves)
            ),
        )


@dataclass(frozen=True, slots=True)
class Transfer:
    """What became of it: `began` with the first byte there, `ended` with the last; seconds.

    `possible` is how many bytes the paths could have carried meanwhile, headers included.
    """

    size: int
    began: float
    ended: float
    possible: float
    is_identical: bool

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def rate(self) -> float:
        """Bits of the file per second."""
        return self.size * BITS / self.seconds

    @property
    def share(self) -> float:
        """Of the path rate."""
        return self.size / self.possible

    @property
    def is_good(self) -> bool:
        """Whether it arrived whole, and fast enough."""
        return self.is_identical and self.share >= LIMIT


def possible_bytes(
    trace: Iterable[Entry], changes: Sequence[ChangeMade], began: float, ended: float
) -> float:
    """What the paths that the mover selected could carry between two moments.

    From when its interface goes until another path is selected it has none. A path by an interface
    that has just come counts from when that was usable: who needs long to take it is slow.
    """
    rates = {each.name: each.rate or 0.0 for each in RATED.mover.interfaces}
    turns = [(began, 0.0)]  # from when on which rate
    up = {WIFI.name}
    in_use = ""
    steps: list[tuple[float, str, str]] = [
        (entry.t, "use", entry.record.local.rpartition("%")[2])
        for entry in trace
        if isinstance(entry.record, PathSelected)
    ]
    for change in changes:
        if change.kind == "interface_down":
            steps.append((change.start, "down", change.interface))
        elif change.kind == "interface_up":
            steps.append((change.end, "up", change.interface))
    for time, what, interface in sorted(steps):
        if what == "use":
            in_use = interface
        elif what == "up":
            up.add(interface)
        else:
            up.discard(interface)
        best = in_use if in_use in up else max(up, key=rates.__getitem__, default="")
        turns.append((time, rates.get(best, 0.0)))
    turns.append((ended, 0.0))
    bits = sum(
        rate * max(0.0, min(until, ended) - max(since, began))
        for (since, rate), (until, _) in itertools.pairwise(turns)
    )
    return bits / BITS
