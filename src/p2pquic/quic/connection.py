"""A QUIC connection over many paths, where either end may move: aioquic, extended.

The stock connection believes in one path. We let it: before it reads or writes a packet it is
shown the one path that packet belongs to, with that path's connection id, recovery state and
waiting datagrams in the places where it looks for its own.

                      receive_datagram(data, path)      datagrams_to_send()
                                |                          | once for each path
                                v                          v with something to say
    Path, Path, Path ... --- _show(path) ---> QuicConnection (stock, sees one path)

What stock QUIC decides by itself about paths (a server follows its client, a client ignores new
server addresses and jumps to any that answers) is switched off: here a path is opened, proved and
given up by whoever owns this object, and selected by PATH_SELECT (`path_select.py`).

This file does mechanism. Which path, when, and what to send again is decided above.
"""

from __future__ import annotations

import ssl
from typing import Any, Literal, cast

from aioquic import tls
from aioquic.buffer import Buffer
from aioquic.quic import events as stock
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    EPOCHS,
    QuicConnection,
    QuicConnectionError,
    QuicReceiveContext,
)
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketRecovery, QuicPacketSpace

from p2pquic.core.errors import ProtocolError
from p2pquic.core.path import DirectPath, PathAddress
from p2pquic.quic import events
from p2pquic.quic.compat import require_aioquic
from p2pquic.quic.frames import (
    OBSERVED_ADDRESS_CAPACITY,
    OBSERVED_ADDRESS_IPV4,
    OBSERVED_ADDRESS_IPV6,
    PATH_SELECT,
    PATH_SELECT_CAPACITY,
    AddressDiscovery,
    ObservedAddress,
    PathClass,
    PathSelect,
    encode_address_discovery,
    find_address_discovery,
)
from p2pquic.quic.identity import Identity
from p2pquic.quic.path_select import PathSelection
from p2pquic.quic.paths import OutgoingDatagram, Path
from p2pquic.quic.pinned_tls import AcceptsKey, PinnedContext
from p2pquic.quic.recovery import MultipathRecovery, PathRecovery

require_aioquic()

MAX_PATHS = 8  # as many as there are connection ids (active_connection_id_limit)
IDLE_TIMEOUT = 90.0  # seconds: half as long again as the time after which a call is given up
TIMER_SLACK = 1e-6  # seconds a timer fires late: sums of floats round, and a loss timer would loop
DATAGRAM_LIFETIME = 0.4  # seconds a datagram may wait for a window; older audio is stale
MAX_DATAGRAM_FRAME_SIZE = 65535  # bytes; RFC 9221 suggests "any that fits a packet"


