"""A room at an intermediate server: who is there, and a connection with each of them.

    async with join("lobby", intermediate="203.0.113.10:12345") as room:
        connection = await room.accept()

Whoever enters a room is connected with everybody in it with whom there is something to share: the
server introduces, relays while there is no direct path, and may go away afterwards.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from p2pquic.api.connection import Connection
from p2pquic.api.errors import ConnectionLostError, NotReachedError
from p2pquic.api.event_queues import EventQueue, EventQueues, R
from p2pquic.api.named_servers import choose_pins, find_servers
from p2pquic.api.room_options import NoAudio, OnEvent, RoomOptions, check_words
from p2pquic.api.waiting import Change
from p2pquic.core.application import News, Request
from p2pquic.core.errors import UsageError
from p2pquic.core.events import MediaPacketReady, Requested, Resilience, ResilienceChosen
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.preference import InterfacePreference
from p2pquic.core.trace import (
    Closed,
    Connected,
    Entry,
    Failed,
    MemberJoined,
    MemberLeft,
    Registered,
    ServerTrusted,
)
from p2pquic.net.driver import Driver, MediaSink
from p2pquic.net.monitor import create_monitor
from p2pquic.net.resolving import data_directory, resolve
from p2pquic.quic.identity import Identity
from p2pquic.session.pair_config import RelayUse
from p2pquic.session.peer_config import PeerConfig
from p2pquic.session.peer_session import PeerSession
from p2pquic.trust.known_servers import KnownServers, OtherKeyError
from p2pquic.wire.signaling import Role

JOIN_TIME = 8.0  # seconds for a server to answer: its name, its handshake and some lost packets.
# Less than the session's own patience of 10 s: who joins is told in one way alone.

NOT_JOINED = "the room was not entered: use it within `async with room:`"


def _listed(words: str | Sequence[str] | None) -> Sequence[str]:
    if words is None:
        return ()
    return (words,) if isinstance(words, str) else words


def join(
    room: str,
    *,
    intermediate: str | Sequence[str],
    pin: str | Sequence[str] | None = None,
    role: Role = "both",
    identity: Identity | None = None,
    audio: MediaSink | None = None,
    resilience: Resilience = "hedged",
    relay: RelayUse = "auto",
    prefer: str | None = None,
    avoid: str | None = None,
    only: Iterable[str] = (),
    give_up: float = 60.0,
    buffer: tuple[float, float] | None = None,
    folder: Path | None = None,
    timeout: float = JOIN_TIME,
    on_event: OnEvent | None = None,
) -> Room:
    """Prepare to join a room; `async with` joins and leaves it.

    Args:
        room: Its name; whoever says the same name to the same server is in it.
        intermediate: The server, as HOST:PORT: a name, an address, or one of IPv4 and one of IPv6
            with a comma between. Or some servers, the same for everybody in the room, which stand
            in for each other.
        pin: The server's key, as it prints it ("sha256:..."), or those of all servers. Without it
            keys are taken on trust at the first contact and remembered in `folder`.
        role: What is done with audio. Two members who share none are not connected; without audio
            leave it at "both".
        identity: Who you are to the others; without one, somebody new.
        audio: Where audio comes from and goes to, see `Audio`.
        resilience: "lean" sends nothing twice, "hedged" while a path is in doubt, "hot" always.
        relay: Whether connections may, must ("only") or must not ("never") go by the server.
        prefer: Interfaces to speak by while they live, best first, as in "eth0,wlan*".
        avoid: Interfaces to use only while nothing else lives, as in "rmnet0".
        only: The ids of the peers to be connected with; without any, everybody.
        give_up: Seconds that a connection may hear nothing before it ends.
        buffer: How long audio may wait for its turn, at least and at most, in seconds.
        folder: Where keys of servers are remembered; the user's data folder if not given.
        timeout: Seconds the server has to answer when the room is entered.
        on_event: Called with every entry of the trace as it happens, in the running loop. It must
            not wait; an error in it is logged and ends the room.

    Raises:
        UsageError: an argument that cannot work; says which, and what would.
    """
    check_words(room, role, resilience, relay)
    known_servers = KnownServers(folder or data_directory())
    return Room(
        RoomOptions(
            wishes=PeerConfig(
                servers=(),
                role=role,
                room=room,
                resilience=resilience,
                relay=relay,
                give_up=give_up,
                buffer=DelayBounds() if buffer is None else DelayBounds(*buffer),
                only=frozenset(only),
                interfaces=InterfacePreference.parse(prefer, avoid),
            ),
            pins=choose_pins(_listed(intermediate), _listed(pin), known_servers),
            known_servers=known_servers,
            identity=identity or Identity.generate(),
            audio=audio or NoAudio(),
            timeout=timeout,
            on_event=on_event or (lambda entry: None),  # noqa: ARG005
        )
    )


class Room:
    """One peer in one room. Made by `join`; one use only."""

    def __init__(self, options: RoomOptions) -> None:
        self.peer_id = options.identity.peer_id
        """Your own id, as the other members see it."""
        self._options = options
        self._events = EventQueues()
        self._members: dict[str, str] = {}
        self._connections: dict[str, Connection] = {}
        self._unaccepted: deque[Connection] = deque()
        self._changed = Change()
        self._registered = False
        self._fault = ""  # what went wrong last, in a sentence
        self._over: str | None = None
        self._has_left = False
        self._resilience = options.wishes.resilience
        self._driver: Driver | None = None
        self._servers: dict[str, str] = {}  # by address, as they were named
        self._close_monitor: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Room:
        try:
            await self.start()
            async with asyncio.timeout(self._options.timeout):
                await self._wait_for(lambda: self._registered)
        except TimeoutError:
            await self.leave("the server did not answer")
            raise NotReachedError(
                self._fault
                or f"The server at {' or '.join(self._options.pins)} did not answer within "
                f"{self._options.timeout:g} s. Is it running, and does a firewall let UDP through?"
            ) from None
        except BaseException:
            await self.leave("joining failed")
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.leave()

    async def start(self) -> None:
        """Begin to join, and wait for nothing; `async with` does so and waits for the server.

        Raises:
            UsageError: the server's name cannot be found.
            RuntimeError: this room was joined before.
        """
        if self._driver is not None:
            raise RuntimeError("a room is joined once: call join again for another")
        options = self._options
        servers = await asyncio.to_thread(find_servers, options.pins, resolve)
        self._servers = {str(server.address): name for name, server in servers.items()}
        config = dataclasses.replace(options.wishes, servers=tuple(servers.values()))
        self._driver = driver = Driver(self._take_entry, self._take_news)
        driver.on_finished(self._finish)
        self._session = PeerSession(config, options.identity, os.urandom)
        hosts = [each.host for server in config.servers for each in server.address.addresses]
        monitor = create_monitor(hosts, driver.follow)
        self._close_monitor = monitor.close
        driver.run(self._session, options.audio)
        monitor.start()

    # ---- who is there ------------------------------------------------------------------------

    @property
    def members(self) -> list[str]:
        """The ids of the others in the room, as far as the server told us."""
        return list(self._members)

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open."""
        return list(self._connections.values())

    async def accept(self) -> Connection:
        """The next connection with anybody; those that ended meanwhile are passed over.

        Raises:
            ConnectionLostError: the room is over.
        """
        while True:
            await self._wait_for(lambda: self._unaccepted)
            connection = self._unaccepted.popleft()
            if not connection.is_over:
                return connection

    async def connect(self, peer: str, timeout: float | None = None) -> Connection:
        """The connection with this peer, as soon as there is one.

        Raises:
            NotReachedError: there is none within `timeout` seconds.
            ConnectionLostError: the room is over.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._wait_for(lambda: peer in self._connections)
        except TimeoutError:
            where = (
                "is in the room, but was not reached" if peer in self._members else "did not come"
            )
            raise NotReachedError(f"The peer {peer} {where} within {timeout:g} s.") from None
        connection = self._connections[peer]
        if connection in self._unaccepted:
            self._unaccepted.remove(connection)
        return connection

    # ---- what is said and heard --------------------------------------------------------------

    def send_audio(self, rtp: bytes) -> None:
        """Send one RTP packet, a frame of 20 ms, to everybody who listens; 50 of them a second."""
        if self._driver is not None:
            self._driver.feed(MediaPacketReady(rtp))

    @property
    def resilience(self) -> Resilience:
        """In which manner frames and datagrams are duplicated; may be set at any time."""
        return self._resilience

    @resilience.setter
    def resilience(self, resilience: Resilience) -> None:
        self._resilience = resilience
        if self._driver is not None:
            self._driver.feed(ResilienceChosen(resilience))

    def events(self, *kinds: type[R]) -> EventQueue[R]:
        """What happens from now on, of these kinds or of all, see `events`; ends with the room."""
        return self._events.follow(*kinds)

    # ---- the end -----------------------------------------------------------------------------

    async def leave(self, reason: str = "left") -> None:
        """Say goodbye to everybody and leave; within half a second, whatever the network does."""
        if self._driver is None or self._has_left:
            return
        self._has_left = True
        try:
            self._driver.hang_up(reason)
            await self._driver.wait_until_over()
        finally:
            self._close_monitor()
            self._driver.close()

    def hang_up(self, reason: str) -> None:
        """Begin to leave; `wait_closed` returns when that is done."""
        if self._driver is not None:
            self._driver.hang_up(reason)

    async def wait_closed(self) -> str:
        """Why the room is over, once it is.

        Raises:
            P2PQuicError: it ended because something failed; says what.
        """
        if self._driver is None:
            raise RuntimeError(NOT_JOINED)
        finish = await self._driver.wait_until_finished()
        if finish.failed:
            raise ConnectionLostError(finish.reason)
        return finish.reason

    def fail(self, error: BaseException) -> None:
        """End at once: `wait_closed` raises this."""
        if self._driver is not None:
            self._driver.fail(error)

    # ---- what the session tells --------------------------------------------------------------

    def _take_entry(self, entry: Entry) -> None:
        record = entry.record
        match record:
            case Registered():
                self._registered = True
            case Failed(message):
                self._fault = message
            case MemberJoined(peer, role):
                self._members[peer] = role
            case MemberLeft(peer):
                self._members.pop(peer, None)
            case Connected(remote):
                self._begin(remote)
            case ServerTrusted(address, fingerprint):
                self._trust(address, fingerprint, entry.t)
        remote = getattr(record, "remote", "")
        if remote in self._connections:  # after it was begun
            self._connections[remote]._take_record(record)
            if isinstance(record, Closed):
                del self._connections[remote]
        self._events.put(record)
        self._changed.tell()
        self._options.on_event(entry)

    def _begin(self, remote: str) -> None:
        call = self._session.call(remote)
        assert call is not None, "a call that tells of its beginning exists"
        connection = Connection(remote, call, self._ask)
        self._connections[remote] = connection
        self._unaccepted.append(connection)

    def _take_news(self, remote: str, news: News) -> None:
        if remote in self._connections:
            self._connections[remote]._take_news(news)

    def _finish(self, reason: str) -> None:
        """The session came to its end, or to grief."""
        self._over = reason
        for connection in self._connections.values():
            connection._take_record(Closed(reason, connection.peer))
        self._connections.clear()
        self._events.close()
        self._changed.tell()

    # ---- our own parts -----------------------------------------------------------------------

    def _ask(self, remote: str, request: Request) -> None:
        if self._driver is not None:
            self._driver.feed(Requested(remote, request))

    async def _wait_for(self, is_there: Callable[[], object]) -> None:
        if self._driver is None:
            raise RuntimeError(NOT_JOINED)
        await self._changed.wait_for(is_there, self._check)

    def _check(self) -> None:
        if self._over is not None:
            raise ConnectionLostError(f"The room is over: {self._over}")

    def _trust(self, address: str, fingerprint: str, now: float) -> None:
        """Remember the key of a server met for the first time; a full disk ends nothing."""
        try:
            self._options.known_servers.trust(self._servers[address], fingerprint)
        except OtherKeyError as error:
            self.fail(error)
        except UsageError as error:
            self._take_entry(Entry(now, Failed(f"{error} Nothing is remembered of this.")))
