"""A benchmark, its repeats, and how quiet the machine was meanwhile.

Rows of one group are repeated in turns (a b c, a b c ...), so that a slow minute of the machine
falls on all of them and rivals stay comparable. CPU time is taken rather than time of day wherever
one process does the work: what others do on the machine then counts little.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pquic.core.errors import MissingRequirementError

WARM_UP = 0.1  # share of a repeat that runs first and is not counted: caches, lazy imports
_PROC_STAT = Path("/proc/stat")
_IDLE, _IOWAIT, _STEAL = 3, 4, 7  # fields of its line "cpu" (proc_stat(5))
_FIELDS = 8  # those after steal are guests, counted among the others already


@dataclass(frozen=True)
class Benchmark:
    """One row. `once` does `count` operations (or seconds) and gives the figure in `unit`."""

    what: str
    unit: str
    once: Callable[[int], float]
    count: int
    goal: str = ""


@dataclass(frozen=True)
class Result:
    """The figures of all repeats, or why there are none."""

    benchmark: Benchmark
    figures: tuple[float, ...]
    missing: str = ""

    @property
    def median(self) -> float:
        """Of the repeats."""
        return statistics.median(self.figures)


def measure(group: Sequence[Benchmark], repeats: int, scale: float) -> list[Result]:
    """Run the rows of a group in turns; `scale` is the share of their usual work."""
    figures: dict[str, list[float]] = {benchmark.what: [] for benchmark in group}
    missing: dict[str, str] = {}
    for turn in range(-1, repeats):
        for benchmark in group:
            share = scale * WARM_UP if turn < 0 else scale
            try:
                figure = benchmark.once(max(1, round(benchmark.count * share)))
            except MissingRequirementError as error:
                missing[benchmark.what] = str(error)
                continue
            if turn >= 0:
                figures[benchmark.what].append(figure)
    return [Result(each, tuple(figures[each.what]), missing.get(each.what, "")) for each in group]


class Bystanders:
    """How much of the machine others took since this was made, as /proc/stat counts it."""

    def __init__(self) -> None:
        self._before = _jiffies()

    def sentence(self) -> str:
        """`CPU stolen 0.3 %, idle 52.0 %`; says so where the system does not tell."""
        now = _jiffies()
        total = sum(now) - sum(self._before)
        if not total:
            return "CPU steal unknown here"
        stolen = now[_STEAL] - self._before[_STEAL]
        idle = sum(now[field] - self._before[field] for field in (_IDLE, _IOWAIT))
        return f"CPU stolen {stolen / total:.1%}, idle {idle / total:.1%}"


def _jiffies() -> list[int]:
    try:
        return [int(word) for word in _PROC_STAT.read_text().split()[1 : _FIELDS + 1]]
    except OSError:  # not Linux
        return [0] * _FIELDS


def describe_machine() -> str:
    """The machine by what matters for the figures, and by no name."""
    return (
        f"{os.cpu_count()} cores {platform.machine()}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
