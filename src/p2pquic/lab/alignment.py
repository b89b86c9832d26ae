"""Where in the source each moment of a recording is: what was heard, missed, moved or repeated.

    source     |----------------------------------------------|
    recording      |=========stretch=========|.gap.|===stretch===|
                    shift 3.20 s                     shift 3.20 s: on time again

A window of the recording slides over the source; where their normalized cross-correlation peaks,
the two are the same sound. Once found, the next window is sought where the last one says; only
when that fails is all of the source searched again. What was followed so is then checked frame by
frame, which settles the edges of gaps and finds the short ones. It needs music in which no place
resembles another: static/output.mp3 is made for it.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from p2pquic.core.errors import MissingRequirementError
from p2pquic.media.gstreamer import complaint_in, launch_command
from p2pquic.media.source import open_media_file, source_error

try:
    import numpy as np
    from numpy.typing import NDArray
except ImportError as error:
    raise MissingRequirementError(
        "Comparing recordings needs numpy. Install it: pip install p2pquic[lab]"
    ) from error

Samples = NDArray[np.float64]

RATE = 12000  # samples per second: 6 kHz of the sound, and a sample is 0.08 ms
WINDOW = 0.200  # seconds compared at once: enough melody to be unique
HOP = 0.020  # seconds between two windows, and the step in which edges are settled: one frame
DRIFT = 0.010  # seconds the shift may wander between two windows and still be the same stretch
SAME = 0.85  # correlation from which a window is the source: Opus leaves 0.98, elsewhere is 0.8
SAME_FRAME = 0.80  # the same for one frame: Opus leaves 0.95, what it conceals is below 0.5
LEAST_WINDOWS = 3  # in a row make a stretch: concealment may resemble an earlier place for two
SILENCE = 1e-3  # of full scale (RMS): below it there is nothing to compare
PRE_EMPHASIS = 0.95  # weight of the sample before: raises what is unique above the bass


@dataclass(frozen=True)
class Stretch:
    """From `start` to `end` of the recording (s) the source sounded.

    What sounds at time t of the recording stands at t + `shift` in the source (s).
    """

    start: float
    end: float
    shift: float


@dataclass(frozen=True)
class Gap:
    """From `start` to `end` of the recording (s) the source was not heard: silence or concealment.

    `position_error` is how many seconds the source is ahead afterwards of where it should be:
    0 for a gap that took its own time, negative if the audio was delayed.
    """

    start: float
    end: float
    position_error: float

    @property
    def duration(self) -> float:
        """Seconds without the source."""
        return self.end - self.start

    @property
    def skipped(self) -> float:
        """Seconds of the source that were never heard."""
        return max(0.0, self.duration + self.position_error)

    @property
    def repeated(self) -> float:
        """Seconds of the source that were heard before the gap and again after it."""
        return max(0.0, -self.duration - self.position_error)


@dataclass(frozen=True)
class Alignment:
    """The recording told as stretches of the source, in order; empty if it holds none of it."""

    stretches: tuple[Stretch, ...]

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What lies between the stretches; also a jump that takes no time."""
        return tuple(
            Gap(before.end, after.start, after.shift - before.shift)
            for before, after in itertools.pairwise(self.stretches)
        )


def read_samples(path: str) -> Samples:
    """Decode any audio file to mono samples, `RATE` per second, between -1 and 1.

    Raises:
        UsageError: it cannot be read, or there is no audio in it.
    """
    pipeline = (
        "filesrc location=/dev/stdin ! decodebin ! audioconvert ! audioresample"
        f" ! audio/x-raw,format=S16LE,rate={RATE},channels=1 ! fdsink fd=1"
    )
    with open_media_file(path) as file:
        decoder = subprocess.run(launch_command(pipeline), stdin=file, capture_output=True)
    if decoder.returncode != 0:
        raise source_error(path, complaint_in(decoder.stderr.decode(errors="replace")))
    return np.frombuffer(decoder.stdout, "<i2").astype(float) / 32768


def align(recording: Samples, source: Samples) -> Alignment:
    """Find what of `source` is heard in `recording` and when; both mono, `RATE` per second.

    Shifts are exact to a millisecond, edges to a frame. A source that began anew while it was
    recorded shows as a jump back by its length.
    """
    sound = _emphasize(recording)
    reference = _Reference(_emphasize(source))
    stretches = [
        stretch
        for followed in _follow(sound, reference)
        for stretch in _heard_within(followed, sound, reference)
    ]
    return Alignment(tuple(stretches))


