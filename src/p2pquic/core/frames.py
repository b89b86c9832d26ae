"""Numbered frames: what a sender may still have to repeat, and what a receiver already has.

    sender     0 1 2 3 4 5 6 7        RecentFrames: the last second, less the acknowledged
                       x   x x        acknowledge(5), acknowledge(7) ...

    receiver   ... 4 5 . 7            SequenceWindow: 7 is the newest, 6 may still come once

Neither decides anything: when to send again and on which path is policy, elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

FRAME_CADENCE = 0.020  # seconds between two audio frames (Opus's usual frame)
RESEND_WINDOW = 0.400  # seconds before a path came back; an older frame would be long past its turn
MEMORY = 1.2  # seconds; the window, and the time that news of a path's return may take to travel
MOST_FRAMES = 64  # somewhat more than that holds at 50 frames/s; bounds a source run wild


AUDIO_FLOW, DATAGRAM_FLOW = 0, 1  # what a call sends unreliably: audio, and the application's own


class Frame(NamedTuple):
    """One audio frame: its number from 0, the RTP packet, and when it was due (seconds).

    A datagram of the application is treated alike, in a flow of its own.
    """

    seq: int
    payload: bytes
    due: float
    flow: int = AUDIO_FLOW

    @property
    def id(self) -> FrameId:
        """What tells it from every other frame of a call."""
        return FrameId(self.flow, self.seq)


class FrameId(NamedTuple):
    """A frame of a call, by its flow and its number in that."""

    flow: int
    seq: int


@dataclass(slots=True)
class _Outstanding:
    """A frame nobody has acknowledged, how many copies of it left, and when the newest did."""

    frame: Frame
    copies: int = 0
    sent_at: float = -math.inf


class RecentFrames:
    """The frames of one call that are young enough to be sent again.

    A frame is done when any copy of it is acknowledged, whatever path that copy took.
    """

    def __init__(self) -> None:
        self._frames: dict[int, _Outstanding] = {}  # oldest first

    def add(self, frame: Frame) -> None:
        """Remember a new frame; `seq` must grow and `due` not decrease."""
        self._frames[frame.seq] = _Outstanding(frame)
        self._forget_old(frame.due)

    def note_sent(self, seq: int, now: float) -> int:
        """A copy leaves; the how manieth it is, from 1."""
        outstanding = self._frames.get(seq)
        if outstanding is None:
            return MOST_FRAMES  # acknowledged meanwhile, or too old to matter
        outstanding.copies += 1
        outstanding.sent_at = now
        return outstanding.copies

    def lost(self, seq: int, copy: int, round_trip: float, now: float) -> float | None:
        """That copy of `seq` is believed lost; gives when the frame should leave again, if ever.

        At once, unless a newer copy left within the last `round_trip` seconds: that one may arrive,
        and its loss may never be told. Not at all if nobody could play the frame by then.
        """
        outstanding = self._frames.get(seq)
        if outstanding is None:
            return None
        is_newest = copy == outstanding.copies
        again = now if is_newest else max(now, outstanding.sent_at + round_trip)
        return again if outstanding.frame.due >= again - RESEND_WINDOW else None

    def outstanding(self, seq: int) -> Frame | None:
        """The frame of that number, if it is remembered and nobody has acknowledged it."""
        outstanding = self._frames.get(seq)
        return None if outstanding is None else outstanding.frame

    def acknowledge(self, seq: int) -> bool:
        """A copy of `seq` arrived at the remote; False if that was known or is long past."""
        return self._frames.pop(seq, None) is not None

    def unacknowledged(self, back: float) -> list[Frame]:
        """What is worth sending again by a path that is back since `back` (seconds).

        Newest first: the newest is the most playable.
        """
        since = back - RESEND_WINDOW
        frames = [outstanding.frame for outstanding in reversed(self._frames.values())]
        return [frame for frame in frames if frame.due >= since]

    def _forget_old(self, now: float) -> None:
        horizon = now - MEMORY
        while self._frames:
            oldest = next(iter(self._frames.values())).frame
            if oldest.due >= horizon and len(self._frames) <= MOST_FRAMES:
                return
            del self._frames[oldest.seq]


class SequenceWindow:
    """Lets each sequence number pass once: reordered ones pass, repeated ones do not.

    A sliding window in the manner of RFC 4303 section 3.4.3: `width` bits of memory whatever
    numbers come. A number too old to be told from a repeat counts as one.
    """

    __slots__ = ("_full", "_seen", "newest", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.newest = -1  # the highest number that passed
        self._seen = 0  # bit n: newest - n passed
        self._full = (1 << width) - 1

    def accept(self, number: int) -> bool:
        """Whether `number` (0 or more) comes for the first time; it is remembered."""
        ahead = number - self.newest
        if ahead > 0:
            self._seen = (self._seen << ahead & self._full) | 1 if ahead < self.width else 1
            self.newest = number
            return True
        bit = 1 << -ahead if -ahead < self.width else 0
        if not bit or self._seen & bit:
            return False
        self._seen |= bit
        return True
