"""`p2pquic lab`: list the scenarios, or run one and say what it did to the audio.

A run leaves a directory of its own with the traces, a picture and what was heard, so that every
figure printed can be checked against its raw material. A figure is never printed without the
seed that repeats it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import secrets
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec
from rich.console import Console
from rich.table import Table

from p2pquic.core.errors import MissingRequirementError, UsageError
from p2pquic.core.events import Resilience
from p2pquic.core.trace import Entry, FrameReceived, Registered, from_line, to_line
from p2pquic.lab import report, worlds_command
from p2pquic.lab.catalogue import SCENARIOS, scenario_named
from p2pquic.lab.changes import ChangeMade
from p2pquic.lab.measure import Passage, Traces, frames_of, measure
from p2pquic.lab.scenarios import MOVER, OTHER, QuicRole, Scenario
from p2pquic.session.pair_config import RelayUse

World = Literal["auto", "kernel", "simulator"]
SAMPLE = Path("static/output.mp3")
TONE = "tone"  # sounds alike everywhere, so nothing can be aligned with it
REPORT_WIDTH = 110  # columns of the table where there is no terminal to ask


@dataclass(frozen=True)
class Outcome:
    """What one run left, in memory."""

    directory: Path
    traces: Traces
    changes: Sequence[ChangeMade]


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code.

    Raises:
        P2PQuicError: with the sentence to show.
    """
    options = _parser().parse_args(list(arguments))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # unwinds, and so takes everything down
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = REPORT_WIDTH
    if options.action == "list":
        _list(console)
        return 0
    if options.action == "worlds":
        return worlds_command.run(options, console)
    return _run(options, console)


def _list(console: Console) -> None:
    table = Table(box=None, show_header=False)
    for scenario in SCENARIOS.values():
        table.add_row(scenario.name, scenario.summary)
    console.print(table)


def _run(options: argparse.Namespace, console: Console) -> int:
    scenario = dataclasses.replace(
        scenario_named(options.scenario), mover_quic_role=options.quic_role
    )
    if options.relay == "only":
        scenario = dataclasses.replace(scenario, settles_on="relay")
    world = _choose_world(options.world, console)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    out = _fresh_directory(options.out / scenario.name)
    passages: list[Passage] = []
    run = _run_kernel if world == "kernel" else _run_simulator
    try:
        for number in range(options.runs):
            console.print(
                f"{scenario.name}, run {number + 1} of {options.runs}, seed {seed + number}"
            )
            outcome = run(scenario, seed + number, out / f"run-{number + 1}", options)
            passages += _conclude(scenario, outcome, console)
            if world == "kernel" and options.media != TONE:
                _print_what_was_heard(outcome.directory, options.media, console)
    finally:  # a run that fails does not take the others' figures with it
        if passages:
            console.print(report.table(passages))
            (out / "passages.json").write_bytes(msgspec.json.format(msgspec.json.encode(passages)))
    if options.demo and passages:
        console.print(report.sentence(passages))
    console.print(f"Traces, picture and sound: {out}")
    return 0


def _choose_world(wanted: World, console: Console) -> Literal["kernel", "simulator"]:
    """Real kernels where this machine allows it; asking makes this process able to."""
    if wanted == "simulator":
        return "simulator"
    from p2pquic.lab.namespaces import Namespace, gain_rights, require_programs

    try:
        gain_rights()
        require_programs()
        with closing(Namespace("trial")) as trial:
            os.close(trial.open_tun("tun0"))
            trial.set_sysctls({"ipv4/ip_forward": "1"})
    except MissingRequirementError as error:
        if wanted == "kernel":
            raise
        console.print(f"{error} So this runs in the simulator, in virtual time and without sound.")
        return "simulator"
    return "kernel"


def _run_kernel(
    scenario: Scenario, seed: int, directory: Path, options: argparse.Namespace
) -> Outcome:
    from p2pquic.lab import kernel_lab

    kernel_lab.run(
        scenario,
        seed,
        directory,
        media=options.media,
        resilience=options.resilience,
        relay=options.relay,
    )
    changes = [
        msgspec.json.decode(line, type=ChangeMade)
        for line in (directory / "changes.jsonl").read_bytes().splitlines()
    ]
    traces = {name: list(_read_trace(directory, name)) for name in (MOVER, OTHER)}
    return Outcome(directory, traces, changes)


