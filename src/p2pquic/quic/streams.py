"""Streams that carry bulk beside audio, on one path at a time, no faster than they are read.

    written --> stock stream --> packets on the path that bears the streams (the selected)
    read    --> credit for as much again (RFC 9000 section 4), on the stream and on the connection

Stock QUIC writes stream data into whatever packet it builds next, and grants credit for twice what
came, read or not. With many paths the first would send a file along with the ping of a path that
stands by; the second lets the other end fill our memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from aioquic.quic.connection import stream_is_client_initiated, stream_is_unidirectional
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream, QuicStreamReceiver, QuicStreamSender

from p2pquic.core.path import PathAddress
from p2pquic.quic.address_discovery import AddressDiscoveringConnection
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.paths import Path

CREDIT_STEP = 1 / 4  # of the credit, read since the last time, is worth a frame that says so
KEPT_FOR_AUDIO = 6000  # bytes of the congestion window that streams leave free: at 64 kbit/s the
# frames of half a second, so that none waits for bulk to be acknowledged
QUEUE_DRAINS = 1.0  # seconds after the last byte of bulk until round trips are what they were

_OF_STREAMS: tuple[Callable[..., None], ...] = (
    QuicStreamSender.on_data_delivery,
    QuicStreamSender.on_reset_delivery,
    QuicStreamReceiver.on_stop_sending_delivery,
)
"""Who is told what became of a frame of a stream."""


def carries_bulk(stream_id: int) -> bool:
    """Whether a stream is bidirectional, and so an application's; others describe audio."""
    return not stream_is_unidirectional(stream_id)


