"""The process of the intermediate server: what the library serves, told to a person."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import p2pquic
from p2pquic.events import Entry, Failed, Listening, MemberJoined, MemberLeft
from p2pquic.net import process
from p2pquic.net.trace_file import STANDARD_OUTPUT, TraceFile

WILDCARDS = ("0.0.0.0", "[::]")


@dataclass(frozen=True)
class IntermediateOptions:
    """What a person chooses."""

    listen: str
    certificate_file: Path
    key_file: Path
    trace: str | None = None


def run_intermediate(options: IntermediateOptions) -> int:
    """Serve until a signal; the exit code.

    Raises:
        P2PQuicError: with the sentence to show.
    """
    return process.run(_serve(options))


async def _serve(options: IntermediateOptions) -> int:
    trace = TraceFile(options.trace)
    stream = sys.stderr if options.trace == STANDARD_OUTPUT else sys.stdout

    def write(entry: Entry) -> None:
        trace.write(entry)
        text = sentence(entry)
        if text is not None:
            print(text, file=stream, flush=True)

    try:
        serving = p2pquic.serve(
            options.listen,
            certificate=options.certificate_file,
            key=options.key_file,
            on_event=write,
        )
        process.on_stop_signal(serving.hang_up)  # before anybody is told that it listens
        async with serving as server:
            process.on_callback_error(server.fail)
            print(_invitation(server), file=stream, flush=True)
            await server.wait_closed()
    finally:
        trace.close()
    return 0


def sentence(entry: Entry) -> str | None:
    """The line whoever runs the server should read; None for what is not worth one."""
    match entry.record:
        case Listening(address, fingerprint):
            return f"Listening on {address} (UDP) as {fingerprint}"
        case MemberJoined(peer, role):
            return f"{peer} joined as {role}."
        case MemberLeft(peer):
            return f"{peer} left."
        case Failed(message):
            return message
    return None


def _invitation(server: p2pquic.Server) -> str:
    """The command that brings a peer here."""
    named: dict[str, None] = {}  # once, if it listens on every address of both families
    for address in server.address.split(","):
        host, _, port = address.rpartition(":")
        named[f"ADDRESS-OF-THIS-MACHINE:{port}" if host in WILDCARDS else address] = None
    return (
        "A peer joins with:\n"
        f"  p2pquic peer --intermediate {','.join(named)} --pin {server.fingerprint} "
        "--role receiver --room NAME"
    )
