"""Make static/output.mp3: a minute and a quarter of music that belongs to nobody.

    python tools/make_sample.py static/output.mp3

It is composed for measuring: a recording of any 0.2 s of it must tell where in it that was. So
no second repeats another: every bar draws its melody anew, every note has its own touch, timing
and tuning, and a brush of noise runs through it. The script proves it by comparing every
window with all of the piece, and says how alike the two most similar places are.

Needs numpy (pip install -e .[lab]) and GStreamer's lamemp3enc (gstreamer1.0-plugins-good). The
dice are seeded: the same piece comes out each time.
"""

from __future__ import annotations

import io
import subprocess
import sys
import wave
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2pquic.lab.alignment import most_similar_places, read_samples

RATE = 48000  # samples per second: what Opus works with
SEED = 20
BEAT = 60 / 84  # seconds
BARS = 26  # of four beats: 74 s
BIT_RATE = 112  # kbit/s of MP3: about 1 MB

# Chords as semitones above D3, one per bar and turn, each with the notes a melody may rest on.
CHORDS = (
    (0, 7, 12, 16, 19),
    (-3, 4, 9, 12, 16),
    (-5, 2, 7, 11, 14),
    (-7, 5, 9, 12, 17),
    (0, 7, 11, 14, 19),
    (-8, 4, 7, 11, 16),
    (-1, 7, 11, 14, 17),
    (-5, 2, 9, 14, 17),
)
LOWEST = 146.83  # Hz, D3

Samples = NDArray[np.float64]


class Note(NamedTuple):
    """When (seconds), how high (Hz), how loud (0..1), how long (seconds), where (-1..1)."""

    start: float
    pitch: float
    loudness: float
    length: float
    place: float


def main(path: str) -> None:
    dice = np.random.default_rng(SEED)
    encode(render(dice), path)
    likeness, first, second = most_similar_places(read_samples(path))
    print(f"most alike: {first:.2f} s and {second:.2f} s, correlation {likeness:.2f}")