def _run_simulator(
    scenario: Scenario, seed: int, directory: Path, options: argparse.Namespace
) -> Outcome:
    from p2pquic.lab.simulator import Simulation

    simulation = Simulation(scenario, seed, resilience=options.resilience, relay=options.relay)
    simulation.run()
    directory.mkdir(parents=True)
    traces = {host.name: host.trace for host in (simulation.mover, simulation.other)}
    for name, trace in traces.items():
        lines = "".join(to_line(entry) + "\n" for entry in trace)
        (directory / f"{name}.trace.jsonl").write_text(lines)
    (directory / "changes.jsonl").write_bytes(
        b"".join(msgspec.json.encode(change) + b"\n" for change in simulation.changes)
    )
    return Outcome(directory, traces, simulation.changes)


def _conclude(scenario: Scenario, outcome: Outcome, console: Console) -> list[Passage]:
    """Measure one run, draw it, and print what belongs to this run alone."""
    passages = measure(scenario, outcome.traces, outcome.changes)
    if not passages:
        console.print(_start_of_call(outcome.traces))
        return []
    console.print(report.path_timeline(passages))
    frames = {
        passage.direction: frames_of(passage.direction, outcome.traces) for passage in passages
    }
    moves = list(dict.fromkeys(passage.move for passage in passages))
    for number, move in enumerate(moves, start=1):
        both = [passage for passage in passages if passage.move == move]
        report.plot(both, frames, outcome.directory / f"move-{number}.png")
    return passages


def _print_what_was_heard(directory: Path, media: str, console: Console) -> None:
    """Lay each recording beside its source: what is missing, and whether it goes on in place."""
    from p2pquic.lab.alignment import align, read_samples

    source = read_samples(media)
    for recording in sorted(directory.glob("*.wav")):
        alignment = align(read_samples(str(recording)), source)
        recording.with_suffix(".alignment.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(alignment))
        )
        console.print(f"{recording.name}: {report.heard(alignment)}")


def _start_of_call(traces: Traces) -> str:
    """How soon the two heard each other, where nothing changed."""
    registered = [
        entry.t
        for trace in traces.values()
        for entry in trace
        if isinstance(entry.record, Registered)
    ]
    heard = {
        name: next((e.t for e in trace if isinstance(e.record, FrameReceived)), None)
        for name, trace in traces.items()
    }
    both = max(registered)
    return ", ".join(
        f"{name} heard the first frame {1000 * (time - both):.0f} ms after both were registered"
        for name, time in heard.items()
        if time is not None
    )


def _read_trace(directory: Path, name: str) -> Iterator[Entry]:
    for line in (directory / f"{name}.trace.jsonl").read_text().splitlines():
        entry = from_line(line)
        if entry is not None:
            yield entry


def _fresh_directory(wanted: Path) -> Path:
    """Make the directory, or the first of its kind with a number that is not there yet.

    Raises:
        UsageError: nothing can be written there.
    """
    candidate, number = wanted, 1
    while candidate.exists():
        number += 1
        candidate = wanted.with_name(f"{wanted.name}-{number}")
    try:
        candidate.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"Cannot write to {wanted}: {error.strerror}. Use --out.") from None
    return candidate


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="p2pquic lab", description="Measure calls through moves.")
    actions = parser.add_subparsers(
        required=True, metavar="ACTION", dest="action", parser_class=_Parser
    )
    actions.add_parser("list", help="show the scenarios")
    worlds_command.add_parser(actions)
    run = actions.add_parser("run", help="run one, and measure it beside the physical floor")
    run.add_argument("scenario", metavar="SCENARIO")
    run.add_argument("--runs", type=_positive, default=1, metavar="N", help="default: 1")
    run.add_argument("--seed", type=int, metavar="N", help="default: any; it is printed")
    run.add_argument("--out", type=Path, default=Path("out/lab"), help="default: %(default)s")
    run.add_argument(
        "--world",
        choices=get_args(World),
        default="auto",
        help="real kernels, or virtual time; auto prefers kernels",
    )
    run.add_argument(
        "--media", default=_default_media(), metavar="FILE|tone", help="default: %(default)s"
    )
    run.add_argument("--resilience", choices=get_args(Resilience), default="hedged")
    run.add_argument("--relay", choices=get_args(RelayUse), default="auto")
    run.add_argument(
        "--quic-role",
        choices=get_args(QuicRole),
        default="any",
        help="which end of the QUIC connection the mover is (default: any)",
    )
    run.add_argument("--demo", action="store_true", help="end with a sentence for people")
    run.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def _default_media() -> str:
    return str(SAMPLE) if SAMPLE.exists() else TONE


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


class _Parser(argparse.ArgumentParser):
    """Answers a wrong command with one sentence."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(f"{message}. `{self.prog} --help` shows what there is.")
