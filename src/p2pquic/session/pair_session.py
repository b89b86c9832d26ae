"""The call with one other peer: one end-to-end connection from the first packet to the last.

    sockets, punches --> DirectPaths --+     PairOpening: how it begins
    relay frames ------> RelayRoutes --+--> MultipathConnection <--> PathManager: which path
    audio, application -> PairContent -+                             PairSending: which copies

It hands everything that arrives to whom it concerns, and gathers what is to be sent. How the
connection comes about is the business of `pair_opening`, which path it takes of `path_manager`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from p2pquic.core import application
from p2pquic.core.actions import Action, SendDatagram
from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.call_state import Path, Statistics
from p2pquic.core.deadlines import earliest
from p2pquic.core.events import Resilience
from p2pquic.core.frames import FRAME_CADENCE
from p2pquic.core.path import DirectPath, PathAddress
from p2pquic.quic import events
from p2pquic.quic.connection import TIMER_SLACK, MultipathConnection
from p2pquic.quic.identity import Identity
from p2pquic.session.direct_paths import DirectPaths
from p2pquic.session.pair_config import PairConfig
from p2pquic.session.pair_content import PairContent
from p2pquic.session.pair_opening import PairOpening
from p2pquic.session.pair_paths import PairPaths
from p2pquic.session.pair_trace import PairTrace
from p2pquic.session.path_manager import PathManager
from p2pquic.session.relay_route import Hearing
from p2pquic.session.relay_routes import RelayRoutes
from p2pquic.wire.punch import PunchRequest, PunchResponse
from p2pquic.wire.signaling import RelayOpened

PUNCH_LABEL = b"EXPORTER-p2pquic-punch"  # RFC 8446 section 7.5
PUNCH_KEY_SIZE = 32  # bytes
STATISTICS_INTERVAL = 1.0  # seconds


class PairSession:
    """One call. After any method: `flush` what is ready, then `drain` what was ordered."""

    def __init__(
        self, config: PairConfig, identity: Identity, entropy: Callable[[int], bytes], now: float
    ) -> None:
        self.config = config
        self.remote = config.other.peer
        self._actions: list[Action] = []
        self.is_over = False
        self.gave_up = False  # it is over since nothing was heard for too long
        self.introduced_by: set[ServerAddress] = set()  # the servers that opened sessions for it
        self._direct = DirectPaths(config.me, self.remote, entropy)
        self._relays = RelayRoutes(config.servers)
        self._opening = PairOpening(config, identity, self._relays, now)
        self._paths = PairPaths(self._relays, config.interfaces)
        self._trace = PairTrace(self.remote, self._relays, self._actions)
        self._content = PairContent(config, self._trace, self._actions)
        self._doubt_told: float | None = None  # that `has_new_doubt` spoke of last
        self._manager: PathManager | None = None  # from the moment both ends are authenticated
        self._statistics_at = now
        self._is_at_rest = False  # nothing has happened since the last flush
        self._deadline: float | None = None
        self._deadline_is_known = False

    def drain(self) -> list[Action]:
        """What was ordered since the last call."""
        ordered = list(self._actions)
        self._actions.clear()
        return ordered

    @property
    def _connection(self) -> MultipathConnection | None:
        return self._opening.connection

    @property
    def is_connected(self) -> bool:
        """Whether both ends are authenticated, and the call is not over."""
        return self._manager is not None and not self.is_over

    @property
    def doubted_since(self) -> float | None:
        """Since when the network may have changed without a word; None while all is well."""
        return None if self._manager is None else self._manager.doubted_since

    @property
    def interface(self) -> str:
        """The interface that the call leaves by; of several relay legs the preferred one."""
        return "" if self._manager is None else self._paths.interface_of(self._manager.selected)

    def has_new_doubt(self) -> bool:
        """Whether the call is in doubt, and was not in this one at the last call."""
        before, self._doubt_told = self._doubt_told, self.doubted_since
        return self._doubt_told not in (None, before)

    def choose_resilience(self, resilience: Resilience) -> None:
        """Duplicate frames in this manner from now on."""
        self._stir()
        self.config = dataclasses.replace(self.config, resilience=resilience)
        if self._manager is not None:
            self._manager.sending.resilience = resilience

    def paths(self) -> list[Path]:
        """Every open path; none before both ends are authenticated."""
        return [] if self._manager is None else self._manager.paths()

    def statistics(self) -> Statistics:
        """What came of it so far."""
        rtt = None
        if self._connection is not None and self._manager is not None:
            rtt = self._connection.rtt(self._manager.selected)
        return self._content.statistics(rtt)

    # ---- what happens ------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When to call `tick`."""
        if not self._deadline_is_known:
            self._deadline, self._deadline_is_known = self._find_deadline(), True
        return self._deadline

    def _find_deadline(self) -> float | None:
        times = [self._direct.deadline, self._content.media.deadline]
        if self._manager is None:
            times.append(self._opening.deadline)
        if self._connection is not None:
            times.append(self._opening.patience_ends_at)
            if self._paths.has_way_out(self._connection.selected):
                timer = self._connection.get_timer()
                times.append(None if timer is None else timer + TIMER_SLACK)
                if self._manager is not None:
                    times += [self._statistics_at, self._manager.deadline, self._relays.deadline]
        return earliest(times)

    def owns(self, connection_id: bytes) -> bool:
        """Whether a packet to this connection id is of this call."""
        return self._connection is not None and self._connection.owns(connection_id)

    def has_relay(self, remote: SocketAddress, session: bytes) -> bool:
        """Whether relay frames of this call carry this id when they come from this address."""
        route = self._relays.heard_from(remote)
        return route is not None and route.session == session

    def expects(self, local: LocalSocket, remote: SocketAddress) -> bool:
        """Whether a connection may be opened to us from this address, beside the relay."""
        return (
            self.config.relay == "never"
            and self._connection is None
            and self._direct.knows(local, remote)
        )

    def set_sockets(
        self,
        sockets: Sequence[LocalSocket],
        hearings: Mapping[ServerAddress, Hearing],
        now: float,
    ) -> None:
        """These are our sockets, and so the servers hear us."""
        moved = self._relays.follow(hearings)
        self._deadline_is_known = False  # a relay may be due to be asked
        if tuple(sockets) == self._paths.sockets and not moved:
            return
        self._stir()
        self._paths.use(sockets, now)
        if self.config.relay != "only":
            self._direct.set_sockets(sockets, now)
        self._actions += self._opening.try_relays(now)
        if self._manager is None:
            return
        self._manager.on_sockets(moved, now)
        self._show_legs()  # punches are due at once, but a breath after the audio

    def open_relay(self, server: ServerAddress, message: RelayOpened, now: float) -> None:
        """A server opened a relay session for this call: begin, or let it stand by."""
        self.introduced_by.add(server)
        route = self._relays.at(server)
        if route is None or self.config.relay == "never":
            return
        if self._connection is None or route.session is None:
            self._stir()
            route.open(message)
            self._actions += self._opening.try_relays(now)
            if self._manager is not None:
                self._show_legs()

    def set_candidates(self, round_: int, remotes: Sequence[SocketAddress], now: float) -> None:
        """The other end says, or the server saw, where it may be reached."""
        if self.config.relay != "only":
            self._stir()
            self._direct.set_candidates(round_, remotes, now)

    def use_punch_key(self, key: bytes) -> None:
        """Punch before there is a connection to take the key from (`--relay never`)."""
        self._stir()
        self._direct.key = key

    def on_relay_frame(
        self, local: LocalSocket, remote: SocketAddress, data: bytes, now: float
    ) -> None:
        """A relay frame of our session at the server of this address arrived.

        Raises:
            ProtocolError: it is not to be believed.
        """
        route = self._relays.heard_from(remote)
        assert route is not None, "the caller asked `has_relay`"
        self._stir()
        packet, replies = route.receive(local, data, now)
        self._actions += replies
        if packet is not None and route.path is not None:
            self.on_quic(route.path, packet, now)

    def on_quic(self, path: PathAddress, data: bytes, now: float) -> None:
        """A QUIC packet of this call arrived by a path."""
        if isinstance(path, DirectPath) and self.config.relay == "only":
            return
        self._stir()
        if self._connection is None:
            self._opening.accept(path, data, now)
        else:
            self._connection.receive_datagram(data, path, now)
        if self._connection is not None:
            self._react(self._connection, now)

    def on_punch(
        self,
        local: LocalSocket,
        remote: SocketAddress,
        punch: PunchRequest | PunchResponse,
        now: float,
    ) -> None:
        """A punch arrived."""
        if local not in self._paths.sockets or self.config.relay == "only":
            return
        self._stir()
        sends, proven = self._direct.on_punch(local, remote, punch, now)
        self._actions += sends
        if proven is None:
            return
        path, rtt = proven
        if self._connection is None:
            self._opening.connect(path, now)
        elif self._manager is not None:
            self._manager.on_punched(path, rtt, now)

    def on_frame(self, seq: int, rtp: bytes, now: float) -> None:
        """Our source produced a frame that the other end should hear."""
        self._stir()
        frame = self._content.media.add(seq, rtp, now)
        if self._manager is not None and not self._manager.send_new(frame, now):
            self._content.media.note_unsent(frame)

    def on_resumed(self, now: float) -> None:
        """The machine slept, and is awake again."""
        if self._manager is not None and not self.is_over:
            self._stir()
            self._manager.on_resumed(now)

    def on_request(self, request: application.Request, now: float) -> None:
        """The application wants something of this call; before it is connected, nothing can be."""
        connection, manager = self._connection, self._manager
        if connection is None or manager is None or self.is_over:
            return
        self._stir()
        match request:
            case application.SendDatagram(data):
                manager.send_new(self._content.datagrams.add(data, now), now)
            case application.PinPath(path):
                manager.pin(path, now)
            case application.ProbePath(path):
                manager.probe(path)
            case application.EndCall(reason):
                self.close(reason)
            case _:
                self._content.on_request(request, connection)

    def tick(self, now: float) -> None:
        """The deadline has come."""
        self._stir()
        self._content.media.tick(now)
        self._actions += self._direct.punch(now)
        connection = self._connection
        if self._manager is None:
            self._actions += self._opening.tick(now)
        if connection is None:
            return
        if now >= self._opening.patience_ends_at:
            self.gave_up = True
            self._end(f"nothing heard for {self.config.give_up:.0f} s")
            return
        in_need = self._manager is not None and self._manager.in_need
        for path in self._direct.tick(connection, in_need=in_need, now=now):
            self._trace.abandoned(path, "it never answered")
        if not self._paths.has_way_out(connection.selected):
            return
        if self._manager is not None:
            self._manager.tick(now)
            self._relays.keep(connection, now)
        timer = connection.get_timer()
        if timer is not None and now >= timer:
            connection.handle_timer(now)
        if self._manager is not None and now >= self._statistics_at:
            self._statistics_at = now + STATISTICS_INTERVAL
            selected = self._manager.selected
            self._trace.statistics(selected, connection.rtt(selected))
            self._manager.choose(now)
        self._react(connection, now)

    def flush(self, now: float) -> list[SendDatagram]:
        """The packets that are ready, if any way out exists."""
        connection = self._connection
        if self._is_at_rest:
            return []
        self._is_at_rest, self._deadline_is_known = True, False
        if connection is None or not self._paths.has_way_out(connection.selected):
            return []
        hot, doubted = self.config.resilience == "hot", self.doubted_since is not None
        self._paths.choose_legs(connection, hot=hot, doubted=doubted, now=now)
        sends: list[SendDatagram] = []
        for data, path in connection.datagrams_to_send(now):
            if isinstance(path, DirectPath):
                if path.local in self._paths.sockets:
                    sends.append(SendDatagram(path.local, path.remote, data))
            else:
                sends += self._relays.of(path).wrap(data)
        return sends

    def close(self, reason: str) -> None:
        """Say goodbye."""
        self._stir()
        if self._connection is not None and not self.is_over:
            self._connection.close(reason_phrase=reason)
            self._end(reason)

    def _stir(self) -> None:
        """Something happens: until then, a call of a room with many costs next to nothing."""
        self._is_at_rest = self._deadline_is_known = False

    # ---- the connection ----------------------------------------------------------------------

    def _react(self, connection: MultipathConnection, now: float) -> None:
        """Deal with what the connection has to tell."""
        for event in connection.poll():
            match event:
                case events.HandshakeConfirmed():
                    self._on_confirmed(connection, now)
                case events.DatagramArrived(path, data):
                    self._content.on_datagram(data, path, now)
                case events.DatagramAcknowledged(_, copy):
                    self._trace.count(lost=False)
                    self._content.flows.acknowledge(copy.frame)
                case events.DatagramLost(path, copy):
                    self._trace.count(lost=True)
                    if self._manager is not None:
                        self._manager.sending.send_lost(copy, path, now)
                case events.StreamData() | events.StreamBroken() | events.StreamRefused():
                    self._content.on_stream(event, connection, now)
                case events.Terminated(error_code, reason):
                    self._end(reason or ("goodbye" if not error_code else f"error {error_code:#x}"))
                    return
                case _:
                    if self._manager is not None:
                        self._manager.on_event(event, now)
        self._content.streams.look(connection)
        if self._manager is not None and not self.is_over:
            self._manager.watch(now)

    def _on_confirmed(self, connection: MultipathConnection, now: float) -> None:
        self._manager = PathManager(
            self.config,
            connection,
            self._direct,
            self._relays,
            self._paths,
            self._content,
            self._trace,
        )
        self._show_legs()
        self._statistics_at = now + STATISTICS_INTERVAL
        connection.acknowledge_within(FRAME_CADENCE if self.config.sends else 0.0)
        self._direct.key = connection.export(PUNCH_LABEL, PUNCH_KEY_SIZE)
        self._trace.connected(connection, self._manager.selected)
        self._trace.selected(self._manager.selected, "the first path")
        if self.config.relay != "only":
            self._direct.set_sockets(self._paths.sockets, now)
            self._actions += self._direct.punch(now)

    def _show_legs(self) -> None:
        if self.config.resilience != "lean":
            self._actions += self._paths.show_legs()

    def _end(self, reason: str) -> None:
        self._content.media.finish()
        self._trace.closed(reason)
        self.is_over = True
