"""The command: one line per finding, a verdict, an exit code, and an end whatever hangs."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from p2pquic.cli import main
from p2pquic.core.addresses import ServerAddress, SocketAddress
from p2pquic.doctor import command, network
from p2pquic.doctor.command import run_doctor
from p2pquic.doctor.finding import Finding

OK = Finding("ok", "Fine.")
NOTE = Finding("note", "Not so fine.", "Do this.")
PROBLEM = Finding("problem", "Broken.", "Mend it.")
CHECKS = ("check_python", "check_clock", "check_sound", "check_lab")


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which every check is content."""

    async def check_network(servers: list[SocketAddress], pins: list[bytes]) -> list[Finding]:
        return [Finding("ok", f"Asked {len(servers)} servers with {len(pins)} pins.")]

    for check in CHECKS:
        monkeypatch.setattr(command, check, lambda: [OK])
    monkeypatch.setattr(network, "check_network", check_network)


@pytest.mark.usefixtures("healthy")
def test_a_healthy_machine_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    *lines, note, verdict = capsys.readouterr().out.splitlines()
    assert lines == ["ok       Fine."] * 4 + ["ok       Asked 0 servers with 0 pins."]
    assert note.startswith("note     Servers and NAT were not looked at")
    assert verdict == "A call can be made, as far as was looked."


@pytest.mark.usefixtures("healthy")
def test_servers_and_pins_may_be_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    pin = f"--pin sha256:{'ab' * 32}"
    words = f"doctor --intermediate 192.0.2.1:1 --intermediate [::1]:2 {pin} {pin}"
    assert main(words.split()) == 0
    assert "Asked 2 servers with 2 pins." in capsys.readouterr().out


@pytest.mark.usefixtures("healthy")
def test_a_note_is_no_failure_and_a_problem_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "check_sound", lambda: [NOTE])
    assert main(["doctor"]) == 0
    assert "note     Not so fine. Do this." in capsys.readouterr().out
    monkeypatch.setattr(command, "check_sound", lambda: [PROBLEM, OK])
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "problem  Broken. Mend it." in said
    assert "Asked 0 servers" in said, "what comes after a problem is looked at all the same"
    assert said.endswith("A call cannot be made until what is marked as a problem is mended.\n")


@pytest.mark.usefixtures("healthy")
def test_without_a_usable_python_nothing_else_is_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "check_python", lambda: [PROBLEM])
    assert main(["doctor"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.usefixtures("healthy")
def test_a_name_that_is_not_found_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--intermediate", "192.0.2.1:0"]) == 1
    said = capsys.readouterr().out
    assert "problem  192.0.2.1:0 has port 0" in said
    assert "no server was named" not in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--intermediate nonsense", "'nonsense' is not an address"),
        ("--pin sha256:abc", "is not a key fingerprint"),
    ],
)
def test_a_wrong_command_is_one_sentence(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *words.split()]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert sentence in output.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_program_it_waits_for(number: int, tmp_path: Path) -> None:
    """The stand-in for GStreamer says that it runs, and hangs with the pipe in its hand."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for name in ("gst-inspect-1.0", "gst-launch-1.0"):
        (tmp_path / name).write_text(f"#!/bin/sh\nexec 3>{pipe}\necho >&3\nexec /bin/sleep 60\n")
        (tmp_path / name).chmod(0o755)
    doctor = subprocess.Popen(
        [sys.executable, "-m", "p2pquic", "doctor"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    with open(pipe, "rb", buffering=0) as lifeline:
        assert lifeline.readline() == b"\n"
        doctor.send_signal(number)
        assert doctor.wait(timeout=10.0) == 0
        ended, _, _ = select.select([lifeline], [], [], 10.0)
        assert ended, "the program that hung still runs"
        assert lifeline.read() == b""


@pytest.mark.lab
@pytest.mark.slow
def test_on_this_machine_each_check_says_something(capsys: pytest.CaptureFixture[str]) -> None:
    run_doctor([], [], lambda _: ServerAddress.of(SocketAddress("127.0.0.1", 1)))
    said = capsys.readouterr().out
    for word in ("Python", "Clock:", "GStreamer", "Lab", "ddress", "no server was named"):
        assert word in said
