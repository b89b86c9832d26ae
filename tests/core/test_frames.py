"""What a sender may still repeat, and what a receiver already has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.frames import (
    FRAME_CADENCE,
    MEMORY,
    MOST_FRAMES,
    RESEND_WINDOW,
    Frame,
    RecentFrames,
    SequenceWindow,
)


def recent(count: int) -> RecentFrames:
    """The frames 0 to `count` - 1, one due every 20 ms from 0 on."""
    frames = RecentFrames()
    for n in range(count):
        frames.add(Frame(n, b"audio %d" % n, n * 0.020))
    return frames


def seqs(frames: RecentFrames, back: float) -> list[int]:
    return [frame.seq for frame in frames.unacknowledged(back)]


def test_unacknowledged_frames_come_newest_first() -> None:
    frames = recent(4)
    assert seqs(frames, 0.060) == [3, 2, 1, 0]
    assert frames.unacknowledged(0.060)[0] == Frame(3, b"audio 3", 0.060)


def test_an_acknowledged_frame_is_done_whichever_copy_it_was() -> None:
    frames = recent(3)
    assert frames.acknowledge(1)
    assert not frames.acknowledge(1)
    assert seqs(frames, 0.040) == [2, 0]


def test_a_frame_due_over_400_ms_before_the_path_came_back_is_never_sent_again() -> None:
    frames = recent(50)
    assert seqs(frames, 0.980 + 0.395) == [49]
    assert seqs(frames, 0.980 + 0.405) == []


def test_nothing_older_than_the_memory_is_even_remembered() -> None:
    frames = recent(100)
    assert not frames.acknowledge(0)
    assert seqs(frames, 0.0)[-1] == 99 - round(MEMORY / FRAME_CADENCE)


def test_a_source_run_wild_does_not_fill_the_memory() -> None:
    frames = RecentFrames()
    for n in range(10 * MOST_FRAMES):
        frames.add(Frame(n, b"audio", 1.0))
    assert len(frames.unacknowledged(1.0)) == MOST_FRAMES


ROUND_TRIP = 0.100  # seconds


@pytest.mark.parametrize(
    ("copies_sent", "lost", "now", "again"),
    [
        pytest.param([0.0], 1, 0.05, 0.05, id="the only copy"),
        pytest.param([0.0, 0.04], 2, 0.05, 0.05, id="the newest copy, whatever travels"),
        pytest.param([0.0, 0.04], 1, 0.05, 0.14, id="a newer copy travels"),
        pytest.param([0.0, 0.04], 1, 0.139, 0.14, id="the newer copy may still be answered"),
        pytest.param([0.0, 0.04], 1, 0.141, 0.141, id="the newer copy is a round trip old"),
        pytest.param([0.0, 0.01, 0.04], 2, 0.05, 0.14, id="the second of three"),
        pytest.param([0.0], 1, RESEND_WINDOW, RESEND_WINDOW, id="just young enough"),
        pytest.param([0.0], 1, RESEND_WINDOW + 0.001, None, id="nobody could play it any more"),
        pytest.param([0.0, 0.35], 1, 0.36, None, id="nor when the newer copy turns out lost"),
    ],
)
def test_a_lost_copy_leaves_again_when_no_other_travels_and_somebody_could_play_it(
    copies_sent: list[float], lost: int, now: float, again: float | None
) -> None:
    frames = recent(1)
    for number, at in enumerate(copies_sent, start=1):
        assert frames.note_sent(0, at) == number
    assert frames.lost(0, lost, ROUND_TRIP, now) == (again and pytest.approx(again))


def test_what_was_acknowledged_is_never_lost() -> None:
    frames = recent(2)
    frames.note_sent(0, 0.0)
    frames.note_sent(0, 0.01)
    frames.acknowledge(0)
    assert frames.lost(0, 1, ROUND_TRIP, 0.05) is None
    assert frames.lost(0, 2, ROUND_TRIP, 0.05) is None
    assert frames.outstanding(0) is None
    frames.note_sent(1, 0.02)
    assert frames.lost(1, 1, ROUND_TRIP, 0.05) == 0.05
    assert frames.outstanding(1) == Frame(1, b"audio 1", 0.02)


def test_the_last_copies_of_what_nobody_remembers_are_no_first_ones() -> None:
    frames = recent(1)
    frames.acknowledge(0)
    assert frames.note_sent(0, 0.05) > 1
    assert frames.lost(0, 1, ROUND_TRIP, 0.06) is None


def test_reordered_numbers_pass_and_repeated_ones_do_not() -> None:
    window = SequenceWindow(64)
    assert [window.accept(n) for n in (0, 2, 1, 2, 1, 0, 3)] == [
        True, True, True, False, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(("back", "passes"), [(63, True), (64, False)])
def test_a_number_too_old_to_be_told_from_a_repeat_does_not_pass(back: int, passes: bool) -> None:
    window = SequenceWindow(64)
    window.accept(1000)
    assert window.accept(1000 - back) is passes


@pytest.mark.slow
@given(st.lists(st.integers(0, 300) | st.integers(0, 2**62), max_size=200))
def test_no_number_ever_passes_twice(numbers: list[int]) -> None:
    window = SequenceWindow(64)
    passed = [number for number in numbers if window.accept(number)]
    assert len(passed) == len(set(passed))


@pytest.mark.slow
@given(st.permutations(range(64)))
def test_within_the_window_order_does_not_matter(numbers: list[int]) -> None:
    window = SequenceWindow(64)
    assert all(window.accept(number) for number in numbers)