class MultipathConnection(QuicConnection):
    """One end of a connection; sans-IO like the class it extends.

    Paths are named by `PathAddress`. Feed it with `receive_datagram` and `handle_timer`; then
    drain `poll` for what happened and `datagrams_to_send` for what to send, and ask `get_timer`.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        accepts: AcceptsKey,
        alpn: str,
        original_destination_connection_id: bytes | None = None,
        discovery: AddressDiscovery | None = None,
    ) -> None:
        is_client = original_destination_connection_id is None
        configuration = QuicConfiguration(
            alpn_protocols=[alpn],
            is_client=is_client,
            idle_timeout=IDLE_TIMEOUT,
            max_datagram_frame_size=MAX_DATAGRAM_FRAME_SIZE,
            verify_mode=ssl.CERT_NONE,  # no authorities: PinnedContext judges the key
            certificate=identity.certificate,
            private_key=identity.private_key,
        )
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_destination_connection_id,
        )
        self._accepts = accepts
        self._discovery = discovery
        self._remote_discovery: AddressDiscovery | None = None
        self._observation_sequence = 0
        self._selection = PathSelection(is_client=is_client)
        self._announce_now = False
        self._awaited_sequence: int | None = None
        self._now = 0.0
        self.heard_at = 0.0  # when the last authenticated packet came, whatever path
        self._paths: dict[PathAddress, Path] = {}
        self._selected: Path | None = None
        first = PathRecovery(
            max_datagram_size=configuration.max_datagram_size,
            send_probe=self._send_probe,
            peer_completed_address_validation=not is_client,
        )
        self._recovery = MultipathRecovery(first)
        self._loss = cast(QuicPacketRecovery, self._recovery)
        self._shown: Path | None = None
        handlers: dict[int, Any] = self._QuicConnection__frame_handlers  # type: ignore[attr-defined]
        handlers[PATH_SELECT] = (self._handle_path_select_frame, EPOCHS("1"))
        for frame_type in (OBSERVED_ADDRESS_IPV4, OBSERVED_ADDRESS_IPV6):
            handlers[frame_type] = (self._handle_observed_address_frame, EPOCHS("1"))

    # ---- paths -------------------------------------------------------------------------------

    @property
    def quic_role(self) -> Literal["client", "server"]:
        """Which end of the handshake this is; nothing else depends on it but ties."""
        return "client" if self._is_client else "server"

    @property
    def is_confirmed(self) -> bool:
        """Whether both ends are authenticated and paths may change (RFC 9000 section 9)."""
        return self._handshake_confirmed

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be sent: closing or closed."""
        return self._close_event is not None

    @property
    def selected(self) -> PathAddress | None:
        """The path on which both ends speak; None before the first packet."""
        return self._selected.addr if self._selected else None

    @property
    def paths(self) -> list[PathAddress]:
        """Every open path."""
        return list(self._paths)

    @property
    def spare_connection_ids(self) -> int:
        """How many more paths can be opened right now."""
        return len(self._peer_cid_available)

    def is_validated(self, path: PathAddress) -> bool:
        """Whether the path is open and its remote address proved."""
        return path in self._paths and self._paths[path].is_validated

    def rtt(self, path: PathAddress) -> float | None:
        """Smoothed round-trip time of an open path in seconds; None if never measured."""
        return self._paths[path].recovery.rtt if path in self._paths else None

    def connect(self, addr: PathAddress, now: float) -> None:
        """Begin the handshake (client) on the first path."""
        super().connect(addr, now)
        path = self._first_path(addr)
        path.is_validated = True
        self._show(path)

    def open_path(self, addr: PathAddress, *, proven_rtt: float | None, now: float) -> bool:
        """Open a path that signaling vouches for; `proven_rtt` if a punch proved it already.

        Returns:
            False when every connection id is in use: nothing was opened.
        """
        path = self._paths.get(addr)
        if path is None:
            if len(self._paths) >= MAX_PATHS or not self._peer_cid_available:
                return False
            path = self._new_path(addr)
            path.cid = self._peer_cid_available.pop(0)
            path.vouch()
            self._adopt(path)
        if proven_rtt is not None:
            path.is_validated = True
            path.recovery.measure(proven_rtt, now)
        return True

    def challenge(self, addr: PathAddress) -> None:
        """Send a PATH_CHALLENGE, padded to 1200 bytes, with the next packet on an open path."""
        self._paths[addr].challenge_due = True

    def close_path(self, addr: PathAddress, now: float) -> None:
        """Give a path up: its connection id is retired, what was in flight on it is lost.

        The selected path stays selected, as the last way out, until another one is selected.
        """
        path = self._paths[addr]
        if path is self._selected:
            return
        del self._paths[addr]
        if self._shown is path:
            self._show(self._selected)
        self._recovery.remove(path.recovery, now)
        if path.cid is not None:
            self._retire_peer_cid(path.cid)

    def select(self, addr: PathAddress) -> bool:
        """Speak on an open path from the next packet on, and tell the other end.

        Returns:
            False when no connection id is left to speak with on it: nothing changed.
        """
        path = self._paths[addr]
        if not self._ensure_cid(path):
            return False
        self._selected = path
        self._selection.choose()
        self._announce_now = True
        self._show(path)
        return True

    # ---- data --------------------------------------------------------------------------------

    def send_datagram(self, payload: bytes, tag: Any, path: PathAddress, now: float) -> None:
        """Queue an unreliable datagram on one path, in a packet of its own number there."""
        self._paths[path].outbox.append(OutgoingDatagram.of(payload, tag, now))

    def acknowledge_within(self, seconds: float) -> None:
        """How long an acknowledgement may wait for a datagram to ride on; 0 sends it at once."""
        self._ack_delay = seconds

    def export(self, label: bytes, length: int) -> bytes:
        """Keying material that only the two ends share (RFC 8446 section 7.5)."""
        return cast(PinnedContext, self.tls).export(label, length)

    def owns(self, connection_id: bytes) -> bool:
        """Whether packets to this connection id are ours."""
        return connection_id == self._original_destination_connection_id or any(
            own.cid == connection_id for own in self._host_cids
        )

    def poll(self) -> list[events.ConnectionEvent]:
        """What happened since the last call."""
        happened: list[events.ConnectionEvent] = []
        while (event := cast(object, self.next_event())) is not None:
            match event:
                case stock.StreamDataReceived(data=data, end_stream=end, stream_id=stream_id):
                    happened.append(events.StreamData(stream_id, data, end))
                case stock.ConnectionTerminated(error_code=code, reason_phrase=reason):
                    happened.append(events.Terminated(code, reason))
                case stock.QuicEvent():
                    pass  # connection ids, ALPN, pings: nobody above asks
                case _:
                    happened.append(cast(events.ConnectionEvent, event))
        return happened

    # ---- QuicConnection's entry points -------------------------------------------------------

    def receive_datagram(self, data: bytes, addr: PathAddress, now: float) -> None:
        path = self._paths.get(addr)
        if path is None:
            path = self._first_path(addr) if self._selected is None else self._new_path(addr)
        newest_before = self._newest_received()
        self._show(path)
        super().receive_datagram(data, addr, now)
        if path.addr not in self._paths and self._newest_received() > newest_before:
            self._follow_remapped(path, len(data))
        self._show(self._selected)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, PathAddress]]:
        ready: list[tuple[bytes, PathAddress]] = []
        if self._selected is None:
            return ready
        others = [
            path
            for path in self._paths.values()
            if path is not self._selected and path.has_something_to_say
        ]
        for path in [self._selected, *(others if self._handshake_confirmed else [])]:
            if self._ensure_cid(path):
                path.drop_stale(now, DATAGRAM_LIFETIME)
                self._show(path)
                ready += super().datagrams_to_send(now)
        self._show(self._selected)
        return ready

    # ---- overridden internals ----------------------------------------------------------------

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        self.tls = PinnedContext.adopt(self.tls, self._accepts)

    def _confirm_handshake(self) -> None:
        super()._confirm_handshake()
        key_hash = cast(PinnedContext, self.tls).peer_key_hash
        assert key_hash is not None, "TLS finished without the other end's certificate"
        self._tell(events.HandshakeConfirmed(key_hash))
        for path in self._paths.values():
            path.observation_due = self._must_observe(path)

    def _find_network_path(self, addr: PathAddress) -> Path:
        assert self._shown is not None
        assert self._shown.addr == addr
        return self._shown

    def _payload_received(
        self, context: QuicReceiveContext, plain: bytes, crypto_frame_required: bool = False
    ) -> tuple[bool, bool]:
        path = cast(Path, context.network_path)
        self.heard_at = context.time
        if context.epoch == tls.Epoch.ONE_RTT:
            path.host_sequence = next(
                own.sequence_number for own in self._host_cids if own.cid == context.host_cid
            )
        self._welcome(path)
        ack_eliciting, _ = super()._payload_received(context, plain, crypto_frame_required)
        return ack_eliciting, True  # "only probing": stock then decides nothing about paths

    def _handle_path_response_frame(
        self,
        context: QuicReceiveContext,
        frame_type: int,  # noqa: ARG002
        buf: Buffer,
    ) -> None:
        answer = buf.pull_bytes(8)
        for path in self._paths.values():
            if (sent := path.challenges.pop(answer, None)) is not None:
                rtt = context.time - sent
                path.recovery.measure(rtt, context.time)
                if not path.is_validated:
                    path.is_validated = True
                    self._tell(events.PathValidated(path.addr, rtt))

    def _handle_datagram_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        super()._handle_datagram_frame(context, frame_type, buf)
        event = cast(stock.DatagramFrameReceived, self._events.pop())
        self._tell(events.DatagramArrived(context.network_path.addr, event.data))

    def _handle_new_connection_id_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        self._show(self._selected)  # whose id stock replaces if it must be retired
        super()._handle_new_connection_id_frame(context, frame_type, buf)
        self._show(cast(Path, context.network_path))
        for path in self._paths.values():
            if (
                path is not self._selected
                and path.cid is not None
                and path.cid.sequence_number < self._peer_retire_prior_to
            ):
                self._retire_peer_cid(path.cid)
                path.cid = None

    def _handle_retire_connection_id_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        numbers_before = {own.sequence_number for own in self._host_cids}
        super()._handle_retire_connection_id_frame(context, frame_type, buf)
        retired = numbers_before - {own.sequence_number for own in self._host_cids}
        for path in self._paths.values():
            path.retired = path.retired or path.host_sequence in retired
        self._close_retired(context.time)

    def _handle_path_select_frame(
        self,
        context: QuicReceiveContext,
        frame_type: int,
        buf: Buffer,
    ) -> None:
        try:
            frame = PathSelect.pull(buf)
            if not self._selection.accepts(frame.epoch):
                return
        except ProtocolError as error:
            raise QuicConnectionError(
                QuicErrorCode.PROTOCOL_VIOLATION, frame_type, str(error)
            ) from None
        self._announce_now = False
        self._awaited_sequence = frame.sequence
        for path in self._paths.values():
            self._follow_if_awaited(path)
        self._close_retired(context.time)

    def _handle_observed_address_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        frame = ObservedAddress.pull(buf, frame_type)
        if self._discovery is None or not self._discovery.receives:
            raise QuicConnectionError(
                QuicErrorCode.PROTOCOL_VIOLATION, frame_type, "OBSERVED_ADDRESS was not requested"
            )
        path = cast(Path, context.network_path)
        if path.observation is None or frame.sequence > path.observation.sequence:
            path.observation = frame
            self._tell(events.AddressObserved(path.addr, frame.address))

    def _serialize_transport_parameters(self) -> bytes:
        parameters = super()._serialize_transport_parameters()
        if self._discovery is None:
            return parameters
        return parameters + encode_address_discovery(self._discovery)

    def _parse_transport_parameters(self, data: bytes, from_session_ticket: bool = False) -> None:
        super()._parse_transport_parameters(data, from_session_ticket)
        try:
            self._remote_discovery = find_address_discovery(data)
        except ProtocolError as error:
            raise QuicConnectionError(
                QuicErrorCode.TRANSPORT_PARAMETER_ERROR, QuicFrameType.CRYPTO, str(error)
            ) from None

    def _write_application(self, builder: QuicPacketBuilder, network_path: Any, now: float) -> None:
        self._now = now
        space = self._spaces[tls.Epoch.ONE_RTT]
        if space.ack_at is not None and network_path.has_something_to_say:
            space.ack_at = now  # an acknowledgement rides on the next packet that leaves
        super()._write_application(builder, network_path, now)

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        super()._write_connection_limits(builder, space)
        path = self._shown
        assert path is not None
        if path.challenge_due:
            self._write_path_challenge_frame(builder, path)
            path.note_challenge(self._now)
        if path.observation_due:
            self._write_observed_address_frame(builder, path)
        if self._selection.announcing and (
            self._announce_now or path.outbox or not builder.packet_is_empty
        ):
            self._write_path_select_frame(builder)

    def _write_datagram_frame(
        self, builder: QuicPacketBuilder, data: bytes, frame_type: QuicFrameType
    ) -> bool:
        written = super()._write_datagram_frame(builder, data, frame_type)
        if isinstance(data, OutgoingDatagram) and builder._packet is not None:
            builder._packet.delivery_handlers.append(
                (self._on_datagram_delivery, (data.tag, self._shown))
            )
        return written

    # ---- our own parts -----------------------------------------------------------------------

    def _tell(self, event: events.ConnectionEvent) -> None:
        self._events.append(cast(stock.QuicEvent, event))

    def _show(self, path: Path | None) -> None:
        """Let the stock code see `path` as the connection's one and only path."""
        if self._shown is not None and self._shown.cid is not None:
            self._shown.cid = self._peer_cid  # stock may have replaced it
        if path is None:
            return
        self._shown = path
        self._network_paths = [path]
        self._recovery.shown = path.recovery
        self._datagrams_pending = path.outbox
        if path.cid is not None:
            self._peer_cid = path.cid

    def _first_path(self, addr: PathAddress) -> Path:
        """The path of the handshake, with the connection id that the handshake settles."""
        path = Path(addr, self._recovery.shown)
        path.cid = self._peer_cid
        if self._is_client:
            self._paths[addr] = path
            self._selected = path
        return path

    def _new_path(self, addr: PathAddress) -> Path:
        return Path(
            addr,
            PathRecovery(
                max_datagram_size=self._configuration.max_datagram_size,
                send_probe=self._send_probe,
            ),
        )

    def _adopt(self, path: Path) -> None:
        self._paths[path.addr] = path
        self._recovery.add(path.recovery)
        path.observation_due = self._must_observe(path)

    def _welcome(self, path: Path) -> None:
        """An authenticated packet came on this path: make it ours if it is new."""
        if path.addr in self._paths:
            self._follow_if_awaited(path)
        elif self._selected is None:
            self._paths[path.addr] = path
            self._selected = path
        elif self._path_by_host_sequence(path.host_sequence) is None and self._make_room():
            self._adopt(path)
            path.challenge_due = True
            self._tell(events.PathOpened(path.addr))
            self._follow_if_awaited(path)

    def _make_room(self) -> bool:
        """Have a place for one more path, at the cost of the oldest that proved nothing."""
        if len(self._paths) < MAX_PATHS:
            return True
        for path in self._paths.values():
            if path is not self._selected and not path.is_validated:
                self.close_path(path.addr, self._now)
                self._tell(events.PathRetired(path.addr))
                return True
        return False

    def _follow_remapped(self, arrival: Path, received: int) -> None:
        """The newest packet of a path came from a new address: its NAT gave it another one."""
        path = self._path_by_host_sequence(arrival.host_sequence)
        if path is None or path is arrival:
            return
        old = path.addr
        del self._paths[old]
        path.move(arrival.addr, received)
        path.remote_challenges.extend(arrival.remote_challenges)
        path.observation_due = self._must_observe(path)
        self._paths[path.addr] = path
        self._tell(events.PathMoved(old, path.addr))

    def _path_by_host_sequence(self, sequence: int | None) -> Path | None:
        return next(
            (
                path
                for path in self._paths.values()
                if sequence is not None and path.host_sequence == sequence
            ),
            None,
        )

    def _follow_if_awaited(self, path: Path) -> None:
        """Speak on the path that the other end selected, once a packet shows which it is."""
        if self._awaited_sequence is None or path.host_sequence != self._awaited_sequence:
            return
        self._awaited_sequence = None
        assert self._selected is not None
        before, self._selected = self._selected, path
        self._tell(events.PathFollowed(path.addr, before.addr))

    def _close_retired(self, now: float) -> None:
        """Close the paths that the other end gave up, unless they are still the way out."""
        for path in list(self._paths.values()):
            if path.retired and path is not self._selected:
                self.close_path(path.addr, now)
                self._tell(events.PathRetired(path.addr))

    def _ensure_cid(self, path: Path) -> bool:
        if path.cid is None and self._peer_cid_available:
            path.cid = self._peer_cid_available.pop(0)
            if path is self._shown:
                self._peer_cid = path.cid
        return path.cid is not None

    def _newest_received(self) -> int:
        space = self._spaces.get(tls.Epoch.ONE_RTT)
        return space.largest_received_packet if space else -1

    def _must_observe(self, path: Path) -> bool:
        return (
            self._handshake_confirmed
            and isinstance(path.addr, DirectPath)
            and self._discovery is not None
            and self._discovery.provides
            and self._remote_discovery is not None
            and self._remote_discovery.receives
        )

    def _write_path_select_frame(self, builder: QuicPacketBuilder) -> None:
        assert self._selected is not None
        assert self._selected.cid is not None
        kind = PathClass.DIRECT if self._selected.addr.kind == "direct" else PathClass.RELAY
        epoch = self._selection.epoch
        buffer = builder.start_frame(
            PATH_SELECT, PATH_SELECT_CAPACITY, self._on_path_select_delivery, (epoch,)
        )
        PathSelect(epoch, kind, self._selected.cid.sequence_number).push(buffer)
        self._announce_now = False

    def _write_observed_address_frame(self, builder: QuicPacketBuilder, path: Path) -> None:
        assert isinstance(path.addr, DirectPath)
        frame = ObservedAddress(self._observation_sequence, path.addr.remote)
        buffer = builder.start_frame(
            frame.frame_type, OBSERVED_ADDRESS_CAPACITY, self._on_observation_delivery, (path,)
        )
        frame.push(buffer)
        self._observation_sequence += 1
        path.observation_due = False

    def _on_path_select_delivery(self, delivery: QuicDeliveryState, epoch: int) -> None:
        if delivery == QuicDeliveryState.ACKED:
            self._selection.acknowledged(epoch)
        else:
            self._announce_now = True

    def _on_observation_delivery(self, delivery: QuicDeliveryState, path: Path) -> None:
        if delivery != QuicDeliveryState.ACKED and path.addr in self._paths:
            path.observation_due = True

    def _on_datagram_delivery(self, delivery: QuicDeliveryState, tag: Any, path: Path) -> None:
        outcome = (
            events.DatagramAcknowledged
            if delivery == QuicDeliveryState.ACKED
            else events.DatagramLost
        )
        self._tell(outcome(path.addr, tag))
