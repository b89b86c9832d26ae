"""The packets of a call in full swing: an acknowledgement and a datagram, or nothing at all.

    anything rare waits      -> stock code, which looks for everything a packet may carry
    a datagram, an ACK due   -> `OnePacket`, its frames written by stock code
    nothing                  -> nothing; stock code would build a packet to find it empty

Twice per frame a connection is asked what it has to say. In a process that sleeps in between, what
this costs is how much code is touched.
"""

from __future__ import annotations

from operator import attrgetter

from aioquic import tls
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicPacketBuilderStop

from p2pquic.core.path import PathAddress
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.one_packet import OnePacket
from p2pquic.quic.paths import Path
from p2pquic.quic.short_packets import ShortPacketsConnection

_was_sent = attrgetter("was_sent")
_limit_sent = attrgetter("sent")


class AudioPacketsConnection(ShortPacketsConnection):
    """A connection that is quick about what it says most of the time."""

    def __init__(
        self, config: ConnectionConfig, original_destination_connection_id: bytes | None = None
    ) -> None:
        super().__init__(config, original_destination_connection_id)
        self._local_limits = (
            self._local_max_data,
            self._local_max_streams_bidi,
            self._local_max_streams_uni,
        )

    def _packets_to_send(self, path: Path, now: float) -> list[tuple[bytes, PathAddress]]:
        if self._has_rare_news(path):
            return super()._packets_to_send(path, now)
        space = self._spaces[tls.Epoch.ONE_RTT]
        is_due = space.ack_at is not None and space.ack_at <= now
        acknowledges = is_due or self._owes_acknowledgement(space, path, now)
        if not acknowledges and not path.outbox:
            self._pacing_at = None
            return []
        if len(path.outbox) > 1 or not self._may_send_at_once(path, now):
            return super()._packets_to_send(path, now)
        self._now = now
        self._pacing_at = None
        builder = OnePacket(
            cid=self._peer_cid.cid,
            number=self._packet_number,
            crypto=self._cryptos[tls.Epoch.ONE_RTT],
            spin_bit=self._spin_bit,
            largest=self._max_datagram_size,
        )
        due = space.ack_at
        try:
            if acknowledges:
                self._write_ack_frame(builder, space, now)
                if path is not self._selected:
                    space.ack_at = due  # still owed there: it rode beside
            if path.outbox:
                frame_type = QuicFrameType.DATAGRAM_WITH_LENGTH
                self._write_datagram_frame(builder, path.outbox[0], frame_type)
                path.outbox.popleft()
        except QuicPacketBuilderStop:
            pass  # the acknowledgement left no room for it, or no packet would have any
        path.recovery._pacer.update_after_send(now=now)
        packets = self._send_off(builder, path, now)
        return packets + super()._packets_to_send(path, now) if path.outbox else packets

    def _send_off(
        self, builder: OnePacket, path: Path, now: float
    ) -> list[tuple[bytes, PathAddress]]:
        """Encrypt a packet and remember it, as stock code does of several (`_flush_builder`)."""
        datagrams, packets = builder.flush()
        if not packets:
            return []
        (data,), (packet,) = datagrams, packets
        packet.sent_time = now
        self._packet_number = builder.packet_number
        path.recovery.on_packet_sent(packet=packet, space=self._spaces[tls.Epoch.ONE_RTT])
        if packet.is_ack_eliciting and not self._ack_eliciting_sent_since_receipt:
            self._close_at = now + self._idle_timeout()
            self._ack_eliciting_sent_since_receipt = True
        path.bytes_sent += len(data)
        return [(data, path.addr)]

    def _has_rare_news(self, path: Path) -> bool:
        """Whether a packet on the path could carry more than an acknowledgement and datagrams."""
        return bool(
            not self._handshake_confirmed
            or self._close_event is not None
            or path.challenge_due
            or path.ping_due
            or path.observation_due
            or path.remote_challenges
            or self._streams_have_news(path)
            or self._ping_pending
            or self._probe_pending
            or self._retire_connection_ids
            or self._streams_blocked_pending
            or self._handshake_done_pending
            or not self._crypto_streams[tls.Epoch.ONE_RTT].sender.buffer_is_empty
            or not all(map(_was_sent, self._host_cids))
            or not all(map(_limit_sent, self._local_limits))  # 0: it was lost on its way
        )

    def _may_send_at_once(self, path: Path, now: float) -> bool:
        """Whether no limit is near: of an unproved address, of congestion, of pacing."""
        recovery = path.recovery
        window = recovery.congestion_window - recovery.bytes_in_flight
        return (
            path.is_validated
            and window >= self._max_datagram_size
            and recovery._pacer.next_send_time(now) is None
        )