def render(dice: np.random.Generator) -> Samples:
    """The piece as samples x 2 channels, between -1 and 1."""
    length = BARS * 4 * BEAT + 1.5
    music = np.zeros((int(length * RATE), 2))
    for note in compose_plucks(dice):
        mix(music, note, pluck(note, dice))
    for note in compose_pads(dice):
        mix(music, note, pad(note, dice))
    music += brushes(len(music), dice)
    fade = np.ones(len(music))
    fade[: RATE // 10] = np.linspace(0, 1, RATE // 10)
    fade[-RATE:] = np.linspace(1, 0, RATE)
    music = fade[:, None] * np.tanh(music)
    return np.asarray(0.9 * music / np.abs(music).max())


def compose_plucks(dice: np.random.Generator) -> Iterator[Note]:
    """A melody that wanders over the chord, and a bass below it."""
    position = 3
    for bar in range(BARS):
        chord = CHORDS[bar % len(CHORDS)]
        begin = bar * 4 * BEAT
        for eighth in range(8):
            if eighth not in (0, 3) and dice.random() < 0.22:
                continue  # breathe
            position = int(np.clip(position + dice.integers(-2, 3), 0, 2 * len(chord) - 1))
            step = chord[position % len(chord)] + 12 * (position // len(chord)) + 12
            start = begin + eighth * BEAT / 2 + dice.normal(0, 0.012)
            loudness = dice.uniform(0.16, 0.30) * (1.2 if eighth % 4 == 0 else 1)
            yield Note(start, pitch(step, dice), loudness, 1.6, dice.uniform(-0.6, 0.6))
        for beat in (0, 2.5):
            start = begin + beat * BEAT + dice.normal(0, 0.008)
            yield Note(start, pitch(chord[0] - 12, dice), 0.30, 2.2, 0)


def compose_pads(dice: np.random.Generator) -> Iterator[Note]:
    """Each bar's chord, held."""
    for bar in range(BARS):
        for step in CHORDS[bar % len(CHORDS)][1:4]:
            start = bar * 4 * BEAT + dice.uniform(0, 0.08)
            yield Note(start, pitch(step, dice), 0.045, 4.4 * BEAT, dice.uniform(-0.9, 0.9))


def pitch(step: float, dice: np.random.Generator) -> float:
    """A semitone's frequency in Hz, up to 12 cents beside the truth as on a real instrument."""
    return float(LOWEST * 2 ** ((step + dice.normal(0, 0.06)) / 12))


def pluck(note: Note, dice: np.random.Generator) -> Samples:
    """A struck tine: partials that are slightly out of tune and die the sooner the higher."""
    t = np.arange(int(note.length * RATE)) / RATE
    sound = np.zeros(len(t))
    for number, weight in enumerate((1, 0.45, 0.25, 0.12, 0.06), start=1):
        frequency = note.pitch * number * (1 + 0.0008 * number**2) * (1 + dice.normal(0, 0.001))
        decay = np.exp(-t * (2.2 + 1.6 * number) * dice.uniform(0.85, 1.15))
        phase = dice.uniform(0, 2 * np.pi)
        sound += weight * dice.uniform(0.7, 1.3) * decay * np.sin(2 * np.pi * frequency * t + phase)
    sound += 0.5 * np.exp(-t * 120) * dice.normal(0, 1, len(t))  # the nail on the tine
    return np.asarray(note.loudness * sound * np.minimum(1, t / 0.002))


def pad(note: Note, dice: np.random.Generator) -> Samples:
    """A soft string section: two voices, each with its own slow vibrato."""
    t = np.arange(int(note.length * RATE)) / RATE
    sound = np.zeros(len(t))
    for _ in range(2):
        vibrato = 0.6 * np.sin(2 * np.pi * dice.uniform(3.5, 5.5) * t + dice.uniform(0, 6.28))
        angle = 2 * np.pi * note.pitch * (1 + dice.normal(0, 0.002)) * t + vibrato
        sound += np.sin(angle) + 0.4 * np.sin(2 * angle + 1) + 0.15 * np.sin(3 * angle + 2)
    envelope = np.minimum(1, t / 0.5) * np.minimum(1, (note.length - t) / 0.7)
    return np.asarray(note.loudness * sound * envelope)


def brushes(length: int, dice: np.random.Generator) -> Samples:
    """Brushes on a drum: noise below 3 kHz, never silent, swelling on every beat."""
    noise = dice.normal(0, 1, (length, 2)) * 0.4 + dice.normal(0, 1, (length, 1))
    spectrum = np.fft.rfft(noise, axis=0)
    frequency = np.fft.rfftfreq(length, 1 / RATE)
    spectrum *= (1 / (1 + (frequency / 2500) ** 4) * (frequency > 150))[:, None]
    noise = np.fft.irfft(spectrum, length, axis=0)
    beat = np.arange(length) / RATE / BEAT
    swell = 0.018 + 0.050 * np.exp(-5 * (beat % 1)) * (0.6 + 0.4 * (beat.astype(int) % 2))
    return np.asarray(noise / noise.std() * swell[:, None])


def mix(music: Samples, note: Note, sound: Samples) -> None:
    """Add `sound` where and when its note is."""
    begin = max(0, int(note.start * RATE))
    end = min(len(music), begin + len(sound))
    angle = (note.place + 1) * np.pi / 4
    music[begin:end] += sound[: end - begin, None] * (np.cos(angle), np.sin(angle))


def encode(music: Samples, path: str) -> None:
    """Write an MP3 file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((music * 32767).astype("<i2").tobytes())
    pipeline = (
        "fdsrc fd=0 ! wavparse ! audioconvert"
        f" ! lamemp3enc target=bitrate cbr=true bitrate={BIT_RATE} ! fdsink fd=1"
    )
    with open(path, "wb") as mp3:
        subprocess.run(
            ["gst-launch-1.0", "--quiet", *pipeline.split()],
            input=buffer.getvalue(),
            stdout=mp3,
            check=True,
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
