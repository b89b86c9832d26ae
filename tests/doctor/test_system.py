"""Python, clock and lab, as far as they can be told from each other on any machine."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from p2pquic.doctor import system
from p2pquic.doctor.system import check_lab, check_python, judge_clock, measure_lateness
from p2pquic.quic import compat


def test_the_python_that_runs_the_tests_will_do() -> None:
    (finding,) = check_python()
    assert finding.level == "ok"
    assert f"aioquic {compat.AIOQUIC_VERSION}." in finding.what


def test_an_old_python_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "OLDEST_PYTHON", (3, 99))
    (finding,) = check_python()
    assert (finding.level, finding.remedy) == ("problem", "Install Python 3.99 or newer.")


def test_an_aioquic_without_our_names_is_a_problem_and_another_version_a_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compat, "AIOQUIC_VERSION", "9.9.9")
    (finding,) = check_python()
    assert finding.level == "note"
    assert "pip install aioquic==9.9.9" in finding.remedy
    monkeypatch.setattr(compat, "missing_names", lambda: ["QuicConnection._gone"])
    (finding,) = check_python()
    assert finding.level == "problem"
    assert "lacks QuicConnection._gone" in finding.what


def test_a_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "p2pquic.quic.compat", None)
    (finding,) = check_python()
    assert finding.level == "problem"
    assert "pip install p2pquic" in finding.remedy


@pytest.mark.parametrize(
    ("resolution", "late", "level", "said"),
    [
        (1e-9, [0.0001] * 99 + [0.009], "ok", "steps below 0.001 ms; timers are 0.1 ms late"),
        (1e-9, [0.0001] * 99 + [0.011], "note", "11.0 ms at worst"),
        (1e-9, [0.0020] * 100, "note", "2.0 ms late in the median of 100"),
        (0.015625, [0.0001] * 100, "note", "steps of 15.6 ms"),
    ],
)
def test_a_clock_is_judged_by_its_steps_and_by_how_late_it_wakes(
    resolution: float, late: list[float], level: str, said: str
) -> None:
    finding = judge_clock(resolution, late)
    assert finding.level == level
    assert said in finding.what
    assert bool(finding.remedy) == (level != "ok")


def test_lateness_is_measured_until_the_limit_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds + 0.25

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert measure_lateness() == pytest.approx([0.25] * 4)


@pytest.mark.skipif(sys.platform == "linux", reason="only elsewhere")
def test_elsewhere_than_on_linux_there_is_no_lab() -> None:
    assert check_lab()[0].level == "note"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that runs in place of Python, where the lab is tried."""
    program = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(program))
    return program


def write_program(file: Path, script: str) -> None:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
@pytest.mark.parametrize(
    ("script", "level", "said"),
    [
        ("exit 0", "ok", "nftables can be used"),
        ("echo 'No rights here.' >&2; exit 1", "note", "No lab of real kernels: No rights here."),
        ("exit 1", "note", "it gave no reason"),
        ("exec sleep 60", "note", "could not be tried within"),
    ],
)
def test_a_lab_that_cannot_be_is_a_note_with_its_reason(
    script: str, level: str, said: str, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "LAB_LIMIT", 0.1 if "sleep" in script else 10.0)
    write_program(stand_in, script)
    (finding,) = check_lab()
    assert finding.level == level
    assert said in finding.what


@pytest.mark.lab
@pytest.mark.slow
def test_where_the_lab_runs_the_doctor_says_so() -> None:
    assert os.path.exists("/proc/self/ns/net")
    assert [finding.level for finding in check_lab()] == ["ok"]
