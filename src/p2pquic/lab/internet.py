"""The lab's internet: one process that carries IP packets between the access networks.

    router of mover/wlan0 --TUN--+                    +--TUN-- router of other/eth0
    router of mover/rmnet0 -TUN--+-- this process ----+--TUN-- server/eth0

It holds the far end of every TUN device, asks `AccessLinks`, the same as the simulator, when a
packet arrives, and hands it to the kernel there at that moment. netem would do this inside the
kernel but is not everywhere. A process of its own, so that nothing the runner does delays a
packet; it measures by how much it was late itself.

`Internet` starts it and speaks to it, a line of text each way; it ends with its standard input.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import statistics
import sys
import time
from array import array
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from subprocess import PIPE
from typing import TextIO

assert sys.platform == "linux", "The lab of real kernels needs Linux."

import msgspec

from p2pquic.core.errors import P2PQuicError
from p2pquic.lab.access_links import AccessLinks, Fate
from p2pquic.lab.namespaces import Namespace, stop
from p2pquic.lab.networks import Link, Topology

LARGEST_PACKET = 65535  # bytes of an IP packet; a TUN device hands over one per read
PRIORITY = 1  # the lowest of SCHED_FIFO: before everything that is not real-time


class InternetFailedError(P2PQuicError):
    """The process that carries the lab's packets ended or complained."""


