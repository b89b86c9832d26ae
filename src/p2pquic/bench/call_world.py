"""A two-way call in memory: two peer sessions and their server, on wires of 10 ms.

    PeerSession ---+            +--- PeerSession
                   +-- server --+                     all in virtual time

Only the sessions' own CPU time is counted: each call of `handle` and `deadline`, as the driver
makes them. The hosts have public addresses, so the call is soon direct, unless it may not be.
"""

from __future__ import annotations

import heapq
import itertools
import os
import struct
import time
from dataclasses import dataclass, field
from time import process_time

from p2pquic.core.actions import Log, SendDatagram
from p2pquic.core.addresses import LocalSocket, ServerAddress
from p2pquic.core.events import (
    DatagramReceived,
    DeadlinePassed,
    Event,
    MediaPacketReady,
    SocketsChanged,
)
from p2pquic.core.machine import Machine
from p2pquic.core.trace import Entry, FrameReceived, PathSelected, to_line
from p2pquic.quic.identity import Identity
from p2pquic.session.intermediate_session import IntermediateSession
from p2pquic.session.pair_config import RelayUse
from p2pquic.session.peer_config import PeerConfig, Server
from p2pquic.session.peer_session import PeerSession

FRAME_CADENCE = 0.020  # seconds
FRAME_BYTES = 160  # of Opus at 64 kbit/s in 20 ms
DELAY = 0.010  # seconds one way
SETTLE_TIME = 3.0  # virtual seconds until the call is direct and nothing of its start goes on
SERVER = LocalSocket("192.0.2.9", 12345, "eth0")


@dataclass
class Host:
    """A machine, and the CPU time its session took."""

    machine: Machine
    socket: LocalSocket
    traced: bool = False
    pause: float = 0.0
    cpu: float = 0.0
    heard: int = 0
    path: str = ""
    wake_at: float | None = None
    actions: list[SendDatagram] = field(default_factory=list)

    def feed(self, event: Event, now: float) -> None:
        """Hand an event to the session; what it sends waits in `actions`."""
        if self.pause:
            time.sleep(self.pause)
        begin = process_time()
        actions = self.machine.handle(event, now)
        self.wake_at = self.machine.deadline
        if self.traced:
            for action in actions:
                if isinstance(action, Log):
                    to_line(Entry(now, action.record))
        self.cpu += process_time() - begin
        for action in actions:
            match action:
                case SendDatagram():
                    self.actions.append(action)
                case Log(FrameReceived()):
                    self.heard += 1
                case Log(PathSelected(kind=kind)):
                    self.path = kind


class CallWorld:
    """The call, settled."""

    def __init__(self, *, relay: RelayUse = "auto", traced: bool = False) -> None:
        self.now = 1000.0
        self._order = itertools.count()
        self._air: list[tuple[float, int, Host, DatagramReceived]] = []
        self._next_frame = self.now
        self._frames = 0
        identity = Identity.generate()
        session = IntermediateSession([SERVER], identity, os.urandom(32), os.urandom)
        self.server = Host(session, SERVER)
        server = Server(ServerAddress.of(SERVER.address), (identity.key_hash,))
        config = PeerConfig((server,), "both", "bench", relay=relay)
        self.peers = tuple(
            Host(
                PeerSession(config, Identity.generate(), os.urandom),
                LocalSocket(f"192.0.2.{number}", 5000, "eth0"),
                traced,
            )
            for number in (1, 2)
        )
        self._by_address = {host.socket.address: host for host in (*self.peers, self.server)}
        for host in self.peers:
            self._feed(host, SocketsChanged((host.socket,)))
        self.run(SETTLE_TIME)
        assert all(host.heard for host in self.peers), "the call never came about"

    def run(self, seconds: float) -> None:
        """Let virtual time pass; both peers talk."""
        end = self.now + seconds
        hosts = (*self.peers, self.server)
        while True:
            wakes = [host.wake_at for host in hosts if host.wake_at is not None]
            arrivals = [self._air[0][0]] if self._air else []
            step = min(*wakes, *arrivals, self._next_frame)
            if step > end:
                self.now = end
                return
            self.now = max(self.now, step)
            while self._air and self._air[0][0] <= self.now:
                _, _, host, received = heapq.heappop(self._air)
                self._feed(host, received)
            if self._next_frame <= self.now:
                self._talk()
            for host in hosts:
                if host.wake_at is not None and host.wake_at <= self.now:
                    self._feed(host, DeadlinePassed())

    def _talk(self) -> None:
        """Both sources produce a frame."""
        number = self._frames
        header = struct.pack(">BBHII", 0x80, 96, number & 0xFFFF, number * 960 & 0xFFFFFFFF, 1)
        for host in self.peers:
            self._feed(host, MediaPacketReady(header + bytes(FRAME_BYTES)))
        self._frames += 1
        self._next_frame += FRAME_CADENCE

    def _feed(self, host: Host, event: Event) -> None:
        host.feed(event, self.now)
        for send in host.actions:
            target = self._by_address.get(send.remote)
            if target is not None:
                received = DatagramReceived(target.socket, send.local.address, send.data)
                arrival = (self.now + DELAY, next(self._order), target, received)
                heapq.heappush(self._air, arrival)
        host.actions.clear()


def call_cpu(
    count: int, *, relay: RelayUse = "auto", traced: bool = False, pause: float = 0.0
) -> float:
    """Percent of a core that one peer's session takes, over `count` frames each way.

    With a `pause` (real seconds) before each event the processor's caches have turned to other
    things meanwhile, as they have in a process of its own.
    """
    world = CallWorld(relay=relay, traced=traced)
    for host in world.peers:
        host.cpu = 0.0
        host.heard = 0
        host.pause = pause
    seconds = count * FRAME_CADENCE
    world.run(seconds)
    assert all(abs(host.heard - count) <= 1 for host in world.peers), "frames got lost in memory"
    return 100 * sum(host.cpu for host in world.peers) / len(world.peers) / seconds
