"""The relays of one call, one at each server where both ends are registered.

    server 1   =======================x . . . . . . . . =======    carries the call; dies; is back
    server 2   ?       ?       ?      ===================       ?  asked now and then; takes over

Servers know nothing of each other: each of them opens its own session, and to the connection each
session is a path among others. Which of them the call takes is the business of core.selector, as
with any path. Here is seen to it that they are open, and known whether they live.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from p2pquic.core.addresses import ServerAddress, SocketAddress
from p2pquic.core.deadlines import earliest
from p2pquic.core.path import PathAddress, RelayPath
from p2pquic.quic.connection import MultipathConnection
from p2pquic.session.relay_route import Hearing, RelayRoute

ANSWER_TIME = 1.0  # seconds a relay that stands by may take to answer; then it is the last choice
FIRST_WAIT = 0.1  # seconds until a question without an answer is repeated; doubled each time
STANDBY_INTERVAL = 15.0  # seconds between two questions; half of what NATs in the field remember
NOWHERE = Hearing(None)


@dataclass(slots=True)
class _Standby:
    """What is known of a relay that stands by; the times are those of questions."""

    ask_at: float = -math.inf
    asked_at: float = -math.inf  # what came later answers
    silent_from: float = math.inf  # unless something came meanwhile
    wait: float = FIRST_WAIT


class RelayRoutes:
    """All of them, those without a session or without a way to their server included."""

    def __init__(self, servers: Sequence[ServerAddress]) -> None:
        self._routes = {server: RelayRoute(server) for server in servers}
        self._standbys = {server: _Standby() for server in servers}

    def __iter__(self) -> Iterator[RelayRoute]:
        return iter(self._routes.values())

    def __len__(self) -> int:
        return len(self._routes)

    def at(self, server: ServerAddress) -> RelayRoute | None:
        """The one at this server; None if that is no server of ours."""
        return self._routes.get(server)

    def heard_from(self, remote: SocketAddress) -> RelayRoute | None:
        """The one whose server has this address."""
        return next((route for route in self if remote in route.server), None)

    def of(self, path: RelayPath) -> RelayRoute:
        """The one that a path of the call goes by."""
        return self._routes[path.server]

    def follow(self, hearings: Mapping[ServerAddress, Hearing]) -> list[RelayRoute]:
        """The servers hear us so now; gives the routes whose server does on another socket."""
        moved = []
        for route in self:
            answered_before = route.server_answers
            if route.move(hearings.get(route.server, NOWHERE)):
                moved.append(route)
            if route.server_answers and not answered_before:
                standby = self._standbys[route.server]
                standby.ask_at, standby.wait = -math.inf, FIRST_WAIT  # it may need our ticket first
        return moved

    @property
    def deadline(self) -> float | None:
        """When to `keep`, once both ends are authenticated."""
        return earliest(self._standbys[route.server].ask_at for route in self if route.is_ready)

    def keep(self, connection: MultipathConnection, now: float) -> None:
        """Open the paths that are not open, and ask those that stand by whether they live."""
        for route in self:
            path, standby = route.path, self._standbys[route.server]
            if path is None or not route.is_ready or now < standby.ask_at:
                continue
            standby.ask_at = now + STANDBY_INTERVAL
            if path == connection.selected:
                continue  # what it carries tells
            if path in connection.paths or connection.open_path(path, proven_rtt=None, now=now):
                _ask(connection, path, standby, now)

    def doubt(self, connection: MultipathConnection, path: RelayPath, now: float) -> None:
        """It was silent under the call: it is the last choice until it answers.

        Where there is another, what is heard of it by and by does not count: that may be old.
        """
        standby = self._standbys[path.server]
        standby.ask_at = standby.asked_at = standby.silent_from = now
        standby.wait = FIRST_WAIT
        if len(self) > 1:
            connection.doubt(path)

    def is_silent(self, connection: MultipathConnection, path: PathAddress, now: float) -> bool:
        """Whether an open path is a relay that does not answer, or whose server does not."""
        if not isinstance(path, RelayPath):
            return False
        standby = self._standbys[path.server]
        is_answered = connection.answers(path).heard_at >= standby.asked_at
        return not self.of(path).server_answers or not (is_answered or now < standby.silent_from)


def _ask(connection: MultipathConnection, path: RelayPath, standby: _Standby, now: float) -> None:
    """Challenge a path; soon again if it did not answer the last time."""
    heard_at = connection.answers(path).heard_at
    lives = connection.is_validated(path) and heard_at >= standby.asked_at
    if lives and now < standby.asked_at + STANDBY_INTERVAL:
        standby.ask_at = standby.asked_at + STANDBY_INTERVAL
        return
    if lives or standby.asked_at == -math.inf:
        standby.asked_at, standby.silent_from = now, now + ANSWER_TIME
        standby.wait = FIRST_WAIT
    connection.challenge(path)
    standby.ask_at = now + standby.wait
    standby.wait = min(2 * standby.wait, STANDBY_INTERVAL)