class StreamsConnection(AddressDiscoveringConnection):
    """One end of a connection whose streams keep to one path and to what is read."""

    def __init__(
        self, config: ConnectionConfig, original_destination_connection_id: bytes | None = None
    ) -> None:
        super().__init__(config, original_destination_connection_id)
        self._bearer: Path | None = None  # bears the streams in the place of the selected path
        self._unread: dict[int, int] = {}  # bytes by stream: handed out, and not read yet
        self._read_in_all = 0  # bytes of all streams: read, or never to be handed out
        self._bulk_at = -math.inf  # when some of it left or came last

    def read(self, stream_id: int, size: int) -> None:
        """The owner has read so many bytes of a stream: the other end may send as many again."""
        unread = self._unread.pop(stream_id, 0)
        self._read_in_all += min(size, unread)
        if unread > size:
            self._unread[stream_id] = unread - size

    def rtt_at_rest(self, addr: PathAddress, now: float) -> float | None:
        """The round trip of an open path in seconds, without the queue that our own bulk makes.

        Bulk fills the queue before the slowest link. Seen by `rtt`, the path that bears it would
        look slower than any that stands by, and so would the next one.
        """
        if now > self._bulk_at + QUEUE_DRAINS or addr not in self._paths:
            return self.rtt(addr)
        return self._paths[addr].recovery.least_rtt

    def unsent(self, stream_id: int) -> int:
        """Bytes written on a stream and not acknowledged yet; 0 for one that is no more."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else len(stream.sender._buffer)

    def is_delivered(self, stream_id: int) -> bool:
        """Whether the other end has acknowledged the end of what we write, and all before it."""
        stream = self._streams.get(stream_id)
        return self._stream_is_discarded(stream_id) if stream is None else stream.sender.is_finished

    def takes_more(self, stream_id: int) -> bool:
        """Whether more can be written on a stream: we may, have not ended it, and nobody broke it.

        A stream of ours that does not exist yet begins with what is written.
        """
        stream = self._streams.get(stream_id)
        if stream is not None:
            sender = stream.sender
            return sender._buffer_fin is None and sender._reset_error_code is None
        is_ours = stream_is_client_initiated(stream_id) == self._is_client
        return is_ours and not self._stream_is_discarded(stream_id)

    def drop_stream(self, stream_id: int, error_code: int) -> None:
        """Break what we write on a stream, and ask the other end to write no more."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if not stream.sender.is_finished:
            self.reset_stream(stream_id, error_code)
        if not stream.receiver.is_finished:
            self.stop_stream(stream_id, error_code)

    @property
    def streams_on(self) -> PathAddress | None:
        """The path that bears the streams."""
        bearing = self._bearing
        return None if bearing is None else bearing.addr

    def bear_streams_on(self, addr: PathAddress | None) -> None:
        """Send what streams have to say on an open path; None for the selected one, as usual."""
        self._bearer = None if addr is None else self._paths[addr]

    def send_streams_again(self, addr: PathAddress) -> None:
        """What of streams is in flight on an open path goes again, by the path that bears them.

        Should some of it have arrived, the other end has it twice and delivers it once. What may
        have died does not hold back what comes after it.
        """
        if addr not in self._paths:
            return
        recovery = self._paths[addr].recovery
        for packet in recovery.sent.sent_packets.values():
            others: list[tuple[Any, Any]] = []
            for handler, arguments in packet.delivery_handlers:
                if getattr(handler, "__func__", None) in _OF_STREAMS:
                    handler(QuicDeliveryState.LOST, *arguments)
                else:
                    others.append((handler, arguments))
            if len(others) < len(packet.delivery_handlers):
                packet.delivery_handlers[:] = others
                recovery.let_go(packet)

    # ---- for whoever builds on this ----------------------------------------------------------

    def _note_delivered(self, stream_id: int, size: int) -> None:
        """Bytes of a stream were handed out; they count until `read`."""
        if size:
            if carries_bulk(stream_id):
                self._bulk_at = self.heard_at
            self._unread[stream_id] = self._unread.get(stream_id, 0) + size

    def _note_reset(self, stream_id: int) -> None:
        """The rest of a stream will never be handed out: it no longer counts as unread either."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            receiver = stream.receiver
            self._read_in_all += receiver.highest_offset - receiver.starting_offset()

    def _streams_have_news(self, path: Path) -> bool:
        """Whether a packet on the path could carry something of streams, or credit for them."""
        return path is self._bearing and (
            self._connection_credit() > self._local_max_data.value
            or any(map(_has_news, self._streams_queue))
            or any(map(self._has_credit, self._streams.values()))
        )

    # ---- overridden internals ----------------------------------------------------------------

    def _speaks_besides(self, path: Path) -> bool:
        return super()._speaks_besides(path) or (
            path is self._bearer and any(map(_has_news, self._streams_queue))
        )

    def _write_application(self, builder: QuicPacketBuilder, network_path: Any, now: float) -> None:
        if network_path is self._bearing:
            super()._write_application(builder, network_path, now)
            return
        queue, self._streams_queue = self._streams_queue, []
        try:
            super()._write_application(builder, network_path, now)
        finally:
            self._streams_queue = queue

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        limit = self._local_max_data
        limit.value = max(limit.value, self._connection_credit())
        used, limit.used = limit.used, 0  # else stock code would double it
        try:
            super()._write_connection_limits(builder, space)
        finally:
            limit.used = used

    def _write_stream_limits(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream
    ) -> None:
        if self._shown is not self._bearing or stream.receiver.is_finished:
            return
        stream.max_stream_data_local = max(
            stream.max_stream_data_local, self._stream_credit(stream)
        )
        receiver = stream.receiver
        highest, receiver.highest_offset = receiver.highest_offset, 0  # as above
        try:
            super()._write_stream_limits(builder, space, stream)
        finally:
            receiver.highest_offset = highest

    def _write_stream_frame(
        self,
        builder: QuicPacketBuilder,
        space: QuicPacketSpace,
        stream: QuicStream,
        max_offset: int,
    ) -> int:
        in_window = builder.max_flight_bytes
        if in_window is not None and in_window - builder._flight_bytes < KEPT_FOR_AUDIO:
            return 0
        used = super()._write_stream_frame(builder, space, stream, max_offset)
        if used and carries_bulk(stream.stream_id or 0):
            self._bulk_at = self._now
        return used

    # ---- our own parts -----------------------------------------------------------------------

    @property
    def _bearing(self) -> Path | None:
        bearer = self._bearer
        return bearer if bearer is not None and bearer.addr in self._paths else self._selected

    def _connection_credit(self) -> int:
        """Up to which byte, of all streams, the other end may send; said in steps."""
        total, known = self._configuration.max_data, self._local_max_data.value
        return _in_steps(self._read_in_all, total, known=known)

    def _stream_credit(self, stream: QuicStream) -> int:
        """Up to which byte the other end may send on a stream of which we are not at the end."""
        known = stream.max_stream_data_local
        if not known:
            return 0  # one that we alone write
        total = self._configuration.max_stream_data
        read = stream.receiver.starting_offset() - self._unread.get(stream.stream_id or 0, 0)
        return _in_steps(read, total, known=known)

    def _has_credit(self, stream: QuicStream) -> bool:
        return not stream.receiver.is_finished and (
            stream.max_stream_data_local_sent != self._stream_credit(stream)
        )


def _in_steps(read: int, total: int, *, known: int) -> int:
    """The credit of who has `read` so much and may have `total` unread; `known` until it is more
    by a step.
    """
    credit = read + total
    return credit if credit - known >= CREDIT_STEP * total else known


def _has_news(stream: QuicStream) -> bool:
    """Whether a stream has something to send, or is to be cleared away."""
    sender = stream.sender
    return (
        not sender.buffer_is_empty
        or sender.reset_pending
        or stream.receiver.stop_pending
        or stream.is_finished
    )
