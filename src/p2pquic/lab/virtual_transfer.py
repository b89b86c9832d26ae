"""A file through moves in virtual time, with audio beside it.

sender:   writes when there is room    -- Simulation -->    receiver: reads what comes
both:     a frame of audio every 20 ms
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from p2pquic.core.application import (
    AcknowledgeRead,
    News,
    StreamDataCame,
    StreamDrained,
    StreamFilled,
    WriteStream,
)
from p2pquic.core.errors import P2PQuicError
from p2pquic.core.events import Resilience
from p2pquic.core.trace import Connected, FrameReceived, FrameSent, FrameUnsent, Suspected
from p2pquic.lab.simulator import Simulation, VirtualHost
from p2pquic.lab.transfers import Plan, Transfer, possible_bytes
from p2pquic.session.pair_config import RelayUse

PIECE = 64 * 1024  # bytes written at once
GLANCE = 0.050  # seconds of virtual time between two looks whether all is there
PATIENCE = 300.0  # virtual seconds; a transfer that takes longer stands still


class TransferFailedError(P2PQuicError):
    """A file did not arrive."""


@dataclass(frozen=True, slots=True)
class Audio:
    """What one end heard beside the file; times in milliseconds.

    `transits` are the median, 95 % and 99 % of the time from a source to the other end; `missing`
    frames never came. Of all frames that were sent to it, `copies` is the share of repeats.
    """

    transits: tuple[float, float, float]
    longest_gap: float
    missing: int
    copies: float
    suspicions: int


class _Receiver:
    """Reads what comes, at once."""

    def __init__(self, call: Simulation, host: VirtualHost, remote: str) -> None:
        self.digest, self.began, self.ended = sha256(), 0.0, 0.0
        self._call, self._host, self._remote = call, host, remote
        host.on_news = self._on_news

    def _on_news(self, remote: str, news: News) -> None:  # noqa: ARG002
        if isinstance(news, StreamDataCame):
            self.began = self.began or self._call.now
            self.digest.update(news.data)
            if news.ended:
                self.ended = self._call.now
            read = AcknowledgeRead(news.stream_id, len(news.data))
            self._call.request(self._host, self._remote, read)


class _Sender:
    """Writes a file on its first stream, as fast as it is taken."""

    def __init__(self, call: Simulation, host: VirtualHost, content: bytes) -> None:
        (connected, *_) = (entry.record for entry in host.records(Connected))
        assert isinstance(connected, Connected)
        self._stream = 0 if connected.quic_role == "client" else 1  # RFC 9000 section 2.1
        self._call, self._host, self._remote = call, host, connected.remote
        self._rest, self._is_full = memoryview(content), False
        host.on_news = self._on_news
        self._go_on()

    def _go_on(self) -> None:
        while len(self._rest) and not self._is_full:
            piece, self._rest = self._rest[:PIECE], self._rest[PIECE:]
            write = WriteStream(self._stream, bytes(piece), ended=not self._rest)
            self._call.request(self._host, self._remote, write)

    def _on_news(self, remote: str, news: News) -> None:  # noqa: ARG002
        if isinstance(news, StreamFilled):
            self._is_full = True
        elif isinstance(news, StreamDrained):
            self._is_full = False
            self._go_on()


def run(
    plan: Plan,
    seed: int,
    resilience: Resilience = "hedged",
    relay: RelayUse = "auto",
    *,
    both_up: bool = False,
) -> tuple[Transfer, dict[str, Audio]]:
    """Transfer the file; gives with it what each end heard meanwhile.

    `both_up`: cellular stands by from the start.

    Raises:
        TransferFailedError: it did not arrive.
    """
    scenario = plan.scenario
    if relay == "only":
        scenario = dataclasses.replace(scenario, settles_on="relay")
    if both_up:
        scenario = dataclasses.replace(scenario, mover_up=("wlan0", "rmnet0"))
    call = Simulation(scenario, seed, resilience=resilience, relay=relay)
    call.settle()
    call.run_until(call.now + scenario.settle)
    hosts = call.mover, call.other
    source, target = hosts if plan.sender == "mover" else reversed(hosts)
    content = Random(seed).randbytes(plan.size)
    (met, *_) = (entry.record for entry in target.records(Connected))
    assert isinstance(met, Connected)
    receiver = _Receiver(call, target, met.remote)
    call.schedule_changes(call.now)
    _Sender(call, source, content)
    give_up = call.now + PATIENCE
    while not receiver.ended:
        if call.now > give_up:
            raise TransferFailedError(f"The file did not arrive in {PATIENCE:.0f} s, seed {seed}.")
        call.run_until(call.now + GLANCE)
    began, ended = receiver.began, receiver.ended
    transfer = Transfer(
        plan.size,
        began,
        ended,
        possible_bytes(call.mover.trace, call.changes, began, ended),
        receiver.digest.digest() == sha256(content).digest(),
    )
    return transfer, {
        host.name: _heard(host, other, began, ended)
        for host, other in (hosts, (call.other, call.mover))
    }


def _heard(host: VirtualHost, other: VirtualHost, began: float, ended: float) -> Audio:
    """What a host heard of the frames that the other's source gave in this time."""
    due: dict[int, float] = {}
    sent = 0
    for entry in other.trace:
        if isinstance(entry.record, FrameSent | FrameUnsent) and began <= entry.t <= ended:
            due.setdefault(entry.record.seq, entry.t)
            sent += 1
    came = {
        entry.record.seq: entry.t
        for entry in host.trace
        if isinstance(entry.record, FrameReceived) and entry.record.seq in due
    }
    times = sorted(came.values())
    transits = sorted(1000 * (time - due[seq]) for seq, time in came.items())
    middle, many, most = (transits[int(len(transits) * share)] for share in (0.5, 0.95, 0.99))
    on_the_way = [seq for seq, time in due.items() if time > ended - transits[-1] / 1000]
    return Audio(
        transits=(middle, many, most),
        longest_gap=1000 * max(b - a for a, b in itertools.pairwise(times)),
        missing=len(due.keys() - came.keys() - set(on_the_way)),
        copies=1 - len(due) / sent,
        suspicions=sum(
            began <= entry.t <= ended and isinstance(entry.record, Suspected)
            for entry in host.trace
        ),
    )
