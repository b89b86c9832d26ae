"""The doubt about the selected path of a call: when it begins, how it ends.

    LIVES --nothing comes back--> DOUBTED --100 ms--> LASTING --250 ms--> DEAD
      ^------------ an answer -------'----------------'-------------------'

What follows from it (copies, another path) is the session's; when is decided in `core.liveness`.
"""

from __future__ import annotations

import math
from enum import Enum

from p2pquic.core.frames import FRAME_CADENCE
from p2pquic.core.liveness import (
    DEATH,
    STANDBY_LIMIT,
    Answers,
    Expectation,
    Reason,
    doubts_from,
)
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.recovery import INITIAL_RTT


class Health(Enum):
    """How it stands with the selected path."""

    LIVES = "lives"
    DOUBTED = "doubted"
    LASTING = "the doubt lasts"
    DEAD = "dead, if another path answers"


_WORSE = {
    Health.DOUBTED: (STANDBY_LIMIT, Health.LASTING),
    Health.LASTING: (DEATH, Health.DEAD),
}
"""After how many seconds of doubt each stage becomes which."""


class PairLiveness:
    """Watches whatever path is selected."""

    def __init__(self, connection: MultipathConnection) -> None:
        self._connection = connection
        self.health = Health.LIVES
        self.reasons: frozenset[Reason] = frozenset()
        self._doubted_at = -math.inf
        self._chosen_at = -math.inf
        self._resumed_at = -math.inf  # since when it has to answer, after the machine slept

    @property
    def doubted_since(self) -> float | None:
        """Since when the selected path is in doubt (seconds); None while it lives."""
        return None if self.health is Health.LIVES else self._doubted_at

    @property
    def last_doubted_at(self) -> float:
        """When the last doubt began (seconds), be it over or not; minus infinity if none did."""
        return self._doubted_at

    def chosen(self, now: float) -> None:
        """A path was chosen (again): the doubt was about another, or the other end moved."""
        self.health, self.reasons = Health.LIVES, frozenset()
        self._chosen_at = now
        self._resumed_at = -math.inf

    def resumed(self, now: float) -> None:
        """The machine slept: what was known of the selected path is worth nothing."""
        self._resumed_at = now

    def deadline(self, *, cadence: bool) -> float:
        """When to `look` if nothing happens before; infinite while only a packet can help."""
        doubts = self._doubts(cadence)
        times = [time for reason, time in doubts.items() if reason not in self.reasons]
        if self.health in _WORSE:
            times.append(self._doubted_at + _WORSE[self.health][0])
        return min(times, default=math.inf)

    def look(self, now: float, *, cadence: bool) -> bool:
        """Judge the selected path anew; whether its `health` changed.

        One direction may have been dead for long when the other dies: that is a new doubt.
        """
        before, reasons_before = self.health, self.reasons
        doubts = self._doubts(cadence)
        self.reasons = frozenset(reason for reason, time in doubts.items() if now >= time)
        if not self.reasons:
            self.health = Health.LIVES
        elif before is Health.LIVES or (before is Health.DEAD and self.reasons - reasons_before):
            self.health, self._doubted_at = Health.DOUBTED, now
        elif before in _WORSE and now >= self._doubted_at + _WORSE[before][0]:
            self.health = _WORSE[before][1]
        return self.health is not before

    def _doubts(self, cadence: bool) -> dict[Reason, float]:
        """From when on each reason holds."""
        answers, expectation = self._evidence(cadence)
        doubts = doubts_from(answers, expectation)
        if answers.arrived_from < self._resumed_at:
            doubts["this machine slept"] = self._resumed_at
        return doubts

    def _evidence(self, cadence: bool) -> tuple[Answers, Expectation]:
        """`cadence`: the other end is known to send audio.

        An end that sends none and speaks beside the selected path misses ours on it.
        """
        path = self._connection.selected
        assert path is not None
        rtt = self._connection.rtt(path)
        answers = self._connection.answers(path)
        speaks_elsewhere = self._connection.heard_elsewhere_at > answers.heard_at + FRAME_CADENCE
        expectation = Expectation(
            self._chosen_at, cadence or speaks_elsewhere, INITIAL_RTT if rtt is None else rtt
        )
        return answers, expectation
