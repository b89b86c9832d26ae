"""`p2pquic lab`: what it prints, what it leaves, and what it does where there are no namespaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pquic.core.errors import MissingRequirementError, UsageError
from p2pquic.lab import namespaces
from p2pquic.lab.catalogue import SCENARIOS
from p2pquic.lab.command import main


def run_in_simulator(out: Path, *more: str) -> int:
    words = ["run", "break-before-make", "--seed", "5", "--out", str(out), *more]
    return main([*words, "--world", "simulator"])


def test_the_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in SCENARIOS)


@pytest.mark.slow
def test_a_run_prints_the_gap_beside_its_floor_and_leaves_its_raw_material(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_in_simulator(tmp_path, "--runs", "2", "--demo") == 0
    printed = capsys.readouterr().out
    assert "seed 5" in printed
    assert "seed 6" in printed
    assert "physics demands" in printed
    assert "0 frames were lost" in printed
    for number in (1, 2):
        left = {each.name for each in (tmp_path / "break-before-make" / f"run-{number}").iterdir()}
        assert left == {
            "mover.trace.jsonl",
            "other.trace.jsonl",
            "changes.jsonl",
            "run.json",
            "move-1.png",
        }
    assert (tmp_path / "break-before-make" / "passages.json").exists()


@pytest.mark.slow
def test_where_no_namespace_can_be_made_the_simulator_runs_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise MissingRequirementError("No namespaces here.")

    monkeypatch.setattr(namespaces, "gain_rights", refuse)
    assert main(["run", "break-before-make", "--out", str(tmp_path), "--demo"]) == 0
    printed = capsys.readouterr().out
    assert "No namespaces here. So this runs in the simulator" in printed
    assert "physics demands" in printed
    with pytest.raises(MissingRequirementError):
        main(["run", "break-before-make", "--out", str(tmp_path), "--world", "kernel"])


@pytest.mark.slow
def test_a_second_run_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "no-change").mkdir()
    (tmp_path / "no-change" / "mine").touch()
    assert main(["run", "no-change", "--out", str(tmp_path), "--world", "simulator"]) == 0
    assert [each.name for each in (tmp_path / "no-change").iterdir()] == ["mine"]
    assert (tmp_path / "no-change-2" / "run-1").is_dir()


@pytest.mark.parametrize(
    "words",
    [["run", "no-such-scenario"], ["run"], ["dance"], ["run", "no-change", "--runs", "0"]],
)
def test_a_wrong_command_is_one_sentence(words: list[str]) -> None:
    with pytest.raises(UsageError):
        main(words)
