"""The full table: every scenario and resilience in one row per direction, beside what is asked.

dup. %     of the copies sent, how many were duplicates; the run with the most
undel. %   of the frames due, how many never arrived though no outage excuses it; the same
lab late   ms by which the lab itself handed packets over late, 99 % of them; the same

What a run gave is `Measured`; the runs of one scenario and resilience become `Row`s, and a row
knows by which of its figures it is over its limits. The same cells go to the screen and, as
Markdown, into docs/measurements.md.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rich import box
from rich.table import Table

from p2pquic.lab.floor import DIRECTIONS, Direction
from p2pquic.lab.limits import Limits
from p2pquic.lab.measure import Conduct, Passage, Spread

Both = Literal["both"]

LATE = 5.0  # ms by which the lab may be late itself (99 % of packets) before a row says so


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run gave. `late_ms` is the lab's own lateness: 99 % of packets were no later."""

    passages: tuple[Passage, ...]
    conduct: Conduct
    late_ms: float


@dataclass(frozen=True, slots=True)
class Row:
    """Several runs of one scenario, in one direction ("both" where there was no episode).

    Seconds, one figure per run: `gaps` and `floors` are less L, of the run's worst episode; in a
    room of the other side that fared worst. `over` names the figures that exceed their limits.
    """

    scenario: str
    resilience: str
    direction: Direction | Both
    gaps: tuple[float, ...]
    floors: tuple[float, ...]
    lost: int
    direct_again: tuple[float | None, ...]
    conducts: tuple[Conduct, ...]
    late_ms: float
    over: tuple[str, ...]


def rows(limits: Limits, runs: Sequence[Measured]) -> Iterator[Row]:
    """The rows of one scenario and resilience."""
    heard = {passage.direction for run in runs for passage in run.passages}
    directions: list[Direction | Both] = [each for each in DIRECTIONS if each in heard]
    for direction in directions or list(get_args(Both)):
        passages = [[each for each in run.passages if each.direction == direction] for run in runs]
        worst = _worst(passages)
        again = [one.direct_again for each in passages for one in each]
        row = Row(
            scenario=limits.scenario,
            resilience=limits.resilience,
            direction=direction,
            gaps=tuple(map(_less_outage, worst)),
            floors=tuple(each.floor - each.outage for each in worst if each.floor is not None),
            lost=sum(one.lost for each in passages for one in each),
            direct_again=tuple(again),
            conducts=tuple(run.conduct for run in runs),
            late_ms=max(run.late_ms for run in runs),
            over=(),
        )
        over = tuple(name for name, is_over in _verdicts(row, limits) if is_over)
        yield dataclasses.replace(row, over=over)


def table(all_rows: Sequence[Row]) -> Table:
    """For the screen."""
    result = Table(box=box.SIMPLE, title="ms; gap and floor are less L", title_style="")
    for heading in CELLS:
        is_text = heading in ("scenario", "direction", "over")
        result.add_column(heading, justify="left" if is_text else "right", no_wrap=is_text)
    for row in all_rows:
        result.add_row(*(cell(row) for cell in CELLS.values()))
    return result


def markdown(all_rows: Sequence[Row]) -> str:
    """For docs/measurements.md."""
    lines = [list(CELLS), ["---"] * len(CELLS)]
    lines += [[cell(row) for cell in CELLS.values()] for row in all_rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _worst(passages: Sequence[Sequence[Passage]]) -> list[Passage]:
    """Of each run the worst episode, of the other side that fared worst in the median."""
    others = dict.fromkeys(each.other for run in passages for each in run)
    courses = [
        [[each for each in run if each.other == other] for run in passages] for other in others
    ]
    worst = [[max(run, key=_less_outage) for run in course if run] for course in courses]
    return max(worst, key=lambda own: statistics.median(map(_less_outage, own)), default=[])


def _less_outage(passage: Passage) -> float:
    return passage.gap - passage.outage


def _verdicts(row: Row, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "lost", row.lost > 0
    if limits.gap is not None and row.gaps:
        gap, asked = Spread.of(row.gaps), limits.gap
        base = Spread.of(row.floors) if asked.is_above_floor and row.floors else None
        yield "median", gap.median > asked.median + (base.median if base else 0.0)
        most, name = (gap.maximum, "max") if gap.p95 is None else (gap.p95, "p95")
        yield name, most > asked.most + (base.maximum if base else 0.0)
    if limits.direct_again is not None and row.direction == "mover to other":
        found = [math.inf if time is None else time for time in row.direct_again]
        yield "direct", math.inf in found or statistics.median(found) > limits.direct_again
    if limits.switches is not None:
        fewest, most = limits.switches
        yield "switches", not all(fewest <= each.switches <= most for each in row.conducts)
    if limits.duplicates is not None:
        yield "duplicates", max(each.duplicates for each in row.conducts) > limits.duplicates
    if limits.undelivered is not None:
        yield "undelivered", max(each.undelivered for each in row.conducts) > limits.undelivered


def _ms(values: Sequence[float], figure: Callable[[Spread], float | None]) -> str:
    value = figure(Spread.of(values)) if values else None
    return "-" if value is None else f"{1000 * value:.0f}"


def _percent(row: Row, share: Callable[[Conduct], float]) -> str:
    return f"{100 * max(map(share, row.conducts)):.2f}"


CELLS: dict[str, Callable[[Row], str]] = {
    "scenario": lambda row: f"{row.scenario}, {row.resilience}",
    "direction": lambda row: row.direction,
    "runs": lambda row: str(len(row.conducts)),
    "gap": lambda row: _ms(row.gaps, lambda spread: spread.median),
    "p95": lambda row: _ms(row.gaps, lambda spread: spread.p95),
    "max": lambda row: _ms(row.gaps, lambda spread: spread.maximum),
    "floor": lambda row: _ms(row.floors, lambda spread: spread.median),
    "floor max": lambda row: _ms(row.floors, lambda spread: spread.maximum),
    "lost": lambda row: str(row.lost),
    "direct": lambda row: _ms(
        [time for time in row.direct_again if time is not None], lambda spread: spread.median
    ),
    "switches": lambda row: f"{statistics.median(each.switches for each in row.conducts):.0f}",
    "dup. %": lambda row: _percent(row, lambda each: each.duplicates),
    "undel. %": lambda row: _percent(row, lambda each: each.undelivered),
    "lab late": lambda row: f"{row.late_ms:.1f}{' !' if row.late_ms > LATE else ''}",
    "over": lambda row: f"over: {', '.join(row.over)}" if row.over else "",
}
