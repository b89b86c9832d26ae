"""What each manner of resilience costs: copies of frames sent per second, by kind.

Measured, not promised: how often hedging sends twice depends on the network. A manner keeps the
figures of the last seconds in which it was in use, to be compared with the others.
"""

from __future__ import annotations

from collections import Counter, deque

from p2pquic.core.events import Resilience
from p2pquic.core.trace import Copy

SPAN = 5.0  # seconds a figure is the mean of: short enough to show what a move costs
NEWS_INTERVAL = 1.0  # seconds between two figures; drawing them takes time from the audio


class SendCosts:
    """The copies that leave, to all remotes together."""

    def __init__(self, resilience: Resilience) -> None:
        self.resilience = resilience  # the manner in use
        self.per_second: dict[Resilience, dict[Copy, int]] = {}
        self._sent: deque[tuple[float, Copy]] = deque()
        self._since = self._told_at = -1.0

    def choose(self, resilience: Resilience) -> None:
        """Another manner from now on."""
        self.resilience = resilience
        self._sent.clear()

    def on_sent(self, t: float, copy: Copy) -> bool:
        """A copy left at `t`; tells whether a figure is different now."""
        if not self._sent:
            self._since = self._told_at = t
        self._sent.append((t, copy))
        if t - self._told_at < NEWS_INTERVAL:
            return False
        self._told_at = t
        while t - self._sent[0][0] > SPAN:
            self._sent.popleft()
        counts = Counter(copy for _, copy in self._sent)
        span = min(SPAN, t - self._since)
        kinds: tuple[Copy, ...] = ("first", "duplicate", "resend")
        figures = {kind: round(counts[kind] / span) for kind in kinds}
        changed = figures != self.per_second.get(self.resilience)
        self.per_second[self.resilience] = figures
        return changed
