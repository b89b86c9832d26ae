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
from p2pquic.lab.networks import MOVER, Link
from p2pquic.lab.simulator import Simulation, VirtualHost
from p2pquic.quic.config import FOR_BULK
from p2pquic.session.pair_streams import MOST_QUEUED

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
                self._rest, self._full = memoryview(b""), False
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


def sent_by(call: Simulation, link: Link) -> int:
    """How many packets left by a link."""
    tallies = call.internet.tallies.items()
    return sum(n for tally, n in tallies if tally.source == link and tally.fate == "sent")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "resilience"),
    [
        ("break-before-make", "hedged"),
        ("break-before-make", "lean"),
        ("silent-death", "hedged"),
        ("silent-death", "hot"),
        ("nat-forgets", "hedged"),
        ("way-dies-there", "hedged"),
        ("relay-only", "hedged"),
        ("both-move", "hedged"),
    ],
)
def test_files_arrive_whole_through_every_change(name: str, resilience: Resilience) -> None:
    call = settled(name, resilience)
    mover, other = Program(call, call.mover), Program(call, call.other)
    there, back = a_file(400_000), a_file(399_999)
    call.schedule_changes(call.now + 0.1)
    mover.write(there)
    other.write(back)
    run_for(call, 5.0, lambda: bool(mover.ended and other.ended))
    assert sha256(other.received[mover.stream]).digest() == sha256(there).digest()
    assert sha256(mover.received[other.stream]).digest() == sha256(back).digest()


def test_a_file_goes_round_a_direction_that_is_dead() -> None:
    """The way there is dead and the way back is not, so nobody leaves the path; the file does."""
    call = settled("way-dies-there")
    mover, other = Program(call, call.mover), Program(call, call.other)
    call.schedule_changes(call.now)
    run_for(call, 1.0)
    before = call.now
    mover.write(a_file(100_000))
    run_for(call, 3.0, lambda: bool(other.ended))
    assert other.ended[mover.stream] - before < 1.0


def test_who_does_not_read_is_sent_no_more_than_fits() -> None:
    call = settled("no-change")
    mover, other = Program(call, call.mover), Program(call, call.other, reads=False)
    size = 2 * FOR_BULK.unread + MOST_QUEUED
    mover.write(a_file(size))
    run_for(call, 5.0)
    assert len(other.received[mover.stream]) == FOR_BULK.unread
    assert mover.written <= FOR_BULK.unread + MOST_QUEUED + CHUNK
    other.reads = True
    other.ask(AcknowledgeRead(mover.stream, FOR_BULK.unread))
    run_for(call, 10.0, lambda: bool(other.ended))
    assert len(other.received[mover.stream]) == size


def test_a_stream_that_is_not_read_holds_no_other_up() -> None:
    call = settled("no-change")
    mover, other = Program(call, call.mover), Program(call, call.other, reads=False)
    mover.write(a_file(2 * FOR_BULK.unread))
    run_for(call, 2.0)
    mover._full = False
    mover.write(a_file(50_000), stream=mover.stream + 4)
    run_for(call, 2.0)
    assert len(other.received[mover.stream + 4]) == 50_000


def test_a_dropped_stream_ends_for_both_and_the_call_goes_on() -> None:
    call = settled("no-change")
    mover, other = Program(call, call.mover), Program(call, call.other)
    mover.write(a_file(2_000_000))
    run_for(call, 0.1)
    other.ask(DropStream(mover.stream, 7))
    run_for(call, 1.0)
    assert StreamBroke(mover.stream, "write") in mover.broken
    mover.ask(WriteStream(mover.stream, b"too late", ended=False))
    mover.write(b"news", stream=mover.stream + 4)
    run_for(call, 1.0)
    assert bytes(other.received[mover.stream + 4]) == b"news"


def test_a_file_is_not_sent_by_the_path_that_stands_by() -> None:
    call = settled("silent-death")
    mover, other = Program(call, call.mover), Program(call, call.other)
    before = sent_by(call, Link(MOVER, "rmnet0"))
    mover.write(a_file(1_000_000))
    run_for(call, 5.0, lambda: bool(other.ended))
    assert other.ended
    assert sent_by(call, Link(MOVER, "rmnet0")) - before < 100


@pytest.mark.parametrize("name", ["silent-death", "nat-forgets", "make-before-break"])
def test_datagrams_come_once_each_through_a_change(name: str) -> None:
    call = settled(name)
    mover, other = Program(call, call.mover), Program(call, call.other)
    call.schedule_changes(call.now + 0.5)
    sent = [b"%d" % number for number in range(200)]
    for datagram in sent:
        mover.ask(SendDatagram(datagram))
        run_for(call, 0.017)
    run_for(call, 1.0)
    assert sorted(other.datagrams, key=int) == sent


def test_a_program_that_says_nothing_for_long_is_heard_at_once() -> None:
    call = settled("no-change")
    mover, other = Program(call, call.mover), Program(call, call.other)
    run_for(call, 4.0)
    mover.ask(SendDatagram(b"hello"))
    run_for(call, 0.05)
    assert other.datagrams == [b"hello"]
