"""Stands in for `p2pquic` in tests of the lab itself: same command line, same trace, no QUIC.

A peer sends a numbered datagram every 20 ms to the server, which passes it on to the other peer.
It leaves the way to its kernel and moves when the kernel's routes move: a call without any
protocol, whose interruption is what the world alone makes of it.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

from p2pquic.core.addresses import SocketAddress, parse_socket_address
from p2pquic.core.trace import (
    Connected,
    Entry,
    FrameReceived,
    FrameSent,
    FrameUnsent,
    Listening,
    PathSelected,
    Record,
    to_line,
)

CADENCE = 0.020  # seconds between frames


class _Trace:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)

    def write(self, record: Record) -> None:
        self._file.write(to_line(Entry(time.monotonic(), record)) + "\n")


def _serve(listen: SocketAddress, trace: _Trace) -> NoReturn:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(listen)
    trace.write(Listening(str(listen), "sha256:00"))
    address_of: dict[bytes, SocketAddress] = {}
    while True:
        data, sender = server.recvfrom(1500)
        peer, _ = data.split()
        address_of[peer] = SocketAddress(*sender)
        for other, address in address_of.items():
            if other != peer:
                server.sendto(data, address)


def _call(server: SocketAddress, trace: _Trace) -> NoReturn:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer, started, sequence, connected = os.getpid(), time.monotonic(), 0, False
    while True:
        patience = started + sequence * CADENCE - time.monotonic()
        if patience <= 0:
            try:
                udp.sendto(f"{peer} {sequence}".encode(), server)
                trace.write(FrameSent(sequence, "relay", "", "first"))
            except OSError:
                trace.write(FrameUnsent(sequence, ""))
            sequence += 1
        elif select.select([udp], [], [], patience)[0]:
            remote, frame = map(int, udp.recv(1500).split())
            if not connected:
                trace.write(Connected("", "relay", "client" if peer < remote else "server", ""))
                trace.write(PathSelected("relay", "relay", "", str(server), "the only one", ""))
                connected = True
            trace.write(FrameReceived(frame, "relay", ""))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--exit-code", type=int, default=0)
    parser.add_argument("what", choices=("intermediate", "peer"))
    parser.add_argument("--listen", type=parse_socket_address)
    parser.add_argument("--intermediate", type=parse_socket_address)
    parser.add_argument("--trace", type=Path)
    options, _ = parser.parse_known_args()
    signal.signal(signal.SIGINT, lambda *_: sys.exit(options.exit_code))
    if options.what == "intermediate":
        _serve(options.listen, _Trace(options.trace))
    _call(options.intermediate, _Trace(options.trace))


if __name__ == "__main__":
    main()
