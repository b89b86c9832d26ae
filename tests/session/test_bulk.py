"""Streams and datagrams of an application, over whole calls that move, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from random import Random

import pytest

from p2pquic.core.application import (
    AcknowledgeRead,
    DatagramCame,
    DropStream,
    News,
    SendDatagram,
    StreamBroke,
    StreamDataCame,
    StreamDrained,
    StreamFilled,
    WriteStream,
)
from p2pquic.core.events import Resilience
from p2pquic.core.trace import Connected
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.simulator import Simulation, VirtualHost

CHUNK = 64 * 1024  # bytes written at once


class Program:
    """A program on one host: writes a file when there is room, takes what comes."""

    def __init__(self, call: Simulation, host: VirtualHost, *, reads: bool = True) -> None:
        self.call, self.host, self.reads = call, host, reads
        self.remote = host.records(Connected)[0].record.remote  # type: ignore[attr-defined]
        self.received: dict[int, bytearray] = {}
        self.ended: dict[int, float] = {}  # when a stream ended
        self.datagrams: list[bytes] = []
        self.broken: list[StreamBroke] = []
        self.written = 0
        self._rest = memoryview(b"")
        self._stream = -1
        self._full = False
        host.on_news = self._on_news

    @property
    def stream(self) -> int:
        """The first bidirectional stream that this end may open."""
        connected = self.host.records(Connected)[0].record
        return 0 if connected.quic_role == "client" else 1  # type: ignore[attr-defined]

    def ask(self, request: SendDatagram | WriteStream | AcknowledgeRead | DropStream) -> None:
        self.call.request(self.host, self.remote, request)

    def write(self, data: bytes, stream: int | None = None) -> None:
        """Write a file on a stream, as fast as it is taken."""
        self._rest, self._stream = memoryview(data), self.stream if stream is None else stream
        self._go_on()

    def _go_on(self) -> None:
        while len(self._rest) and not self._full:
            piece, self._rest = self._rest[:CHUNK], self._rest[CHUNK:]
            self.written += len(piece)
            self.ask(WriteStream(self._stream, bytes(piece), ended=not self._rest))

    def _on_news(self, remote: str, news: News) -> None:
        assert remote == self.remote
        match news:
            case StreamDataCame(stream, data, ended):
                assert stream not in self.ended
                self.received.setdefault(stream, bytearray()).extend(data)
                if ended:
                    self.ended[stream] = self.call.now
                if self.reads:
                    self.ask(AcknowledgeRead(stream, len(data)))
            case StreamFilled():
                self._full = True
            case StreamDrained():
                self._full = False
                self._go_on()
            case StreamBroke():
                self.broken.append(news)
            case DatagramCame(data):
                self.datagrams.append(data)


def settled(name: str, resilience: Resilience = "hedged", seed: int = 1) -> Simulation:
    """A call of a scenario, ready for its changes."""
    call = Simulation(scenario_named(name), seed, resilience=resilience)
    call.settle()
    return call


def run_for(call: Simulation, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
    until = call.now + seconds
    while call.now < until and not done():
        call.run_until(min(until, call.now + 0.1))


def a_file(size: int) -> bytes:
    return Random(size).randbytes(size)


@pytest.mark.slow
@pytest.mark.parametrize("resilience", ["lean", "hedged", "hot"])
@pytest.mark.parametrize(
    "name", ["break-before-make", "silent-death", "nat-forgets", "way-dies-there", "relay-only"]
)
def test_a_file_arrives_whole_through_every_change(name: str, resilience: Resilience) -> None:
    call = settled(name, resilience)
    mover, other = Program(call, call.mover), Program(call, call.other)
    there, back = a_file(3_000_000), a_file(2_999_999)
    call.schedule_changes(call.now + 0.1)
    mover.write(there)
    other.write(back)
    run_for(call, 20.0, lambda: bool(mover.ended and other.ended))
    assert sha256(other.received[mover.stream]).digest() == sha256(there).digest()
    assert sha256(mover.received[other.stream]).digest() == sha256(back).digest()
