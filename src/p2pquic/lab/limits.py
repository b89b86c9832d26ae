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
    """Of one row of the full table; None is not limited."""

    scenario: str
    resilience: Resilience
    gap: Gap | None
    direct_again: float | None = None
    switches: int | None = None
    duplicates: float | None = None
    undelivered: float | None = None
    most_runs: int | None = None  # where one run is long enough to say it


def _above(median: float, most: float) -> Gap:
    return Gap(median, most, is_above_floor=True)


_OUTAGE, _BOTH_MOVE = _above(0.015, 0.030), _above(0.020, 0.040)
_SUSPECTED, _SPARED = Gap(0.130, 0.150), Gap(0.045, 0.060)  # hedged; hot
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


def _rows() -> Iterator[Limits]:
    for name, gaps in _GAPS.items():
        direct_again = DIRECT_AGAIN if name in _MOVED_BY_AN_OUTAGE else None
        switches = 0 if name == "wifi-pause" else None  # a pause costs duplicates
        yield Limits(name, "hedged", gaps[0], direct_again, switches)
        yield Limits(name, "hot", gaps[1], direct_again, switches)
    yield Limits("lossy", "hedged", None, None, 0, DUPLICATES, UNDELIVERED, most_runs=3)
    yield Limits("lossy", "hot", None, None, 0, None, UNDELIVERED, most_runs=3)


LIMITS: tuple[Limits, ...] = tuple(_rows())
