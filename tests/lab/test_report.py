"""What a person reads about a move says what was measured, and no more."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from p2pquic.lab.changes import Episode, MoveMade
from p2pquic.lab.measure import Frames, Passage
from p2pquic.lab.report import path_timeline, plot, sentence, table

LOSS = MoveMade("mover", "wlan0", "rmnet0", down=10.0, down_end=10.0, usable=10.5)
OUTAGE = Episode("break before make", (LOSS,))
OVERLAP = Episode("make before break", (dataclasses.replace(LOSS, usable=8.0),))
SILENCE = Episode("link dies", (dataclasses.replace(LOSS, usable=0.0),))
PASSAGE = Passage(
    direction="mover to other",
    episode=OUTAGE,
    gap=0.541,
    floor=0.535,
    lost=0,
    late=5,
    resent=20,
    duplicated=4,
    first_out=0.002,
    direct_again=0.121,
    timeline=((-0.5, "direct/wlan0"), (0.551, "relay/rmnet0")),
)


def changed(**fields: object) -> Passage:
    return dataclasses.replace(PASSAGE, **fields)  # type: ignore[arg-type]


def printed(*passages: Passage) -> str:
    text = io.StringIO()
    Console(file=text, width=140).print(table(passages))
    return text.getvalue()


def test_an_outage_is_told_with_its_floor() -> None:
    assert sentence([PASSAGE]) == (
        "wlan0 died; 500 ms later rmnet0 was usable (no software can shorten that).\n"
        "From mover to other nothing new arrived for 541 ms; physics demands 535 ms. "
        "0 frames were lost."
    )


def test_an_overlap_is_told_as_one_and_a_loss_is_not_hidden() -> None:
    told = sentence([changed(episode=OVERLAP, gap=0.036, floor=None, lost=1)])
    assert told == (
        "rmnet0 came up 2000 ms before wlan0 died.\n"
        "From mover to other nothing new arrived for 36 ms. 1 frame was lost."
    )


def test_a_silent_death_is_told_as_what_nobody_said() -> None:
    told = sentence([changed(episode=SILENCE, gap=0.120, floor=0.125)])
    assert told.startswith("wlan0 carried nothing any more, and nobody said so.\n")
    assert "wlan0 falls silent, mover to other" in printed(changed(episode=SILENCE))


def test_one_run_shows_its_figures_in_a_row() -> None:
    (row,) = (line for line in printed(PASSAGE).splitlines() if "wlan0" in line)
    assert row.split()[-10:] == ["1", "500", "541", "535", "6", "0", "5", "20", "4", "121"]


def test_several_runs_show_the_median_and_the_largest_and_all_that_was_lost() -> None:
    runs = [changed(gap=gap, lost=lost) for gap, lost in ((0.541, 0), (0.545, 2), (0.580, 1))]
    row = printed(*runs)
    assert "545 (580)" in row
    assert "10 (45)" in row
    assert " 3 " in row


def test_directions_and_moves_are_not_mixed() -> None:
    move = MoveMade("mover", "rmnet0", "wlan0", down=20.0, down_end=20.0, usable=20.5)
    back = Episode("break before make", (move,))
    rows = printed(PASSAGE, changed(direction="other to mover"), changed(episode=back))
    assert rows.count("500") == 3


def test_what_was_not_measured_is_a_dash() -> None:
    (row,) = (
        line
        for line in printed(changed(floor=None, direct_again=None)).splitlines()
        if "wlan0" in line
    )
    assert row.split().count("-") == 3  # the floor, what is above it, and direct again


def test_the_paths_are_told_in_milliseconds_after_the_cut() -> None:
    assert path_timeline([PASSAGE]) == (
        "mover to other: -500 ms direct/wlan0, +551 ms relay/rmnet0"
    )


@pytest.mark.slow
def test_the_picture_is_drawn(tmp_path: Path) -> None:
    arrived = {seq: (9.5 + 0.020 * seq, "direct/wlan0") for seq in range(25)}
    arrived |= dict.fromkeys(range(30, 53), (10.551, "relay/rmnet0"))
    frames = Frames(due={}, arrived=arrived, resent=[], repeated=[])
    picture = tmp_path / "move.png"
    plot([PASSAGE], {"mover to other": frames}, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
