"""Where audio comes from: a file, a test tone or the microphone, as one RTP stream.

    file, tone    GStreamer encodes ahead into the pipe, we take one packet every 20 ms
    mic           the sound card sets the pace, we pass on what comes

A file starts again at its end, and nobody may hear that GStreamer started anew. So the next round
begins while seconds of the last one still wait in the pipe, and our own numbering makes of both
one RTP stream: the same source, each packet one sequence number and 20 ms after the last.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from struct import Struct
from typing import IO

from p2pquic.core.errors import MissingRequirementError, P2PQuicError, UsageError
from p2pquic.media.gstreamer import Child, file_name, launch
from p2pquic.wire.rtp import RtpHeader, StreamPacketSplitter, decode_rtp_header

FRAME_DURATION = 0.020  # seconds of audio in a packet: what Opus does best, and little to lose
FRAME_TICKS = 960  # the same in RTP's 48 kHz clock (RFC 7587 section 4.1)
CATCH_UP = 0.100  # seconds of delay we make good in a burst; a laptop that slept owes no more
FIRST_PACKET_TIMEOUT = 10.0  # seconds; a slow disk and the first scan of all plugins take a few
READ_SIZE = 4096  # bytes, half a second: what has left the pipe makes room for GStreamer's next
_NUMBERING = Struct(">HII")  # sequence number, timestamp, source: bytes 2 to 11 of a header

_ENCODE_AND_FRAME = (
    " ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2"
    " ! opusenc bitrate=64000 frame-size=20 ! rtpopuspay ! rtpstreampay ! fdsink fd=1"
)


def source_pipeline(media: str) -> str:
    """The pipeline that encodes `media`; a file is its standard input (but see `file_source`)."""
    match media:
        case "mic":
            return "autoaudiosrc" + _ENCODE_AND_FRAME
        case "tone":
            return "audiotestsrc freq=440 volume=0.3" + _ENCODE_AND_FRAME
        case _:
            return f"{file_source(media)} ! decodebin" + _ENCODE_AND_FRAME


def file_source(media: str) -> str:
    """The element that reads a file: by its name where nothing is called /dev/stdin."""
    if sys.platform == "win32":
        return f"filesrc location={file_name(media)}"
    else:  # noqa: RET505 (mypy understands only this form of a platform check)
        return "filesrc location=/dev/stdin"


def source_error(media: str, reason: str) -> P2PQuicError:
    """The sentence for a source that fails for `reason`."""
    match media:
        case "mic":
            return MissingRequirementError(
                f"There is no microphone to record from: {reason}. Connect one, or use "
                "--media tone; on Debian and Ubuntu recording needs gstreamer1.0-alsa or "
                "gstreamer1.0-pulseaudio."
            )
        case "tone":
            return MissingRequirementError(f"GStreamer cannot make the test tone: {reason}.")
        case _:
            return UsageError(
                f"{media} has no audio that can be played: {reason}. If it plays elsewhere, "
                "install gstreamer1.0-libav, which decodes most formats."
            )


def open_media_file(media: str) -> IO[bytes]:
    """Open the file to send.

    Raises:
        UsageError: there is none, or it may not be read.
    """
    try:
        return open(media, "rb")
    except OSError as error:
        raise UsageError(f"{media} cannot be read: {error.strerror}.") from error


async def open_source(
    media: str,
    *,
    once: bool,
    on_packet: Callable[[bytes], None],
    on_end: Callable[[], None],
) -> Source:
    """Start `media` (a file, "tone" or "mic"); `on_packet` gets an RTP packet each 20 ms.

    A file repeats without end unless `once`. `on_end` is called when the source has ended by
    itself; if that was a failure, `close` raises it.

    Raises:
        UsageError: the file cannot be read or holds no audio.
        MissingRequirementError: GStreamer, one of its plugins or a microphone is missing.
    """
    first = await _Round.start(media)
    return Source(first, media, repeat=not once, on_packet=on_packet, on_end=on_end)


class Source:
    """A running source; `open_source` makes it."""

    def __init__(
        self,
        first: _Round,
        media: str,
        *,
        repeat: bool,
        on_packet: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._round = first
        self._next_round: asyncio.Task[_Round] | None = None
        self._media = media
        self._repeat = repeat
        self._on_packet = on_packet
        self._on_end = on_end
        self._numbering = ContinuousNumbering()
        run = self._pass_on if media == "mic" else self._pace
        self._task = asyncio.create_task(run())
        self._task.add_done_callback(self._on_done)

    async def close(self) -> None:
        """End it at once.

        Raises:
            P2PQuicError: it had ended before, by this failure.
        """
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._round.close()
        if self._next_round is not None:
            self._next_round.cancel()
            await asyncio.wait([self._next_round])
            if not self._next_round.cancelled() and self._next_round.exception() is None:
                await self._next_round.result().close()
        if not self._task.cancelled():
            self._task.result()

    async def _pass_on(self) -> None:
        while packets := await self._round.next_packets():
            while packets:
                self._on_packet(packets.popleft())

    async def _pace(self) -> None:
        pacer = _Pacer(self._send)
        try:
            while packets := await self._next_packets():
                await pacer.pass_on(packets)
        finally:
            pacer.stop()

    async def _next_packets(self) -> deque[bytes]:
        packets = await self._round.next_packets()
        self._prepare_next_round()
        if not packets and self._next_round is not None:
            await self._round.close()
            self._round = await self._next_round
            self._next_round = None
            packets = await self._round.next_packets()
        return packets

    def _send(self, packet: bytes) -> None:
        self._on_packet(self._numbering.continue_with(packet))
        self._prepare_next_round()

    def _prepare_next_round(self) -> None:
        if self._repeat and self._next_round is None and self._round.is_encoded:
            self._next_round = asyncio.create_task(_Round.start(self._media))

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._on_end()


class _Pacer:
    """Passes one packet on every 20 ms.

    The timer itself does it: a task that sleeps is woken in a turn of the loop of its own.
    """

    def __init__(self, on_packet: Callable[[bytes], None]) -> None:
        self._on_packet = on_packet
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    async def pass_on(self, packets: deque[bytes]) -> None:
        """Pass all of them on, each in its time; `packets` is then empty."""
        done = self._loop.create_future()
        self._timer = self._loop.call_at(self._due, self._pass_next, packets, done)
        await done

    def stop(self) -> None:
        """Pass nothing on any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _pass_next(self, packets: deque[bytes], done: asyncio.Future[None]) -> None:
        self._on_packet(packets.popleft())
        self._due = max(self._due + FRAME_DURATION, self._loop.time() - CATCH_UP)
        if packets:
            self._timer = self._loop.call_at(self._due, self._pass_next, packets, done)
        elif not done.done():  # nor given up
            done.set_result(None)


