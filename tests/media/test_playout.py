"""What is played stays true to the source's time, and a file is complete however it ends."""

from __future__ import annotations

import asyncio
import math
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pquic.core.errors import MissingRequirementError, UsageError
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.playout import Arrival, ArrivalLog
from p2pquic.core.trace import Interruption
from p2pquic.lab.alignment import Alignment, align, read_samples
from p2pquic.media import playout
from p2pquic.media.playout import QUEUE_LENGTH, Playout, check_wav_file, open_playout
from p2pquic.media.source import open_source

SAMPLE = "static/output.mp3"
WAV_HEADER = 44  # bytes
PATIENCE = 5.0  # seconds for children that outlived us to end
FRAME = 0.020  # seconds
DELAY = 0.100  # seconds a packet may be late
PIPE_SIZE = 1 << 20  # bytes, more than any system's
SILENCE = bytes.fromhex("8060 0001 00000000 01020304 fcfffe")  # an RTP packet of 20 ms

Network = Callable[[int, bytes, Playout], None]
"""Decides when packet n of the source is handed to the playout, and whether."""


async def play_sample(path: str, packets: int, network: Network) -> None:
    """Send `packets` of the sample through `network` into a WAV file."""
    sink = await open_playout(path, delay=DELAY)
    done = asyncio.Event()
    count = 0

    def on_packet(packet: bytes) -> None:
        nonlocal count
        if count < packets:
            network(count, packet, sink)
        count += 1
        if count == packets:
            done.set()

    source = await open_source(SAMPLE, once=True, on_packet=on_packet, on_end=done.set)
    await done.wait()
    await source.close()
    await sink.close()


def heard_through(network: Network, path: Path, packets: int = 150) -> Alignment:
    asyncio.run(play_sample(str(path), packets, network))
    return align(read_samples(str(path)), read_samples(SAMPLE))


@pytest.mark.slow
def test_after_a_gap_the_audio_continues_where_the_source_is(tmp_path: Path) -> None:
    def lose_600_ms(n: int, packet: bytes, sink: Playout) -> None:
        if not 60 <= n < 90:
            sink.write(packet)

    (gap,) = heard_through(lose_600_ms, tmp_path / "heard.wav").gaps
    assert gap.duration == pytest.approx(0.600, abs=2 * FRAME)
    assert gap.position_error == pytest.approx(0, abs=0.005)


@pytest.mark.slow
def test_what_is_sent_again_newest_first_is_played_in_its_place(tmp_path: Path) -> None:
    held: list[bytes] = []

    def resend_after_600_ms(n: int, packet: bytes, sink: Playout) -> None:
        if 60 <= n < 90:
            held.append(packet)
            return
        sink.write(packet)
        while n == 90 and held[10:]:  # the newest 20 of 30
            sink.write(held.pop())

    (gap,) = heard_through(resend_after_600_ms, tmp_path / "heard.wav").gaps
    # Of what came 20, 40 ... 400 ms late, all within the 100 ms of the buffer is heard.
    assert gap.duration == pytest.approx(0.520, abs=2 * FRAME)
    assert gap.position_error == pytest.approx(0, abs=0.005)


@pytest.mark.slow
def test_what_a_stalled_path_held_back_is_not_played_when_it_is_stale(tmp_path: Path) -> None:
    log = ArrivalLog("source", DelayBounds(DELAY, DELAY))
    held: list[tuple[int, bytes]] = []

    def stall_for_600_ms(n: int, packet: bytes, sink: Playout) -> None:
        held.append((n, packet))
        while held and not 60 <= n < 90:
            number, oldest = held.pop(0)
            if log.on_frame(number, time.monotonic()) is Arrival.FIRST:
                sink.write(oldest)

    (gap,) = heard_through(stall_for_600_ms, tmp_path / "heard.wav").gaps
    assert gap.duration == pytest.approx(0.520, abs=2 * FRAME)
    assert gap.position_error == pytest.approx(0, abs=0.005)
    (told,) = (each for each in log.poll(math.inf) if isinstance(each, Interruption))
    assert gap.duration == pytest.approx(told.heard_ms / 1000, abs=2 * FRAME)


@pytest.mark.slow
def test_nobody_hears_packets_that_come_60_ms_late_and_in_reverse(tmp_path: Path) -> None:
    held: list[bytes] = []

    def hold_three(n: int, packet: bytes, sink: Playout) -> None:
        if 60 <= n < 63:
            held.append(packet)
            return
        sink.write(packet)
        while held:
            sink.write(held.pop())

    assert heard_through(hold_three, tmp_path / "heard.wav").gaps == ()


