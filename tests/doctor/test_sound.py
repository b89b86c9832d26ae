"""What the doctor says of a GStreamer that lacks something; programs of ours stand in for it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from p2pquic.doctor import sound
from p2pquic.doctor.sound import check_sound

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")

HAS_ALL = "exit 0"
NO_DEVICE = "echo 'ERROR: from element /GstPipeline:pipeline0/a: Could not open device.'; exit 1"


def install(directory: Path, monkeypatch: pytest.MonkeyPatch, inspect: str, launch: str) -> None:
    """A GStreamer whose two programs are these shell scripts, and nothing else in PATH."""
    for name, script in (("gst-inspect-1.0", inspect), ("gst-launch-1.0", launch)):
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))


def without(*elements: str) -> str:
    """gst-inspect-1.0 --exists, where these elements are missing."""
    return f"case $2 in {'|'.join(elements)}) exit 1;; esac"


def levels() -> list[str]:
    return [finding.level for finding in check_sound()]


@pytest.mark.slow
def test_a_whole_gstreamer_is_all_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, HAS_ALL, HAS_ALL)
    assert levels() == ["ok"] * 5


def test_without_gstreamer_there_is_one_problem_that_names_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = check_sound()
    assert finding.level == "problem"
    assert "gst-launch-1.0 is missing" in finding.what
    assert "apt install gstreamer1.0-tools" in finding.what


def test_without_opus_there_is_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, without("opusenc"), HAS_ALL)
    (finding,) = check_sound()
    assert finding.level == "problem"
    assert "element opusenc is missing" in finding.what


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "expected", "said"),
    [
        (sound.MP3_DECODERS, ["ok", "note", "ok", "ok", "ok"], "no decoder for MP3"),
        (sound.MP3_DECODERS[:1], ["ok"] * 5, ""),
        (["wavenc"], ["ok", "ok", "note", "ok", "ok"], "element wavenc is missing"),
        (["autoaudiosink"], ["ok", "ok", "ok", "note", "ok"], "element autoaudiosink is missing"),
        (["autoaudiosrc"], ["ok", "ok", "ok", "ok", "note"], "element autoaudiosrc is missing"),
    ],
)
def test_what_only_some_calls_need_is_a_note(
    missing: list[str],
    expected: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path, monkeypatch, without(*missing), HAS_ALL)
    findings = check_sound()
    assert [finding.level for finding in findings] == expected
    assert said in " ".join(str(finding) for finding in findings if finding.level == "note")


@pytest.mark.slow
def test_without_a_sound_card_the_other_sinks_and_sources_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, HAS_ALL, NO_DEVICE)
    speaker, microphone = check_sound()[3:]
    assert (speaker.level, microphone.level) == ("note", "note")
    assert "Could not open device" in speaker.what
    assert "--sink none" in speaker.what
    assert "--media tone" in microphone.what


@pytest.mark.slow
def test_what_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "ELEMENT_LIMIT", 0.2)
    monkeypatch.setattr(sound, "DEVICE_LIMIT", 0.2)
    start = time.monotonic()
    install(tmp_path, monkeypatch, "exec /bin/sleep 60", HAS_ALL)
    (finding,) = check_sound()
    assert "run it once by hand" in finding.what
    monkeypatch.setattr(sound, "ELEMENT_LIMIT", 10.0)
    install(tmp_path, monkeypatch, HAS_ALL, "exec /bin/sleep 60")
    assert levels()[3:] == ["note", "note"]
    assert time.monotonic() - start < 20.0
