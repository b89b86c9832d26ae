"""Where audio goes: the speaker, a WAV file or nowhere, by one GStreamer pipeline per remote.

    write -> pipe -> jitter buffer -> Opus decoder -> sink
          `- a short queue, as long as the pipe takes nothing

The jitter buffer puts re-sent packets back in their place if they come within its delay; what it
waits for in vain the decoder conceals, and what concealment does not fill becomes silence. So the
sound after a gap stands where it stood at the source: nothing is cut out, nothing drifts.

Its delay is fixed when the pipeline starts, at the most a frame may wait. Stale packets must be
kept from it (the session does): a heap of them it would take for the sender's clock and play.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from p2pquic.core.errors import MissingRequirementError, P2PQuicError, UsageError
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.media.gstreamer import Child, file_name, launch
from p2pquic.wire.rtp import encode_stream_packet

QUEUE_LENGTH = 100  # packets; a burst of re-sends after a move has 64 at most, newest first, so a
# queue that overflowed would lose what is most worth playing
START_TIMEOUT = 10.0  # seconds; GStreamer's first start on a machine scans all its plugins
FINISH_TIMEOUT = 5.0  # seconds; the jitter buffer needs its delay, a starved machine a little more


def playout_pipeline(sink: str, delay: float = DelayBounds().maximum, file: int = 1) -> str:
    """The pipeline that plays on `sink`, `delay` seconds after the fastest packet.

    A WAV file is open for writing at descriptor `file`, or made anew under its name on Windows.

    A speaker follows the sender's clock (mode=slave), or its buffer would run dry or full in the
    course of hours. A file has no clock: there the sender's timestamps are the truth (mode=synced)
    and audiorate fills with silence what they leave out.
    """
    mode = "slave" if sink == "speaker" else "synced"
    match sink:
        case "speaker":
            end = "autoaudiosink"
        case "none":
            end = "fakesink"
        case _:
            rate = "audiorate skip-to-first=true tolerance=1000000"
            end = f"{rate} ! wavenc ! {_file_sink(sink, file)}"
    return (
        "fdsrc fd=0 do-timestamp=true"
        " ! application/x-rtp-stream,media=audio,clock-rate=48000,encoding-name=OPUS,payload=96"
        f" ! rtpstreamdepay ! rtpjitterbuffer latency={delay * 1000:.0f} do-lost=true mode={mode}"
        f" ! rtpopusdepay ! opusdec plc=true ! audioconvert ! audioresample ! {end}"
    )


def _file_sink(sink: str, file: int) -> str:
    if sys.platform == "win32":  # a child there can be given no descriptors
        return f"filesink location={file_name(sink)}"
    else:  # noqa: RET505 (mypy understands only this form of a platform check)
        return f"fdsink fd={file}"


def playout_error(sink: str, reason: str) -> P2PQuicError:
    """The sentence for a playout that fails for `reason`."""
    if sink == "speaker":
        return MissingRequirementError(
            f"There is no sound card to play on: {reason}. Use --sink none or --sink FILE.wav; on "
            "Debian and Ubuntu playing needs gstreamer1.0-alsa or gstreamer1.0-pulseaudio."
        )
    return MissingRequirementError(f"GStreamer cannot play to {sink}: {reason}.")


def check_wav_file(sink: str) -> None:
    """See that the file could be written, without touching it.

    Raises:
        UsageError: it is no WAV file, or it cannot be written.
    """
    path = Path(sink)
    if path.suffix.lower() != ".wav":
        raise UsageError(f"{sink!r} is no place to play to. Use speaker, none or FILE.wav.")
    if not os.access(path if path.exists() else path.parent, os.W_OK) or path.is_dir():
        raise UsageError(f"{sink} cannot be written: no such folder, or no right to.")


def open_wav_file(sink: str) -> IO[bytes]:
    """Create the file to write.

    Raises:
        UsageError: it is no WAV file, or it cannot be written.
    """
    check_wav_file(sink)
    try:
        return open(sink, "wb")
    except OSError as error:
        raise UsageError(f"{sink} cannot be written: {error.strerror}.") from error


async def open_playout(
    sink: str,
    *,
    delay: float = DelayBounds().maximum,
    on_end: Callable[[], None] | None = None,
) -> Playout:
    """Start playing on `sink`: "speaker", "none", or a WAV file to write.

    `delay` is how many seconds a packet may be late: more delays the talk, less loses what is
    re-sent. `on_end` is called if the playout ends before it is closed; `close` then raises the
    reason.

    Raises:
        UsageError: the file cannot be written.
        MissingRequirementError: GStreamer, one of its plugins or a sound card is missing.
    """
    with ExitStack() as stack:
        is_file = sink not in ("speaker", "none")
        files = [stack.enter_context(open_wav_file(sink))] if is_file else []
        child = await launch(
            playout_pipeline(sink, delay, *(file.fileno() for file in files)),
            blame=lambda reason: playout_error(sink, reason),
            stdin=subprocess.PIPE,
            files=files,
            quiet=False,
        )
    try:
        async with asyncio.timeout(START_TIMEOUT):
            await child.wait_until_playing()
    except TimeoutError:
        await child.kill()
        raise playout_error(sink, f"no start within {START_TIMEOUT:.0f} s") from None
    except BaseException:
        await child.kill()
        raise
    return Playout(child, sink, on_end)


class Playout:
    """A running playout; `open_playout` makes it."""

    def __init__(self, child: Child, sink: str, on_end: Callable[[], None] | None) -> None:
        self.dropped = 0  # packets, because the pipeline took them too slowly
        self._child = child
        self._sink = sink
        self._queue: deque[bytes] = deque()
        self._is_blocked = asyncio.Event()  # or closing: anyway, the task has something to do
        self._on_end = on_end
        self._closing = False
        self._task = asyncio.create_task(self._feed())
        self._task.add_done_callback(self._on_done)

    def write(self, rtp: bytes) -> None:
        """Play one RTP packet. Never waits: a full queue drops its oldest."""
        if len(self._queue) == QUEUE_LENGTH:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(rtp)
        self._pour()

    async def close(self) -> None:
        """Play out what is there and complete the file.

        Raises:
            P2PQuicError: the playout had failed, or does not end.
        """
        self._closing = True
        self._is_blocked.set()
        try:
            async with asyncio.timeout(FINISH_TIMEOUT):
                await self._task
        except TimeoutError:
            raise playout_error(self._sink, f"no end within {FINISH_TIMEOUT:.0f} s") from None
        finally:
            await self._child.kill()

    def _pour(self) -> None:
        """Give the pipe what it takes at once: no task has to be woken for a packet."""
        pipe = self._child.stdin.transport
        while self._queue and not pipe.is_closing() and not pipe.get_write_buffer_size():
            pipe.write(encode_stream_packet(self._queue.popleft()))
        if self._queue or pipe.is_closing():
            self._is_blocked.set()

    async def _feed(self) -> None:
        stdin = self._child.stdin
        stdin.transport.set_write_buffer_limits(high=0)  # what waits, waits in our queue
        try:
            while self._queue or not self._closing:
                await self._is_blocked.wait()
                self._is_blocked.clear()
                await stdin.drain()
                self._pour()
            stdin.close()
        except ConnectionError:
            pass  # the child is gone; it says itself why
        await self._child.wait_until_done()

    def _on_done(self, _: asyncio.Task[None]) -> None:
        if self._on_end is not None and not self._closing:
            self._on_end()
