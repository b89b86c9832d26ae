"""The way to a direct path: candidates are punched, what answers becomes a path and is proved.

    candidate --punch--> pair answers --> QUIC path, challenged --> proven, or abandoned
    a blind attempt, straight after a move, starts at the QUIC path

It decides nothing about where audio goes: it opens and closes paths of the connection; the owner
asks `core.selector` after every change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from p2pquic.core.actions import SendDatagram
from p2pquic.core.addresses import LocalSocket, SocketAddress, can_lead
from p2pquic.core.path import DirectPath
from p2pquic.core.punching import Pair, Punching
from p2pquic.quic.connection import MultipathConnection
from p2pquic.wire.punch import (
    TRANSACTION_SIZE,
    PunchRequest,
    PunchResponse,
    encode_request,
    encode_response,
)

FIRST_CHALLENGE_WAIT = 0.05  # seconds; doubled after each challenge without an answer
ATTEMPT_LIMIT = 1.0  # seconds after which a path that never answered is closed
KEEPALIVE_INTERVAL = 15.0  # seconds; half of what NATs in the field remember
RESERVED_CONNECTION_IDS = 2  # for the relay and for a new address; the rest may be tried out
MOST_REACHED = 4  # addresses of the other end: of two interfaces, what they are and what they were
TRANSACTIONS_KEPT = 256  # probes whose answers are still believed: ten rounds of every pair


class _Probe(NamedTuple):
    """A punch that went out."""

    pair: Pair
    sent: float


@dataclass(slots=True)
class _Attempt:
    """A direct path: when to challenge it again, and when to give it up."""

    opened: float
    due: float
    wait: float = FIRST_CHALLENGE_WAIT


class DirectPaths:
    """The direct paths of one call."""

    def __init__(self, me: str, other: str, entropy: Callable[[int], bytes]) -> None:
        self._reached: dict[SocketAddress, None] = {}  # where they were shown to be, newest last
        self.key: bytes | None = None  # of punches; known to the two ends alone
        self._round = -1  # of the candidates in force
        self._username = f"{other}:{me}"  # of all we send: receiver, sender
        self._entropy = entropy
        self._punching = Punching()
        self._probes: dict[bytes, _Probe] = {}
        self._attempts: dict[DirectPath, _Attempt] = {}
        self._sockets: tuple[LocalSocket, ...] = ()

    @property
    def deadline(self) -> float | None:
        """When to call `punch` and `tick`."""
        times = [attempt.due for attempt in self._attempts.values()]
        if self.key is not None and self._punching.deadline is not None:
            times.append(self._punching.deadline)
        return min(times, default=None)

    def set_sockets(self, sockets: Sequence[LocalSocket], now: float) -> None:
        """These are our sockets now."""
        self._sockets = tuple(sockets)
        self._punching.set_locals(sockets, now)

    def set_candidates(self, round_: int, remotes: Sequence[SocketAddress], now: float) -> None:
        """The other end may be reached at these addresses now; an older round says nothing.

        The same round again: a server sees it elsewhere, since then or than another server.
        """
        if round_ > self._round:
            self._round = round_
            self._punching.set_remotes(remotes, now)
        elif round_ == self._round:
            self._punching.add_remotes(remotes, now)

    def knows(self, local: LocalSocket, remote: SocketAddress) -> bool:
        """Whether signaling or a punch told us of this remote address."""
        return local in self._sockets and self._punching.knows(Pair(local, remote))

    # ---- punching ----------------------------------------------------------------------------

    def on_punch(
        self,
        local: LocalSocket,
        remote: SocketAddress,
        punch: PunchRequest | PunchResponse,
        now: float,
    ) -> tuple[list[SendDatagram], tuple[DirectPath, float] | None]:
        """A probe or an answer arrived; gives what to send, and a path that is proved and its RTT.

        Anything not keyed by the other end is ignored.
        """
        if self.key is None or not punch.verify(self.key):
            return [], None
        pair = Pair(local, remote)
        if isinstance(punch, PunchRequest):
            answer = encode_response(punch.transaction, self._username, remote, self.key)
            sends = [SendDatagram(local, remote, answer)]
            if self._punching.heard(pair, now):
                sends += self.punch(now)
            return sends, None
        probe = self._probes.pop(punch.transaction, None)
        if probe is None or probe.pair != pair:
            return [], None
        self._remember(remote)
        return [], (DirectPath(local, remote), now - probe.sent)

    def punch(self, now: float) -> list[SendDatagram]:
        """Probe every pair that is due."""
        if self.key is None:
            return []
        sends = []
        for pair in self._punching.due(now):
            transaction = self._entropy(TRANSACTION_SIZE)
            self._probes[transaction] = _Probe(pair, now)
            request = encode_request(transaction, self._username, self.key)
            sends.append(SendDatagram(pair.local, pair.remote, request))
        while len(self._probes) > TRANSACTIONS_KEPT:
            del self._probes[next(iter(self._probes))]
        return sends

    # ---- paths -------------------------------------------------------------------------------

    def open(
        self,
        connection: MultipathConnection,
        path: DirectPath,
        proven_rtt: float | None,
        now: float,
        *,
        urgent: bool = False,
    ) -> bool:
        """Make a path of a pair and challenge it; False if no connection id can be spared."""
        if path not in connection.paths:
            spare = connection.spare_connection_ids
            if spare <= (0 if urgent else RESERVED_CONNECTION_IDS):
                return False
        if not connection.open_path(
            path, proven_rtt=proven_rtt, was_reached=path.remote in self._reached, now=now
        ):
            return False
        connection.challenge(path)
        self.watch(path, now)
        if proven_rtt is not None:
            self.proved(path)
        return True

    def try_blindly(
        self, connection: MultipathConnection, sockets: Sequence[LocalSocket], now: float
    ) -> None:
        """Straight to every address where the other end was ever reached, before any punch.

        The newest first, which may take the last connection id. It gets through where the other
        end is public, or is back behind a NAT that remembers us; another NAT drops it.
        """
        for age, remote in enumerate(reversed(self._reached)):
            for socket in sockets:
                path = DirectPath(socket, remote)
                if path not in connection.paths and can_lead(socket.host, remote.host):
                    self.open(connection, path, None, now, urgent=age == 0)

    def proved(self, path: DirectPath) -> None:
        """A path works: where it leads is where the other end is, and needs no more punching."""
        self._remember(path.remote)
        self._punching.answered(Pair(path.local, path.remote))

    def watch(self, path: DirectPath, now: float) -> None:
        """See to it that an open path is proved or closed."""
        if path not in self._attempts:
            self._attempts[path] = _Attempt(now, now + FIRST_CHALLENGE_WAIT)

    def doubted(self, path: DirectPath, now: float) -> None:
        """A path went silent: it must prove itself anew, or a punch finds another way."""
        self._attempts[path] = _Attempt(now, now + FIRST_CHALLENGE_WAIT)
        self._punching.reopen(Pair(path.local, path.remote), now)

    def renamed(self, old: DirectPath, new: DirectPath, now: float) -> None:
        """The other end's NAT remapped a path."""
        self._attempts.pop(old, None)
        self._reached.pop(old.remote, None)
        self._punching.moved(old.remote, new.remote, now)
        self.watch(new, now)

    def forget(self, path: DirectPath, now: float) -> None:
        """A path was closed."""
        self._attempts.pop(path, None)
        self._punching.reopen(Pair(path.local, path.remote), now)

    def tick(
        self, connection: MultipathConnection, *, in_need: bool, now: float
    ) -> list[DirectPath]:
        """Challenge again what is due; gives the paths that never answered and are now closed.

        `in_need`: no path answers at all. Then any may be the first to live again, and the
        patience with it begins when one does.
        """
        abandoned = []
        for path, attempt in list(self._attempts.items()):
            if now < attempt.due:
                continue
            if in_need:
                attempt.opened = now
            if path not in connection.paths:
                del self._attempts[path]
            elif connection.is_validated(path):
                attempt.due = now + KEEPALIVE_INTERVAL
                connection.challenge(path)
            elif now - attempt.opened >= ATTEMPT_LIMIT and not _is_in_use(connection, path, now):
                connection.close_path(path, now)
                del self._attempts[path]
                self._punching.reopen(Pair(path.local, path.remote), now + attempt.wait)
                abandoned.append(path)
            else:
                connection.challenge(path)
                attempt.due = now + attempt.wait
                attempt.wait = min(2 * attempt.wait, ATTEMPT_LIMIT)
        return abandoned

    def _remember(self, remote: SocketAddress) -> None:
        """The other end was shown to be there just now."""
        self._reached.pop(remote, None)
        self._reached[remote] = None
        while len(self._reached) > MOST_REACHED:
            del self._reached[next(iter(self._reached))]


def _is_in_use(connection: MultipathConnection, path: DirectPath, now: float) -> bool:
    """Whether audio takes it, or a copy of it does in the one direction in which it lives."""
    answers = connection.answers(path)
    shown = max(answers.heard_at, answers.answered_at)
    return path == connection.selected or now - shown < ATTEMPT_LIMIT