@pytest.mark.slow
def test_writing_never_waits_and_drops_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_pipeline(monkeypatch, "audiotestsrc is-live=true num-buffers=50 ! fakesink")  # deaf

    async def flood() -> tuple[int, int]:
        sink = await open_playout("none")
        written = 0
        while not sink.dropped and written < PIPE_SIZE:  # a packet has more than one byte
            sink.write(SILENCE)
            written += 1
        for _ in range(9):
            sink.write(SILENCE)
        dropped = sink.dropped
        await sink.close()
        return written, dropped

    written, dropped = asyncio.run(flood())
    assert dropped == 10
    assert written > QUEUE_LENGTH


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no/x.wav cannot be written: no such folder"):
        asyncio.run(open_and_close(str(tmp_path / "no" / "x.wav")))
    with pytest.raises(UsageError, match=r"'song.mp3' is no place to play to. Use speaker, none"):
        asyncio.run(open_and_close("song.mp3"))


def test_looking_whether_a_recording_can_be_made_touches_none(tmp_path: Path) -> None:
    old = tmp_path / "heard.wav"
    old.write_bytes(b"an older call")
    check_wav_file(str(old))
    check_wav_file(str(tmp_path / "new.wav"))
    assert old.read_bytes() == b"an older call"
    assert [each.name for each in tmp_path.iterdir()] == ["heard.wav"]


def test_a_playout_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_pipeline(monkeypatch, "fdsrc fd=0 ! teleporter")
    with pytest.raises(MissingRequirementError, match=r'play to none: no element "teleporter"'):
        asyncio.run(open_and_close("none"))


def test_a_playout_that_dies_says_so_at_once_and_why_when_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace_pipeline(monkeypatch, "fdsrc fd=0 ! identity error-after=3 ! fakesink async=false")

    async def play() -> None:
        ended = asyncio.Event()
        sink = await open_playout("none", on_end=ended.set)
        while not ended.is_set():
            sink.write(SILENCE)
            await asyncio.sleep(0)
        await sink.close()

    with pytest.raises(MissingRequirementError, match=r"play to none: Failed after iterations"):
        asyncio.run(play())


def replace_pipeline(monkeypatch: pytest.MonkeyPatch, pipeline: str) -> None:
    monkeypatch.setattr(playout, "playout_pipeline", lambda *_: pipeline)


@pytest.mark.slow
def test_packets_that_wait_for_the_start_do_not_stop_the_clock(tmp_path: Path) -> None:
    """Read before the clock ran they were due hours later, and all of the call with them."""

    async def play(path: Path) -> None:
        sink = await open_playout(str(path))
        for number in range(QUEUE_LENGTH):
            sink.write(numbered_silence(number))
        await sink.close()

    async def play_together() -> None:
        await asyncio.gather(*(play(path) for path in paths))

    paths = [tmp_path / f"{number}.wav" for number in range(20)]
    asyncio.run(play_together())
    for path in paths:
        assert complete_length(path) == pytest.approx(QUEUE_LENGTH * FRAME)


def numbered_silence(number: int) -> bytes:
    sequence, timestamp = number.to_bytes(2, "big"), (960 * number).to_bytes(4, "big")
    return SILENCE[:2] + sequence + timestamp + SILENCE[8:]


@pytest.mark.slow
def test_even_if_we_are_killed_the_recording_is_complete(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", RECORD_AND_DIE], cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL
    give_up = time.monotonic() + PATIENCE
    while not (seconds := complete_length(tmp_path / "heard.wav")) and time.monotonic() < give_up:
        pass  # the children notice the end of their pipes within milliseconds
    assert seconds == pytest.approx(1.0, abs=3 * FRAME)


@pytest.mark.slow
def test_a_playout_that_never_heard_anything_ends_well(tmp_path: Path) -> None:
    asyncio.run(open_and_close("none"))
    asyncio.run(open_and_close(str(tmp_path / "nothing.wav")))


RECORD_AND_DIE = """
import asyncio, os, signal
from p2pquic.media.playout import open_playout
from p2pquic.media.source import open_source

async def main():
    sink = await open_playout("heard.wav")
    count = 0
    def on_packet(packet):
        nonlocal count
        sink.write(packet)
        count += 1
        if count == 50:
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGKILL)
    await open_source("tone", once=False, on_packet=on_packet, on_end=lambda: None)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def complete_length(path: Path) -> float:
    """What a WAV file's header says, in seconds; 0 while the file is still being written."""
    with wave.open(str(path)) as file:
        frames = int(file.getnframes())
        announced = WAV_HEADER + frames * file.getnchannels() * file.getsampwidth()
    return frames / 48000 if announced == path.stat().st_size else 0.0


async def open_and_close(sink: str) -> None:
    await (await open_playout(sink)).close()
