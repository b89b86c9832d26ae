"""What an ear would notice: the adaptive jitter buffer on networks that jitter, move and lie."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.frames import FRAME_CADENCE
from p2pquic.core.jitter_buffer import (
    CLOCK_LOST,
    DELAYS_REMEMBERED,
    DelayBounds,
    Heard,
    JitterBuffer,
)

BOUNDS = DelayBounds(0.040, 0.200)
NEVER = float("inf")


def listen(arrivals: Iterable[tuple[int, float]], bounds: DelayBounds = BOUNDS) -> JitterBuffer:
    """A buffer after these arrivals of (frame, seconds) and the last turn."""
    buffer = JitterBuffer(bounds)
    for seq, now in sorted(arrivals, key=lambda arrival: arrival[1]):
        buffer.on_frame(seq, now)
    buffer.play_until(NEVER)
    return buffer


def stream(frames: Iterable[int], delay: float = 0.0) -> list[tuple[int, float]]:
    """Each frame `delay` after it was due."""
    return [(seq, seq * FRAME_CADENCE + delay) for seq in frames]


def test_a_steady_stream_is_heard_whole_at_the_least_delay() -> None:
    buffer = listen(stream(range(1000)))
    assert buffer.heard == Heard()
    assert buffer.delay == pytest.approx(BOUNDS.minimum)


def test_one_lost_frame_is_concealed_and_nobody_notices() -> None:
    assert listen(stream([*range(50), *range(51, 100)])).heard == Heard(concealed=1)


@pytest.mark.parametrize(("lost", "interruptions"), [(2, 0), (3, 1)])
def test_concealment_hides_two_frames_and_not_three(lost: int, interruptions: int) -> None:
    heard = listen(stream([*range(50), *range(50 + lost, 200)])).heard
    assert (heard.concealed, heard.interruptions) == (lost, interruptions)
    assert heard.longest == pytest.approx(lost * FRAME_CADENCE if interruptions else 0.0)


def test_a_gap_of_100_ms_healed_by_re_sends_within_the_buffer_conceals_nothing() -> None:
    healed = [(seq, 55 * FRAME_CADENCE + 0.001) for seq in range(54, 49, -1)]
    arrivals = [*stream(range(50)), *healed, *stream(range(55, 200))]
    assert listen(arrivals, DelayBounds(0.120, 0.200)).heard == Heard()


def test_a_frame_that_comes_after_its_turn_is_concealed_all_the_same() -> None:
    late = (50, 50 * FRAME_CADENCE + 0.120)
    buffer = listen([*stream(range(50)), late, *stream(range(51, 200))])
    assert buffer.heard == Heard(concealed=1)


def test_after_an_outage_of_8_s_nothing_older_than_the_buffer_is_played() -> None:
    back = 500 * FRAME_CADENCE
    resent = [(seq, back + 0.001) for seq in range(499, 479, -1)]
    buffer = listen([*stream(range(100)), *resent, *stream(range(500, 700))])
    # Frame 499 still had its turn ahead, the silence before lasted from 100 to it at least.
    assert 400 - BOUNDS.maximum / FRAME_CADENCE <= buffer.heard.concealed <= 400
    assert buffer.heard.interruptions == 1
    assert buffer.heard.longest > 8.0 - BOUNDS.maximum


def test_the_new_path_of_a_move_may_be_25_ms_longer() -> None:
    buffer = listen([*stream(range(200)), *stream(range(200, 1000), delay=0.025)])
    assert buffer.heard == Heard()
    assert buffer.delay == pytest.approx(BOUNDS.minimum, abs=0.001)


def test_the_buffer_waits_once_for_a_path_that_is_much_longer() -> None:
    buffer = listen([*stream(range(200)), *stream(range(200, 1500), delay=0.120)])
    assert buffer.heard.concealed == 4  # 120 ms less the 40 of the buffer
    assert buffer.heard.interruptions == 1
    assert buffer.delay == pytest.approx(BOUNDS.minimum, abs=0.001)  # of the new path's own


def test_what_a_stalled_path_held_back_is_played_as_far_as_the_maximum_reaches() -> None:
    heap = [(seq, 65 * FRAME_CADENCE) for seq in range(50, 65)]
    buffer = listen([*stream(range(50)), *heap, *stream(range(65, 400))])
    assert buffer.heard.concealed == 13  # 15 frames of silence less the 40 ms that were waiting
    assert buffer.heard.interruptions == 1
    assert buffer.delay < 0.060  # back to normal within seconds


def test_jitter_is_waited_for_and_forgotten_when_it_ends() -> None:
    dice = random.Random(1)
    shaky = [(seq, when + dice.uniform(0.0, 0.080)) for seq, when in stream(range(1000))]
    buffer = listen(shaky)
    assert buffer.heard.concealed <= 10  # until the jitter was known
    assert 0.080 < buffer.delay < 0.105
    calm = listen([*shaky, *stream(range(1004, 1004 + 2 * DELAYS_REMEMBERED))])
    assert calm.delay == pytest.approx(BOUNDS.minimum, abs=0.001)


def test_a_clock_that_stood_still_is_followed_after_a_moment() -> None:
    slept = stream(range(100, 500), delay=2.0)  # the source does not make good what it missed
    buffer = listen([*stream(range(100)), *slept])
    silence = 2.0 - BOUNDS.minimum + CLOCK_LOST + BOUNDS.minimum
    assert buffer.heard.interruptions == 1
    assert buffer.heard.longest == pytest.approx(silence, abs=2 * FRAME_CADENCE)


def test_clocks_that_drift_apart_are_not_heard() -> None:
    for drift in (1.0002, 0.9998):  # 200 ppm, a bad crystal
        arrivals = [(seq, when * drift) for seq, when in stream(range(20_000))]
        assert listen(arrivals).heard == Heard()


def test_a_fixed_buffer_keeps_its_delay() -> None:
    dice = random.Random(1)
    shaky = [(seq, when + dice.uniform(0.0, 0.080)) for seq, when in stream(range(1000))]
    buffer = listen(shaky, DelayBounds(0.100, 0.100))
    assert buffer.heard == Heard()
    assert buffer.delay == pytest.approx(0.100)


Steps = st.lists(
    st.tuples(
        st.one_of(st.integers(-50, 50), st.integers(-(2**62), 2**62)),
        st.one_of(st.just(0.020), st.floats(0.0, 0.3), st.floats(0.0, 1e6)),
    ),
    max_size=200,
)


@pytest.mark.slow
@given(Steps)
def test_whatever_comes_the_delay_and_the_memory_are_bounded(
    steps: list[tuple[int, float]],
) -> None:
    buffer = JitterBuffer(BOUNDS)
    seq, now, is_exact = 1000, 0.0, True
    for jump, wait in steps:
        seq, now = max(0, seq + jump), now + wait
        is_exact = is_exact and seq <= 2**40 and now <= 1e6  # beyond, seconds are rounded off
        concealed = buffer.heard.concealed
        buffer.on_frame(seq, now)
        assert buffer.delay <= BOUNDS.maximum * 1.01 or not is_exact
        assert len(buffer._waiting) <= BOUNDS.maximum / FRAME_CADENCE + 2
        assert buffer.heard.concealed >= concealed
    assert len(buffer._delays._by_size) <= DELAYS_REMEMBERED


@pytest.mark.slow
@given(st.integers(0, 2**32), st.floats(0.0, 0.1))
def test_what_is_concealed_and_what_is_played_is_all_that_was_due(seed: int, loss: float) -> None:
    dice = random.Random(seed)
    arrivals = [
        (seq, when + dice.uniform(0.0, 0.040))
        for seq, when in stream(range(300))
        if seq in (0, 299) or dice.random() >= loss
    ]
    heard = listen(arrivals).heard
    assert heard.concealed >= 300 - len(arrivals)
    assert heard.concealed <= 300 - len(arrivals) + 10
