"""A peer's links to its servers: it is registered at all of them, at the same time.

    server 1   =========x . . . . . ======    a ControlLink; away, and looked for
    server 2   ===========================    another, which needs nothing of the first
    server 3   . . . . . ? . . . . . ? . .    it refused us or was never there: asked now and then

So there is nothing to take over when a server dies: what it did the others do already. Only when
every one has refused us, or was never there, is there nobody left to introduce us.

A call asks after every packet what its servers have to say. As long as nothing happened to any of
them, that is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from p2pquic.core.actions import SendDatagram
from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.deadlines import earliest
from p2pquic.quic.identity import Identity
from p2pquic.session.control_link import ControlLink
from p2pquic.session.peer_config import PeerConfig, Server
from p2pquic.session.relay_route import Hearing
from p2pquic.session.server_key import ServerKey
from p2pquic.wire.signaling import Leave, Register, ToPeer, ToServer

RETRY_TIME = 2.0  # seconds until a server that failed us is asked again; it costs a handshake


class _Place:
    """One server, and what became of our links to it."""

    def __init__(self, server: Server, key: ServerKey, link: ControlLink) -> None:
        self.server = server
        self.key = key
        self.link = link
        self.retry_at: float | None = None  # when the link may begin
        self.failure: str | None = None  # why the last one ended before we were in the room
        self.lost: str | None = None  # why it is away, as we told


class ServerLinks:
    """All of them, in the order in which they were named."""

    def __init__(self, config: PeerConfig, identity: Identity, hello: Register) -> None:
        self._identity = identity
        self._hello = hello
        self._interfaces = config.interfaces
        self._sockets: tuple[LocalSocket, ...] = ()
        self._places: dict[ServerAddress, _Place] = {}
        self.failure: str | None = None  # why no server is left, for a person; None: one may serve
        self.are_at_rest = False  # nothing has happened to any of them since they were judged
        self._deadline: float | None = None
        self._deadline_is_known = False
        for server in config.servers:
            key = ServerKey(server.pins, server.pin_advice)
            link = self._new_link(server.address, key)
            self._places[server.address] = _Place(server, key, link)

    def __iter__(self) -> Iterator[ControlLink]:
        return iter([place.link for place in self._places.values()])

    @property
    def deadline(self) -> float | None:
        """When to call `tick`; to be read after a `flush`."""
        if not self._deadline_is_known:
            waits = [place.retry_at for place in self._places.values()]
            self._deadline = earliest([*waits, *[link.deadline for link in self]])
            self._deadline_is_known = True
        return self._deadline

    @property
    def hearings(self) -> dict[ServerAddress, Hearing]:
        """How each server hears us."""
        return {
            link.server: Hearing(link.local, link.lost is None, link.works_from) for link in self
        }

    @property
    def silent(self) -> list[ServerAddress]:
        """The servers that do not answer just now."""
        return [link.server for link in self if link.lost is not None]

    @property
    def observed(self) -> list[tuple[LocalSocket, SocketAddress]]:
        """Our sockets, and the addresses under which servers see them; each pair once."""
        return list(dict.fromkeys(pair for link in self for pair in link.observed.items()))

    def set_sockets(self, sockets: Sequence[LocalSocket], now: float) -> None:
        """These are our open sockets now, preferred first."""
        self._stir()
        self._sockets = tuple(sockets)
        for place in self._places.values():
            if place.retry_at is None:
                place.link.set_sockets(sockets, now)

    def send(self, message: ToServer, servers: Sequence[ServerAddress]) -> None:
        """Queue a message for some of the servers."""
        self._stir()
        for server in servers:
            self._places[server].link.send(message)

    def hurry(self, now: float) -> None:
        """Something may be wrong with the network: find out which ways to the servers live."""
        self._stir()
        for link in self:
            link.hurry(now)

    def receive(
        self,
        local: LocalSocket,
        remote: SocketAddress,
        connection_id: bytes,
        data: bytes,
        now: float,
    ) -> tuple[ControlLink, list[ToPeer]] | None:
        """A QUIC packet came; gives who said what in it, None if it is of no link."""
        link = next((link for link in self if remote in link.server), None)
        if link is None or not link.owns(connection_id):
            return None
        self._stir()
        return link, link.receive(local, data, now)

    def tick(self, now: float) -> list[tuple[ControlLink, list[ToPeer]]]:
        """The deadline may have come; gives who said what."""
        if self.deadline is None or now < self.deadline:
            return []
        self._stir()
        said = []
        for place in self._places.values():
            if place.retry_at is not None and now >= place.retry_at:
                place.retry_at = None
                place.link.set_sockets(self._sockets, now)
            if (due := place.link.deadline) is not None and now >= due:
                said.append((place.link, place.link.tick(now)))
        return said

    def flush(self, now: float) -> list[SendDatagram]:
        """What is to be sent."""
        if self.are_at_rest:
            return []
        self._deadline_is_known = False
        return [send for link in self for send in link.flush(now)]

    def leave(self) -> None:
        """Leave the room, wherever we are in it."""
        self.send(Leave(), list(self._places))

    def close(self, reason: str) -> None:
        """Say goodbye to all."""
        self._stir()
        for link in self:
            link.close(reason)

    def _stir(self) -> None:
        self.are_at_rest = self._deadline_is_known = False

    # ---- losing and finding ------------------------------------------------------------------

    def welcomed(self, server: ServerAddress) -> None:
        """This server let us into the room."""
        self._places[server].failure = self.failure = None

    def judge(self, now: float) -> list[str]:
        """Begin anew where a link failed; gives what a person should hear of single servers."""
        if self.are_at_rest:
            return []
        self.are_at_rest, news = True, []
        for place in self._places.values():
            told, place.lost = place.lost, place.link.lost
            if place.lost not in (None, told):
                news.append(f"{place.lost} It is tried again; calls go on.")
            failure = place.link.failure
            if failure is None:
                continue
            self._stir()
            if failure != place.failure:
                news.append(failure)
            place.failure = failure
            if len(self._places) > 1 and not place.link.is_replaced:
                place.link = self._new_link(place.server.address, place.key)
                place.retry_at = now + RETRY_TIME
            else:
                place.link.failure = None
        failures = [place.failure for place in self._places.values() if place.failure is not None]
        self.failure = " ".join(failures) if len(failures) == len(self._places) else None
        return [] if self.failure is not None else news

    def _new_link(self, server: ServerAddress, key: ServerKey) -> ControlLink:
        return ControlLink(server, self._identity, key, self._hello, self._interfaces)
