"""What a receiver heard from one remote: which frames are new, and how long nothing was.

An interruption is a gap of more than 60 ms between first arrivals. Its counts are settled one
second after it ended, when everything that will be re-sent has come:

    frames  101 102 103 ... 118 119 120
             !   !                   |    120 ended the gap; its arrival fixes every turn:
             |   +- turn: gap's end - 18 frames of 20 ms
             +- never came: late if its turn was over 400 ms before the end, else lost

Beside the raw gap stands what an ear noticed of it; that is `core.jitter_buffer`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from p2pquic.core.deadlines import earliest
from p2pquic.core.frames import FRAME_CADENCE, RESEND_WINDOW, SequenceWindow
from p2pquic.core.jitter_buffer import DelayBounds, Heard, JitterBuffer
from p2pquic.core.trace import Interruption, PlayoutReport, Record

NOTICEABLE_GAP = 0.060  # seconds; concealment hides two missing frames, not three
RETURN_BURST = 0.100  # seconds after a gap in which what waited for its end comes in a heap
SETTLING_TIME = 1.0  # seconds after which no re-send of a gap can come any more
REPORT_INTERVAL = 1.0  # seconds; a person does not follow a buffer's delay faster
FRAMES_REMEMBERED = 2048  # sequence numbers, 41 s: far beyond any re-send
FRAMES_WORTH_RESENDING = round(RESEND_WINDOW / FRAME_CADENCE) - 1  # those surely due in the
# window: the newest frame may have been due up to one cadence before the path came back


class Arrival(Enum):
    """Whether a frame is new, and worth playing."""

    FIRST = "first"
    STALE = "stale"  # new, and later than even the longest buffer waits
    REPEAT = "repeat"


@dataclass(slots=True)
class _Gap:
    """An interruption which ended a moment ago and whose missing frames may still come.

    The frames between `before` and `ending`, both exclusive, are its own and no other gap's.
    `current` is the frame whose turn it was when the gap ended: that which ended it, unless
    newer ones came right behind (a relay replays what it remembers oldest first). What was heard
    between `heard_before` and the next gap (`heard_after`) is its own, too.
    """

    began: float
    ended: float
    before: int
    ending: int
    current: int
    heard_before: Heard
    heard_after: Heard | None = None
    came: dict[int, float] = field(default_factory=dict)

    def on_frame(self, seq: int, now: float) -> None:
        """Note a first arrival after the gap; it may be one of the missing frames."""
        if self.before < seq < self.ending:
            self.came[seq] = now
        elif now - self.ended <= RETURN_BURST:
            self.current = max(self.current, seq - int((now - self.ended) / FRAME_CADENCE))

    def settle(self, remote: str, bounds: DelayBounds, heard: Heard) -> Interruption:
        """The final account."""
        heard = self.heard_after or heard
        missing = max(0, self.ending - self.before - 1)
        worth = self.current - FRAMES_WORTH_RESENDING  # the oldest frame that had to be re-sent
        wanted = max(0, self.ending - max(worth, self.before + 1))
        wanted_came = sum(seq >= worth for seq in self.came)
        dropped_on_purpose = (missing - wanted) - (len(self.came) - wanted_came)
        return Interruption(
            remote=remote,
            gap_ms=round((self.ended - self.began) * 1000, 3),
            lost=wanted - wanted_came,
            late=sum(self._lateness(seq) > bounds.maximum for seq in self.came)
            + dropped_on_purpose,
            resent=len(self.came),
            concealed=heard.concealed - self.heard_before.concealed,
            heard_ms=_milliseconds(heard.silence - self.heard_before.silence),
        )

    def _lateness(self, seq: int) -> float:
        turn = self.ended - (self.current - seq) * FRAME_CADENCE
        return self.came[seq] - turn


class ArrivalLog:
    """The arrivals of one remote's frames. Memory is bounded whatever numbers come.

    A re-sent frame that comes too late to be played counts as resent and as late.
    """

    def __init__(self, remote: str, bounds: DelayBounds) -> None:
        self.remote = remote
        self._bounds = bounds
        self._window = SequenceWindow(FRAMES_REMEMBERED)
        self._buffer = JitterBuffer(bounds)
        self._last_arrival: float | None = None
        self._gaps: list[_Gap] = []  # oldest first; at most one per 60 ms of the last second
        self._reported = self._state
        self._reported_at: float | None = None
        self.deadline: float | None = None  # to `poll`, when something is to be told; None: never

    def on_frame(self, seq: int, now: float) -> Arrival:
        """Note that a copy of frame `seq` (0 or more) arrived at `now` (seconds)."""
        newest_before = self._window.newest
        if not self._window.accept(seq):
            return Arrival.REPEAT
        for gap in self._gaps:
            gap.on_frame(seq, now)
        is_playable = self._buffer.on_frame(seq, now)
        if self._last_arrival is None:
            self._reported_at = now
        elif now - self._last_arrival > NOTICEABLE_GAP:
            heard = self._buffer.heard  # the frame that ends the gap waits for its turn
            if self._gaps:
                self._gaps[-1].heard_after = heard
            gap = _Gap(self._last_arrival, now, newest_before, seq, current=seq, heard_before=heard)
            self._gaps.append(gap)
        self._last_arrival = now
        self._set_deadline()
        return Arrival.FIRST if is_playable else Arrival.STALE

    def poll(self, now: float) -> list[Record]:
        """The interruptions that are settled by now, each once, and what an ear noticed.

        At the end of a call, `poll(math.inf)` gives what is still untold.
        """
        self._buffer.play_until(now)
        records: list[Record] = []
        while self._gaps and self._gaps[0].ended + SETTLING_TIME <= now:
            gap = self._gaps.pop(0)
            records.append(gap.settle(self.remote, self._bounds, self._buffer.heard))
        due = self._report_due()
        if due is not None and due <= now:
            self._reported, self._reported_at = self._state, now
            records.append(self._report())
        self._set_deadline()
        return records

    @property
    def _state(self) -> tuple[Heard, int]:
        """What a report is about: what was heard, and the delay of the buffer in milliseconds."""
        return self._buffer.heard, round(self._buffer.delay * 1000)

    def _report(self) -> PlayoutReport:
        heard, delay = self._state
        return PlayoutReport(
            self.remote,
            heard.concealed,
            heard.interruptions,
            _milliseconds(heard.silence),
            _milliseconds(heard.longest),
            delay,
        )

    def _report_due(self) -> float | None:
        """When the state is news: an interruption at once, the rest once a second."""
        if self._reported_at is None or self._state == self._reported:
            return None
        if self._buffer.heard.interruptions != self._reported[0].interruptions:
            return self._reported_at
        return self._reported_at + REPORT_INTERVAL

    def _set_deadline(self) -> None:
        settling = self._gaps[0].ended + SETTLING_TIME if self._gaps else None
        self.deadline = earliest((settling, self._report_due()))


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
