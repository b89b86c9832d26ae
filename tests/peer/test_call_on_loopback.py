"""Real processes on loopback: a server, two senders, and a receiver that records both; and one
sender with receivers that come and go.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import wave
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from p2pquic.core.trace import (
    Closed,
    Connected,
    Entry,
    FrameReceived,
    Listening,
    MemberLeft,
    from_line,
)
from p2pquic.peer.call_media import numbered_sink

pytestmark = pytest.mark.alone

EXIT_PATIENCE = 2.0  # seconds from a signal to the end of any of our processes
BACK_SOON = 2.0  # seconds; alone on a machine it is a tenth of that
TEST_PATIENCE = 30.0  # seconds after which a process is killed, so that no test hangs


@contextmanager
def running(
    command: str, directory: Path, *, stderr: int | None = None, trace: str = "-"
) -> Iterator[subprocess.Popen[str]]:
    """A p2pquic process in `directory`, its trace on a pipe; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pquic", *command.split(), "--trace", trace],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, "XDG_DATA_HOME": str(directory)},
    )
    watchdog = threading.Timer(TEST_PATIENCE, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def trace_of(process: subprocess.Popen[str]) -> Iterator[Entry]:
    """Its trace entries as they are written; fails when the process ends."""
    assert process.stdout is not None
    for line in process.stdout:
        if entry := from_line(line):
            yield entry
    pytest.fail(f"{process.args!r} ended before it showed what was waited for")


def frames_until(process: subprocess.Popen[str], enough: Callable[[int, int], bool]) -> list[int]:
    """The numbers of the frames that come, until they are enough: the last one, and how many."""
    heard: list[int] = []
    for entry in trace_of(process):
        if isinstance(entry.record, FrameReceived):
            heard.append(entry.record.seq)
            if enough(heard[-1], len(heard)):
                break
    return heard


def encoders_of(process: subprocess.Popen[str]) -> int:
    """How many programs of this process encode audio."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "ppid=,command="], capture_output=True, text=True, check=True
    )
    lines = [line.split(None, 1) for line in listing.stdout.splitlines()]
    return sum(parent == str(process.pid) and "opusenc" in words for parent, words in lines)


def assert_is_the_tone(recording: Path, seconds: float) -> None:
    """440 Hz from the beginning to the end, without a silence."""
    with wave.open(str(recording)) as audio:
        rate, channels = audio.getframerate(), audio.getnchannels()
        samples = array("h", audio.readframes(audio.getnframes()))[::channels]
    assert len(samples) / rate > seconds
    window = rate // 10
    for begin in range(window, len(samples) - 2 * window, window):  # not the encoder's first frame
        signs = [sample >= 0 for sample in samples[begin : begin + window]]
        crossings = sum(a != b for a, b in itertools.pairwise(signs))
        assert crossings == pytest.approx(88, abs=2), f"at {begin / rate:.1f} s of {recording.name}"


def write_tone(file: Path, seconds: float) -> None:
    with wave.open(str(file), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(48000)
        audio.writeframes(b"\x00\x10\x00\xf0" * int(24000 * seconds))


@pytest.mark.slow
def test_a_receiver_records_each_sender_into_its_own_file(tmp_path: Path) -> None:
    write_tone(tmp_path / "tone.wav", seconds=1.0)
    with running("intermediate --listen 127.0.0.1:0", tmp_path) as server:
        listening = next(trace_of(server)).record
        assert isinstance(listening, Listening)
        join = f"peer --intermediate {listening.address} --pin {listening.fingerprint}"
        send = f"{join} --role sender --media tone.wav --once"
        with (
            running(f"{join} --role receiver --sink heard.wav", tmp_path) as receiver,
            running(send, tmp_path) as first,
            running(send, tmp_path) as second,
        ):
            heard: dict[str, int] = {}
            left = 0
            for entry in trace_of(receiver):
                match entry.record:
                    case FrameReceived(remote=remote):
                        heard[remote] = heard.get(remote, 0) + 1
                    case MemberLeft():
                        left += 1
                if left == 2:
                    break
            receiver.send_signal(signal.SIGINT)
            assert receiver.wait(EXIT_PATIENCE) == 0
            assert first.wait(EXIT_PATIENCE) == second.wait(EXIT_PATIENCE) == 0
        server.send_signal(signal.SIGTERM)
        assert server.wait(EXIT_PATIENCE) == 0
    for frames in heard.values():  # one second of 20 ms, and what the encoder looks ahead
        assert 50 <= frames <= 51
    for name in ("heard.wav", "heard-2.wav"):
        with wave.open(str(tmp_path / name)) as recording:
            assert recording.getnframes() / recording.getframerate() == pytest.approx(1.0, abs=0.2)


@pytest.mark.slow
def test_one_encoder_serves_a_room_in_which_one_vanishes_and_another_comes_late(
    tmp_path: Path,
) -> None:
    with running("intermediate --listen 127.0.0.1:0", tmp_path) as server:
        listening = next(trace_of(server)).record
        assert isinstance(listening, Listening)
        join = f"peer --ephemeral --intermediate {listening.address} --pin {listening.fingerprint}"
        receive = f"{join} --role receiver --buffer 500 --sink"
        with (
            running(f"{join} --role sender --media tone", tmp_path, trace="sent.jsonl") as sender,
            running(f"{receive} steady.wav", tmp_path) as steady,
            running(f"{receive} vanished.wav", tmp_path) as vanishing,
        ):
            frames_until(vanishing, lambda _, count: count == 10)
            heard = frames_until(steady, lambda _, count: count == 10)
            assert encoders_of(sender) == 1
            vanishing.kill()
            with running(f"{receive} late.wav", tmp_path) as late:
                heard_late = frames_until(late, lambda _, count: count == 50)
                heard += frames_until(steady, lambda seq, _: seq >= heard_late[-1])
                assert encoders_of(sender) == 1
                for receiver in (steady, late):
                    receiver.send_signal(signal.SIGINT)
                assert steady.wait(EXIT_PATIENCE) == late.wait(EXIT_PATIENCE) == 0
            sender.send_signal(signal.SIGINT)
            assert sender.wait(EXIT_PATIENCE) == 0
    assert heard_late[0] > heard[0], "who comes late hears what is sent from then on"
    for frames in (heard, heard_late):
        assert set(frames) == set(range(min(frames), max(frames) + 1)), "none is missing"
    assert_is_the_tone(tmp_path / "steady.wav", seconds=1.0)
    assert_is_the_tone(tmp_path / "late.wav", seconds=0.8)


@pytest.mark.slow
def test_a_process_that_was_stopped_for_three_seconds_goes_on_in_its_call(tmp_path: Path) -> None:
    """SIGSTOP and SIGCONT: the nearest to a closed lid that a test may do."""
    with running("intermediate --listen 127.0.0.1:0", tmp_path) as server:
        listening = next(trace_of(server)).record
        assert isinstance(listening, Listening)
        join = f"peer --intermediate {listening.address} --pin {listening.fingerprint}"
        with (
            running(f"{join} --role receiver --sink none", tmp_path) as receiver,
            running(f"{join} --role sender --media tone", tmp_path) as sender,
        ):
            heard = (entry for entry in trace_of(receiver))
            first = next(entry.t for entry in heard if isinstance(entry.record, FrameReceived))
            next(entry for entry in heard if entry.t > first + 1.0)
            sender.send_signal(signal.SIGSTOP)
            next(entry for entry in heard if entry.t > first + 4.0)
            woken = time.monotonic()
            sender.send_signal(signal.SIGCONT)
            for entry in heard:
                assert not isinstance(entry.record, Closed | Connected), "the same call"
                if isinstance(entry.record, FrameReceived) and entry.t > woken:
                    break
            assert entry.t - woken < BACK_SOON


@pytest.mark.parametrize(
    ("sink", "number", "expected"),
    [
        ("speaker", 2, "speaker"),
        ("none", 2, "none"),
        ("talk.wav", 1, "talk.wav"),
        ("talk.wav", 2, "talk-2.wav"),
        ("/tmp/a.b/talk.wav", 3, "/tmp/a.b/talk-3.wav"),
    ],
)
def test_each_sender_has_a_sink(sink: str, number: int, expected: str) -> None:
    assert numbered_sink(sink, number) == expected
