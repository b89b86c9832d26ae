"""`p2pquic lab worlds`: thousands of random worlds on trial, or one of them again.

seeds --> processes, a world each --> a line per fault, a scenario file per failing world
                                 \\-> what was tried, what failed, the worst gaps

A failing world leaves a file that says everything about it. `--replay FILE` tries it again, and
under tests/worlds/regressions it stays on trial for ever.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import msgspec
from rich.console import Console
from rich.table import Table

from p2pquic.core.errors import UsageError
from p2pquic.lab.measure import Spread
from p2pquic.lab.scenarios import ChangeKind
from p2pquic.lab.trial import Outcome, try_world
from p2pquic.lab.worlds import LONG_SPAN, NATS, RANDOM_KINDS, World, random_world

COUNT = 10_000
OUT = Path("out/worlds")
LONGEST_DETAIL = 160  # characters of a fault on one line
CHANGE_KINDS: tuple[ChangeKind, ...] = tuple(
    kind for kind in get_args(ChangeKind) if kind in RANDOM_KINDS
)


def add_parser(actions: Any) -> None:
    """Add the action to those of `p2pquic lab`."""
    parser = actions.add_parser(
        "worlds", help="try random worlds against an oracle, in virtual time"
    )
    parser.add_argument(
        "--count", type=int, default=COUNT, metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the first; default: 0")
    parser.add_argument(
        "--span",
        type=float,
        default=LONG_SPAN,
        metavar="SECONDS",
        help="in which the changes fall (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="default: one per core"
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try this world alone")
    parser.add_argument("--out", type=Path, default=OUT, help="default: %(default)s")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run the action; 1 if a world failed, or if it was broken off.

    Raises:
        UsageError: there is no such world.
    """
    if options.replay is not None:
        return _replay(options.replay, console)
    tally = Tally()
    seeds = range(options.seed, options.seed + options.count)
    console.print(f"{len(seeds)} worlds from seed {options.seed}, {options.jobs} at a time")
    is_complete = False
    try:
        with try_seeds(seeds, options.span, options.jobs) as outcomes:
            for outcome in outcomes:
                tally.add(outcome)
                if outcome.faults:
                    _report(outcome, _save(outcome.world, options.out), console)
        is_complete = True
    except KeyboardInterrupt:
        console.print("Broken off; so far:")
    tally.print(console)
    return 0 if is_complete and not tally.failing else 1


def read_world(path: Path) -> World:
    """A world from its file.

    Raises:
        UsageError: it is not there, or none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=World)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is no world: {error}.") from None


@dataclass
class Tally:
    """What many trials come to."""

    worlds: int = 0
    failing: list[int] = field(default_factory=list)  # seeds
    faults: Counter[str] = field(default_factory=Counter)  # by check
    tried: Counter[tuple[str, str]] = field(default_factory=Counter)  # worlds, by NAT and change
    excess: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # by change

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self.worlds += 1
        self.tried.update(set(outcome.tried))
        self.faults.update({fault.check for fault in outcome.faults})
        if outcome.faults:
            self.failing.append(outcome.world.seed)
        for gap in outcome.gaps:
            self.excess[gap.change].append(gap.excess)

    def print(self, console: Console) -> None:
        """All of it, for a person."""
        console.print("\nWorlds in which each kind of change met each kind of NAT:")
        table = Table(box=None)
        table.add_column("")
        for kind in CHANGE_KINDS:
            table.add_column(kind, justify="right")
        for name in NATS:
            table.add_row(name, *(str(self.tried[name, kind]) for kind in CHANGE_KINDS))
        console.print(table)
        console.print("\nGaps above the oracle's by the last change before, in ms, dice included:")
        table = Table("", "gaps", "median", "p95", "largest", box=None)
        for change, values in sorted(self.excess.items()):
            spread = Spread.of([1000 * value for value in values])
            p95 = "" if spread.p95 is None else f"{spread.p95:.0f}"
            table.add_row(
                change, str(len(values)), f"{spread.median:.0f}", p95, f"{spread.maximum:.0f}"
            )
        console.print(table)
        checks = ", ".join(f"{check} {count}" for check, count in self.faults.most_common())
        console.print(
            f"\n{self.worlds} worlds, {len(self.failing)} failed" + (f": {checks}" * bool(checks))
        )


@contextmanager
def try_seeds(seeds: Iterable[int], span: float, jobs: int) -> Iterator[Iterable[Outcome]]:
    """What became of each seed, in the order in which they are done."""
    trial = functools.partial(_try_seed, span=span)
    if jobs == 1:
        yield map(trial, seeds)
        return
    with multiprocessing.Pool(jobs, initializer=_leave_signals_to_the_parent) as pool:
        yield pool.imap_unordered(trial, seeds)


def _leave_signals_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # how the parent ends its pool


def _try_seed(seed: int, span: float) -> Outcome:
    return try_world(random_world(seed, span))


def _replay(path: Path, console: Console) -> int:
    outcome = try_world(read_world(path))
    for gap in outcome.gaps:
        console.print(
            f"{gap.direction} at {gap.begin:.3f}: gap {1000 * gap.length:.0f} ms, oracle "
            f"{1000 * gap.oracle:.0f} ms, after {gap.change}"
        )
    for fault in outcome.faults:
        console.print(f"{fault.check}: {fault.detail}", soft_wrap=True)
    console.print(f"{len(outcome.faults)} faults")
    return 1 if outcome.faults else 0


def _report(outcome: Outcome, path: Path, console: Console) -> None:
    world = outcome.world
    console.print(
        f"Seed {world.seed} ({world.resilience}, {len(outcome.tried)} changes) failed: "
        f"p2pquic lab worlds --replay {path}",
        soft_wrap=True,
    )
    for fault in outcome.faults:
        detail = " ".join(fault.detail.split())[-LONGEST_DETAIL:]
        console.print(f"    {fault.check}: {detail}", soft_wrap=True)


def _save(world: World, directory: Path) -> Path:
    path = directory / f"{world.scenario.name}.json"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(world)) + b"\n")
    except OSError as error:
        raise UsageError(f"Cannot write to {directory}: {error.strerror}. Use --out.") from None
    return path
