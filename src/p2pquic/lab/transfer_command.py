"""`p2pquic lab transfer`: a file through moves, and what share of the path rate it got."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from p2pquic.core.errors import MissingRequirementError
from p2pquic.core.events import Resilience
from p2pquic.lab import virtual_transfer
from p2pquic.lab.outcome import World
from p2pquic.lab.transfers import LIMIT, MEGA, Manner, Plan, Transfer
from p2pquic.session.pair_config import RelayUse

USUAL = Plan(0)


def add_parser(actions: Any) -> None:
    """Add the action to those of `p2pquic lab`."""
    parser = actions.add_parser("transfer", help="send a file through moves, and measure its rate")
    parser.add_argument("--megabytes", type=float, default=50.0, metavar="N", help="default: 50")
    parser.add_argument("--moves", type=int, default=USUAL.moves, metavar="N", help="default: 3")
    parser.add_argument(
        "--every", type=float, default=USUAL.every, metavar="SECONDS", help="default: %(default)g"
    )
    parser.add_argument(
        "--manner", choices=get_args(Manner), default=USUAL.manner, help="before make, or break"
    )
    parser.add_argument("--sender", choices=("mover", "other"), default=USUAL.sender)
    parser.add_argument("--relay", choices=get_args(RelayUse), default="auto")
    parser.add_argument(
        "--resilience",
        choices=get_args(Resilience),
        default="hedged",
        help="of the audio beside it, which only the simulator has",
    )
    parser.add_argument(
        "--both-up", action="store_true", help="cellular stands by from the start; simulator only"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--world", choices=get_args(World), default="kernel")
    parser.add_argument("--out", type=Path, default=Path("out/transfer"))
    parser.add_argument("--debug", action="store_true", help="show where an error came from")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run the action; 1 if the file came damaged, or too slowly.

    Raises:
        P2PQuicError: with the sentence to show.
    """
    size = round(options.megabytes * MEGA)
    plan = Plan(size, options.moves, options.every, options.manner, options.sender)
    if options.world == "simulator":
        transfer, audio = virtual_transfer.run(
            plan, options.seed, options.resilience, options.relay, both_up=options.both_up
        )
        console.print(describe(transfer))
        for name, heard in audio.items():
            transits = ", ".join(f"{each:.0f}" for each in heard.transits)
            console.print(
                f"{name} heard audio after {transits} ms (median, 95 %, 99 %), the longest gap "
                f"{heard.longest_gap:.0f} ms, {heard.missing} frames missing; "
                f"{heard.copies:.0%} copies, {heard.suspicions} suspicions"
            )
        return 0 if transfer.is_good else 1
    return _run_in_kernels(plan, options, console)


def describe(transfer: Transfer) -> str:
    """A transfer in one line."""
    whole = "SHA-256 equal" if transfer.is_identical else "the file is DAMAGED"
    return (
        f"{transfer.size / MEGA:.1f} MB in {transfer.seconds:.2f} s, "
        f"{transfer.rate / MEGA:.1f} Mbit/s: {transfer.share:.0%} of the path rate "
        f"(limit {LIMIT:.0%}; no path is rate zero), {whole}"
    )


def _run_in_kernels(plan: Plan, options: argparse.Namespace, console: Console) -> int:
    if sys.platform != "linux":
        raise MissingRequirementError("The lab of real kernels needs Linux.")
    else:  # noqa: RET506  # or mypy, which knows the system, finds what follows unreachable
        from p2pquic.lab import kernel_transfer
        from p2pquic.lab.requirements import check_lab

        check_lab()
        measured = kernel_transfer.run(plan, options.seed, options.out, options.relay)
        console.print(describe(measured.transfer))
        for name, share in measured.processor.items():
            console.print(f"{name}: {share.running:.0%} of a core, waited {share.waiting:.0%}")
        console.print(
            f"The lab's internet was late by {measured.internet.late_p99_ms} ms (99 %); "
            f"traces: {options.out}"
        )
        return 0 if measured.transfer.is_good else 1
