"""What each threshold of core.liveness buys and costs, in the simulator: a table per threshold.

    python tools/thresholds.py [NAME ...]

For every value: the gap of a silent death (median and largest of both directions, ms), what a
lossy minute costs (3 % loss, 10 ms jitter: duplicates in percent of what is sent, alarms), and
whether a pause of 150 ms made the call switch. All other constants stay as they are.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from p2pquic.core import liveness
from p2pquic.core.trace import Entry, FrameSent, PathSelected, Suspected
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.measure import measure
from p2pquic.lab.simulator import Simulation
from p2pquic.session import pair_liveness

VALUES: dict[str, Sequence[object]] = {
    "MISSING_FRAMES": (1, 2, 3, 4),
    "SILENCE_MARGIN": (0.005, 0.010, 0.015, 0.030),
    "LEAST_MARGIN": (0.002, 0.005, 0.010, 0.020, 0.040),
    "LATE_SHARES": ((), (0.01,), (0.01, 0.03), (0.005, 0.01, 0.03)),
    "DEATH": (0.0, 0.05, 0.10, 0.25, 0.50),
}
SEEDS = range(1, 6)
LOSSY_SECONDS = 60.0


class Row(NamedTuple):
    """One value of one threshold."""

    gaps: list[float]
    duplicates: float
    alarms: int
    switches: int


def run(name: str, seed: int, **changes: object) -> Simulation:
    """One scenario, with the mover at a different end of the QUIC connection each time."""
    role = ("client", "server")[seed % 2]
    scenario = dataclasses.replace(scenario_named(name), mover_quic_role=role, **changes)  # type: ignore[arg-type]
    simulation = Simulation(scenario, seed)
    simulation.run()
    return simulation


def both_traces(simulation: Simulation) -> list[Entry]:
    """What both peers wrote."""
    return [*simulation.mover.trace, *simulation.other.trace]


def try_out() -> Row:
    """The figures with the constants as they are now."""
    gaps = []
    for seed in SEEDS:
        simulation = run("silent-death", seed)
        traces = {host.name: host.trace for host in (simulation.mover, simulation.other)}
        gaps += [p.gap for p in measure(simulation.scenario, traces, simulation.changes)]
    lossy = [both_traces(run("lossy", seed, aftermath=LOSSY_SECONDS)) for seed in (1, 2)]
    sent = [e.record.copy for trace in lossy for e in trace if isinstance(e.record, FrameSent)]
    alarms = sum(isinstance(e.record, Suspected) for trace in lossy for e in trace)
    switches = 0
    for seed in SEEDS:
        pause = run("wifi-pause", seed)
        begin = pause.changes[0].start
        switches += sum(
            isinstance(e.record, PathSelected) and e.t > begin for e in both_traces(pause)
        )
    return Row(gaps, 100 * sent.count("duplicate") / len(sent), alarms, switches)


def main() -> None:
    """Print a table per threshold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(VALUES), metavar="NAME")
    for name in parser.parse_args().names:
        print(f"\n| `{name}` | gap (largest), ms | duplicates, % | alarms | switches in a pause |")
        print("|---|---|---|---|---|")
        usual = getattr(liveness, name)
        for value in VALUES[name]:
            for module in (liveness, pair_liveness):
                if hasattr(module, name):
                    setattr(module, name, value)
            if name == "DEATH":
                pair_liveness._WORSE[pair_liveness.Health.LASTING] = (
                    value,  # type: ignore[assignment]
                    pair_liveness.Health.DEAD,
                )
            row = try_out()
            mark = "**" if value == usual else ""
            median, largest = 1000 * statistics.median(row.gaps), 1000 * max(row.gaps)
            print(
                f"| {mark}{value}{mark} | {median:.0f} ({largest:.0f}) | {row.duplicates:.2f} "
                f"| {row.alarms} | {row.switches} |",
                flush=True,
            )
        for module in (liveness, pair_liveness):
            if hasattr(module, name):
                setattr(module, name, usual)


if __name__ == "__main__":
    main()