def most_similar_places(source: Samples) -> tuple[float, float, float]:
    """How well an alignment with `source` can be trusted; takes half a minute for a minute.

    Returns:
        The highest correlation (0..1) of any window with another place, and the two places (s).
    """
    sound = _emphasize(source)
    reference = _Reference(sound)
    size = int(WINDOW * RATE)
    worst = (0.0, 0.0, 0.0)
    for start in range(0, len(sound) - size, size // 2):
        likeness = reference.likeness_everywhere(sound[start : start + size])
        itself = slice(max(0, start - size // 4), start + size // 4)  # a note resembles its echo
        likeness[itself] = 0
        place = int(likeness.argmax())
        worst = max(worst, (float(likeness[place]), start / RATE, place / RATE))
    return worst


class _Reference:
    """The source, prepared for being searched."""

    def __init__(self, sound: Samples) -> None:
        self.sound = sound
        size = int(WINDOW * RATE)
        self._length = 1 << (len(sound) + size - 1).bit_length()
        self._spectrum = np.fft.rfft(sound, self._length)
        self._energy = np.concatenate(([0.0], np.cumsum(sound**2)))

    def likeness_everywhere(self, window: Samples) -> Samples:
        """The correlation (-1..1) of `window` with each place of the source."""
        spectrum = np.conj(np.fft.rfft(window, self._length))
        places = max(0, len(self.sound) - len(window) + 1)
        products = np.fft.irfft(self._spectrum * spectrum, self._length)[:places]
        return products / self._norms(0, places, window)

    def best_near(self, window: Samples, place: int, reach: int) -> tuple[float, int]:
        """The best correlation within `reach` samples of `place`, and where that is."""
        begin = max(0, place - reach)
        end = min(len(self.sound), place + reach + len(window))
        if end - begin < len(window):
            return 0.0, place
        products = np.correlate(self.sound[begin:end], window, "valid")
        likeness = products / self._norms(begin, begin + len(products), window)
        best = int(likeness.argmax())
        return float(likeness[best]), begin + best

    def _norms(self, begin: int, end: int, window: Samples) -> Samples:
        size = len(window)
        there = self._energy[begin + size : end + size] - self._energy[begin:end]
        floor = size * SILENCE**2 / 100  # far below what counts; keeps silence from dividing by 0
        return np.asarray(np.sqrt(np.maximum(there, floor) * max(np.sum(window**2), floor)))


def _emphasize(samples: Samples) -> Samples:
    return np.asarray(samples[1:] - PRE_EMPHASIS * samples[:-1])


def _is_silent(window: Samples) -> bool:
    return bool(np.sqrt(np.mean(window**2)) < SILENCE)


def _follow(sound: Samples, reference: _Reference) -> list[Stretch]:
    """Follow the source through the recording; the stretches have edges as coarse as a window."""
    size, hop = int(WINDOW * RATE), int(HOP * RATE)
    runs: list[list[tuple[int, int]]] = []  # of (start in the recording, place in the source)
    shift: int | None = None  # samples, while the source is being followed
    for start in range(0, len(sound) - size + 1, hop):
        window = sound[start : start + size]
        place = None if _is_silent(window) else _find(window, start, shift, reference)
        if place is None:
            shift = None
            continue
        if not runs or not _continues(runs[-1], start, place):
            runs.append([])
        runs[-1].append((start, place))
        shift = place - start
    return [_stretch_of(run) for run in runs if len(run) >= LEAST_WINDOWS]


def _continues(run: list[tuple[int, int]], start: int, place: int) -> bool:
    """Whether a window overlaps the last of a run, here and in the source alike."""
    last_start, last_place = run[-1]
    moved = (place - start) - (last_place - last_start)
    return start - last_start <= WINDOW * RATE and abs(moved) <= DRIFT * RATE


def _stretch_of(run: list[tuple[int, int]]) -> Stretch:
    shift = float(np.median([place - start for start, place in run]))
    return Stretch(run[0][0] / RATE, run[-1][0] / RATE + WINDOW, shift / RATE)


def _find(window: Samples, start: int, shift: int | None, reference: _Reference) -> int | None:
    """The place of `window` in the source: near where it is expected, else anywhere."""
    if shift is not None:
        likeness, place = reference.best_near(window, start + shift, int(DRIFT * RATE))
        if likeness >= SAME:
            return place
    everywhere = reference.likeness_everywhere(window)
    place = int(everywhere.argmax())
    return place if everywhere[place] >= SAME else None


def _heard_within(followed: Stretch, sound: Samples, reference: _Reference) -> Iterator[Stretch]:
    """The parts of a stretch in which every single frame is the source."""
    frame, shift = int(HOP * RATE), round(followed.shift * RATE)
    first, end = round(followed.start * RATE), round(followed.end * RATE)
    starts = range(first, min(end, len(sound)) - frame + 1, frame)
    heard = (
        (start, reference.best_near(sound[start : start + frame], start + shift, reach=1)[0])
        for start in starts
    )
    for is_source, run in itertools.groupby(heard, key=lambda each: each[1] >= SAME_FRAME):
        if is_source:
            places = [start for start, _ in run]
            yield Stretch(places[0] / RATE, (places[-1] + frame) / RATE, followed.shift)
