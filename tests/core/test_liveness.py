"""When a path is doubted: the policy of suspicion, in numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.frames import FRAME_CADENCE
from p2pquic.core.liveness import (
    LATE_SHARES,
    LEAST_MARGIN,
    MISSING_FRAMES,
    SETTLING,
    SILENCE_MARGIN,
    STANDBY_LIMIT,
    VARIATIONS,
    Answers,
    Expectation,
    doubts_from,
    keeps_answering,
    silent_from,
    unanswered_from,
)

LONG_AGO = -10.0  # seconds: the path was chosen when the call was young
RTT = 0.040
USUAL = RTT + FRAME_CADENCE  # seconds an answer takes that waits for a frame to ride on
LATE_FRAMES = 512  # a share of late answers is settled after so many

TALKING = Expectation(LONG_AGO, cadence=False, rtt=RTT)  # we send, and hear nothing but answers
CALL = Expectation(LONG_AGO, cadence=True, rtt=RTT)


def suspected_from(answers: Answers, expectation: Expectation) -> float:
    """When the first doubt begins."""
    return min(doubts_from(answers, expectation).values())


def steady(time: float = USUAL, variation: float = 0.0, **known: float) -> Answers:
    """A path whose answers are well known; nothing is waiting at 0 s, when one came."""
    return Answers(
        heard_at=known.get("heard_at", 0.0),
        answered_at=0.0,
        arrived_from=-time,
        waiting_since=known.get("waiting_since"),
        time=time,
        variation=variation,
        late_share=known.get("late_share", 0.0),
    )


def exchange(answers: Answers, late_every: int = 0, frames: int = LATE_FRAMES) -> None:
    """Frames every 20 ms, each answered in the usual time; now and then one a frame later.

    A lost frame is noticed by what its successor's answer leaves behind: the oldest waited longer.
    """
    for number in range(frames):
        sent = number * FRAME_CADENCE
        is_late = late_every and number % late_every == 0
        answers.waiting_since = sent - FRAME_CADENCE if is_late else sent
        answers.answered(sent, sent + FRAME_CADENCE, sent + USUAL)


def test_answers_that_begin_to_wait_for_a_ride_are_not_late() -> None:
    answers = Answers()
    answers.sent(0.0)
    answers.answered(0.0, None, RTT)  # a challenge; nothing makes its answer wait
    exchange(answers, frames=LATE_FRAMES // 16)
    assert answers.late_share == 0.0


# ---- nothing is acknowledged ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variation", "margin"),
    [
        (0.0, LEAST_MARGIN),
        (LEAST_MARGIN / VARIATIONS, LEAST_MARGIN),
        (0.005, 0.020),
        (0.020, 0.080),
    ],
)
def test_an_answer_may_be_later_than_usual_by_ten_milliseconds_or_four_variations(
    variation: float, margin: float
) -> None:
    answers = steady(variation=variation, waiting_since=5.0)
    assert unanswered_from(answers, TALKING) == pytest.approx(5.0 + USUAL + margin)


def test_who_waits_for_nothing_misses_nothing() -> None:
    assert unanswered_from(steady(), TALKING) == math.inf
    assert suspected_from(steady(), TALKING) == math.inf
    assert unanswered_from(Answers(), CALL) == math.inf


def test_the_oldest_of_what_waits_is_what_counts() -> None:
    answers = Answers()
    for now in (1.0, 1.02, 1.04):
        answers.sent(now)
    assert answers.waiting_since == 1.0
    answers.answered(1.02, 1.04, 1.06)
    assert answers.waiting_since == 1.04
    answers.answered(1.04, None, 1.08)
    assert answers.waiting_since is None


def test_before_the_first_answer_the_round_trip_is_all_that_is_known() -> None:
    answers = Answers(waiting_since=5.0)
    assert unanswered_from(answers, TALKING) == pytest.approx(5.0 + RTT + LEAST_MARGIN)


def test_the_first_answer_is_taken_for_the_usual_one() -> None:
    answers = Answers()
    answers.sent(0.0)
    answers.answered(0.0, None, 0.060)
    assert answers.time == pytest.approx(0.060)
    assert answers.variation == pytest.approx(0.030)
    assert answers.late_share == 0.0
    assert (answers.answered_at, answers.arrived_from) == (0.060, 0.0)


@pytest.mark.parametrize(
    ("sent_after_change", "patience"),
    [(0.0, 1), (SETTLING - 0.001, 1), (SETTLING, 0), (SETTLING + 10.0, 0)],
)
def test_right_after_a_change_one_frame_more_is_waited_for(
    sent_after_change: float, patience: int
) -> None:
    waiting_since = 100.0 + sent_after_change
    answers = steady(waiting_since=waiting_since)
    changed = Expectation(100.0, cadence=False, rtt=RTT)
    expected = waiting_since + USUAL + LEAST_MARGIN + patience * FRAME_CADENCE
    assert unanswered_from(answers, changed) == pytest.approx(expected)


def test_what_left_before_both_ends_spoke_here_is_no_debt() -> None:
    answers = steady(waiting_since=99.5)  # in doubt, by a path where the other end was not
    followed = Expectation(100.0, cadence=False, rtt=RTT)
    expected = 100.0 + USUAL + LEAST_MARGIN + FRAME_CADENCE
    assert unanswered_from(answers, followed) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("late_share", "patience"),
    [(0.0, 0), (LATE_SHARES[0], 0), (0.011, 1), (LATE_SHARES[1], 1), (0.031, 2), (1.0, 2)],
)
def test_late_answers_ask_for_patience(late_share: float, patience: int) -> None:
    answers = steady(waiting_since=5.0, late_share=late_share)
    expected = 5.0 + USUAL + LEAST_MARGIN + patience * FRAME_CADENCE
    assert unanswered_from(answers, TALKING) == pytest.approx(expected)
    just_changed = Expectation(5.0, cadence=False, rtt=RTT)
    expected = 5.0 + USUAL + LEAST_MARGIN + max(1, patience) * FRAME_CADENCE
    assert unanswered_from(answers, just_changed) == pytest.approx(expected), "not added up"


@pytest.mark.parametrize(("late_every", "at_least", "at_most"), [(0, 0, 0), (50, 1, 1), (16, 2, 2)])
def test_patience_comes_with_losses_and_goes_with_them(
    late_every: int, at_least: int, at_most: int
) -> None:
    answers = Answers()
    exchange(answers, late_every)
    patience = sum(answers.late_share > share for share in LATE_SHARES)
    assert at_least <= patience <= at_most
    exchange(answers)
    assert answers.late_share < LATE_SHARES[0], "ten good seconds are long enough to forget"


def test_one_late_answer_alone_changes_nothing() -> None:
    answers = Answers()
    exchange(answers)
    answers.waiting_since = 100.0 - FRAME_CADENCE
    answers.answered(100.0, None, 100.0 + USUAL)
    assert 0.0 < answers.late_share <= LATE_SHARES[0]


# ---- nothing is heard ----------------------------------------------------------------------------


def test_silence_is_two_frames_and_a_margin() -> None:
    answers = steady(heard_at=5.0)
    expected = 5.0 + MISSING_FRAMES * FRAME_CADENCE + SILENCE_MARGIN
    assert silent_from(answers, CALL) == pytest.approx(expected)
    assert suspected_from(answers, CALL) == pytest.approx(expected)


def test_silence_means_nothing_where_no_audio_is_expected() -> None:
    assert silent_from(steady(heard_at=5.0), TALKING) == math.inf


def test_an_answer_that_came_by_another_path_is_a_sign_of_life() -> None:
    answers = steady(heard_at=5.0)
    answers.answered_at, answers.arrived_from = 5.5, 5.5 - USUAL
    assert silent_from(answers, CALL) == pytest.approx(5.555)
    answers.arrived_from = 5.2  # the news was long on its way, by a longer path
    assert silent_from(answers, CALL) == pytest.approx(5.2 + USUAL + 0.055)


def test_a_path_just_chosen_has_a_round_trip_and_a_frame_to_begin() -> None:
    chosen = Expectation(100.0, cadence=True, rtt=0.200)
    begins = 100.0 + 0.200 + FRAME_CADENCE
    assert silent_from(steady(heard_at=99.0), chosen) == pytest.approx(begins + 0.055)
    assert silent_from(steady(heard_at=begins + 1), chosen) == pytest.approx(begins + 1.055)


def test_whatever_is_too_long_first_is_what_casts_doubt() -> None:
    mute = steady(waiting_since=10.0, heard_at=5.0)
    unanswered = steady(waiting_since=5.0, heard_at=10.0)
    assert suspected_from(mute, CALL) == silent_from(mute, CALL) < unanswered_from(mute, CALL)
    assert suspected_from(unanswered, CALL) == unanswered_from(unanswered, CALL)


# ---- whatever happens ----------------------------------------------------------------------------


times = st.floats(0.0, 1000.0)
ROUNDING = 1e-6  # seconds


@pytest.mark.slow
@given(heard_at=times, answered_at=times, chosen_at=times, variation=st.floats(0.0, 1.0))
def test_silence_never_begins_before_the_last_sign_of_life(
    heard_at: float, answered_at: float, chosen_at: float, variation: float
) -> None:
    answers = Answers(
        heard_at=heard_at,
        answered_at=answered_at,
        arrived_from=answered_at - USUAL,
        variation=variation,
    )
    expectation = Expectation(chosen_at, cadence=True, rtt=RTT)
    last = max(heard_at, answered_at, chosen_at)
    least = MISSING_FRAMES * FRAME_CADENCE
    assert suspected_from(answers, expectation) >= last + least - ROUNDING


@pytest.mark.slow
@given(
    waiting_since=times,
    time=st.none() | st.floats(0.0, 2.0),
    chosen_at=times,
    late_share=st.floats(0.0, 1.0),
)
def test_no_answer_is_missed_before_it_could_have_come(
    waiting_since: float, time: float | None, chosen_at: float, late_share: float
) -> None:
    answers = Answers(waiting_since=waiting_since, time=time, late_share=late_share)
    usual = RTT if time is None else time
    expectation = Expectation(chosen_at, cadence=False, rtt=RTT)
    soonest = waiting_since + usual + LEAST_MARGIN
    assert suspected_from(answers, expectation) >= soonest - ROUNDING


@pytest.mark.slow
@given(
    rtt=st.floats(0.001, 0.5),
    jitter=st.lists(st.floats(0.0, LEAST_MARGIN - 0.0005), min_size=2, max_size=120),
)
def test_a_steady_stream_with_bounded_jitter_is_never_suspected(
    rtt: float, jitter: list[float]
) -> None:
    """Each frame is answered, in order, `rtt` and some jitter later: less than the least margin.

    The path is as it was before the jitter, at its quickest: the answers known come from there.
    """
    answers = steady(time=rtt, heard_at=-math.inf)
    answers.answered_at = -math.inf
    answered = [n * FRAME_CADENCE + rtt + late for n, late in enumerate(jitter)]
    happenings = [(n * FRAME_CADENCE, 1, n) for n in range(len(jitter))]
    happenings += [(at, 0, n) for n, at in enumerate(answered)]
    expectation = Expectation(LONG_AGO, cadence=False, rtt=rtt)
    sent = 0
    for now, is_sending, number in sorted(happenings):
        assert now < suspected_from(answers, expectation)
        if is_sending:
            answers.sent(now)
            sent += 1
        else:
            following = (number + 1) * FRAME_CADENCE if number + 1 < sent else None
            answers.answered(number * FRAME_CADENCE, following, now)


MOST_LATE = FRAME_CADENCE + SILENCE_MARGIN - ROUNDING


@pytest.mark.slow
@given(jitter=st.lists(st.floats(0.0, MOST_LATE), min_size=2, max_size=120))
def test_audio_that_is_heard_is_never_taken_for_silence(jitter: list[float]) -> None:
    """Even when a frame is missing now and then, and the next one late."""
    answers = Answers(heard_at=0.0)
    expectation = Expectation(LONG_AGO, cadence=True, rtt=RTT)
    for number, late in enumerate(jitter, start=1):
        now = number * FRAME_CADENCE + late
        if now >= answers.heard_at:
            assert now < suspected_from(answers, expectation)
            answers.heard_at = now


# ---- the path that carries the copies ------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrived", "answered", "waiting", "carries"),
    [
        pytest.param(1.0, 1.04, None, True, id="what left since then arrived"),
        pytest.param(-1.0, 1.04, None, False, id="only what left before"),
        pytest.param(1.0, 1.1 - RTT - STANDBY_LIMIT - 0.001, None, False, id="not any more"),
        pytest.param(1.0, 1.04, 1.09, True, id="more is on the way"),
        pytest.param(1.0, 1.04, 1.0, False, id="more should have been answered"),
    ],
)
def test_a_refuge_has_to_go_on_answering(
    arrived: float, answered: float, waiting: float | None, carries: bool
) -> None:
    answers = Answers(arrived_from=arrived, answered_at=answered, waiting_since=waiting, time=USUAL)
    assert keeps_answering(answers, 0.0, RTT, 1.1) is carries


def test_a_punch_shows_that_our_direction_lives() -> None:
    answers = Answers()
    answers.proved(1.0, 1.04)
    assert (answers.heard_at, answers.answered_at, answers.arrived_from) == (1.04, 1.04, 1.0)
    answers.proved(0.9, 1.05)
    assert (answers.heard_at, answers.answered_at, answers.arrived_from) == (1.05, 1.04, 1.0)


def test_what_left_before_a_proof_is_no_debt() -> None:
    answers = Answers()
    answers.sent(0.9)  # a NAT was closed then
    answers.proved(1.0, 1.04)
    assert unanswered_from(answers, CALL) > 1.0 + USUAL
    answers.sent(1.02)
    assert answers.waiting_since == 1.0
