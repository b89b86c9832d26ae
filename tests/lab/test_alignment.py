"""Cuts made on purpose are found where they were made, to 5 ms and a frame."""

from __future__ import annotations

import numpy as np
import pytest

from p2pquic.lab.alignment import RATE, Alignment, Samples, Stretch, align, most_similar_places

POSITION = 0.005  # seconds: how exact a position is promised to be
EDGE = 0.020  # seconds: how exact the edge of a gap is


@pytest.fixture(scope="module")
def source() -> Samples:
    """Six seconds in which no place resembles another."""
    return 0.1 * np.random.default_rng(1).normal(size=6 * RATE)


def part(source: Samples, start: float, end: float) -> Samples:
    return source[round(start * RATE) : round(end * RATE)]


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE))


def heard(*parts: Samples, by: Samples) -> Alignment:
    return align(np.concatenate(parts), by)


def test_an_untouched_recording_is_one_stretch(source: Samples) -> None:
    (stretch,) = heard(part(source, 1.003, 5), by=source).stretches
    assert stretch.shift == pytest.approx(1.003, abs=0.001)
    assert stretch.start == pytest.approx(0, abs=EDGE)
    assert stretch.end == pytest.approx(3.997, abs=EDGE)


@pytest.mark.parametrize("length", [0.040, 0.100, 0.580, 1.500])
def test_silence_of_the_right_length_moves_nothing(source: Samples, length: float) -> None:
    (gap,) = heard(part(source, 0, 2), silence(length), part(source, 2 + length, 6), by=source).gaps
    assert gap.start == pytest.approx(2, abs=EDGE)
    assert gap.duration == pytest.approx(length, abs=2 * EDGE)
    assert gap.skipped == pytest.approx(length, abs=2 * EDGE)
    assert gap.position_error == pytest.approx(0, abs=POSITION)


@pytest.mark.parametrize("error", [-0.137, 0.012, 0.250])
def test_audio_that_continues_elsewhere_shows_by_how_much(source: Samples, error: float) -> None:
    (gap,) = heard(part(source, 0, 2), silence(0.4), part(source, 2.4 + error, 6), by=source).gaps
    assert gap.position_error == pytest.approx(error, abs=POSITION)


def test_a_cut_without_silence_is_a_jump(source: Samples) -> None:
    (gap,) = heard(part(source, 0, 2), part(source, 2.58, 6), by=source).gaps
    assert gap.duration == pytest.approx(0, abs=2 * EDGE)
    assert gap.position_error == pytest.approx(0.58, abs=POSITION)
    assert gap.skipped == pytest.approx(0.58, abs=2 * EDGE)


def test_what_is_heard_twice_is_counted(source: Samples) -> None:
    (gap,) = heard(part(source, 0, 3), part(source, 2.2, 6), by=source).gaps
    assert gap.repeated == pytest.approx(0.8, abs=2 * EDGE)
    assert gap.skipped == 0


@pytest.mark.slow
def test_other_sound_in_between_is_no_source(source: Samples) -> None:
    other = 0.1 * np.random.default_rng(2).normal(size=round(0.3 * RATE))
    (gap,) = heard(part(source, 0, 2), other, part(source, 2.3, 6), by=source).gaps
    assert gap.duration == pytest.approx(0.3, abs=2 * EDGE)
    assert gap.position_error == pytest.approx(0, abs=POSITION)


def test_a_worse_and_quieter_copy_is_still_the_source(source: Samples) -> None:
    noise = 0.004 * np.random.default_rng(3).normal(size=4 * RATE)
    (stretch,) = heard(0.3 * part(source, 1, 5) + noise, by=source).stretches
    assert stretch.shift == pytest.approx(1, abs=POSITION)


@pytest.mark.slow
def test_silence_and_strange_sounds_are_no_part_of_the_source(source: Samples) -> None:
    strange = 0.1 * np.random.default_rng(4).normal(size=RATE)
    assert align(silence(1.0), source) == Alignment(())
    assert align(strange, source) == Alignment(())


@pytest.mark.slow
def test_the_places_that_resemble_each_other_are_named(source: Samples) -> None:
    twice = np.concatenate([source, part(source, 1, 2)])
    likeness, first, second = most_similar_places(twice)
    assert likeness == pytest.approx(1, abs=0.01)
    assert abs(first - second) == pytest.approx(5, abs=POSITION)
    assert most_similar_places(source)[0] < 0.2


def test_gaps_lie_between_stretches() -> None:
    alignment = Alignment((Stretch(0, 2, 5), Stretch(2.5, 4, 5.1)))
    (gap,) = alignment.gaps
    assert (gap.start, gap.end) == (2, 2.5)
    assert gap.position_error == pytest.approx(0.1)
