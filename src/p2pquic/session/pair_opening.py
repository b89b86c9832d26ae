"""How a call begins: from the introduction to the one connection that it keeps.

    client    by the first way there is: a relay's session, or a punch that got through
    server    shows itself at each relay until it is found; the client's first packet opens its end
    neither   the other end does not want a call, or no way leads there: a person is told, once

Who is which both know beforehand, and whom they must find. Once both are authenticated nothing is
left to do here; what the connection carries, and by which path, is the business of `pair_session`.
"""

from __future__ import annotations

import math

from p2pquic.core.actions import Action, Log
from p2pquic.core.deadlines import earliest
from p2pquic.core.path import PathAddress
from p2pquic.core.trace import Unanswered
from p2pquic.quic.config import FOR_BULK, ConnectionConfig
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.identity import Identity, peer_id
from p2pquic.quic.packets import destination_connection_id, opens_connection
from p2pquic.session.pair_config import PairConfig
from p2pquic.session.relay_routes import RelayRoutes

PEER_ALPN = "p2pquic/1"
ANSWER_TIME = 10.0  # seconds until a person is told: nobody waits so long and thinks it is normal
IDLE_FACTOR = 1.5  # times the give-up time: the connection outlives the patience for it


class PairOpening:
    """Our end of it; `connection` is there from the first packet on, and is the only one."""

    def __init__(
        self, config: PairConfig, identity: Identity, relays: RelayRoutes, now: float
    ) -> None:
        self.connection: MultipathConnection | None = None
        self._config = config
        self._identity = identity
        self._relays = relays
        self._began_at = now
        self._tell_at: float | None = now + ANSWER_TIME  # that nobody answers

    @property
    def deadline(self) -> float | None:
        """When to call `tick`, until both ends are authenticated."""
        if self.connection is not None:
            return self._tell_at
        announcements = (route.announce_at for route in self._relays if route.is_ready)
        return earliest([self._tell_at, *announcements])

    @property
    def patience_ends_at(self) -> float:
        """When to give the connection up, if there is one and nothing is heard until then."""
        if self.connection is None:
            return math.inf
        return max(self._began_at, self.connection.heard_at) + self._config.give_up

    def tick(self, now: float) -> list[Action]:
        """The deadline has come."""
        orders = self.try_relays(now)
        if self._tell_at is not None and now >= self._tell_at:
            if any(route.local is not None for route in self._relays):
                self._tell_at = None
                orders.append(Log(Unanswered(self._config.other.peer, ANSWER_TIME)))
            else:
                self._tell_at = now + ANSWER_TIME  # no server hears us: nobody could answer
        return orders

    def try_relays(self, now: float) -> list[Action]:
        """The client connects by the first that is ready, the server is to be found at each."""
        orders: list[Action] = []
        for route in self._relays:
            if self.connection is not None or route.path is None or not route.is_ready:
                continue
            if self._config.is_client:
                self.connect(route.path, now)
            elif route.announce_at is not None and now >= route.announce_at:
                orders += route.announce(now)
        return orders

    def connect(self, path: PathAddress, now: float) -> None:
        """This path leads there: the client begins, the server waits for that."""
        if self._config.is_client:
            self.connection, self._began_at = self._new_connection(None), now
            self.connection.connect(path, now)

    def accept(self, path: PathAddress, data: bytes, now: float) -> None:
        """A packet came by a path: the server's end begins with it, if it is a client's first."""
        connection_id = destination_connection_id(data)
        if self._config.is_client or connection_id is None or not opens_connection(data):
            return
        connection = self._new_connection(connection_id)
        connection.receive_datagram(data, path, now)
        if connection.selected is not None:  # else it only looked like the beginning of a handshake
            self.connection, self._began_at = connection, now

    def _new_connection(self, original_destination: bytes | None) -> MultipathConnection:
        config = ConnectionConfig(
            self._identity,
            lambda key_hash: peer_id(key_hash) == self._config.other.peer,
            PEER_ALPN,
            idle_timeout=IDLE_FACTOR * self._config.give_up,
            streams=FOR_BULK,
        )
        return MultipathConnection(config, original_destination)
