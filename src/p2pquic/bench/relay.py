"""The relay: packets per second of the switch alone, and of the whole server process.

The second runs the real `p2pquic intermediate`. Its relay takes a ticket made with the secret
this benchmark left on its disk, as it would after a restart; so no control connection is needed.
"""

from __future__ import annotations

import itertools
import os
import socket
import tempfile
import time
from pathlib import Path
from time import process_time

from p2pquic.bench.measuring import Benchmark
from p2pquic.bench.processes import clock_ticks, cpu_of, start_server
from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.net.datagram_reader import MAX_DATAGRAM
from p2pquic.session.relay_legs import RelayLegs
from p2pquic.session.relay_switch import RelaySwitch
from p2pquic.wire.relay_frame import KEY_SIZE, FrameType, decode

PAYLOAD = bytes(200)  # an audio packet: 160 bytes of Opus at 64 kbit/s, RTP and QUIC around it
ALICE, BOB = "0a" * 16, "0b" * 16
PACKET_INTERVAL = 1e-4  # virtual seconds between packets: a busy relay
WINDOW = 64  # packets under way through the server process; more would overflow its socket
LOOK_INTERVAL = 0.002  # seconds; a receiver that waits for each packet would have the server wake
# it each time, which costs several times the sending, and no receiver sits on a server's machine
ANSWER_LIMIT = 2.0  # seconds in which the server passes a packet on

_Way = tuple[RelayLegs, LocalSocket]


def switch_rate(count: int) -> float:
    """Packets per second through `RelaySwitch.receive`: tag checked, forwarded, tag made."""
    secret = os.urandom(KEY_SIZE)
    switch = RelaySwitch(secret, os.urandom)
    a, b = (
        (RelayLegs(*grant), LocalSocket(f"192.0.2.{number}", 5000, "eth0"))
        for number, grant in enumerate(switch.open_session(ALICE, BOB, 0.0), start=1)
    )
    now = 0.0
    for _ in range(3):  # both are challenged, and answer
        for legs, local in (a, b):
            legs.select([local])
            waiting = [(local, legs.announce(local))]
            while waiting:
                sender, data = waiting.pop()
                for address, answer in switch.receive(sender.address, data, now):
                    receiver, at = a if address == a[1].address else b
                    waiting += receiver.receive(at, answer).replies
            now += 1.0
    assert all(leg.validated for leg in switch.statistics())
    legs, local = a
    packets = [data for _ in range(count) for _, data in legs.wrap(PAYLOAD)]
    forwarded = 0
    begin = process_time()
    for data in packets:
        now += PACKET_INTERVAL
        forwarded += len(switch.receive(local.address, data, now))
    taken = process_time() - begin
    assert forwarded == count, "the relay did not forward each packet once"
    return count / taken


def server_rate(count: int) -> float:
    """Packets per second of CPU time of the whole server process, over loopback."""
    with tempfile.TemporaryDirectory(prefix="p2pquic-bench-") as name:
        directory = Path(name)
        secret = os.urandom(KEY_SIZE)
        (directory / "server.secret").write_bytes(secret)
        with start_server(directory) as server:
            ways = _open_session(secret, server.address)
            try:
                begin = cpu_of(server.process.pid)
                _send_through(ways, server.address, count)
                taken = cpu_of(server.process.pid) - begin
            finally:
                for udp in ways:
                    udp.close()
    return count / max(taken, 1 / clock_ticks())


def _open_session(secret: bytes, server: SocketAddress) -> dict[socket.socket, _Way]:
    """Two sockets with a session between them that the server learns of from a ticket."""
    switch = RelaySwitch(secret, os.urandom, unix_origin=time.time())
    ways: dict[socket.socket, _Way] = {}
    for grant in switch.open_session(ALICE, BOB, 0.0):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((server.host, 0))
        udp.settimeout(ANSWER_LIMIT)
        host, port = udp.getsockname()
        local = LocalSocket(host, port, "lo")
        legs = RelayLegs(*grant)
        legs.select([local])
        ways[udp] = (legs, local)
    for udp, (legs, local) in ways.items():
        udp.sendto(legs.announce(local), server)
        asked = b""
        while not (asked and decode(asked).type is FrameType.CHALLENGE):  # before it: the ticket
            asked = udp.recv(MAX_DATAGRAM)
            for _, reply in legs.receive(local, asked).replies:
                udp.sendto(reply, server)
    return ways


def _send_through(ways: dict[socket.socket, _Way], server: SocketAddress, count: int) -> None:
    source, target = ways
    legs, _ = ways[source]
    packets = [data for _ in range(count) for _, data in legs.wrap(PAYLOAD)]
    target.setblocking(False)
    for start in range(0, count, WINDOW):
        window = packets[start : start + WINDOW]
        for data in window:
            source.sendto(data, server)
        missing = len(window)
        give_up_at = time.monotonic() + ANSWER_LIMIT
        while missing:
            time.sleep(LOOK_INTERVAL)
            missing -= _drain(target)
            assert time.monotonic() < give_up_at, "the server did not pass a packet on"


def _drain(udp: socket.socket) -> int:
    """How many datagrams waited."""
    for count in itertools.count():
        try:
            udp.recv(MAX_DATAGRAM)
        except BlockingIOError:
            return count
    raise AssertionError


RELAY = (
    Benchmark("relay, the switch alone, 200 bytes", "packets/s", switch_rate, 20_000, "40000"),
    Benchmark("relay, the server process", "packets/s of CPU", server_rate, 20_000),
)
