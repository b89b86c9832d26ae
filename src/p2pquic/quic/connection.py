"""The connection of a call: many paths, either end moves, one rule for who decides.

    ShownPathConnection                   aioquic, shown one path at a time
      ManyPathsConnection                 paths that are opened, proved, given up
        RemappedPathsConnection           and go on where a NAT moved them
          PathLifeConnection              challenges, pings, acknowledgements, by path
            AddressDiscoveringConnection  OBSERVED_ADDRESS
              StreamsConnection           bulk: by one path at a time, no faster than it is read
                ShortPacketsConnection    packets that come, read without detours
                  AudioPacketsConnection  the packet of every frame, built without detours
                    MultipathConnection   PATH_SELECT, datagrams that report their fate, events

This is mechanism: send this on that path; tell what was acknowledged, lost, validated, chosen.
Which path, when, and what to send again is decided above.
"""

from __future__ import annotations

from typing import Any, cast

from aioquic.buffer import Buffer
from aioquic.quic import events as stock
from aioquic.quic.connection import EPOCHS, QuicConnectionError, QuicReceiveContext
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace

from p2pquic.core.errors import ProtocolError
from p2pquic.core.path import PathAddress
from p2pquic.quic import events
from p2pquic.quic.audio_packets import AudioPacketsConnection
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.frames import (
    PATH_SELECT,
    PATH_SELECT_CAPACITY,
    PathClass,
    PathSelect,
)
from p2pquic.quic.many_paths import TIMER_SLACK
from p2pquic.quic.path_select import PathSelection
from p2pquic.quic.paths import OutgoingDatagram, Path
from p2pquic.quic.pinned_tls import PinnedContext

__all__ = ["TIMER_SLACK", "MultipathConnection"]


