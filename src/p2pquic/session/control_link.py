"""A peer's link to its server, which outlives the connections it is made of.

    connection  =========x           the server does not answer any more, or said goodbye
    next                    . . . ====================   an attempt a second, by each socket in turn

The old connection is kept until a new one is confirmed: perhaps it was the network, and it goes on.
Which socket the server hears us on decides the relay's leg, so that is known all the time.

At the start nobody knows which interface leads anywhere, the first may be a Wi-Fi with a login
page. If that has not answered after a moment, the others are tried beside it. The first to answer
wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from p2pquic.core.actions import SendDatagram
from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.deadlines import earliest
from p2pquic.core.preference import INDIFFERENT, InterfacePreference
from p2pquic.quic.identity import Identity
from p2pquic.quic.packets import destination_connection_id
from p2pquic.session.control_connection import ControlConnection
from p2pquic.session.server_key import ServerKey
from p2pquic.wire.signaling import Register, ToPeer, ToServer

ANSWER_LIMIT = 10.0  # seconds to wait for a server that may not be there
HEAD_START = 0.5  # seconds the first interface has before the next is tried beside it: two round
# trips of a slow one, which a handshake takes; a captive Wi-Fi costs that (RFC 8305 has 250 ms)
PATIENCE = 0.5  # seconds, and two round trips, that an acknowledgement may take; then a restart of
# the server is noticed, and mended, within two seconds of the sign of life it missed
ATTEMPT_TIME = 1.0  # seconds until the next attempt; it costs three or four packets


class ControlLink:
    """One server, as long as the peer lives."""

    def __init__(
        self,
        server: ServerAddress,
        identity: Identity,
        key: ServerKey,
        hello: Register,
        preference: InterfacePreference = INDIFFERENT,
    ) -> None:
        self.server = server
        self.key = key
        self.failure: str | None = None  # why there is no link and will be none, for a person
        self.lost: str | None = None  # why there is none just now
        self._connect: Callable[[], ControlConnection] = lambda: ControlConnection(
            server, identity, key, hello, preference
        )
        self._connection = self._connect()
        self._next: ControlConnection | None = None
        self._next_attempt_at = 0.0
        self._attempts = 1
        self._reached = False  # the server has answered, at least once
        self.is_overdue = False  # it never answered, and had a moment's time for it
        self._give_up_at: float | None = None
        self._sockets: tuple[LocalSocket, ...] = ()

    @property
    def local(self) -> LocalSocket | None:
        """The socket the server hears us on, or did when we last knew."""
        local = self._connection.local
        if self._connection.ended is None or local in self._sockets:
            return local
        return self._sockets[0] if self._sockets else None

    @property
    def is_replaced(self) -> bool:
        """Whether another peer with our key has taken our place."""
        return self._connection.is_replaced

    @property
    def observed(self) -> dict[LocalSocket, SocketAddress]:
        """Under which address the server sees, or saw, each of our sockets."""
        return self._connection.observed

    @property
    def deadline(self) -> float | None:
        """When to call `tick`; to be read after a `flush`."""
        times = [each.deadline for each in self._connections]
        times.append(self._give_up_at)
        if self._sockets and not self._reached and self._give_up_at is not None:
            times.append(self._next_attempt_at)
        elif self._sockets and self._reached:
            times.append(self._silent_from if self.lost is None else self._next_attempt_at)
        return earliest(times)

    def owns(self, connection_id: bytes) -> bool:
        """Whether a packet to this connection id is ours."""
        return any(each.owns(connection_id) for each in self._connections)

    def set_sockets(self, sockets: Sequence[LocalSocket], now: float) -> None:
        """These are our open sockets now, preferred first."""
        self._sockets = tuple(socket for socket in sockets if self.server.serves(socket))
        if sockets and not self._reached:
            self._give_up_at = self._give_up_at or now + ANSWER_LIMIT
        for connection in self._connections:
            connection.set_sockets(self._sockets, now)
        wait = PATIENCE if self._reached else HEAD_START
        self._next_attempt_at = now + wait  # what is lost may go on from here; audio comes first

    def send(self, message: ToServer) -> None:
        """Queue a message."""
        self._connection.send(message)

    def receive(self, local: LocalSocket, data: bytes, now: float) -> list[ToPeer]:
        """A QUIC datagram from the server; gives the messages in it."""
        messages: list[ToPeer] = []
        connection_id = destination_connection_id(data)
        for connection in self._connections:
            if connection_id is not None and connection.owns(connection_id):
                messages += connection.receive(local, data, now)
        self._judge(now)
        return messages

    @property
    def works_from(self) -> float:
        """When the newest left of what went by the socket the server hears us on, and back."""
        return self._connection.works_from

    def works_since(self, moment: float) -> bool:
        """Whether the socket the server hears us on carried something both ways since then."""
        return self.lost is None and self._connection.works_since(moment)

    def hurry(self, now: float) -> None:
        """Something may be wrong with the network: find out which paths to the server live.

        It also brings back under which address the server sees each of them now.
        """
        self._connection.hurry(now)

    def tick(self, now: float) -> list[ToPeer]:
        """The deadline has come."""
        messages: list[ToPeer] = []
        for connection in self._connections:
            if connection.deadline is not None and now >= connection.deadline:
                messages += connection.tick(now)
        self._judge(now)
        return messages

    def flush(self, now: float) -> list[SendDatagram]:
        """What is to be sent."""
        if self._next is None:
            return self._connection.flush(now)
        return [*self._connection.flush(now), *self._next.flush(now)]

    def close(self, reason: str) -> None:
        """Say goodbye."""
        for connection in self._connections:
            connection.close(reason)

    # ---- losing and finding ------------------------------------------------------------------

    @property
    def _connections(self) -> tuple[ControlConnection, ...]:
        return (self._connection,) if self._next is None else (self._connection, self._next)

    @property
    def _silent_from(self) -> float | None:
        """When we stop waiting for the server's answer; None if there is nothing to wait for."""
        since = self._connection.waiting_since
        return None if since is None else since + PATIENCE + 2 * self._connection.rtt

    def _judge(self, now: float) -> None:
        """Take a new connection, begin to look for one, or see that there is no need."""
        if self._next is not None and self._next.is_confirmed:
            self._connection, self._next, self.lost = self._next, None, None
        if self._connection.is_replaced:
            self._reached, self.failure = False, self._connection.ended
        elif not self._reached:
            self._await_the_first(now)
        elif self._is_silent(now):
            if self.lost is None:
                self.lost = self._connection.ended or (
                    f"The intermediate server at {self.server} does not answer any more."
                )
                self._attempts, self._next_attempt_at = 0, now
            if self._next is not None and self._next.ended is not None:
                self.lost = self._next.ended  # it answers, and worse: with another key, perhaps
            if now >= self._next_attempt_at:
                self._try_again(now)
        else:
            self._next = self.lost = None

    def _await_the_first(self, now: float) -> None:
        if self._connection.is_confirmed:
            self._reached, self._give_up_at, self._next = True, None, None
            self.is_overdue = False
        elif self._connection.ended is not None:
            self.failure, self._give_up_at = self._connection.ended, None
        elif self._give_up_at is not None and now >= self._give_up_at:
            self._give_up_at = None
            self.failure = (
                f"The intermediate server at {self.server} does not answer. "
                "Check the address, that it runs, and that UDP to it is not blocked."
                if self._sockets
                else f"This network has no IPv{self.server.addresses[0].family} address, so the "
                f"intermediate server at {self.server} is out of reach. Try another network or "
                "address of it."
            )
        elif self._give_up_at is not None and now >= self._next_attempt_at:
            self.is_overdue = True
            if len(self._sockets) > 1:
                self._try_again(now)
            else:
                self._next_attempt_at = now + ATTEMPT_TIME

    def _is_silent(self, now: float) -> bool:
        silent_from = self._silent_from
        return self._connection.ended is not None or (
            silent_from is not None and now >= silent_from
        )

    def _try_again(self, now: float) -> None:
        """Another attempt, by the next socket: one of them may lead nowhere."""
        self._next_attempt_at = now + ATTEMPT_TIME
        if not self._sockets:
            self._next = None
            return
        first = self._attempts % len(self._sockets)
        self._attempts += 1
        self._next = self._connect()
        self._next.set_sockets(self._sockets[first:] + self._sockets[:first], now)
