"""A source gives one continuous RTP stream at 50 packets a second, or says why it cannot."""

from __future__ import annotations

import asyncio
import itertools
import wave
from pathlib import Path

import pytest

from p2pquic.core.errors import UsageError
from p2pquic.media.requirements import check_requirements
from p2pquic.media.source import FRAME_DURATION, ContinuousNumbering, open_source
from p2pquic.wire.rtp import decode_rtp_header

BUSY_MACHINE = 0.1  # seconds a packet may be late where other tests share the processor


class Listener:
    """Collects `wanted` packets with their times, and ends early if the source does."""

    def __init__(self, wanted: int) -> None:
        self.packets: list[bytes] = []
        self.times: list[float] = []
        self.ended = False
        self._wanted = wanted
        self._done = asyncio.Event()

    async def listen(self, media: str, *, once: bool = False) -> None:
        source = await open_source(media, once=once, on_packet=self._take, on_end=self._end)
        await self._done.wait()
        await source.close()

    def _take(self, packet: bytes) -> None:
        self.packets.append(packet)
        self.times.append(asyncio.get_running_loop().time())
        if len(self.packets) == self._wanted:
            self._done.set()

    def _end(self) -> None:
        self.ended = True
        self._done.set()


def listen(media: str, wanted: int, *, once: bool = False) -> Listener:
    async def run() -> Listener:
        listener = Listener(wanted)
        await listener.listen(media, once=once)
        return listener

    return asyncio.run(run())


@pytest.fixture
def half_a_second(tmp_path: Path) -> str:
    """A WAV file of 25 frames, with a space and an exclamation mark in its name."""
    path = str(tmp_path / "half a second!.wav")
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(b"\x00\x10\x00\xf0" * 12000)
    return path


def test_many_encoders_are_numbered_as_one_stream() -> None:
    header = bytes.fromhex("80e0 fffe fffffc00 01020304")
    other = bytes.fromhex("8060 0007 00000000 99999999")
    numbering = ContinuousNumbering()
    packets = [numbering.continue_with(each + b"opus") for each in (header, other, other)]
    numbers = [decode_rtp_header(packet)[2:5] for packet in packets]
    assert numbers == [
        (0xFFFE, 0xFFFFFC00, 0x01020304),
        (0xFFFF, 0xFFFFFFC0, 0x01020304),
        (0x0000, 0x00000380, 0x01020304),
    ]
    assert [packet[12:] for packet in packets] == [b"opus"] * 3


@pytest.mark.slow
def test_a_file_repeats_without_a_seam(half_a_second: str) -> None:
    heard = listen(half_a_second, wanted=70)
    headers = [decode_rtp_header(packet) for packet in heard.packets]
    for before, after in itertools.pairwise(headers):
        assert (after.sequence - before.sequence) % 2**16 == 1
        assert (after.timestamp - before.timestamp) % 2**32 == 960
        assert after.ssrc == before.ssrc
    late = [time - heard.times[0] - n * FRAME_DURATION for n, time in enumerate(heard.times)]
    assert min(late) > -FRAME_DURATION
    assert max(late) < BUSY_MACHINE


@pytest.mark.slow
def test_once_means_once(half_a_second: str) -> None:
    heard = listen(half_a_second, wanted=1000, once=True)
    assert heard.ended
    assert len(heard.packets) in (25, 26)  # the encoder's look-ahead may fill one more


@pytest.mark.slow
def test_the_tone_comes_at_fifty_packets_a_second() -> None:
    heard = listen("tone", wanted=50)
    assert heard.times[-1] - heard.times[0] == pytest.approx(49 * FRAME_DURATION, abs=BUSY_MACHINE)


def test_a_file_without_audio_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp3"
    text.write_text("Buy milk.\n" * 100)
    reason = r"notes.mp3 has no audio that can be played: This appears to be a text file"
    with pytest.raises(UsageError, match=reason):
        check_requirements(media=str(text), sink=None)
    with pytest.raises(UsageError, match=reason):
        listen(str(text), wanted=1)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone.mp3 cannot be read: No such file or directory\."):
        listen(str(tmp_path / "gone.mp3"), wanted=1)
