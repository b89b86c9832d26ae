"""The command line: parse, call, print.

    p2pquic intermediate | peer | monitor | doctor | lab | bench

Exit codes: 0 done, 1 it did not work out, 2 the command was wrong. Everything heavy is imported by
the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from p2pquic import __version__
from p2pquic.core.addresses import ServerAddress
from p2pquic.core.errors import P2PQuicError, UsageError
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.preference import InterfacePreference
from p2pquic.net.resolving import data_directory, resolve

DONE, FAILED, WRONG_USAGE = 0, 1, 2
STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last is Ctrl-Break, on Windows alone
DEFAULT_LISTEN = "[::]:12345"
DEFAULT_INTERMEDIATE = "127.0.0.1:12345"
SHORTEST_BUFFER, LONGEST_BUFFER = 20, 2000  # ms: one frame; what nobody would call a talk
LONGEST_WAIT = 86_400  # seconds, a day
PEER_ID_DIGITS = 32  # hexadecimal: fewer could be had by trying keys


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code and never a traceback, except with --debug."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:  # as a program: until a command knows better, a signal ends it well
        _never_fail_to_print()
        for name in STOP_SIGNALS:  # a shell's background job ignores SIGINT
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.default_int_handler)
    debug = "--debug" in words
    try:
        if words[:1] == ["lab"]:
            return _run_lab(words[1:])
        options = _parser().parse_args(words)
        return int(options.run(options))
    except KeyboardInterrupt:
        return DONE
    except BrokenPipeError:  # whoever read our output has gone; the last flush must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except P2PQuicError as error:
        if debug:
            traceback.print_exc()
        print(f"p2pquic: {error}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, UsageError) else FAILED
    except Exception as error:
        if debug:
            traceback.print_exc()
        else:
            print(
                f"p2pquic: this is a bug: {type(error).__name__}: {error}. "
                "Run again with --debug to see where.",
                file=sys.stderr,
            )
        return FAILED


def _never_fail_to_print() -> None:
    """A room's name may have letters that the encoding of a file or pipe lacks, as on Windows."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run_intermediate(options: argparse.Namespace) -> int:
    if options.cert is None and options.key is None:
        options.cert = data_directory() / "intermediate.pem"
        options.key = data_directory() / "intermediate.key"
    if options.cert is None or options.key is None:
        raise UsageError("--cert and --key belong together: give both or neither.")
    from p2pquic.intermediate.server import IntermediateOptions, run_intermediate

    return run_intermediate(
        IntermediateOptions(options.listen, Path(options.cert), Path(options.key), options.trace)
    )


def _run_peer(options: argparse.Namespace) -> int:
    if (options.cert is None) != (options.key is None):
        raise UsageError("--cert and --key belong together: give both or neither.")
    if options.ephemeral and options.cert is not None:
        raise UsageError("--ephemeral makes a new identity, --cert and --key name one: not both.")
    options.intermediate = options.intermediate or [DEFAULT_INTERMEDIATE]
    _check_words_of_peer(options)
    from p2pquic.peer.memory import Memory
    from p2pquic.peer.peer import PeerOptions, run_peer
    from p2pquic.trust.known_peers import KnownPeers

    with _identity(options) as (options.identity, is_lasting):
        options.memory = Memory(KnownPeers(data_directory()) if is_lasting else None)
        names = (each.name for each in fields(PeerOptions))
        return run_peer(PeerOptions(**{name: getattr(options, name) for name in names}))


def _check_words_of_peer(options: argparse.Namespace) -> None:
    """Say what is wrong with them before a key is made or a sound card asked."""
    InterfacePreference.parse(options.prefer, options.avoid)
    from p2pquic.api.named_servers import choose_pins, find_servers
    from p2pquic.api.room_options import check_words
    from p2pquic.trust.known_servers import KnownServers

    check_words(options.room, options.role, options.resilience, options.relay)
    known = KnownServers(data_directory())
    find_servers(choose_pins(options.intermediate, options.pin, known), resolve)


