"""What is asked of a call: for each scenario and resilience the largest figures that will do.

A gap is meant less L, of the worst episode of a run; figures are the median over the runs and the
95th percentile (the maximum of fewer than 40 runs). Everywhere no frame may be lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from p2pquic.core.events import Resilience

DIRECT_AGAIN = 0.300  # seconds, median, until a direct path carries the call again after a move
DUPLICATES = 0.02  # of the copies sent, with random loss and nothing else
UNDELIVERED = 0.001  # of the frames due, with random loss
ROOM = 0.020  # seconds that each of eight receivers may wait longer than a single one would
VARIATION_RUNS = 10  # of what is another network around a move that is in the table 40 times


@dataclass(frozen=True, slots=True)
class Gap:
    """The most a gap may be: `median` and `most` in seconds, by themselves or above the floor's.

    `most` is above the largest floor of the same runs.
    """

    median: float
    most: float
    is_above_floor: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one row of the full table; None is not limited.

    `switches` are the fewest and the most selections of a path, of both ends together.
    """

    scenario: str
    resilience: Resilience
    gap: Gap | None
    direct_again: float | None = None
    switches: tuple[int, int] | None = None
    duplicates: float | None = None
    undelivered: float | None = None
    most_runs: int | None = None  # where fewer say enough, or one is long


def _above(median: float, most: float) -> Gap:
    return Gap(median, most, is_above_floor=True)


_MANNERS: tuple[Resilience, ...] = ("hedged", "hot")
_OUTAGE, _BOTH_MOVE = _above(0.015, 0.030), _above(0.020, 0.040)
_IN_A_ROOM = _above(0.015 + ROOM, 0.030 + ROOM)
_SUSPECTED, _SPARED = Gap(0.130, 0.150), Gap(0.045, 0.060)  # hedged; hot
_TAKEN_OVER = Gap(1.0, 1.0)  # another server relays
_NAT_SPARED = Gap(0.060, 0.075)  # hot, but the relay's leg must be opened anew
_GAPS: dict[str, tuple[Gap | None, Gap | None]] = {  # hedged, hot
    "break-before-make": (_OUTAGE, _OUTAGE),
    "other-side-public": (_OUTAGE, _OUTAGE),
    "long-outage": (_OUTAGE, _OUTAGE),
    "make-before-break": (_OUTAGE, _SPARED),
    "relay-only": (_OUTAGE, _OUTAGE),
    "both-move": (_BOTH_MOVE, _BOTH_MOVE),
    "sixty-moves": (Gap(0.100, 0.100), Gap(0.060, 0.060)),
    "silent-death": (_SUSPECTED, _SPARED),
    "silent-death-relay": (_above(0.015, 0.035), _NAT_SPARED),
    "nat-forgets": (_SUSPECTED, _NAT_SPARED),
    "way-dies-there": (_SUSPECTED, _SPARED),
    "way-dies-back": (_SUSPECTED, _SPARED),
    "black-hole": (_SUSPECTED, _SPARED),
    "wifi-pause": (None, None),
}
_MOVED_BY_AN_OUTAGE = ("break-before-make", "other-side-public", "long-outage", "both-move")

_VARIATIONS: dict[str, tuple[Gap, Gap]] = {  # hedged, hot
    "one-lan": (_OUTAGE, _OUTAGE),
    "two-nats": (_OUTAGE, _OUTAGE),
    "hairpin": (_OUTAGE, _OUTAGE),
    "carrier-nat": (_SUSPECTED, _SPARED),
    "server-dies": (_TAKEN_OVER, _TAKEN_OVER),
    "ethernet-plugged-in": (_OUTAGE, _SPARED),
    "vpn-up": (_OUTAGE, _SPARED),
    "address-replaced": (_OUTAGE, _OUTAGE),
    "both-ipv6": (_OUTAGE, _OUTAGE),
    "one-side-dual": (_OUTAGE, _OUTAGE),
    "both-dual": (_OUTAGE, _OUTAGE),
    "ipv4-to-ipv6": (_OUTAGE, _OUTAGE),
    "ipv4-to-ipv6-and-back": (_OUTAGE, _OUTAGE),
    # One of eight may be ROOM worse off than a single receiver, who is held to _OUTAGE.
    "room-of-nine": (_IN_A_ROOM, _IN_A_ROOM),
}
_DIRECT_IN_THE_END = (
    *("one-lan", "two-nats", "hairpin", "address-replaced"),
    *("both-ipv6", "one-side-dual", "both-dual", "room-of-nine"),
)
_SWITCHES_WITHOUT_A_GAP = {  # where no interface in use is lost, each frame arrives
    "metric-change": (2, 4),  # by both ends; twice if the call was there from the start
    "captive-wifi": (0, 0),
    "no-hairpin": (0, 0),
}


def _rows() -> Iterator[Limits]:
    for name, gaps in _GAPS.items():
        direct_again = DIRECT_AGAIN if name in _MOVED_BY_AN_OUTAGE else None
        switches = (0, 0) if name == "wifi-pause" else None  # a pause costs duplicates
        for resilience, gap in zip(_MANNERS, gaps, strict=True):
            yield Limits(name, resilience, gap, direct_again, switches)
    for name, gaps in _VARIATIONS.items():
        direct_again = DIRECT_AGAIN if name in _DIRECT_IN_THE_END else None
        for resilience, gap in zip(_MANNERS, gaps, strict=True):
            yield Limits(name, resilience, gap, direct_again, most_runs=VARIATION_RUNS)
    for name, switches in _SWITCHES_WITHOUT_A_GAP.items():
        for resilience in _MANNERS:
            yield Limits(
                name, resilience, None, None, switches, undelivered=0.0, most_runs=VARIATION_RUNS
            )
    yield Limits("lossy", "hedged", None, None, (0, 0), DUPLICATES, UNDELIVERED, most_runs=3)
    yield Limits("lossy", "hot", None, None, (0, 0), None, UNDELIVERED, most_runs=3)


LIMITS: tuple[Limits, ...] = tuple(_rows())