class ContinuousNumbering:
    """Numbers packets from many encoders as the one RTP stream that the first of them began."""

    def __init__(self) -> None:
        self._first: RtpHeader | None = None
        self._count = 0

    def continue_with(self, packet: bytes) -> bytes:
        """The packet with the next sequence number and timestamp (RFC 3550 section 5.1)."""
        first = self._first = self._first or decode_rtp_header(packet)
        sequence = (first.sequence + self._count) % 2**16
        timestamp = (first.timestamp + self._count * FRAME_TICKS) % 2**32
        self._count += 1
        return packet[:2] + _NUMBERING.pack(sequence, timestamp, first.ssrc) + packet[12:]


class _Round:
    """One run of the pipeline, from the beginning of the media to its end."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._splitter = StreamPacketSplitter()
        self._packets: deque[bytes] = deque()

    @classmethod
    async def start(cls, media: str) -> _Round:
        """Start the pipeline and wait until audio comes out."""
        with ExitStack() as files:
            is_file = media not in ("mic", "tone")
            stdin = files.enter_context(open_media_file(media)) if is_file else subprocess.DEVNULL
            child = await launch(
                source_pipeline(media),
                blame=lambda reason: source_error(media, reason),
                stdin=stdin,
            )
        started = cls(child)
        try:
            async with asyncio.timeout(FIRST_PACKET_TIMEOUT):
                await started._read()
            if not started._packets:
                raise source_error(media, "it is empty")
        except TimeoutError:
            await started.close()
            raise source_error(media, f"nothing came within {FIRST_PACKET_TIMEOUT:.0f} s") from None
        except BaseException:
            await started.close()
            raise
        return started

    @property
    def is_encoded(self) -> bool:
        """Whether GStreamer is done and the rest of the round waits in the pipe."""
        return self._child.has_ended

    async def next_packets(self) -> deque[bytes]:
        """What was read and not taken yet, at least one packet; none at the end of the round."""
        if not self._packets:
            await self._read()
        return self._packets

    async def close(self) -> None:
        """End the round at once."""
        await self._child.kill()

    async def _read(self) -> None:
        """Read at least one packet, or find that there is none left."""
        while not self._packets:
            data = await self._child.stdout.read(READ_SIZE)
            if not data:
                await self._child.wait_until_done()
                return
            self._packets.extend(self._splitter.feed(data))
