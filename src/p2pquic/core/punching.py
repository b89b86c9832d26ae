"""Which pairs of addresses are probed through the NATs, and when.

Both ends probe every pair of a local socket and a remote candidate (RFC 8445 section 6.1.2) at
the same time. A probe opens our own NAT for the other's; so the first ones fail by design, and
the pace decides how soon the first one after that gets through:

    a fresh pair      every 20 ms, for as long as a fresh candidate list takes to the other end
    no answer         ever more slowly, to once a minute
    answered          silence: the path lives inside QUIC now

Pure: what is due is asked with `due(now)`, sending is somebody else's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from p2pquic.core.addresses import LocalSocket, SocketAddress, can_lead

FAST_INTERVAL = 0.020  # seconds between the first probes of a pair: one frame of audio
FAST_PROBES = 15  # 300 ms: two one-way trips by the slow way of signaling, and some
SLOWDOWN = 2.0  # each later wait is twice the one before
SLOWEST_INTERVAL = 60.0  # seconds: "less and less, never for ever silent"
REFRESH_INTERVAL = 0.25  # seconds between two lists that make silent pairs fresh again
PROBES_AT_ONCE = 8  # pairs probed per call; with the pace above 400 probes/s are the most we send
MOST_PAIRS = 24  # a few interfaces times eight candidates; bounds what a list can make us send


class Pair(NamedTuple):
    """Our socket and an address of theirs."""

    local: LocalSocket
    remote: SocketAddress


@dataclass(slots=True)
class _Probing:
    """The pace of one pair."""

    due: float
    probes: int = 0
    answered: bool = False

    def advance(self, now: float) -> None:
        self.probes += 1
        slow = max(0, self.probes - FAST_PROBES)
        self.due = now + min(SLOWEST_INTERVAL, FAST_INTERVAL * SLOWDOWN ** min(slow, 16))


class Punching:
    """The pairs of one call."""

    def __init__(self) -> None:
        self._locals: tuple[LocalSocket, ...] = ()
        self._remotes: tuple[SocketAddress, ...] = ()
        self._pairs: dict[Pair, _Probing] = {}
        self._refreshed_at = -math.inf

    @property
    def deadline(self) -> float | None:
        """When the next probe is due; None if no pair waits for an answer."""
        return min((each.due for each in self._pairs.values() if not each.answered), default=None)

    def set_locals(self, sockets: Iterable[LocalSocket], now: float) -> None:
        """These are our sockets now."""
        self._locals = tuple(sockets)
        self._pairs = {
            pair: each for pair, each in self._pairs.items() if pair.local in self._locals
        }
        self._fill(now)

    def set_remotes(self, remotes: Iterable[SocketAddress], now: float) -> None:
        """A new round: these are the other end's addresses now, and all of them are fresh.

        Unless rounds come faster than anybody moves: then only new addresses are.
        """
        self._remotes = tuple(dict.fromkeys(remotes))
        self._pairs = {
            pair: each
            for pair, each in self._pairs.items()
            if pair.remote in self._remotes or each.answered
        }
        if now - self._refreshed_at >= REFRESH_INTERVAL:
            self._refreshed_at = now
            for each in self._pairs.values():
                if not each.answered:
                    each.probes, each.due = 0, min(each.due, now)
        self._fill(now)

    def add_remotes(self, remotes: Iterable[SocketAddress], now: float) -> None:
        """The other end may be at these, too; of what is known, what never answered makes room."""
        new = [remote for remote in dict.fromkeys(remotes) if remote not in self._remotes]
        self._remotes = (*new, *self._remotes)[:MOST_PAIRS]
        tried = [pair for pair, each in self._pairs.items() if each.probes and not each.answered]
        tried.sort(key=lambda pair: -self._pairs[pair].probes)
        crowd = len(self._pairs) + len(new) * len(self._locals) - MOST_PAIRS
        for pair in tried[: max(0, crowd)]:
            del self._pairs[pair]
        self._fill(now)

    def moved(self, old: SocketAddress, new: SocketAddress, now: float) -> None:
        """A packet of theirs told that `old` is `new` now; what led to the old may lead there, too.

        The server would tell us as well, if it can be reached.
        """
        self._remotes = tuple(dict.fromkeys(new if each == old else each for each in self._remotes))
        self._pairs = {
            pair: each for pair, each in self._pairs.items() if pair.remote != old or each.answered
        }
        self._fill(now)

    def due(self, now: float) -> list[Pair]:
        """The pairs to probe now, longest due first; asking counts as probing them."""
        waiting = [
            pair for pair, each in self._pairs.items() if not each.answered and each.due <= now
        ]
        ready = sorted(waiting, key=lambda pair: self._pairs[pair].due)[:PROBES_AT_ONCE]
        for pair in set(waiting).difference(ready):
            self._pairs[pair].due = now + FAST_INTERVAL
        for pair in ready:
            self._pairs[pair].advance(now)
        return ready

    def heard(self, pair: Pair, now: float) -> bool:
        """The other end's probe came by this pair: ours, sent now, will find the door open.

        An address nobody told us of is peer-reflexive (RFC 8445 section 7.3.1.3), and as good.

        Returns:
            Whether the pair should be probed at once.
        """
        each = self._pairs.get(pair)
        if each is None:
            if len(self._pairs) >= MOST_PAIRS:
                return False
            each = self._pairs[pair] = _Probing(now)
        if not each.answered:
            each.due = now
        return not each.answered

    def answered(self, pair: Pair) -> None:
        """The pair works; stop probing it."""
        self._pairs.setdefault(pair, _Probing(0.0)).answered = True

    def knows(self, pair: Pair) -> bool:
        """Whether the pair is one of ours."""
        return pair in self._pairs

    def reopen(self, pair: Pair, now: float) -> None:
        """The pair worked once and does so no more: begin again, if both its ends still exist."""
        if pair.local in self._locals and pair.remote in self._remotes:
            self._pairs[pair] = _Probing(now)
        else:
            self._pairs.pop(pair, None)

    def _fill(self, now: float) -> None:
        for remote in self._remotes:
            for local in self._locals:
                pair = Pair(local, remote)
                if (
                    pair not in self._pairs
                    and len(self._pairs) < MOST_PAIRS
                    and can_lead(local.host, remote.host)
                ):
                    self._pairs[pair] = _Probing(now)