@contextmanager
def _identity(options: argparse.Namespace) -> Iterator[tuple[Identity, bool]]:
    """Who a peer is, and whether that is the lasting identity: nobody else's meanwhile."""
    from p2pquic import Identity
    from p2pquic.trust.lasting_identity import lasting_identity

    if options.cert is not None:
        yield Identity.load(Path(options.cert), Path(options.key)), False
    elif options.ephemeral:
        yield Identity.generate(), False
    else:
        with lasting_identity(data_directory()) as identity:
            yield identity or Identity.generate(), identity is not None


def _run_monitor(options: argparse.Namespace) -> int:
    server = ServerAddress() if options.intermediate is None else resolve(options.intermediate)
    from p2pquic.net.monitor.watch import watch_addresses

    return watch_addresses([address.host for address in server.addresses])


def _run_doctor(options: argparse.Namespace) -> int:
    from p2pquic.doctor.command import run_doctor

    return run_doctor(options.intermediate, options.pin, resolve)


def _run_lab(arguments: list[str]) -> int:
    from p2pquic.lab.command import main as lab_main  # it reads its own words

    return lab_main(arguments)


def _run_bench(options: argparse.Namespace) -> int:
    from p2pquic.bench.command import run_bench

    return run_bench(options.names, repeats=options.repeats, scale=options.scale)


def _buffer(text: str) -> DelayBounds:
    shortest, dash, longest = text.partition("-")
    try:
        minimum, maximum = int(shortest), int(longest if dash else shortest)
    except ValueError:
        minimum, maximum = 0, 0
    if not SHORTEST_BUFFER <= minimum <= maximum <= LONGEST_BUFFER:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no delay in ms from {SHORTEST_BUFFER} to {LONGEST_BUFFER}, like 100, "
            "or range of them, like 40-200"
        )
    return DelayBounds(minimum / 1000, maximum / 1000)


def _give_up(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_WAIT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds above 0 and up to a day ({LONGEST_WAIT})"
        )
    return seconds


def _peer_id(text: str) -> str:
    digits = text.lower()
    if len(digits) != PEER_ID_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no peer id of {PEER_ID_DIGITS} hexadecimal digits, as a peer says of "
            "itself when it starts"
        )
    return digits


if TYPE_CHECKING:
    from p2pquic import Identity

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


