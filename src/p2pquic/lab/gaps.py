"""The silences of a run at its receivers, beside those of the oracle around them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from p2pquic.core.trace import FrameReceived, PathSelected
from p2pquic.lab.evidence import EDGE, TOLERANCE, Evidence, Fault, Slack, stretches
from p2pquic.lab.flooding import MARGIN
from p2pquic.lab.floor import ENDS, Direction
from p2pquic.lab.networks import SERVER, Link
from p2pquic.lab.oracle import Arrivals
from p2pquic.lab.scenarios import FRAME_CADENCE, ChangeKind

LOOK_BACK = 0.5  # seconds before a gap in which its cause may lie: a slow pipe empties first
SILENT_DEATHS: frozenset[ChangeKind] = frozenset({"link_dies", "way_dies", "nat_forgets"})
HEARD = 1.0  # seconds a path must exist for the call to be alive


@dataclass(frozen=True, slots=True)
class Gap:
    """A silence at a receiver, and the longest the oracle heard around it, in seconds.

    `change` is the kind of the last change before it ended.
    """

    direction: Direction
    begin: float
    length: float
    oracle: float
    change: str

    @property
    def excess(self) -> float:
        """What is ours."""
        return self.length - self.oracle


def gaps_of(
    direction: Direction, arrived: Arrivals, heard: Arrivals, slack: Slack, evidence: Evidence
) -> Iterator[Gap]:
    """Every silence that could be too long, with the oracle's beside it."""
    begin, end = evidence.begin, evidence.end
    kept = _without_islands(sorted(heard.values()), TOLERANCE + slack.delay)
    oracle = list(itertools.pairwise([begin - EDGE, *kept, end]))
    times = [time for time in sorted(arrived.values()) if time <= end]
    for a, b in itertools.pairwise([*times, end]):
        if b <= begin or b - a <= FRAME_CADENCE + TOLERANCE:
            continue
        around = [y - x for x, y in oracle if x < b + EDGE and y > a - EDGE]
        around.append(_noticing(direction, a, b, evidence))
        around.append(FRAME_CADENCE + _sparing(direction, a, b, evidence))
        last = max(
            (change for change in evidence.changes if change.at < b),
            default=None,
            key=lambda change: change.at,
        )
        yield Gap(direction, a, b - a, max(around, default=0.0), last.kind if last else "none")


def _noticing(direction: Direction, begin: float, end: float, evidence: Evidence) -> float:
    """The gap that a death costs on the way the product was on, which need not be the oracle's:
    both ends speak on one path, and take the direct one for the sake of the server.

    A silent one: a round trip, two frames and the margin until it is noticed. One that the receiver
    is told of: a round trip by another way. Then a frame; and the relay may be a detour.
    """
    world = evidence.world
    if world.resilience == "hot":
        return 0.0
    detour = 2 * world.scenario.topology.server.interfaces[0].delay
    costs = [0.0]
    for change in evidence.changes:
        if begin - LOOK_BACK <= change.at <= end:
            round_trip = 2 * _transit(direction, change.at, evidence)
            if change.kind in SILENT_DEATHS:
                costs.append(round_trip + 3 * FRAME_CADENCE + MARGIN + detour)
            elif change.kind == "interface_down" and change.host == ENDS[direction][1]:
                costs.append(round_trip + FRAME_CADENCE + detour)
    return max(costs)


def _sparing(direction: Direction, begin: float, end: float, evidence: Evidence) -> float:
    """By how much a direct way that took over from the relay is slower, in seconds.

    It is taken for the sake of the server. As long as it had to prove itself, copies came by the
    relay; when they end, that difference is heard.
    """
    receiver = ENDS[direction][1]
    came = [
        (entry.t, entry.record.path.split("/"))
        for entry in evidence.traces[receiver]
        if isinstance(entry.record, FrameReceived)
    ]
    before = [path for time, path in came if time <= begin]
    after = [path for time, path in came if time >= end]
    if not (before and after) or (before[-1][0], after[0][0]) != ("relay", "direct"):
        return 0.0
    interfaces = evidence.world.scenario.topology.interfaces
    relayed, direct = (interfaces[Link(receiver, path[1])].delay for path in (before[-1], after[0]))
    return direct - relayed - 2 * interfaces[Link(SERVER, "eth0")].delay


def _transit(direction: Direction, time: float, evidence: Evidence) -> float:
    """One way on the path in use at a time, in seconds, as both ends' traces tell."""
    interfaces = evidence.world.scenario.topology.interfaces
    total = 0.0
    for name in ENDS[direction]:
        chosen = [
            entry.record.path
            for entry in evidence.traces[name]
            if isinstance(entry.record, PathSelected) and entry.t <= time
        ]
        kind, interface, *_ = chosen[-1].split("/")
        total += interfaces[Link(name, interface)].delay
        if kind == "relay":
            total += interfaces[Link(SERVER, "eth0")].delay
    return total


def _without_islands(times: Sequence[float], shortest: float) -> list[float]:
    """Arrivals less the stretches that a listener who is `shortest` late would miss whole."""
    return [
        time
        for stretch in stretches(times)
        if stretch[-1] - stretch[0] >= shortest
        for time in stretch
    ]


def too_long(gaps: Sequence[Gap], slack: Slack, end: float) -> Iterator[Fault]:
    for gap in gaps:
        over = gap.excess - slack.delay
        if over > TOLERANCE:
            dead = gap.begin + gap.length >= end and over > HEARD
            yield Fault(
                "alive" if dead else "gap",
                f"{gap.direction} at {gap.begin:.3f}: {1000 * gap.length:.0f} ms, oracle "
                f"{1000 * gap.oracle:.0f} ms, slack {1000 * slack.delay:.0f} ms; {gap.change}",
                over,
            )
