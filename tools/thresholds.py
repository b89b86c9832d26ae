"""What each threshold of core.liveness buys and costs, in the simulator: a table per threshold.

    python tools/thresholds.py [NAME ...]

For every value: the gap of a silent death (median and largest of both directions, ms) at the
default delays and at four times as much; the gap of a pure receiver whose NAT forgets it; what a
minute with 3 % loss and 10 ms jitter costs (duplicates in percent of what is sent, alarms); how
often a pause of 200 ms made a call switch. All other constants stay as they are.
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
from p2pquic.lab.networks import Topology
from p2pquic.lab.scenarios import Move, QuicRole, Scenario
from p2pquic.lab.simulator import Simulation
from p2pquic.session import pair_liveness

VALUES: dict[str, Sequence[object]] = {
    "MISSING_FRAMES": (1, 2, 3, 4),
    "SILENCE_MARGIN": (0.005, 0.010, 0.015, 0.030),
    "LEAST_MARGIN": (0.002, 0.005, 0.010, 0.020, 0.040),
    "LATE_SHARES": ((1.0,), (0.01,), (0.01, 0.03), (0.005, 0.01, 0.03)),
    "DEATH": (0.0, 0.05, 0.10, 0.25, 0.50),
}
SEEDS = range(1, 6)
LOSSY_SECONDS = 60.0
SLOWER = 4  # times the default delays: a round trip of 160 ms
PAUSE = 0.2  # seconds


class Row(NamedTuple):
    """One value of one threshold."""

    gaps: list[float]
    slow_gaps: list[float]
    receiver_gaps: list[float]
    duplicates: float
    alarms: int
    switches: int


def run(scenario: Scenario, seed: int) -> Simulation:
    """One scenario, with the mover at a different end of the QUIC connection each time."""
    role: QuicRole = "client" if seed % 2 else "server"
    simulation = Simulation(dataclasses.replace(scenario, mover_quic_role=role), seed)
    simulation.run()
    return simulation


def slowed(scenario: Scenario) -> Scenario:
    """The same with long ways."""
    topology = scenario.topology
    hosts = {
        host.name: dataclasses.replace(
            host,
            interfaces=tuple(
                dataclasses.replace(each, delay=SLOWER * each.delay) for each in host.interfaces
            ),
        )
        for host in topology.hosts
    }
    return dataclasses.replace(scenario, topology=Topology(**hosts))


def gaps_of(scenario: Scenario) -> list[float]:
    """Of every seed, in both directions, in seconds."""
    gaps = []
    for seed in SEEDS:
        simulation = run(scenario, seed)
        traces = {host.name: host.trace for host in (simulation.mover, simulation.other)}
        gaps += [each.gap for each in measure(simulation.scenario, traces, simulation.changes)]
    return gaps


def both_traces(simulation: Simulation) -> list[Entry]:
    """What both peers wrote."""
    return [*simulation.mover.trace, *simulation.other.trace]


def switches_in_a_pause(seed: int) -> int:
    """How often the ends changed their path because Wi-Fi went to look around."""
    pause = scenario_named("wifi-pause")
    died, back = pause.moves[0].changes
    longer = Move(0.0, (died, dataclasses.replace(back, at=PAUSE)))
    simulation = run(dataclasses.replace(pause, moves=(longer,)), seed)
    begin = simulation.changes[0].start
    return sum(isinstance(e.record, PathSelected) and e.t > begin for e in both_traces(simulation))


def try_out() -> Row:
    """The figures with the constants as they are now."""
    silent = scenario_named("silent-death")
    lossy_minute = dataclasses.replace(scenario_named("lossy"), aftermath=LOSSY_SECONDS)
    lossy = [both_traces(run(lossy_minute, seed)) for seed in (1, 2)]
    sent = [e.record.copy for trace in lossy for e in trace if isinstance(e.record, FrameSent)]
    return Row(
        gaps_of(silent),
        gaps_of(slowed(silent)),
        gaps_of(dataclasses.replace(scenario_named("nat-forgets"), mover_role="receiver")),
        100 * sent.count("duplicate") / len(sent),
        sum(isinstance(e.record, Suspected) for trace in lossy for e in trace),
        sum(map(switches_in_a_pause, SEEDS)),
    )


def spread(gaps: Sequence[float]) -> str:
    """Median and largest, in milliseconds."""
    return f"{1000 * statistics.median(gaps):.0f} ({1000 * max(gaps):.0f})"


def use(name: str, value: object) -> None:
    """Give a threshold another value, wherever it was imported to."""
    for module in (liveness, pair_liveness):
        if hasattr(module, name):
            setattr(module, name, value)
    if name == "DEATH":
        stage = (value, pair_liveness.Health.DEAD)
        pair_liveness._WORSE[pair_liveness.Health.LASTING] = stage  # type: ignore[assignment]


def main() -> None:
    """Print a table per threshold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(VALUES), metavar="NAME")
    for name in parser.parse_args().names:
        print(
            f"\n| `{name}` | gap, ms | slow ways | receiver | duplicates, % | alarms | switches |"
        )
        print("|---|---|---|---|---|---|---|")
        usual = getattr(liveness, name)
        for value in VALUES[name]:
            use(name, value)
            row = try_out()
            mark = "**" if value == usual else ""
            gaps = " | ".join(map(spread, (row.gaps, row.slow_gaps, row.receiver_gaps)))
            costs = f"{row.duplicates:.2f} | {row.alarms} | {row.switches}"
            print(f"| {mark}{value}{mark} | {gaps} | {costs} |", flush=True)
        use(name, usual)


if __name__ == "__main__":
    main()
