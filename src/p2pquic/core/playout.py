"""What a receiver heard from one remote: which frames are new, and how long nothing was.

An interruption is a gap of more than 60 ms between first arrivals. Its counts are settled one
second after it ended, when everything that will be re-sent has come:

    frames  101 102 103 ... 118 119 120
             !   !                   |    120 ended the gap; its arrival fixes every turn:
             |   +- turn: gap's end - 18 frames of 20 ms
             +- never came: late if its turn was over 400 ms before the end, else lost

It plays nothing: the jitter buffer lives in the media pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from p2pquic.core.frames import FRAME_CADENCE, RESEND_WINDOW, SequenceWindow
from p2pquic.core.trace import Interruption, Record

NOTICEABLE_GAP = 0.060  # seconds; concealment hides two missing frames, not three
PLAYOUT_BUFFER = 0.100  # seconds the player waits for a frame beyond its turn
RETURN_BURST = 0.100  # seconds after a gap in which what waited for its end comes in a heap
SETTLING_TIME = 1.0  # seconds after which no re-send of a gap can come any more
FRAMES_REMEMBERED = 2048  # sequence numbers, 41 s: far beyond any re-send
FRAMES_WORTH_RESENDING = round(RESEND_WINDOW / FRAME_CADENCE) - 1  # those surely due in the
# window: the newest frame may have been due up to one cadence before the path came back


class Arrival(Enum):
    """Whether a frame is new."""

    FIRST = "first"
    REPEAT = "repeat"


@dataclass(slots=True)
class _Gap:
    """An interruption which ended a moment ago and whose missing frames may still come.

    The frames between `before` and `ending`, both exclusive, are its own and no other gap's.
    `current` is the frame whose turn it was when the gap ended: that which ended it, unless
    newer ones came right behind (a relay replays what it remembers oldest first).
    """

    began: float
    ended: float
    before: int
    ending: int
    current: int
    came: dict[int, float] = field(default_factory=dict)

    def on_frame(self, seq: int, now: float) -> None:
        """Note a first arrival after the gap; it may be one of the missing frames."""
        if self.before < seq < self.ending:
            self.came[seq] = now
        elif now - self.ended <= RETURN_BURST:
            self.current = max(self.current, seq - int((now - self.ended) / FRAME_CADENCE))

    def settle(self, remote: str) -> Interruption:
        """The final account."""
        missing = max(0, self.ending - self.before - 1)
        worth = self.current - FRAMES_WORTH_RESENDING  # the oldest frame that had to be re-sent
        wanted = max(0, self.ending - max(worth, self.before + 1))
        wanted_came = sum(seq >= worth for seq in self.came)
        dropped_on_purpose = (missing - wanted) - (len(self.came) - wanted_came)
        return Interruption(
            remote=remote,
            gap_ms=round((self.ended - self.began) * 1000, 3),
            lost=wanted - wanted_came,
            late=sum(map(self._missed_its_turn, self.came)) + dropped_on_purpose,
            resent=len(self.came),
        )

    def _missed_its_turn(self, seq: int) -> bool:
        turn = self.ended - (self.current - seq) * FRAME_CADENCE
        return self.came[seq] > turn + PLAYOUT_BUFFER


class ArrivalLog:
    """The arrivals of one remote's frames. Memory is bounded whatever numbers come.

    A re-sent frame that comes too late to be played counts as resent and as late.
    """

    def __init__(self, remote: str) -> None:
        self.remote = remote
        self._window = SequenceWindow(FRAMES_REMEMBERED)
        self._last_arrival: float | None = None
        self._gaps: list[_Gap] = []  # oldest first; at most one per 60 ms of the last second

    @property
    def deadline(self) -> float | None:
        """When the next interruption is settled: call `poll` then; None for never."""
        return self._gaps[0].ended + SETTLING_TIME if self._gaps else None

    def on_frame(self, seq: int, now: float) -> Arrival:
        """Note that a copy of frame `seq` (0 or more) arrived at `now` (seconds)."""
        newest_before = self._window.newest
        if not self._window.accept(seq):
            return Arrival.REPEAT
        for gap in self._gaps:
            gap.on_frame(seq, now)
        if self._last_arrival is not None and now - self._last_arrival > NOTICEABLE_GAP:
            self._gaps.append(_Gap(self._last_arrival, now, newest_before, seq, current=seq))
        self._last_arrival = now
        return Arrival.FIRST

    def poll(self, now: float) -> list[Record]:
        """The interruptions that are settled by now, each once.

        At the end of a call, `poll(math.inf)` gives those still unsettled.
        """
        records: list[Record] = []
        while self._gaps and self._gaps[0].ended + SETTLING_TIME <= now:
            records.append(self._gaps.pop(0).settle(self.remote))
        return records
