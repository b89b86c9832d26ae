"""Whether a path still lives, judged by what comes back: far sooner than QUIC's own timers.

    what leaves      | | | | | | |          every 20 ms while there is audio
    what comes back    | | | x x x           acknowledgements, and the other end's audio
                              `-- waited too long for either: SUSPECTED

Being suspicious is cheap, switching is not. A suspected path goes on carrying every frame; copies
go elsewhere too, until something newer than the doubt comes back. Only when that lasts, and another
path answers, is the path dead. QUIC's probe timeout never gets there under continuous audio, since
every packet sent re-arms it (RFC 9002 section 6.2.1).

One direction may die alone. Then one end hears, and the other is answered by another path: each
sees its own half. `Answers` is what one path showed; the functions say what that means.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal, NamedTuple

from p2pquic.core.frames import FRAME_CADENCE

LEAST_MARGIN = 0.010  # seconds an answer may be later than usual: what schedulers and queues do
SILENCE_MARGIN = 0.015  # seconds a third frame may be late: nothing but our own patience
VARIATIONS = 4  # times the mean deviation: as in RFC 9002 section 6.2.1
MISSING_FRAMES = 2  # in a row without an arrival; one is lost now and then
LATE_SHARES = (0.01, 0.03)  # of answers that came a frame late: beyond each of them one frame more
# is waited for, since losses that follow each other become likely; in silence beyond the first
SETTLING = 0.5  # seconds after a change in which acknowledgements have not found their ride yet
DEATH = 0.25  # seconds of suspicion; with the time to get there some 300 ms. Wi-Fi itself pauses
# for 100 to 200 ms while it scans
STANDBY_LIMIT = 0.1  # seconds of suspicion after which every path is asked whether it lives

_SMOOTHING = 1 / 8  # weight of a new answer time (RFC 9002 section 5.3)
_VARIATION_SMOOTHING = 1 / 4
_DELAY_SMOOTHING = 1 / 16
_LATE_SMOOTHING = 1 / 128  # two and a half seconds of audio

Reason = Literal["nothing is acknowledged", "nothing is heard", "this machine slept"]
"""Why a path is doubted; each end of it sees its own half."""


@dataclass(slots=True)
class Answers:
    """What came back by one path; kept where packets are counted. Times in seconds.

    `heard_at`: the last authentic packet by this path. `sent_at`: the last of ours that asks for an
    acknowledgement. `answered_at`: the last acknowledgement, by whatever path, of something newer
    sent on this one, which left at `arrived_from`. `waiting_since`: when the oldest packet left of
    those newer than all acknowledged.
    """

    heard_at: float = -math.inf
    sent_at: float = -math.inf
    answered_at: float = -math.inf
    arrived_from: float = -math.inf
    waiting_since: float | None = None
    time: float | None = None  # an acknowledgement usually takes, the wait for its ride included
    variation: float = 0.0
    delay: float = 0.0  # by which a packet usually comes later after the one before than a frame
    late_share: float = 0.0  # of acknowledgements, those a frame late

    def heard(self, now: float) -> None:
        """An authentic packet came by this path."""
        longest = MISSING_FRAMES * FRAME_CADENCE  # beyond it is silence, and says nothing of jitter
        delay = min(longest, max(0.0, now - self.heard_at - FRAME_CADENCE))
        self.delay += (delay - self.delay) * _DELAY_SMOOTHING
        self.heard_at = now

    def sent(self, now: float) -> None:
        """Something left that asks for an acknowledgement."""
        self.sent_at = now
        if self.waiting_since is None:
            self.waiting_since = now

    def proved(self, sent: float, now: float) -> None:
        """What left at `sent` was answered by this path, beside the clock of acknowledgements.

        What is newer than it and unanswered left later; when, is not known here.
        """
        self.heard(now)
        if sent > self.arrived_from:
            self.answered_at, self.arrived_from = now, sent
            if self.waiting_since is not None:
                self.waiting_since = max(self.waiting_since, sent)

    def answered(self, newest_sent: float, next_sent: float | None, now: float) -> None:
        """News: what left at `newest_sent` arrived; the next still unanswered left at `next_sent`.

        The newest gives the time; whether the oldest had to wait a frame longer than it, and than
        usual, gives the share of answers that loss delays, in either direction.
        """
        sample = now - newest_sent
        if self.time is None:
            self.time, self.variation = sample, sample / 2
        else:
            if self.waiting_since is not None:
                late = now - self.waiting_since > max(self.time, sample) + 0.75 * FRAME_CADENCE
                self.late_share += (late - self.late_share) * _LATE_SMOOTHING
            deviation = abs(self.time - sample)
            self.variation += (deviation - self.variation) * _VARIATION_SMOOTHING
            self.time += (sample - self.time) * _SMOOTHING
        self.answered_at, self.arrived_from = now, newest_sent
        self.waiting_since = next_sent


class Expectation(NamedTuple):
    """What should come back. `chosen_at`: since when both ends should speak on this path.

    `cadence`: the other end sends audio, so silence means something. `rtt` in seconds.
    """

    chosen_at: float
    cadence: bool
    rtt: float


def unanswered_from(answers: Answers, expectation: Expectation) -> float:
    """When it is too long that nothing newer was acknowledged; infinite if nothing is awaited.

    What left here before both ends spoke on this path is no debt: nobody may have been there.
    """
    if answers.waiting_since is None:
        return math.inf
    ride = FRAME_CADENCE if expectation.cadence else 0.0  # what an acknowledgement may wait for it
    usual = max(expectation.rtt + ride, answers.time or 0.0)
    limit = usual + max(LEAST_MARGIN, VARIATIONS * answers.variation)
    patience = bisect_left(LATE_SHARES, answers.late_share)  # how many of them it exceeds
    if answers.waiting_since < expectation.chosen_at + SETTLING:
        patience = max(patience, 1)
    return max(answers.waiting_since, expectation.chosen_at) + limit + patience * FRAME_CADENCE


def silent_from(answers: Answers, expectation: Expectation) -> float:
    """When the path has been silent for too long; infinite if no audio is expected.

    An acknowledgement that came another way counts: what left at `arrived_from` got through, so
    this end's half of the path lived then. Late news of it is no later sign of life.
    """
    if not expectation.cadence:
        return math.inf
    begins = expectation.chosen_at + expectation.rtt + FRAME_CADENCE
    answered = answers.arrived_from + expectation.rtt + FRAME_CADENCE  # it waits for a ride
    last = max(answers.heard_at, min(answers.answered_at, answered), begins)
    missing = MISSING_FRAMES + (answers.late_share > LATE_SHARES[0])
    return last + missing * FRAME_CADENCE + max(SILENCE_MARGIN, VARIATIONS * answers.delay)


def is_overdue(answers: Answers, rtt: float, now: float) -> bool:
    """Whether a path of that round-trip time owes an answer: selected, it would be doubted."""
    return now > unanswered_from(answers, Expectation(-math.inf, cadence=True, rtt=rtt))


def keeps_answering(answers: Answers, since: float, rtt: float, now: float) -> bool:
    """Whether a path that carries copies, of that round-trip time, delivers since then until now.

    Its last answer may be a round trip old, and some; an older one says nothing of today.
    """
    is_fresh = answers.answered_at >= now - rtt - STANDBY_LIMIT
    return answers.arrived_from >= since and is_fresh and not is_overdue(answers, rtt, now)


def is_mute(answers: Answers, now: float) -> bool:
    """Whether something sent beside the selected path has found no answer for as long as death."""
    if answers.waiting_since is None:
        return False
    return now > answers.waiting_since + (answers.time or 0.0) + DEATH


def doubts_from(answers: Answers, expectation: Expectation) -> dict[Reason, float]:
    """From when on each reason to doubt the path holds, unless something comes back before."""
    return {
        "nothing is acknowledged": unanswered_from(answers, expectation),
        "nothing is heard": silent_from(answers, expectation),
    }
