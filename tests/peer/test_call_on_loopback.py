"""Real processes on loopback: a server, two senders, and a receiver that records both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
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

EXIT_PATIENCE = 2.0  # seconds from a signal to the end of any of our processes
BACK_SOON = 2.0  # seconds; alone on a machine it is a tenth of that
TEST_PATIENCE = 30.0  # seconds after which a process is killed, so that no test hangs


@contextmanager
def running(
    command: str, directory: Path, *, stderr: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A p2pquic process in `directory`, its trace on a pipe; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pquic", *command.split(), "--trace", "-"],
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
