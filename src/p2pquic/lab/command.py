"""`p2pquic lab`: list the scenarios, run one and say what it did to the audio, or run them all.

A run leaves a directory of its own with the traces, a picture and what was heard, so that every
figure printed can be checked against its raw material. A figure is never printed without the
seed that repeats it.
"""

from __future__ import annotations

import argparse
import dataclasses
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec
from rich.console import Console
from rich.table import Table

from p2pquic.core.errors import MissingRequirementError, UsageError
from p2pquic.core.events import Resilience
from p2pquic.core.trace import FrameReceived, Registered
from p2pquic.lab import overview, report, transfer_command, worlds_command
from p2pquic.lab.calls import Traces
from p2pquic.lab.catalogue import SCENARIOS, scenario_named
from p2pquic.lab.full import Sweep
from p2pquic.lab.limits import LIMITS
from p2pquic.lab.measure import Passage, conduct, frames_by_course, measure
from p2pquic.lab.outcome import Outcome, World, run
from p2pquic.lab.scenarios import QuicRole, Scenario
from p2pquic.session.pair_config import RelayUse

WORLDS = ("auto", *get_args(World))
SAMPLE = Path("static/output.mp3")
TONE = "tone"  # sounds alike everywhere, so nothing can be aligned with it
MOST_PICTURES = 8  # of one run; nobody looks at sixty
FULL_WIDTH = 180  # columns of the table of everything
REPORT_WIDTH = 110  # columns of the table where there is no terminal to ask


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
    if options.action == "transfer":
        return transfer_command.run(options, console)
    return _run_all(options, console) if options.action == "full" else _run(options, console)


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
    try:
        for number in range(options.runs):
            console.print(
                f"{scenario.name}, run {number + 1} of {options.runs}, seed {seed + number}"
            )
            outcome = run(
                world,
                scenario,
                seed + number,
                out / f"run-{number + 1}",
                media=options.media,
                resilience=options.resilience,
                relay=options.relay,
            )
            passages += _conclude(scenario, outcome, options.resilience, console)
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


def _run_all(options: argparse.Namespace, console: Console) -> int:
    names = [scenario_named(name).name for name in options.scenarios]
    wanted = [each for each in LIMITS if not names or each.scenario in names]
    world = _choose_world(options.world, console)
    sweep = Sweep(wanted, world, options.seed, options.out, console)
    sweep.run(options.runs)
    console.width = max(console.width, FULL_WIDTH)
    console.print(overview.table(sweep.rows))
    console.print(f"Traces and the table as Markdown and JSON: {options.out}")
    return 1 if sweep.failures else 0


def _choose_world(wanted: str, console: Console) -> World:
    """Real kernels where this machine allows it; asking makes this process able to."""
    if wanted == "simulator":
        return "simulator"
    try:
        _require_kernels()
    except MissingRequirementError as error:
        if wanted == "kernel":
            raise
        console.print(f"{error} So this runs in the simulator, in virtual time and without sound.")
        return "simulator"
    return "kernel"


def _require_kernels() -> None:
    if sys.platform == "linux":
        from p2pquic.lab.requirements import check_lab

        check_lab()
    else:
        raise MissingRequirementError("The lab of real kernels needs Linux.")


def _conclude(
    scenario: Scenario, outcome: Outcome, resilience: Resilience, console: Console
) -> list[Passage]:
    """Measure one run, draw it, and print what belongs to this run alone."""
    passages = measure(scenario, outcome.traces, outcome.changes, resilience)
    behaviour = conduct(scenario, outcome.traces, outcome.changes, outcome.settled)
    console.print(report.conduct(behaviour))
    if not passages:
        console.print(_start_of_call(outcome.traces))
        return []
    drawn = list(dict.fromkeys(passage.episode for passage in passages))[:MOST_PICTURES]
    console.print(report.path_timeline(each for each in passages if each.episode in drawn))
    frames = frames_by_course(scenario, outcome.traces)
    for number, episode in enumerate(drawn, start=1):
        both = [passage for passage in passages if passage.episode == episode]
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
    transfer_command.add_parser(actions)
    one = actions.add_parser("run", help="run one, and measure it beside the physical floor")
    one.add_argument("scenario", metavar="SCENARIO")
    one.add_argument("--runs", type=_positive, default=1, metavar="N", help="default: 1")
    one.add_argument("--seed", type=int, metavar="N", help="default: any; it is printed")
    one.add_argument("--out", type=Path, default=Path("out/lab"), help="default: %(default)s")
    one.add_argument(
        "--world",
        choices=WORLDS,
        default="auto",
        help="real kernels, or virtual time; auto prefers kernels",
    )
    one.add_argument(
        "--media", default=_default_media(), metavar="FILE|tone", help="default: %(default)s"
    )
    one.add_argument("--resilience", choices=get_args(Resilience), default="hedged")
    one.add_argument("--relay", choices=get_args(RelayUse), default="auto")
    one.add_argument(
        "--quic-role",
        choices=get_args(QuicRole),
        default="any",
        help="which end of the QUIC connection the mover is (default: any)",
    )
    one.add_argument("--demo", action="store_true", help="end with a sentence for people")
    one.add_argument("--debug", action="store_true", help="show where an error came from")
    everything = actions.add_parser("full", help="run all that is asked for, beside its limits")
    everything.add_argument("scenarios", metavar="SCENARIO", nargs="*", help="default: all")
    everything.add_argument("--runs", type=_positive, default=40, metavar="N", help="default: 40")
    everything.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")
    everything.add_argument(
        "--out",
        type=Path,
        default=Path("out/lab-full"),
        help="what is there already is not run again (default: %(default)s)",
    )
    everything.add_argument(
        "--world", choices=get_args(World), default="kernel", help="default: %(default)s"
    )
    everything.add_argument("--debug", action="store_true", help="show where an error came from")
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
