"""`p2pquic doctor`: run the checks one after another and print what each found.

Each ends by itself within its limit, so the whole takes a second, or a few if something hangs. One
after another, so that Ctrl-C also ends the program that is being waited for, and no check disturbs
the clock of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from p2pquic.core.addresses import SocketAddress
from p2pquic.doctor.finding import Finding
from p2pquic.doctor.names import Resolve, look_up
from p2pquic.doctor.sound import check_sound
from p2pquic.doctor.system import check_clock, check_lab, check_python


def run_doctor(names: Sequence[str], pins: Sequence[str], resolve: Resolve) -> int:
    """Print one line per finding; the exit code: 1 if there is a problem.

    `names` are the servers' HOST:PORT; `pins` the fingerprints of the keys they may hold, none to
    accept any.

    Raises:
        UsageError: a name is no HOST:PORT, or a pin no fingerprint.
    """
    key_hashes = _parse(pins)
    servers, faults = look_up(names, resolve)
    has_problem = False
    for finding in _examine(servers, faults, key_hashes):
        print(finding, flush=True)
        has_problem = has_problem or finding.level == "problem"
    if has_problem:
        print("A call cannot be made until what is marked as a problem is mended.")
        return 1
    print("A call can be made, as far as was looked.")
    return 0


def _parse(pins: Sequence[str]) -> list[bytes]:
    if not pins:
        return []  # what is missing on this machine is for the checks to say
    from p2pquic.quic.identity import parse_fingerprint

    return [parse_fingerprint(pin) for pin in pins]


def _examine(
    servers: Sequence[SocketAddress], faults: Sequence[Finding], key_hashes: Sequence[bytes]
) -> Iterator[Finding]:
    foundation = check_python()
    yield from foundation
    if any(finding.level == "problem" for finding in foundation):
        return  # what follows could not even be imported
    from p2pquic.doctor.network import check_network
    from p2pquic.net.process import EventLoop

    yield from check_clock()
    yield from check_sound()
    yield from check_lab()
    yield from faults
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        yield from runner.run(check_network(servers, key_hashes))
    if not servers and not faults:
        what = "Servers and NAT were not looked at, since no server was named."
        yield Finding("note", what, "Add --intermediate HOST:PORT to ask one.")