class _Parser(argparse.ArgumentParser):
    """Answers a wrong command with one sentence instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. `{self.prog} --help` shows what there is.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="p2pquic",
        description="Peer-to-peer QUIC that carries live audio through a change of address.",
    )
    parser.add_argument("--version", action="version", version=f"p2pquic {__version__}")
    commands: Commands = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="command", parser_class=_Parser
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show where an error came from")
    traced = argparse.ArgumentParser(add_help=False, parents=[common])
    traced.add_argument("--trace", metavar="FILE", help="write JSON lines to FILE; - is stdout")
    _add_intermediate(commands, traced)
    _add_peer(commands, traced)
    monitor = commands.add_parser(
        "monitor", parents=[common], help="show this host's address changes as they happen"
    )
    monitor.add_argument("--intermediate", metavar="HOST:PORT", help="only what reaches this")
    monitor.set_defaults(run=_run_monitor)
    _add_doctor(commands, common)
    commands.add_parser("lab", help="measure calls through moves; see p2pquic lab --help")
    _add_bench(commands, common)
    return parser


def _add_intermediate(commands: Commands, traced: argparse.ArgumentParser) -> None:
    command = commands.add_parser(
        "intermediate", parents=[traced], help="introduce peers, and relay while they need it"
    )
    command.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default=DEFAULT_LISTEN,
        help="one address, or one of IPv4 and one of IPv6 with a comma between (default: "
        "%(default)s, which is every address of both)",
    )
    command.add_argument("--cert", metavar="FILE", help="PEM certificate; made if missing")
    command.add_argument("--key", metavar="FILE", help="its PEM key; made if missing")
    command.set_defaults(run=_run_intermediate)


def _add_peer(commands: Commands, traced: argparse.ArgumentParser) -> None:
    command = commands.add_parser("peer", parents=[traced], help="send or receive audio in a room")
    command.add_argument(
        "--intermediate",
        metavar="HOST:PORT",
        action="append",
        default=[],
        help="the server: a name, an address, or one of IPv4 and one of IPv6 with a comma between; "
        "give it again for others, the same to everybody in the room, which then stand in for each "
        f"other (default: {DEFAULT_INTERMEDIATE})",
    )
    command.add_argument(
        "--pin",
        metavar="sha256:HEX",
        action="append",
        default=[],
        help="the server's key, as it prints it; repeated if each server has its own (default: the "
        "key it had when first met)",
    )
    command.add_argument("--role", choices=("sender", "receiver", "both"), default="both")
    command.add_argument("--room", metavar="NAME", default="lobby", help="default: %(default)s")
    command.add_argument(
        "--media", metavar="FILE|tone|mic", default="tone", help="what to send (default: tone)"
    )
    command.add_argument(
        "--sink",
        metavar="speaker|none|FILE.wav",
        default="speaker",
        help="where to play (default: speaker)",
    )
    command.add_argument(
        "--resilience",
        choices=("lean", "hedged", "hot"),
        default="hedged",
        help="lean: send no frame twice; hedged: twice while a path is in doubt (default); "
        "hot: always by two paths, if there are two",
    )
    command.add_argument(
        "--relay",
        choices=("auto", "only", "never"),
        default="auto",
        help="use of the server's relay (default: auto)",
    )
    command.add_argument(
        "--prefer",
        metavar="NAMES",
        help="interfaces to speak by while they live, the best first, as in eth0,wlan*",
    )
    command.add_argument(
        "--avoid",
        metavar="NAMES",
        help="interfaces to use only while nothing else lives, as in rmnet0",
    )
    command.add_argument(
        "--buffer",
        metavar="MS[-MS]",
        type=_buffer,
        default="40-200",
        help="how long a frame may wait for its turn: from a minimum to a maximum, or always as "
        "long; more hides longer interruptions and delays the talk (default: %(default)s)",
    )
    command.add_argument(
        "--give-up",
        metavar="SECONDS",
        type=_give_up,
        default=60.0,
        help="end a call that heard nothing for so long (default: 60)",
    )
    command.add_argument(
        "--cert", metavar="FILE", help="PEM certificate of this peer (default: your lasting one)"
    )
    command.add_argument("--key", metavar="FILE", help="its PEM key")
    command.add_argument(
        "--ephemeral",
        action="store_true",
        help="be somebody new, for this run only, and remember nobody",
    )
    command.add_argument(
        "--only",
        metavar="PEER_ID",
        type=_peer_id,
        action="append",
        default=[],
        help="have calls with this peer alone; give it again for others (default: everybody)",
    )
    command.add_argument("--once", action="store_true", help="end with the media, do not repeat it")
    command.set_defaults(run=_run_peer)


def _add_doctor(commands: Commands, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser(
        "doctor",
        parents=[common],
        help="say whether a call can be made here, and what to do if not",
    )
    command.add_argument(
        "--intermediate",
        metavar="HOST:PORT",
        action="append",
        default=[],
        help="a server to ask; two, at different addresses, show more of the NAT",
    )
    command.add_argument(
        "--pin",
        metavar="sha256:HEX",
        action="append",
        default=[],
        help="the server's key, as it prints it; repeated if each server has its own",
    )
    command.set_defaults(run=_run_doctor)


def _add_bench(commands: Commands, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("bench", parents=[common], help="measure what all this costs")
    command.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="call, datagrams, handshakes, memory, processes, relay (default: all)",
    )
    command.add_argument("--repeats", metavar="N", type=int, default=5, help="default: %(default)s")
    command.add_argument(
        "--scale",
        metavar="SHARE",
        type=float,
        default=1.0,
        help="of the usual work of each repeat (default: %(default)s)",
    )
    command.set_defaults(run=_run_bench)
