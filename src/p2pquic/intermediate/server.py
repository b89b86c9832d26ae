"""The process of the intermediate server: a socket of each family, and one IntermediateSession.

It decides nothing; who it is lies on disk, see certificate.py.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.trace import Entry, Failed, Listening, MemberJoined, MemberLeft
from p2pquic.intermediate.certificate import load_or_create_identity, load_or_create_secret
from p2pquic.net import process
from p2pquic.net.driver import Driver
from p2pquic.net.trace_file import STANDARD_OUTPUT, TraceFile
from p2pquic.net.udp import UdpSockets, has_ipv6
from p2pquic.quic.identity import Identity
from p2pquic.session.intermediate_session import IntermediateSession

WILDCARDS = ("0.0.0.0", "::")


@dataclass(frozen=True)
class IntermediateOptions:
    """What a person chooses. `::` alone listens on every address, of IPv4 as well."""

    listen: ServerAddress
    certificate_file: Path
    key_file: Path
    trace: str | None = None


def run_intermediate(options: IntermediateOptions) -> int:
    """Serve until a signal; the exit code.

    Raises:
        P2PQuicError: with the sentence to show.
    """
    identity = load_or_create_identity(options.certificate_file, options.key_file)
    secret = load_or_create_secret(options.key_file.with_suffix(".secret"))
    return process.run(_serve(options, identity, secret))


async def _serve(options: IntermediateOptions, identity: Identity, secret: bytes) -> int:
    trace = TraceFile(options.trace)
    stream = sys.stderr if options.trace == STANDARD_OUTPUT else sys.stdout

    def write(entry: Entry) -> None:
        trace.write(entry)
        text = sentence(entry)
        if text is not None:
            print(text, file=stream, flush=True)

    driver = Driver(write)
    process.on_stop_signal(driver.hang_up)
    try:
        listen = _listen(driver.sockets, options.listen)
        address = ServerAddress.of(*(each.address for each in listen))
        driver.record(Listening(str(address), identity.fingerprint))
        print(_invitation(address, identity), file=stream, flush=True)
        unix_origin = time.time() - time.monotonic()
        driver.run(IntermediateSession(listen, identity, secret, os.urandom, unix_origin))
        finish = await driver.wait_until_finished()
    finally:
        driver.close()
        trace.close()
    if finish.failed:
        print(finish.reason, file=sys.stderr)
    return 1 if finish.failed else 0


def _listen(sockets: UdpSockets, wanted: ServerAddress) -> list[LocalSocket]:
    """One socket per family, for what arrives at an IPv6 socket looks different as IPv4.

    Raises:
        UsageError: an address cannot be listened on.
    """
    if wanted.ipv6 is None or wanted.ipv6.host != "::" or wanted.ipv4 is not None:
        return [sockets.listen(address) for address in wanted.addresses]
    first = sockets.listen(SocketAddress("0.0.0.0", wanted.ipv6.port))
    if not has_ipv6():
        return [first]
    return [first, sockets.listen(SocketAddress("::", first.port))]


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


def _invitation(listen: ServerAddress, identity: Identity) -> str:
    """The command that brings a peer here."""
    named = {
        f"ADDRESS-OF-THIS-MACHINE:{each.port}" if each.host in WILDCARDS else str(each): None
        for each in listen.addresses
    }
    address = ",".join(named)
    return (
        "A peer joins with:\n"
        f"  p2pquic peer --intermediate {address} --pin {identity.fingerprint} "
        "--role receiver --room NAME"
    )
