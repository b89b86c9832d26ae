"""The call with one other peer: one end-to-end connection from the first packet to the last.

    frames --> PairSending --+                       +-- DirectPaths (sockets, punching)
                             +-- MultipathConnection +
    frames <-- PairMedia   --+                       +-- RelayRoute  (one relay path)

After anything that may matter (a socket came or went, a path answered, the other end chose)
`_choose` asks the one rule in `core.selector`. A change of path is the next packet taking another
way, and sending again, newest first, what may have died on the way before. Whether the selected
path still lives `_watch` asks after everything that came or should have come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from p2pquic.core.actions import Action, SendDatagram
from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.events import Resilience
from p2pquic.core.frames import FRAME_CADENCE
from p2pquic.core.path import DirectPath, PathAddress, RelayPath
from p2pquic.core.selector import choose
from p2pquic.quic import events
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.connection import TIMER_SLACK, MultipathConnection
from p2pquic.quic.identity import Identity, peer_id
from p2pquic.quic.packets import destination_connection_id, opens_connection
from p2pquic.session.direct_paths import DirectPaths
from p2pquic.session.pair_config import PairConfig
from p2pquic.session.pair_liveness import Health, PairLiveness
from p2pquic.session.pair_media import PairMedia
from p2pquic.session.pair_paths import PairPaths
from p2pquic.session.pair_sending import PairSending
from p2pquic.session.pair_trace import PairTrace
from p2pquic.session.relay_route import RelayRoute
from p2pquic.wire.punch import PunchRequest, PunchResponse
from p2pquic.wire.signaling import RelayOpened

PEER_ALPN = "p2pquic/1"
PUNCH_LABEL = b"EXPORTER-p2pquic-punch"  # RFC 8446 section 7.5
PUNCH_KEY_SIZE = 32  # bytes
OWN_NEWS = FRAME_CADENCE  # seconds that the kernel's word of a new address may take; as below
SLOW_NEWS = 0.1  # seconds that word of a move may take; a frame too many is better than one lost
STATISTICS_INTERVAL = 1.0  # seconds


class PairSession:
    """One call. After any method: `flush` what is ready, then `drain` what was ordered."""

    def __init__(
        self, config: PairConfig, identity: Identity, entropy: Callable[[int], bytes], now: float
    ) -> None:
        self.config = config
        self.remote = config.other.peer
        self._actions: list[Action] = []
        self.is_connected = False
        self.is_over = False
        self._identity = identity
        self._connection: MultipathConnection | None = None
        self._direct = DirectPaths(config.me, self.remote, entropy)
        self._relay = RelayRoute(config.server)
        self._paths = PairPaths(self._direct, self._relay)
        self._liveness = PairLiveness()
        self._trace = PairTrace(self.remote, self._actions)
        self._media = PairMedia(self.remote, plays=config.receives, actions=self._actions)
        self._sending = PairSending(self._media, self._paths, self._trace, config.resilience, now)
        self._began_at = now
        self._back_at: float | None = None  # since when a path is possible again, none chosen yet
        self._statistics_at: float | None = None

    def drain(self) -> list[Action]:
        """What was ordered since the last call."""
        ordered = list(self._actions)
        self._actions.clear()
        return ordered

    @property
    def resilience(self) -> Resilience:
        """How frames are duplicated from now on."""
        return self._sending.resilience

    @resilience.setter
    def resilience(self, resilience: Resilience) -> None:
        self._sending.resilience = resilience

    # ---- what happens ------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When to call `tick`."""
        times = [self._direct.deadline, self._media.deadline]
        if self._connection is not None:
            times.append(self._give_up_at(self._connection))
            if self._paths.has_way_out(self._connection.selected):
                timer = self._connection.get_timer()
                times += [self._statistics_at, None if timer is None else timer + TIMER_SLACK]
                times.append(self._sending.deadline)
                times.append(self._watch_at)
        return min((time for time in times if time is not None), default=None)

    def owns(self, connection_id: bytes) -> bool:
        """Whether a packet to this connection id is of this call."""
        return self._connection is not None and self._connection.owns(connection_id)

    @property
    def relay_session(self) -> bytes | None:
        """The id that relay frames of this call carry."""
        return self._relay.session

    def expects(self, local: LocalSocket, remote: SocketAddress) -> bool:
        """Whether a connection may be opened to us from this address, beside the relay."""
        return (
            self.config.relay == "never"
            and self._connection is None
            and self._direct.knows(local, remote)
        )

    def set_sockets(
        self, sockets: Sequence[LocalSocket], relay_local: LocalSocket | None, now: float
    ) -> None:
        """These are our sockets, and this is the one the server hears us on."""
        relay_moved = self._relay.move(relay_local)
        if tuple(sockets) == self._paths.sockets and not relay_moved:
            return
        self._paths.sockets = tuple(sockets)
        self._trace.relay_local = relay_local
        if self.config.relay != "only":
            self._direct.set_sockets(sockets, now)
        self._begin(now)
        if self._connection is None or not self._connection.is_confirmed:
            return
        in_use = self._connection.selected
        leg_moved = relay_moved and in_use == self._relay.path
        if leg_moved or not self._paths.has_way_out(in_use):
            self._back_at = now
            self._try_blindly(now)
        if relay_moved and relay_local is not None:
            self._move_relay(now)
        else:
            self._choose(now)
        self._close_dead_paths(now)
        self._actions += self._direct.punch(now)

    def open_relay(self, message: RelayOpened, now: float) -> None:
        """The server opened a relay session for this call: begin."""
        if self.config.relay == "never" or self._connection is not None:
            return
        self._relay.open(message)
        self._begin(now)

    def set_candidates(self, round_: int, remotes: Sequence[SocketAddress], now: float) -> None:
        """The other end says, or the server saw, where it may be reached."""
        if self.config.relay != "only":
            self._direct.set_candidates(round_, remotes, now)

    def use_punch_key(self, key: bytes) -> None:
        """Punch before there is a connection to take the key from (`--relay never`)."""
        self._direct.key = key

    def on_relay_frame(self, local: LocalSocket, data: bytes, now: float) -> None:
        """A relay frame of our session arrived.

        Raises:
            ProtocolError: it is not to be believed.
        """
        packet, replies = self._relay.receive(local, data, now)
        self._actions += replies
        if packet is not None and self._relay.path is not None:
            self.on_quic(self._relay.path, packet, now)

    def on_quic(self, path: PathAddress, data: bytes, now: float) -> None:
        """A QUIC packet of this call arrived by a path."""
        if isinstance(path, DirectPath) and self.config.relay == "only":
            return
        connection = self._connection
        if connection is None:
            connection_id = destination_connection_id(data)
            if self.config.is_client or connection_id is None or not opens_connection(data):
                return
            connection = self._new_connection(connection_id)
        connection.receive_datagram(data, path, now)
        if connection.selected is None:
            return  # it only looked like the beginning of a handshake
        if self._connection is None:
            self._connection, self._began_at = connection, now
        self._react(now)

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
        sends, proven = self._direct.on_punch(local, remote, punch, now)
        self._actions += sends
        if proven is None:
            return
        path, rtt = proven
        if self._connection is None:
            if self.config.is_client:
                self._connect(path, now)
        elif (
            self._connection.is_confirmed
            and not self._connection.is_validated(path)
            and self._direct.open(self._connection, path, rtt, now)
        ):
            self._trace.validated(path, rtt)
            self._choose(now)

    def on_frame(self, seq: int, rtp: bytes, now: float) -> None:
        """Our source produced a frame that the other end should hear."""
        frame = self._media.add(seq, rtp, now)
        if not self.is_connected or self._connection is None:
            return
        selected = self._connection.selected
        if selected is None or not self._paths.has_way_out(selected):
            self._media.note_unsent(frame)
            return
        self._sending.send_new(self._connection, frame, now)

    def tick(self, now: float) -> None:
        """The deadline has come."""
        self._media.tick(now)
        self._actions += self._direct.punch(now)
        connection = self._connection
        if connection is None:
            return
        if now >= self._give_up_at(connection):
            self._end(f"nothing heard for {self.config.give_up:.0f} s")
            return
        for path in self._direct.tick(connection, now):
            self._trace.abandoned(path, "it never answered")
        if not self._paths.has_way_out(connection.selected):
            return
        if (due := self._sending.deadline) is not None and now >= due:
            self._sending.tick(connection, now)
        timer = connection.get_timer()
        if timer is not None and now >= timer:
            connection.handle_timer(now)
        if self._statistics_at is not None and now >= self._statistics_at:
            self._statistics_at = now + STATISTICS_INTERVAL
            if connection.selected is not None:
                rtt = connection.rtt(connection.selected)
                self._trace.statistics(connection.selected, rtt)
            self._choose(now)
        self._react(now)

    def flush(self, now: float) -> list[SendDatagram]:
        """The packets that are ready, if any way out exists."""
        connection = self._connection
        if connection is None or not self._paths.has_way_out(connection.selected):
            return []
        hot, doubtful = self.resilience == "hot", self.is_doubtful
        self._relay.use(self._paths.legs(connection.selected, hot=hot, doubtful=doubtful))
        sends: list[SendDatagram] = []
        for data, path in connection.datagrams_to_send(now):
            if isinstance(path, DirectPath):
                if path.local in self._paths.sockets:
                    sends.append(SendDatagram(path.local, path.remote, data))
            else:
                sends += self._relay.wrap(data)
        return sends

    def close(self, reason: str) -> None:
        """Say goodbye."""
        if self._connection is not None and not self.is_over:
            self._connection.close(reason_phrase=reason)
            self._end(reason)

    # ---- the connection ----------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        """Through the relay: the client connects, the server shows where it is to be found."""
        if self._connection is not None or not self._relay.is_ready:
            return
        if self.config.is_client and self._relay.path is not None:
            self._connect(self._relay.path, now)
        else:
            self._actions += self._relay.announce()

    def _connect(self, path: PathAddress, now: float) -> None:
        self._connection, self._began_at = self._new_connection(None), now
        self._connection.connect(path, now)

    def _new_connection(self, original_destination: bytes | None) -> MultipathConnection:
        config = ConnectionConfig(
            self._identity, lambda key_hash: peer_id(key_hash) == self.remote, PEER_ALPN
        )
        return MultipathConnection(config, original_destination)

    def _react(self, now: float) -> None:
        """Deal with what the connection has to tell."""
        assert self._connection is not None
        for event in self._connection.poll():
            match event:
                case events.HandshakeConfirmed():
                    self._on_confirmed(self._connection, now)
                case events.DatagramArrived(path, data):
                    self._media.on_datagram(data, self._trace.name(path), now)
                case events.DatagramAcknowledged(_, seq):
                    self._trace.count(lost=False)
                    self._media.acknowledge(seq)
                case events.DatagramLost(_, seq):
                    self._trace.count(lost=True)
                    self._sending.send_lost(self._connection, seq, now)
                case events.StreamData(data=data, ended=ended):
                    self._media.on_description(data, ended=ended, now=now)
                case events.Terminated(error_code, reason):
                    self._end(reason or ("goodbye" if not error_code else f"error {error_code:#x}"))
                    return
                case _:
                    self._on_path_event(event, now)
        self._watch(now)

    def _on_path_event(self, event: events.ConnectionEvent, now: float) -> None:
        match event:
            case events.PathOpened(DirectPath() as path):
                self._direct.watch(path, now)
            case events.PathValidated(path, rtt):
                self._trace.validated(path, rtt)
                if isinstance(path, DirectPath):
                    self._direct.proved(path)
                self._choose(now)
            case events.PathMoved(DirectPath() as old, DirectPath() as new):
                self._trace.abandoned(old, f"it goes on as {new}")
                self._direct.last_remote = new.remote
                self._direct.renamed(old, new, now)
                if self._connection is not None and self._connection.selected == new:
                    self._trace.selected(new, "the other end's NAT gave it another address")
                    self._after_change(old, new, back=now - SLOW_NEWS, now=now)
            case events.PathRetired(path):
                if isinstance(path, DirectPath):
                    self._direct.forget(path, now)
                self._trace.abandoned(path, "the other end gave it up")
                self._choose(now)
            case events.PathFollowed(path, before):
                self._on_followed(path, before, now)

    def _on_confirmed(self, connection: MultipathConnection, now: float) -> None:
        self.is_connected = True
        self._statistics_at = now + STATISTICS_INTERVAL
        connection.acknowledge_within(FRAME_CADENCE if self.config.sends else 0.0)
        self._direct.key = connection.export(PUNCH_LABEL, PUNCH_KEY_SIZE)
        path = connection.selected
        assert path is not None
        self._trace.connected(connection, path)
        self._trace.selected(path, "the first path")
        if self.config.relay != "only":
            self._direct.set_sockets(self._paths.sockets, now)
            self._actions += self._direct.punch(now)

    def _end(self, reason: str) -> None:
        self._media.finish()
        self._trace.closed(reason)
        self.is_over = True
        self.is_connected = False

    # ---- paths -------------------------------------------------------------------------------

    def _give_up_at(self, connection: MultipathConnection) -> float:
        return max(self._began_at, connection.heard_at) + self.config.give_up

    def _choose(self, now: float) -> None:
        """Apply the rule; change the path if it says so."""
        connection = self._connection
        assert connection is not None
        candidates = self._paths.candidates(connection, self._liveness.doubted_since)
        choice = choose(connection.selected, candidates, leads=self.config.is_client)
        if choice is not None:
            self._change(choice.path, choice.reason, now)

    def _change(self, path: PathAddress, reason: str, now: float) -> None:
        """Take this path from the next packet on, and tell the other end."""
        assert self._connection is not None
        before = self._connection.selected
        if self._connection.select(path):
            self._trace.selected(path, reason)
            back, self._back_at = self._back_at or now, None
            self._after_change(before, path, back=back - OWN_NEWS, now=now)

    def _on_followed(self, path: PathAddress, before: PathAddress, now: float) -> None:
        """The other end chose. If our half of its choice is gone, answer with one of ours."""
        assert self._connection is not None
        if path not in self._connection.paths:
            return  # it has moved or been given up since; another event says so
        self._trace.selected(path, "the other end chose it")
        news = max(SLOW_NEWS, self._connection.rtt(path) or 0.0)
        self._after_change(before, path, back=now - news, now=now)
        if not self._paths.has_way_out(path):
            self._choose(now)

    def _after_change(
        self, before: PathAddress | None, path: PathAddress, *, back: float, now: float
    ) -> None:
        """Send again what may have died on the path before; the new one works since `back`.

        A change from the relay to a direct path is for the better: the relay still delivers. The
        same direct path again is two ends of one mind; the relay again is another leg of it.
        """
        nothing_died = isinstance(path, DirectPath) and (
            before == path or isinstance(before, RelayPath)
        )
        assert self._connection is not None
        self._liveness.chosen(now)
        self._sending.end_doubt()
        self._close_dead_paths(now)
        if not nothing_died and self._paths.has_way_out(path):
            self._sending.send_again(self._connection, path, back, now)

    @property
    def is_doubtful(self) -> bool:
        """Whether the network may have changed without a word."""
        return self._liveness.health is not Health.LIVES

    @property
    def _hears_cadence(self) -> bool:
        return self.config.receives and self._media.hears

    @property
    def _watch_at(self) -> float | None:
        if self._connection is None or not self.is_connected:
            return None
        due = self._liveness.deadline(self._connection, cadence=self._hears_cadence)
        return None if due == math.inf else due

    def _watch(self, now: float) -> None:
        """Judge whether the selected path lives, and draw the consequences."""
        connection = self._connection
        if connection is None or not self.is_connected:
            return
        selected = connection.selected
        if selected is None or not self._paths.has_way_out(selected):
            return
        turned = self._liveness.look(connection, now, cadence=self._hears_cadence)
        match self._liveness.health:
            case Health.LIVES if turned:
                self._sending.end_doubt()
            case Health.DOUBTED if turned:
                self._trace.suspected(selected, self._liveness.reason)
                self._relay.doubt(now)
                self._sending.begin_doubt(connection, now)
            case Health.LASTING if turned:
                for path in connection.paths:
                    connection.challenge(path)
            case Health.DEAD:
                self._bury(connection, selected, now)

    def _bury(self, connection: MultipathConnection, path: PathAddress, now: float) -> None:
        """Leave a path that is dead, if another one is known to live."""
        candidates = self._paths.candidates(connection, self._liveness.doubted_since)
        others = [candidate for candidate in candidates if candidate.path != path]
        choice = choose(path, others, leads=self.config.is_client)
        if choice is None:
            return
        if isinstance(path, DirectPath):
            connection.doubt(path)
            self._direct.doubted(path, now)
        self._change(choice.path, "nothing comes through the path before", now)

    def _move_relay(self, now: float) -> None:
        """The server hears us elsewhere: measure that, padded to 1200 bytes, and say so.

        On an unproved leg the server may send us no more than three times what it got.
        """
        assert self._connection is not None
        if self._relay.path in self._connection.paths:
            self._connection.challenge(self._relay.path)
        before = self._connection.selected
        self._choose(now)
        if before is not None and before == self._relay.path == self._connection.selected:
            self._change(before, "the relay hears us elsewhere", now)

    def _close_dead_paths(self, now: float) -> None:
        """Give up every path whose socket is gone, so that its connection ids come free."""
        assert self._connection is not None
        for path in self._connection.paths:
            if (
                isinstance(path, DirectPath)
                and path.local not in self._paths.sockets
                and path != self._connection.selected
            ):
                self._connection.close_path(path, now)
                self._direct.forget(path, now)
                self._trace.abandoned(path, "its address is gone")

    def _try_blindly(self, now: float) -> None:
        """From a new address, straight to where the other end was last reached, before any punch.

        It gets through where the other end is public; elsewhere its NAT drops it.
        """
        assert self._connection is not None
        remote = self._direct.last_remote
        if remote is None or self.config.relay == "only":
            return
        for socket in self._paths.sockets:
            path = DirectPath(socket, remote)
            if socket.family == remote.family and path not in self._connection.paths:
                self._direct.open(self._connection, path, None, now, urgent=True)
