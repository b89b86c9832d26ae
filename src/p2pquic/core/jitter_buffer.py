"""What an ear would notice: an adaptive jitter buffer that counts what it would play.

    sender     |1    |2    |3    |4    |5       one frame each 20 ms
    arrival      1     2        3        5 4    relative delay: how far behind that clock
    turn             |1    |2    |3    |..   |5   place on that clock + the delay of the buffer
                                        4 is not there at its turn: concealed

The buffer's delay is counted from the fastest recent frame. It follows the jitter in three ways:

    a little more or less    each frame is stretched or shortened by a twentieth, which nobody hears
    nothing left to play     it waits for the next frame, in whole frames, up to the maximum
    a faster path            at the maximum the sound skips ahead: it never lags further behind

What comes later than the maximum is stale and never played. If for a while everything is stale,
the sender's clock stood still (its laptop slept) or the path has become much longer: begin anew.

Nothing here depends on how far numbers jump: a silence is arithmetic, not a loop.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from p2pquic.core.frames import FRAME_CADENCE

PLC_HIDES = 2  # frames; Opus continues a vowel for 40 ms, a third one fades out and is heard
DELAYS_REMEMBERED = 500  # frames, 10 s: jitter that comes every few seconds is still expected
TYPICAL = 0.95  # share of frames the delay must suit: the re-sends of one move are 4 % of 10 s and
# say nothing of the next second
HEADROOM = FRAME_CADENCE  # seconds beyond the typical delay, for the tail of the jitter
ADAPTATION_RATE = 0.05  # of the playing speed; changes of tempo below 10 % go unnoticed in speech
CLOCK_LOST = 0.3  # seconds of nothing but stale frames; a stalled Wi-Fi brings them in one heap
ROUNDING = 1e-6  # of a frame; sums of 20 ms are not exact


@dataclass(frozen=True, slots=True)
class DelayBounds:
    """How long a frame may wait for its turn, in seconds."""

    minimum: float = 0.040  # two frames: what a Wi-Fi jitters by when nothing is wrong
    maximum: float = 0.200  # with a path of 50 ms and the codec still below 400 ms (ITU-T G.114)


class Heard(NamedTuple):
    """What was noticed so far. An interruption is more than two concealed frames in a row.

    `silence` and `longest` are seconds: of all interruptions together, and of the longest.
    """

    concealed: int = 0
    interruptions: int = 0
    silence: float = 0.0
    longest: float = 0.0

    def after(self, silent: float) -> Heard:
        """With one more silence of `silent` seconds; the last frame's ragged end counts whole."""
        frames = max(0, _whole_frames(silent))
        if frames <= PLC_HIDES:
            return self._replace(concealed=self.concealed + frames)
        return Heard(
            self.concealed + frames,
            self.interruptions + 1,
            self.silence + silent,
            max(self.longest, silent),
        )


class JitterBuffer:
    """The frames of one remote between their arrival and their turn. Memory is bounded."""

    def __init__(self, bounds: DelayBounds) -> None:
        self.heard = Heard()
        self._bounds = bounds
        self._delays = RecentDelays()
        self._origin = 0  # the frame from which places on the sender's clock are counted
        self._start = 0.0  # the turn of the origin, in our time
        self._newest = -1
        self._newest_behind = 0.0  # its relative delay
        self._played = -1
        self._sounds_until: float | None = None  # the end of what was played last
        self._stale_since: float | None = None
        self._waiting: set[int] = set()  # at most `maximum` of frames: all have their turn by then

    @property
    def delay(self) -> float:
        """How long the fastest frame waits for its turn, in seconds; 0 before the first."""
        return 0.0 if self._newest < 0 else self._start - self._delays.fastest

    def on_frame(self, seq: int, now: float) -> bool:
        """Frame `seq` came for the first time, at `now`; False if no buffer could still play it."""
        self.play_until(now)
        if self._newest < 0:
            self._begin(seq, now)
            return True
        behind = now - (seq - self._origin) * FRAME_CADENCE
        if behind > self._delays.fastest + self._bounds.maximum:
            return self._on_stale(seq, now)
        self._stale_since = None
        self._delays.add(behind)
        self._start = min(self._start, self._delays.fastest + self._bounds.maximum)
        if seq > self._newest:
            self._newest, self._newest_behind = seq, behind
            self._wait_for(behind)
        if behind <= self._start and seq > self._played:
            self._waiting.add(seq)
        return True

    def play_until(self, now: float) -> None:
        """Play what has its turn by `now`."""
        while self._waiting:
            seq = min(self._waiting)
            turn = self._start + (seq - self._origin) * FRAME_CADENCE
            if turn > now:
                return
            self._waiting.remove(seq)
            self._play(seq, turn)

    def _play(self, seq: int, turn: float) -> None:
        """A frame sounds. What was silent before it is known only now: calls end, too."""
        if self._sounds_until is not None:
            self.heard = self.heard.after(turn - self._sounds_until)
        behind = max(self._delays.typical, self._newest_behind)  # a longer path counts at once
        wanted = behind - self._delays.fastest + HEADROOM
        wanted = min(max(wanted, self._bounds.minimum), self._bounds.maximum)
        most = ADAPTATION_RATE * FRAME_CADENCE
        stretch = min(max(wanted - self.delay, -most), most)
        self._start += stretch
        self._sounds_until = turn + FRAME_CADENCE + stretch
        self._played = seq

    def _wait_for(self, behind: float) -> None:
        """If the newest frame missed its turn, the buffer has run dry: it need not be skipped."""
        if behind <= self._start:
            return
        missed = _whole_frames(behind - self._start) * FRAME_CADENCE
        later = max(behind, self._start + missed)
        self._start = min(later, self._delays.fastest + self._bounds.maximum)

    def _on_stale(self, seq: int, now: float) -> bool:
        """Whether, after nothing but stale frames, this one counts as the beginning."""
        if self._stale_since is None:
            self._stale_since = now
        if now - self._stale_since < CLOCK_LOST:
            return False
        self._begin(seq, now)
        return True

    def _begin(self, seq: int, now: float) -> None:
        """Take this frame's arrival for the sender's clock."""
        self._delays = RecentDelays()
        self._delays.add(now)
        self._origin = self._newest = seq
        self._newest_behind = now
        self._played = seq - 1
        self._start = now + self._bounds.minimum
        self._stale_since = None
        self._waiting = {seq}


class RecentDelays:
    """The relative delays of the last frames, in seconds, at hand in order of size."""

    def __init__(self) -> None:
        self._by_age: deque[float] = deque()
        self._by_size: list[float] = []

    def add(self, delay: float) -> None:
        """One more; the oldest is forgotten."""
        self._by_age.append(delay)
        insort(self._by_size, delay)
        if len(self._by_age) > DELAYS_REMEMBERED:
            del self._by_size[bisect_left(self._by_size, self._by_age.popleft())]

    @property
    def fastest(self) -> float:
        """The shortest; there must be one."""
        return self._by_size[0]

    @property
    def typical(self) -> float:
        """What 19 of 20 frames do not exceed."""
        return self._by_size[int(TYPICAL * len(self._by_size))]


def _whole_frames(seconds: float) -> int:
    return math.ceil(seconds / FRAME_CADENCE - ROUNDING)
