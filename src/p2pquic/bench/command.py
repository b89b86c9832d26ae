"""`p2pquic bench`: run the benchmarks that are asked for and lay the figures beside the goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from rich.console import Console
from rich.table import Table

from p2pquic.bench.call_world import call_cpu
from p2pquic.bench.engine import DATAGRAMS, HANDSHAKES, MEMORY
from p2pquic.bench.measuring import Benchmark, Bystanders, Result, describe_machine, measure
from p2pquic.bench.processes import process_cpu, program_cpu
from p2pquic.bench.relay import RELAY
from p2pquic.core.errors import UsageError

REPORT_WIDTH = 110  # columns of the table where there is no terminal to ask

BENCHMARKS: Mapping[str, Sequence[Benchmark]] = {
    "call": (
        Benchmark("call, session of one peer", "% of a core", call_cpu, 1500),
        Benchmark(
            "call, the same with its trace", "% of a core", partial(call_cpu, traced=True), 1500
        ),
        Benchmark(
            "call, the same, 10 ms before each event",
            "% of a core",
            partial(call_cpu, pause=0.01),
            100,
        ),
        Benchmark(
            "call, by the relay all the time", "% of a core", partial(call_cpu, relay="only"), 1500
        ),
    ),
    "processes": (
        Benchmark("call, Python process of one peer", "% of a core", process_cpu, 10, "2.5"),
        Benchmark("call, its GStreamer programs", "% of a core", program_cpu, 10),
    ),
    "datagrams": DATAGRAMS,
    "handshakes": HANDSHAKES,
    "memory": MEMORY,
    "relay": RELAY,
}


def run_bench(names: Sequence[str], *, repeats: int, scale: float) -> int:
    """Run the named groups, or all, and print their rows; the exit code.

    Raises:
        UsageError: no such benchmark, or nothing to do.
    """
    for name in names:
        if name not in BENCHMARKS:
            raise UsageError(f"There is no benchmark {name!r}, only {', '.join(BENCHMARKS)}.")
    if repeats < 1 or not scale > 0:
        raise UsageError("--repeats is at least 1, and --scale above 0.")
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = REPORT_WIDTH
    bystanders = Bystanders()
    table = Table("benchmark", title_justify="left")
    for heading in ("median", "least", "most", "goal"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    for name in names or BENCHMARKS:
        for result in measure(BENCHMARKS[name], repeats, scale):
            table.add_row(*_cells(result))
    console.print(table)
    console.print(f"{repeats} repeats on {describe_machine()}; {bystanders.sentence()}")
    return 0


def _cells(result: Result) -> list[str]:
    benchmark = result.benchmark
    if result.missing:
        return [benchmark.what, "", "", "", benchmark.goal, f"not measured: {result.missing}"]
    figures = result.median, min(result.figures), max(result.figures)
    return [benchmark.what, *map(_three_digits, figures), benchmark.goal, benchmark.unit]


def _three_digits(figure: float) -> str:
    """As many digits as mean something: 2.34, 78.1, 5130."""
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"
