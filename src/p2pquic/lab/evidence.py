"""What a world's run left to be judged by, and what the dice may excuse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from p2pquic.core.trace import Entry
from p2pquic.lab.scenarios import FRAME_CADENCE, Change
from p2pquic.lab.worlds import World

TOLERANCE = 0.060  # seconds a gap may be longer than the oracle's: three frames
RARE = 1e-5  # of a run of lost frames, per frame; some 10 million frames are in 10,000 worlds
EDGE = 0.1  # seconds by which the oracle's gaps may lie beside the product's


@dataclass(frozen=True, slots=True)
class Fault:
    """One check that failed. `excess` is by how much, in the unit of the check."""

    check: str
    detail: str
    excess: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run left. Times of the clock; `held` counts what each session held at moments."""

    world: World
    begin: float
    end: float
    changes: Sequence[Change]
    traces: Mapping[str, Sequence[Entry]]
    held: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Slack:
    """What the oracle does not know of: loss and jitter on the worst path, the relay's; and
    `detour`, by how much the way taken may be slower than the oracle's. Seconds.

    A `lean` end must choose one way of all. And both ends speak on one path: if a way dies, the
    direction that lives goes round by the relay too.
    """

    loss: float
    jitter: float
    detour: float

    @classmethod
    def of(cls, world: World) -> Slack:
        """Of the worst interface at each end, and the server's twice."""
        topology = world.scenario.topology
        mover, other, server = (host.interfaces for host in topology.hosts)
        relayed = (mover, other, server, server)
        slowest = sum(max(each.delay for each in ends) for ends in relayed)
        fastest = sum(min(each.delay for each in ends) for ends in (mover, other))
        detour = slowest - fastest if world.resilience == "lean" else 0.0
        if any(
            change.kind == "way_dies" for move in world.scenario.moves for change in move.changes
        ):
            detour = max(detour, 2 * server[0].delay)
        return cls(
            loss=1.0 - math.prod(1.0 - max(each.loss for each in ends) for ends in relayed),
            jitter=sum(max(each.jitter for each in ends) for ends in relayed),
            detour=detour,
        )

    @property
    def delay(self) -> float:
        """Seconds that all of this may add to a gap."""
        row = math.ceil(math.log(RARE) / math.log(self.loss)) if self.loss else 0
        return row * FRAME_CADENCE + self.jitter + self.detour


def stretches(times: Sequence[float]) -> Iterator[list[float]]:
    """Arrivals that follow one another without a gap."""
    stretch: list[float] = []
    for time in times:
        if stretch and time - stretch[-1] > 2 * FRAME_CADENCE:
            yield stretch
            stretch = []
        stretch.append(time)
    if stretch:
        yield stretch
