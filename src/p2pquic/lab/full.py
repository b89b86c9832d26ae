"""Runs everything that is asked of a call, many times, and keeps what it has.

    OUT/plan.json                              the world and the seed
    OUT/SCENARIO/RESILIENCE/run-NUMBER/        as `kernel_lab` leaves it, without the sound
    OUT/table.md, OUT/table.json               of all runs so far, renewed after every round

A round is one run of every row, so that an hour in which the machine was busy falls on all of them
alike. A run that is there is not run again: what was interrupted is taken up, and what is measured
in another way is measured again from its traces. The mover is QUIC client and server in turn.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from p2pquic.core.errors import P2PQuicError, UsageError
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.limits import Limits
from p2pquic.lab.measure import conduct, measure
from p2pquic.lab.outcome import Outcome, World, read, run
from p2pquic.lab.overview import Measured, Row, markdown, rows
from p2pquic.lab.scenarios import QuicRole, Scenario

ROLES: tuple[QuicRole, ...] = ("client", "server")


@dataclass(frozen=True)
class _Plan:
    """plan.json: figures of two worlds or seeds are not to be mixed."""

    world: World
    seed: int


class Sweep:
    """All runs of `wanted` below `out`, those that are there and those to come."""

    def __init__(
        self, wanted: Sequence[Limits], world: World, seed: int, out: Path, console: Console
    ) -> None:
        self._wanted = wanted
        self._plan = _Plan(world, seed)
        self._out = out
        self._console = console
        self._measured: dict[Limits, list[Measured]] = {each: [] for each in wanted}
        self.failures = 0

    def run(self, rounds: int) -> None:
        """Go through as many rounds; a run that fails is reported, and left for the next time.

        Raises:
            UsageError: the directory holds runs of another world or seed.
        """
        self._claim_directory()
        for number in range(rounds):
            for limits in self._wanted:
                if number < (limits.most_runs or rounds):
                    self._run_one(limits, number)
            self._write_tables()

    @property
    def rows(self) -> list[Row]:
        """Of all runs so far."""
        return list(self._rows())

    def _rows(self) -> Iterator[Row]:
        for limits, measured in self._measured.items():
            if measured:
                yield from rows(limits, measured)

    def _run_one(self, limits: Limits, number: int) -> None:
        scenario = dataclasses.replace(
            scenario_named(limits.scenario), mover_quic_role=ROLES[number % len(ROLES)]
        )
        directory = self._out / limits.scenario / limits.resilience / f"run-{number + 1}"
        try:
            outcome = self._outcome(scenario, limits, number, directory)
        except P2PQuicError as error:
            self.failures += 1
            self._console.print(f"{directory}: {error}")
            return
        self._measured[limits].append(_measured(scenario, limits, outcome))

    def _outcome(self, scenario: Scenario, limits: Limits, number: int, directory: Path) -> Outcome:
        if (directory / "run.json").exists():
            return read(directory, scenario)
        if directory.exists():  # interrupted, or failed
            shutil.rmtree(directory)
        seed = self._plan.seed + number
        self._console.print(f"{scenario.name}, {limits.resilience}, run {number + 1}, seed {seed}")
        outcome = run(self._plan.world, scenario, seed, directory, resilience=limits.resilience)
        for recording in directory.glob("*.wav"):  # nobody listens to a thousand of them
            recording.unlink()
        return outcome

    def _claim_directory(self) -> None:
        file = self._out / "plan.json"
        if file.exists():
            if msgspec.json.decode(file.read_bytes(), type=_Plan) != self._plan:
                raise UsageError(f"{self._out} holds runs of another world or seed. Use --out.")
            return
        if self._out.exists() and any(self._out.iterdir()):
            raise UsageError(f"{self._out} holds something else. Use --out.")
        self._out.mkdir(parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.encode(self._plan))

    def _write_tables(self) -> None:
        (self._out / "table.md").write_text(markdown(self.rows))
        (self._out / "table.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(self.rows)) + b"\n"
        )


def _measured(scenario: Scenario, limits: Limits, outcome: Outcome) -> Measured:
    passages = measure(scenario, outcome.traces, outcome.changes, limits.resilience)
    whole = conduct(scenario, outcome.traces, outcome.changes, outcome.settled)
    _, late_p99_ms, _ = outcome.late_ms
    return Measured(tuple(passages), whole, late_p99_ms)
