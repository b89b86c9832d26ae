"""The process of one peer: addresses, sockets, audio and screen around one PeerSession.

monitor -> sockets -+                +-> packets
source  -> RTP -----+-> PeerSession -+-> RTP -> playouts
signals, keys ------+                +-> trace file and screen

A program of your own that runs a PeerSession switches the manner of resilience in the same way as
the key does: `driver.feed(ResilienceChosen("hot"))`, at any time.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from typing import Literal

from p2pquic.core.events import MediaPacketReady, Resilience, ResilienceChosen
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.preference import INDIFFERENT, InterfacePreference
from p2pquic.core.trace import Entry
from p2pquic.media.requirements import check_requirements
from p2pquic.net import process
from p2pquic.net.driver import Driver
from p2pquic.net.monitor import create_monitor
from p2pquic.net.trace_file import STANDARD_OUTPUT, TraceFile
from p2pquic.peer.call_media import CallMedia
from p2pquic.peer.known_servers import OtherKeyError
from p2pquic.peer.memory import Memory
from p2pquic.peer.terminal import Screen, open_screen
from p2pquic.quic.identity import Identity
from p2pquic.session.peer_config import PeerConfig, Server
from p2pquic.session.peer_session import PeerSession

LAST_FRAMES_TIME = (
    0.5  # seconds between the end of the media and ours: the re-send window and a RTT
)


@dataclass(frozen=True)
class PeerOptions:
    """What a person chooses; `media` and `sink` as the command line takes them.

    The key of a server without pins is taken on trust, and given to `memory`. `give_up`: seconds a
    call may hear nothing before it ends. `only`: peer ids to have calls with; empty for everybody.
    """

    servers: tuple[Server, ...]
    identity: Identity
    memory: Memory
    role: Literal["sender", "receiver", "both"]
    room: str
    media: str = "tone"
    sink: str = "speaker"
    resilience: Resilience = "hedged"
    relay: Literal["auto", "only", "never"] = "auto"
    buffer: DelayBounds = field(default_factory=DelayBounds)
    give_up: float = 60.0
    only: frozenset[str] = frozenset()
    interfaces: InterfacePreference = INDIFFERENT
    once: bool = False
    trace: str | None = None


def run_peer(options: PeerOptions) -> int:
    """Take part in a room until the person, the media or the server ends it; the exit code.

    Raises:
        P2PQuicError: with the sentence to show.
    """
    check_requirements(
        media=None if options.role == "receiver" else options.media,
        sink=None if options.role == "sender" else options.sink,
    )
    return process.run(_run(options))


async def _run(options: PeerOptions) -> int:
    trace = TraceFile(options.trace)
    stream = sys.stderr if options.trace == STANDARD_OUTPUT else sys.stdout
    servers = " and ".join(str(server.address) for server in options.servers)
    screen = open_screen(stream, f"p2pquic peer by {servers}", options.resilience)
    try:
        return await _call(options, trace, screen)
    finally:
        screen.close()
        trace.close()


async def _call(options: PeerOptions, trace: TraceFile, screen: Screen) -> int:
    def write(entry: Entry) -> None:
        trace.write(entry)
        screen.show(entry)
        try:
            told = options.memory.notice(entry.record)
        except OtherKeyError as error:
            driver.fail(error)
            return
        if told is not None:
            write(Entry(entry.t, told))

    def stop(reason: str) -> None:
        screen.release_keyboard()
        driver.hang_up(reason)

    driver = Driver(write)
    process.on_stop_signal(stop)
    media = CallMedia(
        media=options.media,
        sink=options.sink,
        once=options.once,
        delay=options.buffer.maximum,
        on_packet=lambda rtp: driver.feed(MediaPacketReady(rtp)),
        on_end=lambda: _hang_up_after_the_last_frames(driver),
        on_failure=driver.fail,
    )
    monitor = create_monitor(options.servers[0].address.host, driver.follow)
    try:
        driver.run(_create_session(options), media)
        monitor.start()
        screen.offer_choice(lambda resilience: driver.feed(ResilienceChosen(resilience)))
        finish = await driver.wait_until_finished()
    finally:
        monitor.close()
        driver.close()
        await media.close()
    if finish.failed:
        print(finish.reason, file=sys.stderr)
    return 1 if finish.failed else 0


def _create_session(options: PeerOptions) -> PeerSession:
    config = PeerConfig(
        servers=options.servers,
        role=options.role,
        room=options.room,
        resilience=options.resilience,
        relay=options.relay,
        give_up=options.give_up,
        buffer=options.buffer,
        only=options.only,
        interfaces=options.interfaces,
    )
    return PeerSession(config, options.identity, os.urandom)


def _hang_up_after_the_last_frames(driver: Driver) -> None:
    asyncio.get_running_loop().call_later(LAST_FRAMES_TIME, driver.hang_up, "the media ended")
