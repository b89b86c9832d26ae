"""One run of a scenario in either world, and what it left: files in a directory, read back here.

The files are the same in both worlds (see `kernel_lab`); the simulator leaves the fewer of them.
`run.json` is written last, so a directory that has one holds a whole run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from p2pquic.core.errors import MissingRequirementError
from p2pquic.core.events import Resilience
from p2pquic.core.trace import Entry, from_line, to_line
from p2pquic.lab.calls import Traces
from p2pquic.lab.changes import ChangeMade
from p2pquic.lab.scenarios import Scenario
from p2pquic.session.pair_config import RelayUse

World = Literal["kernel", "simulator"]


@dataclass(frozen=True)
class Outcome:
    """What one run left, in memory.

    `late_ms` is by how much the lab's internet handed packets over late, median, 99 % and maximum;
    zeros in virtual time.
    """

    directory: Path
    traces: Traces
    changes: Sequence[ChangeMade]
    settled: float
    late_ms: tuple[float, float, float]


@dataclass(frozen=True)
class _Internet:
    late_median_ms: float = 0.0
    late_p99_ms: float = 0.0
    late_maximum_ms: float = 0.0


@dataclass(frozen=True)
class _Run:
    """The part of run.json that both worlds write."""

    settled: float
    internet: _Internet = _Internet()


def run(
    world: World,
    scenario: Scenario,
    seed: int,
    directory: Path,
    *,
    media: str = "tone",
    resilience: Resilience = "hedged",
    relay: RelayUse = "auto",
) -> Outcome:
    """Run it; `media` is for real kernels alone.

    Raises:
        P2PQuicError: the run did not come to its end.
    """
    match world:
        case "kernel":
            if sys.platform == "linux":  # which alone has what it needs
                from p2pquic.lab import kernel_lab

                kernel_lab.run(
                    scenario, seed, directory, media=media, resilience=resilience, relay=relay
                )
            else:
                raise MissingRequirementError("The lab of real kernels needs Linux.")
        case "simulator":
            _simulate(scenario, seed, directory, resilience, relay)
    return read(directory, scenario)


def read(directory: Path, scenario: Scenario) -> Outcome:
    """A run that was brought to its end before."""
    changes = [
        msgspec.json.decode(line, type=ChangeMade)
        for line in (directory / "changes.jsonl").read_bytes().splitlines()
    ]
    frame = msgspec.json.decode((directory / "run.json").read_bytes(), type=_Run)
    late = frame.internet
    return Outcome(
        directory,
        {host.name: list(_read_trace(directory, host.name)) for host in scenario.topology.peers},
        changes,
        frame.settled,
        (late.late_median_ms, late.late_p99_ms, late.late_maximum_ms),
    )


def _simulate(
    scenario: Scenario, seed: int, directory: Path, resilience: Resilience, relay: RelayUse
) -> None:
    from p2pquic.lab.simulator import Simulation

    simulation = Simulation(scenario, seed, resilience=resilience, relay=relay)
    simulation.run()
    directory.mkdir(parents=True)
    for host in simulation.peers:
        lines = "".join(to_line(entry) + "\n" for entry in host.trace)
        (directory / f"{host.name}.trace.jsonl").write_text(lines)
    (directory / "changes.jsonl").write_bytes(
        b"".join(msgspec.json.encode(change) + b"\n" for change in simulation.changes)
    )
    (directory / "run.json").write_bytes(msgspec.json.encode(_Run(simulation.settled)))


def _read_trace(directory: Path, name: str) -> Iterator[Entry]:
    for line in (directory / f"{name}.trace.jsonl").read_text().splitlines():
        entry = from_line(line)
        if entry is not None:
            yield entry
