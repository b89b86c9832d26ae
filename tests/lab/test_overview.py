"""The full table: which rows there are, what they say, and when a row is over its limits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from rich.console import Console

from p2pquic.core.errors import P2PQuicError, UsageError
from p2pquic.lab import full
from p2pquic.lab.catalogue import SCENARIOS
from p2pquic.lab.changes import Episode, MoveMade
from p2pquic.lab.command import main
from p2pquic.lab.floor import Direction
from p2pquic.lab.limits import LIMITS, Gap, Limits
from p2pquic.lab.measure import Conduct, Passage
from p2pquic.lab.overview import Measured, Row, markdown, rows

STILL = Conduct(switches=0, duplicates=0.0, undelivered=0.0)
EPISODE = Episode("break before make", (MoveMade("mover", "wlan0", "rmnet0", 10.0, 10.0, 10.5),))
PASSAGE = Passage("mover to other", EPISODE, 0.540, 0.535, 0, 0, 0, 0, 0.0, 0.100, ())
LENIENT = Limits("break-before-make", "hedged", None)


def passage(gap: float, floor: float = 0.535, **fields: object) -> Passage:
    return dataclasses.replace(PASSAGE, gap=gap, floor=floor, **fields)  # type: ignore[arg-type]


def measured(*passages: Passage, conduct: Conduct = STILL) -> Measured:
    return Measured(passages, conduct, late_ms=1.0)


def row_of(limits: Limits, *runs: Measured) -> Row:
    (row,) = rows(limits, runs)
    return row


def test_every_row_is_a_known_scenario_and_none_is_there_twice() -> None:
    keys = [(each.scenario, each.resilience) for each in LIMITS]
    assert len(set(keys)) == len(keys)
    assert all(scenario in SCENARIOS for scenario, _ in keys)


def test_of_a_run_the_worst_episode_counts_and_of_its_losses_all() -> None:
    run = measured(passage(0.510, lost=1), passage(0.560, 0.540, lost=2), passage(0.520))
    row = row_of(LENIENT, run)
    assert row.gaps == pytest.approx((0.060,))
    assert row.floors == pytest.approx((0.040,))
    assert row.lost == 3
    assert row.over == ("lost",)


def test_each_direction_has_a_row_and_a_run_without_an_episode_one_for_both() -> None:
    back: Direction = "other to mover"
    both = rows(LENIENT, [measured(PASSAGE, passage(0.600, direction=back))])
    assert [row.direction for row in both] == ["mover to other", "other to mover"]
    assert row_of(LENIENT, measured()).direction == "both"


@pytest.mark.parametrize(
    ("gaps", "over"),
    [
        ((0.540, 0.549, 0.569), ()),
        ((0.540, 0.551, 0.569), ("median",)),
        ((0.540, 0.549, 0.571), ("max",)),
        ((float("inf"),) * 3, ("median", "max")),
    ],
)
def test_a_limit_above_the_floor_moves_with_the_floor(
    gaps: tuple[float, ...], over: tuple[str, ...]
) -> None:
    """The floors are 30, 35 and 40 ms above L: their median and the largest are what counts."""
    limits = dataclasses.replace(LENIENT, gap=Gap(0.015, 0.030, is_above_floor=True))
    floors = (0.530, 0.535, 0.540)
    runs = [measured(passage(gap, base)) for gap, base in zip(gaps, floors, strict=True)]
    assert row_of(limits, *runs).over == over


def test_from_forty_runs_on_the_95th_percentile_stands_for_the_maximum() -> None:
    limits = dataclasses.replace(LENIENT, gap=Gap(0.050, 0.060))
    usual, odd = measured(passage(0.540)), measured(passage(0.700))
    assert row_of(limits, *[usual] * 38, odd).over == ("max",)
    assert row_of(limits, *[usual] * 38, odd, odd).over == ()
    assert row_of(limits, *[usual] * 37, odd, odd, odd).over == ("p95",)


def test_a_direct_path_that_never_comes_again_is_over() -> None:
    limits = dataclasses.replace(LENIENT, direct_again=0.300)
    assert row_of(limits, measured(PASSAGE)).over == ()
    assert row_of(limits, measured(passage(0.540, direct_again=0.301))).over == ("direct",)
    assert row_of(limits, measured(passage(0.540, direct_again=None))).over == ("direct",)
    in_a_room = measured(*(passage(0.540, direct_again=again) for again in (0.1, 0.2, None)))
    assert row_of(limits, in_a_room).over == ("direct",), "one receiver never got there"


def test_a_call_with_loss_is_held_to_what_it_sends_and_delivers() -> None:
    limits = next(each for each in LIMITS if each.scenario == "lossy")
    assert row_of(limits, measured(conduct=Conduct(0, 0.02, 0.001))).over == ()
    over = row_of(limits, measured(conduct=Conduct(1, 0.021, 0.0011))).over
    assert over == ("switches", "duplicates", "undelivered")


@pytest.mark.parametrize(
    ("switches", "over"), [(1, ("switches",)), (2, ()), (4, ()), (5, ("switches",))]
)
def test_a_call_that_should_follow_must_and_no_more_often(
    switches: int, over: tuple[str, ...]
) -> None:
    limits = next(each for each in LIMITS if each.scenario == "metric-change")
    conduct = dataclasses.replace(STILL, switches=switches)
    assert row_of(limits, measured(conduct=conduct)).over == over


def test_a_room_is_judged_by_the_one_who_fared_worst_in_the_median() -> None:
    lucky, unlucky = passage(0.500, other="guest1"), passage(0.545, other="guest2")
    once = passage(0.600, other="guest1")
    runs = [measured(lucky, unlucky), measured(lucky, unlucky), measured(once, unlucky)]
    assert row_of(LENIENT, *runs).gaps == pytest.approx((0.045,) * 3)
    lost = measured(dataclasses.replace(lucky, lost=1), unlucky)
    assert row_of(LENIENT, lost).over == ("lost",), "whoever lost it"


@pytest.mark.slow
@pytest.mark.parametrize(
    "limits",
    [each for each in LIMITS if each.scenario != "lossy"],  # ten minutes
    ids=lambda each: f"{each.scenario}, {each.resilience}",
)
def test_in_virtual_time_no_row_is_over(limits: Limits, tmp_path: Path) -> None:
    sweep = full.Sweep([limits], "simulator", 1, tmp_path, Console(quiet=True))
    sweep.run(1)
    assert sweep.rows, "the run came to its end"
    for row in sweep.rows:
        assert row.over == (), f"{row.direction}: {row}"


def test_the_table_can_be_pasted_into_a_document() -> None:
    head, rule, line = markdown([row_of(LENIENT, measured(passage(0.540, lost=1)))]).splitlines()
    assert head.startswith("| scenario | direction | runs | gap |")
    assert set(rule) == {"|", "-", " "}
    assert line.startswith("| break-before-make, hedged | mover to other | 1 | 40 | - | 40 | 35 |")
    assert line.endswith("| over: lost |")


@pytest.mark.slow
def test_what_was_interrupted_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["full", "way-dies-there", "--world", "simulator", "--out", str(tmp_path)]
    assert main([*words, "--runs", "1"]) == 0
    assert "way-dies-there, hot, run 1, seed 1" in capsys.readouterr().out
    whole, unfinished = (tmp_path / "way-dies-there" / each / "run-1" for each in ("hot", "hedged"))
    (unfinished / "run.json").unlink()
    before = (whole / "run.json").stat().st_mtime_ns
    assert main([*words, "--runs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "way-dies-there, hedged, run 1" in printed
    assert "way-dies-there, hot, run 1" not in printed
    assert (whole / "run.json").stat().st_mtime_ns == before
    assert "way-dies-there, hot | mover to other" in (tmp_path / "table.md").read_text()
    with pytest.raises(UsageError, match="another world or seed"):
        main([*words, "--seed", "2"])

    def fail(*_words: object, **_more: object) -> None:
        raise P2PQuicError("It broke.")

    monkeypatch.setattr(full, "run", fail)
    assert main([*words, "--runs", "2"]) == 1
    assert "It broke." in capsys.readouterr().out


def test_a_directory_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="something else"):
        full.Sweep([], "simulator", 1, tmp_path, Console()).run(1)