class MultipathConnection(AudioPacketsConnection):
    """One end of a connection; sans-IO like the class it extends.

    Feed it with `receive_datagram` and `handle_timer`; then drain `poll` for what happened and
    `datagrams_to_send` for what to send, and ask `get_timer`.
    """

    def __init__(
        self, config: ConnectionConfig, original_destination_connection_id: bytes | None = None
    ) -> None:
        super().__init__(config, original_destination_connection_id)
        self._most_unsent = config.streams.unsent
        self._selection = PathSelection(is_client=self._is_client)
        self._announce_now = False
        self._insists = False  # on the choice in force, which is ours
        self._awaited: PathSelect | None = None
        handlers: dict[int, Any] = self._QuicConnection__frame_handlers  # type: ignore[attr-defined]
        handlers[PATH_SELECT] = (self._handle_path_select_frame, EPOCHS("1"))

    def select(self, addr: PathAddress, *, insists: bool = False) -> bool:
        """Speak on an open path from the next packet on, and tell the other end.

        Args:
            insists: Tell it as well that this is for our preference of an interface.

        Returns:
            False when no connection id is left to speak with on it: nothing changed.
        """
        path = self._paths[addr]
        if not self._ensure_cid(path):
            return False
        self._selected = path
        self._selection.choose()
        self._announce_now, self._insists = True, insists
        self._awaited = None  # an older choice of the other end, not heard in time
        self._show(path)
        self._close_retired(self._now)
        return True

    def send_datagram(self, payload: bytes, tag: Any, path: PathAddress, now: float) -> None:
        """Queue an unreliable datagram on one path, in a packet of its own number there."""
        self._paths[path].outbox.append(OutgoingDatagram.of(payload, tag, now))

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        """Send on a stream. An end that refuses it or lets it pile up is none of ours: it ends."""
        waiting = self.unsent(stream_id)
        try:
            if waiting > self._most_unsent:
                raise RuntimeError(f"{waiting} bytes wait on stream {stream_id}")
            super().send_stream_data(stream_id, data, end_stream)
        except (RuntimeError, ValueError) as error:
            self.close(QuicErrorCode.APPLICATION_ERROR, reason_phrase=f"stream refused: {error}")

    def acknowledge_within(self, seconds: float) -> None:
        """How long an acknowledgement may wait for a datagram to ride on; 0 sends it at once."""
        self._ack_delay = seconds

    def export(self, label: bytes, length: int) -> bytes:
        """Keying material that only the two ends share (RFC 8446 section 7.5)."""
        return cast(PinnedContext, self.tls).export(label, length)

    def poll(self) -> list[events.ConnectionEvent]:
        """What happened since the last call."""
        happened: list[events.ConnectionEvent] = []
        while self._events:
            event: stock.QuicEvent | events.ConnectionEvent = self._events.popleft()
            if not isinstance(event, stock.QuicEvent):
                happened.append(event)
            elif isinstance(event, stock.StreamDataReceived):
                self._note_delivered(event.stream_id, len(event.data))
                happened.append(events.StreamData(event.stream_id, event.data, event.end_stream))
            elif isinstance(event, stock.StreamReset):
                self._note_reset(event.stream_id)
                happened.append(events.StreamBroken(event.stream_id, event.error_code))
            elif isinstance(event, stock.StopSendingReceived):
                happened.append(events.StreamRefused(event.stream_id, event.error_code))
            elif isinstance(event, stock.ConnectionTerminated):
                happened.append(events.Terminated(event.error_code, event.reason_phrase))
        return happened  # without connection ids, ALPN, pings: nobody above asks

    # ---- overridden internals ----------------------------------------------------------------

    def _confirm_handshake(self) -> None:
        super()._confirm_handshake()
        key_hash = cast(PinnedContext, self.tls).peer_key_hash
        assert key_hash is not None, "TLS finished without the other end's certificate"
        self._tell(events.HandshakeConfirmed(key_hash))

    def _on_heard(self, path: Path) -> None:
        super()._on_heard(path)
        self._follow_if_awaited(path)

    def _has_rare_news(self, path: Path) -> bool:
        return self._selection.announcing or super()._has_rare_news(path)

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        super()._write_connection_limits(builder, space)
        has_more = self._shown is not None and bool(self._shown.outbox)
        if self._selection.announcing and (
            self._announce_now or has_more or not builder.packet_is_empty
        ):
            self._write_path_select_frame(builder)

    def _handle_datagram_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        super()._handle_datagram_frame(context, frame_type, buf)
        event = self._events.pop()
        assert isinstance(event, stock.DatagramFrameReceived)
        self._tell(events.DatagramArrived(context.network_path.addr, event.data))

    def _write_datagram_frame(
        self, builder: QuicPacketBuilder, data: bytes, frame_type: QuicFrameType
    ) -> bool:
        written = super()._write_datagram_frame(builder, data, frame_type)
        if isinstance(data, OutgoingDatagram) and builder._packet is not None:
            builder._packet.delivery_handlers.append(
                (self._on_datagram_delivery, (data.tag, self._shown))
            )
        return written

    def _on_datagram_delivery(self, delivery: QuicDeliveryState, tag: Any, path: Path) -> None:
        outcome = (
            events.DatagramAcknowledged
            if delivery == QuicDeliveryState.ACKED
            else events.DatagramLost
        )
        self._tell(outcome(path.addr, tag))

    # ---- PATH_SELECT -------------------------------------------------------------------------

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
        self._awaited = frame
        for path in self._paths.values():
            self._follow_if_awaited(path)
        self._close_retired(context.time)

    def _follow_if_awaited(self, path: Path) -> None:
        """Speak on the path that the other end selected, once a packet shows which it is."""
        choice = self._awaited
        if choice is None or path.host_sequence != choice.sequence or not self._ensure_cid(path):
            return
        self._awaited = None
        assert self._selected is not None
        before, self._selected = self._selected, path
        self._tell(events.PathFollowed(path.addr, before.addr, choice.insists))

    def _write_path_select_frame(self, builder: QuicPacketBuilder) -> None:
        assert self._selected is not None
        assert self._selected.cid is not None
        kind = PathClass.DIRECT if self._selected.addr.kind == "direct" else PathClass.RELAY
        epoch = self._selection.epoch
        buffer = builder.start_frame(
            PATH_SELECT, PATH_SELECT_CAPACITY, self._on_path_select_delivery, (epoch,)
        )
        sequence = self._selected.cid.sequence_number
        PathSelect(epoch, kind, sequence, self._insists).push(buffer)
        self._announce_now = False

    def _on_path_select_delivery(self, delivery: QuicDeliveryState, epoch: int) -> None:
        if delivery == QuicDeliveryState.ACKED:
            self._selection.acknowledged(epoch)
        else:
            self._announce_now = True
