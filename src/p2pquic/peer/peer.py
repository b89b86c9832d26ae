"""The process of one peer: audio, screen and trace around a room of the library.

source  -> RTP --+           +-> RTP -> playouts
signals, keys ---+-> Room ---+-> trace file and screen
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import p2pquic
from p2pquic.core.events import Resilience
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.events import Entry
from p2pquic.media.requirements import check_requirements
from p2pquic.net import process
from p2pquic.net.trace_file import STANDARD_OUTPUT, TraceFile
from p2pquic.peer.call_media import CallMedia
from p2pquic.peer.memory import Memory
from p2pquic.peer.terminal import Screen, open_screen

LAST_FRAMES_TIME = (
    0.5  # seconds between the end of the media and ours: the re-send window and a RTT
)


@dataclass(frozen=True)
class PeerOptions:
    """What a person chooses, under the names of the flags and of the arguments of `join`."""

    identity: p2pquic.Identity
    memory: Memory
    intermediate: Sequence[str]
    pin: Sequence[str]
    role: Literal["sender", "receiver", "both"]
    room: str
    media: str
    sink: str
    resilience: Resilience
    relay: Literal["auto", "only", "never"]
    prefer: str | None
    avoid: str | None
    buffer: DelayBounds
    give_up: float
    only: Sequence[str]
    once: bool
    trace: str | None


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
    servers = " and ".join(options.intermediate)
    screen = open_screen(stream, f"p2pquic peer by {servers}", options.role, options.resilience)
    try:
        return await _take_part(options, trace, screen)
    finally:
        screen.close()
        trace.close()


async def _take_part(options: PeerOptions, trace: TraceFile, screen: Screen) -> int:
    def write(entry: Entry) -> None:
        trace.write(entry)
        screen.show(entry)
        told = options.memory.notice(entry.record)
        if told is not None:
            write(Entry(entry.t, told))

    def stop(reason: str) -> None:
        screen.release_keyboard()
        room.hang_up(reason)

    def choose(resilience: Resilience) -> None:
        room.resilience = resilience

    media = CallMedia(
        media=options.media,
        sink=options.sink,
        once=options.once,
        delay=options.buffer.maximum,
        on_packet=lambda rtp: room.send_audio(rtp),
        on_end=lambda: _hang_up_after_the_last_frames(room),
        on_failure=lambda error: room.fail(error),
    )
    room = _prepare(options, media, write)
    process.on_stop_signal(stop)
    process.on_callback_error(room.fail)
    try:
        await room.start()
        screen.offer_choice(choose)
        await room.wait_closed()
    finally:
        await room.leave()
        await media.close()
    return 0


def _prepare(
    options: PeerOptions, media: CallMedia, write: Callable[[Entry], None]
) -> p2pquic.Room:
    return p2pquic.join(
        options.room,
        intermediate=options.intermediate,
        pin=options.pin,
        role=options.role,
        identity=options.identity,
        audio=media,
        resilience=options.resilience,
        relay=options.relay,
        prefer=options.prefer,
        avoid=options.avoid,
        only=options.only,
        give_up=options.give_up,
        buffer=(options.buffer.minimum, options.buffer.maximum),
        on_event=write,
    )


def _hang_up_after_the_last_frames(room: p2pquic.Room) -> None:
    asyncio.get_running_loop().call_later(LAST_FRAMES_TIME, room.hang_up, "the media ended")
