"""What a receiver heard: first arrivals, repeats, and interruptions with their counts."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.playout import REPORT_INTERVAL, SETTLING_TIME, Arrival, ArrivalLog
from p2pquic.core.trace import Interruption, PlayoutReport

BUFFER = DelayBounds(0.100, 0.100)


def heard(*frames: int) -> tuple[ArrivalLog, float]:
    """A log after these frames arrived in cadence, and the time of the last."""
    log = ArrivalLog("b", BUFFER)
    for n, seq in enumerate(frames):
        log.on_frame(seq, n * 0.020)
    return log, (len(frames) - 1) * 0.020


def interruptions(log: ArrivalLog, now: float = math.inf) -> list[Interruption]:
    return [record for record in log.poll(now) if isinstance(record, Interruption)]


def interruption(log: ArrivalLog) -> Interruption:
    (record,) = interruptions(log)
    return record


def test_a_frame_is_first_once_and_a_repeat_ever_after() -> None:
    log = ArrivalLog("b", BUFFER)
    assert log.on_frame(7, 0.0) is Arrival.FIRST
    assert log.on_frame(7, 0.001) is Arrival.REPEAT
    assert log.on_frame(6, 0.002) is Arrival.FIRST


def test_steady_audio_is_no_interruption() -> None:
    log, _ = heard(*range(100))
    assert interruptions(log) == []


def test_a_gap_of_60_ms_is_concealed_and_not_recorded() -> None:
    log, last = heard(0, 1)
    log.on_frame(4, last + 0.060)
    assert interruptions(log) == []


def test_repeats_do_not_end_a_gap() -> None:
    log, last = heard(0, 1)
    log.on_frame(1, last + 0.050)
    log.on_frame(6, last + 0.100)
    assert interruption(log).gap_ms == 100.0


def test_the_record_comes_once_a_second_after_the_gap_ended() -> None:
    log, last = heard(0, 1)
    log.on_frame(6, last + 0.100)
    settled = last + 0.100 + SETTLING_TIME
    assert interruptions(log, settled - 0.001) == []
    assert log.deadline is not None
    assert log.deadline <= settled
    assert len(interruptions(log, settled)) == 1
    assert log.poll(math.inf) == []


def test_frames_sent_again_after_the_gap_are_resent_and_not_lost() -> None:
    log, last = heard(0, 1)
    end = last + 0.100
    for n, seq in enumerate((6, 5, 4, 3, 2)):
        log.on_frame(seq, end + n * 0.001)
    assert interruption(log) == Interruption("b", gap_ms=100.0, lost=0, late=0, resent=4)


def test_frames_that_never_come_are_lost() -> None:
    log, last = heard(0, 1)
    log.on_frame(6, last + 0.100)
    log.on_frame(4, last + 0.101)
    assert interruption(log) == Interruption(
        "b", gap_ms=100.0, lost=3, late=0, resent=1, concealed=3
    )


def test_frames_older_than_the_resend_window_are_late_because_dropped_on_purpose() -> None:
    log, last = heard(0)
    log.on_frame(51, last + 1.000)  # 50 missing: 19 surely in the last 400 ms, 31 before
    # It came 20 ms early, and by as much the sound skips ahead.
    assert interruption(log) == Interruption(
        "b", gap_ms=1000.0, lost=19, late=31, resent=0, concealed=49, heard_ms=980.0
    )


def test_what_a_relay_replays_oldest_first_does_not_make_older_frames_lost() -> None:
    log, last = heard(0)
    end = last + 0.600
    for seq in range(20, 31):  # the relay's memory; frames 1 to 10 are older than 400 ms
        log.on_frame(seq, end)
    for seq in range(19, 11, -1):
        log.on_frame(seq, end + 0.001)
    for n in range(1, 6):
        log.on_frame(30 + n, end + n * 0.020)
    settled = interruption(log)
    assert (settled.gap_ms, settled.lost, settled.resent) == (600.0, 0, 8)


def test_a_resent_frame_that_misses_its_turn_by_more_than_the_buffer_is_late_too() -> None:
    log, last = heard(0)
    end = last + 0.300
    log.on_frame(15, end)
    for seq in range(1, 15):
        log.on_frame(seq, end + 0.001)
    # Turns lie 20 ms apart before the end: frames 11 to 14 are within the 100 ms of the buffer.
    assert interruption(log) == Interruption(
        "b", gap_ms=300.0, lost=0, late=10, resent=14, concealed=10, heard_ms=200.0
    )


def test_two_gaps_count_their_own_frames() -> None:
    log, last = heard(0)
    log.on_frame(5, last + 0.100)
    log.on_frame(10, last + 0.200)
    log.on_frame(3, last + 0.201)
    log.on_frame(8, last + 0.202)
    first, second = interruptions(log)
    assert (first.resent, first.lost, first.concealed) == (1, 3, 4)  # frame 3 missed its turn
    assert (second.resent, second.lost, second.concealed) == (1, 3, 3)


def test_a_gap_ended_by_an_old_frame_misses_nothing() -> None:
    log, last = heard(0, 1, 3)
    log.on_frame(2, last + 0.100)
    assert interruption(log) == Interruption("b", gap_ms=100.0, lost=0, late=0, resent=0)


def playouts(log: ArrivalLog, now: float = math.inf) -> list[PlayoutReport]:
    return [record for record in log.poll(now) if isinstance(record, PlayoutReport)]


def test_the_delay_of_the_buffer_is_told_once_and_then_only_when_it_changes() -> None:
    log, last = heard(0, 1)
    assert log.deadline == REPORT_INTERVAL
    assert playouts(log, REPORT_INTERVAL) == [PlayoutReport("b", 0, 0, 0.0, 0.0, 100)]
    log.on_frame(2, last + 0.020)
    assert log.poll(math.inf) == []


def test_an_interruption_is_told_as_soon_as_it_is_over_for_the_ear() -> None:
    log, last = heard(*range(60))
    log.poll(last)
    end = last + 0.200
    log.on_frame(69, end)
    turn = end + BUFFER.maximum
    assert playouts(log, turn - 0.001) == []
    assert playouts(log, turn + 0.001) == [PlayoutReport("b", 9, 1, 180.0, 180.0, 100)]


def test_each_of_two_gaps_gets_the_silence_that_was_heard_of_it() -> None:
    log, _ = heard(0, 1)
    log.on_frame(11, 0.220)
    log.on_frame(16, 0.320)
    first, second = interruptions(log)
    assert (first.concealed, first.heard_ms) == (9, 180.0)
    assert (second.concealed, second.heard_ms) == (4, 80.0)


def test_a_hostile_jump_costs_no_memory_and_hides_only_the_jumpers_own_frames() -> None:
    log, last = heard(0, 1)
    assert log.on_frame(2**60, last + 0.020) is Arrival.FIRST
    assert log.on_frame(2, last + 0.040) is Arrival.REPEAT
    assert sys.getsizeof(log._window._seen) < 1000


def test_a_frame_that_no_buffer_waited_for_is_stale() -> None:
    log, last = heard(0, 1)
    assert log.on_frame(20, last + 19 * 0.020) is Arrival.FIRST
    assert log.on_frame(16, last + 19 * 0.020) is Arrival.FIRST
    assert log.on_frame(14, last + 19 * 0.020) is Arrival.STALE
    assert log.on_frame(14, last + 19 * 0.020) is Arrival.REPEAT


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 200), st.floats(0, 0.3)), max_size=100))
def test_every_missing_frame_of_a_gap_is_accounted_for(steps: list[tuple[int, float]]) -> None:
    log = ArrivalLog("b", BUFFER)
    now = 0.0
    for seq, wait in steps:
        now += wait
        log.on_frame(seq, now)
    for record in interruptions(log):
        assert record.lost >= 0
        assert record.late >= 0
        assert record.resent >= 0
        assert record.lost <= 20