@dataclass(frozen=True, slots=True)
class Count:
    """Packets from one link to another that met one fate; see `Tally`. `target` "" is nowhere."""

    source: str
    target: str
    fate: Fate
    packets: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was carried, and by how many milliseconds it was handed over too late."""

    packets: tuple[Count, ...]
    late_median_ms: float
    late_p99_ms: float
    late_maximum_ms: float


@dataclass(frozen=True, slots=True)
class _Setup:
    """The first line the process reads. `tuns` holds a descriptor it inherited per link."""

    topology: Topology
    seed: int
    links_up: tuple[Link, ...]
    tuns: tuple[tuple[Link, int], ...]


class Internet:
    """The running process, seen from the lab. Close it, or use it in a `with`."""

    def __init__(
        self, topology: Topology, links_up: Iterable[Link], tuns: Mapping[Link, int], seed: int
    ) -> None:
        self._namespace = Namespace("internet")
        self._process = self._namespace.start(
            [sys.executable, "-m", __name__], fds=tuple(tuns.values()), stdin=PIPE, stdout=PIPE
        )
        setup = _Setup(topology, seed, tuple(links_up), tuple(tuns.items()))
        try:
            self._ask(msgspec.json.encode(setup).decode())
        except BaseException:
            self.close()
            raise

    def take_up(self, link: Link) -> None:
        """Packets to `link` are carried again."""
        self._ask(f"up {link.host} {link.interface}")

    def take_down(self, link: Link) -> None:
        """Packets that arrive at `link` from now on die."""
        self._ask(f"down {link.host} {link.interface}")

    def link_dies(self, link: Link) -> None:
        """Nothing is carried to or from `link` any more."""
        self._ask(f"link-dies {link.host} {link.interface}")

    def link_recovers(self, link: Link) -> None:
        """Packets to and from `link` are carried again."""
        self._ask(f"link-recovers {link.host} {link.interface}")

    def way_dies(self, source: Link, target: Link) -> None:
        """Nothing is carried from `source` to `target` any more."""
        self._ask(f"way-dies {' '.join((*source, *target))}")

    def way_recovers(self, source: Link, target: Link) -> None:
        """Packets from `source` to `target` are carried again."""
        self._ask(f"way-recovers {' '.join((*source, *target))}")

    def report(self) -> Report:
        """What was carried so far."""
        return msgspec.json.decode(self._ask("report"), type=Report)

    def close(self) -> None:
        """End it."""
        stop(self._process)
        self._namespace.close()

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # the missing answer says it
            print(line, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise InternetFailedError("The process that carries the lab's packets has ended.")
        return answer


class _Forwarder:
    """The loop of the process: packets in, packets out when due, commands in between."""

    def __init__(self, setup: _Setup) -> None:
        self._links: AccessLinks[bytes] = AccessLinks(
            setup.topology, setup.links_up, Random(setup.seed)
        )
        self._link_of = {fd: link for link, fd in setup.tuns}
        self._tun_of = dict(setup.tuns)
        self._lateness = array("d")  # seconds

    def run(self, commands: TextIO) -> None:
        """Carry packets until `commands` ends."""
        sources = [*self._tun_of.values(), commands.fileno()]
        while True:
            # select, for its timeout is in microseconds where epoll's is in milliseconds.
            readable, _, _ = select.select(sources, [], [], self._patience())
            for fd in readable:
                if fd in self._link_of:
                    self._take_in(fd)
            self._hand_over()
            if commands.fileno() in readable:  # after the packets, which were there before
                command = commands.readline()
                if not command:
                    return
                print(self._answer(command.split()), flush=True)

    def _patience(self) -> float | None:
        due = self._links.next_time
        return None if due is None else max(0.0, due - time.monotonic())

    def _take_in(self, fd: int) -> None:
        now = time.monotonic()
        with suppress(BlockingIOError):  # all taken in
            while packet := os.read(fd, LARGEST_PACKET):
                destination = _destination(packet)
                if destination is not None:
                    self._links.depart(self._link_of[fd], destination, packet, now, len(packet))

    def _hand_over(self) -> None:
        for flight in self._links.arrive(time.monotonic()):
            try:
                os.write(self._tun_of[flight.target], flight.cargo)
            except OSError as error:
                if error.errno != errno.EIO:  # EIO: the interface went down this very moment
                    raise
            self._lateness.append(time.monotonic() - flight.time)

    def _answer(self, command: list[str]) -> str:
        match command:
            case ["up", host, interface]:
                self._links.take_up(Link(host, interface))
            case ["down", host, interface]:
                self._links.take_down(Link(host, interface))
            case ["link-dies", host, interface]:
                self._links.link_dies(Link(host, interface))
            case ["link-recovers", host, interface]:
                self._links.link_recovers(Link(host, interface))
            case ["way-dies", *words]:
                self._links.way_dies(Link(*words[:2]), Link(*words[2:]))
            case ["way-recovers", *words]:
                self._links.way_recovers(Link(*words[:2]), Link(*words[2:]))
            case ["report"]:
                return msgspec.json.encode(self._report()).decode()
            case _:
                raise InternetFailedError(f"There is no command {command}.")
        return "done"

    def _report(self) -> Report:
        counts = (
            Count(str(tally.source), str(tally.target or ""), tally.fate, packets)
            for tally, packets in sorted(self._links.tallies.items(), key=str)
        )
        late = sorted(1000 * seconds for seconds in self._lateness) or [0.0]
        return Report(
            packets=tuple(counts),
            late_median_ms=round(statistics.median(late), 3),
            late_p99_ms=round(late[len(late) * 99 // 100], 3),
            late_maximum_ms=round(late[-1], 3),
        )


def _destination(packet: bytes) -> str | None:
    """Where an IP packet is to go; None for routers' chatter among themselves, by multicast."""
    if packet[0] >> 4 == 4:
        return ".".join(map(str, packet[16:20]))  # RFC 791 section 3.1
    destination = packet[24:40]  # RFC 8200 section 3
    return None if destination[0] == 0xFF else socket.inet_ntop(socket.AF_INET6, destination)


def _main() -> None:
    setup = msgspec.json.decode(sys.stdin.readline(), type=_Setup)
    # A pause of the collector or of the scheduler would look like a pause of the network. Where
    # real-time priority is not allowed (a user namespace), the report shows what it costs.
    gc.disable()
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    print("ready", flush=True)
    _Forwarder(setup).run(sys.stdin)


if __name__ == "__main__":
    _main()
