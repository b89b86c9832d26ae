"""Reading packets with a short header (RFC 9000 section 17.3.1): all but those of the handshake.

    | flags 1 | connection id 8 | packet number 1 to 4 | frames ... | AEAD tag 16 |

Stock code asks of every packet whether it might begin a handshake, change the version, or follow
another packet in the same datagram. Here is what is left to ask of a packet with a short header
once the handshake is confirmed. These are stock code's own checks in stock code's order, and it
reads the frames; a test holds both against each other. Any other packet goes to stock code.
"""

from __future__ import annotations

from aioquic import tls
from aioquic.quic.connection import END_STATES, QuicConnectionError, QuicReceiveContext
from aioquic.quic.crypto import CryptoError
from aioquic.quic.packet import (
    PACKET_FIXED_BIT,
    PACKET_LONG_HEADER,
    QuicErrorCode,
    QuicFrameType,
    get_spin_bit,
)
from aioquic.quic.recovery import MAX_ACK_RANGES, QuicPacketSpace

from p2pquic.quic.paths import Path
from p2pquic.quic.streams import StreamsConnection

RESERVED_BITS = 0x18  # of the flags; seen once they are decrypted


class ShortPacketsConnection(StreamsConnection):
    """A connection that is quick about what it hears most of the time."""

    def _read(self, path: Path, data: bytes, now: float) -> None:
        if not self._handshake_confirmed or self._close_event is not None or not _is_short(data):
            super()._read(path, data, now)
            return
        if not path.is_validated:
            path.bytes_received += len(data)
        cid = data[1 : 1 + self._configuration.connection_id_length]
        if all(own.cid != cid for own in self._host_cids):
            return
        space = self._spaces[tls.Epoch.ONE_RTT]
        try:
            header, plain, number = self._cryptos[tls.Epoch.ONE_RTT].decrypt_packet(
                data, 1 + len(cid), space.expected_packet_number
            )
        except CryptoError:
            return
        if number in space.received_packets:
            return
        if header[0] & RESERVED_BITS:
            self.close(
                QuicErrorCode.PROTOCOL_VIOLATION,
                QuicFrameType.PADDING,
                "Reserved bits must be zero",
            )
            return
        if number > space.expected_packet_number:
            space.expected_packet_number = number + 1
        if number > self._spin_highest_pn:
            self._spin_bit = get_spin_bit(header[0]) != self._is_client  # the client turns it
            self._spin_highest_pn = number
        context = QuicReceiveContext(tls.Epoch.ONE_RTT, cid, path, None, now, None)
        try:
            is_eliciting, _ = self._payload_received(context, plain)
        except QuicConnectionError as error:
            self.close(error.error_code, error.frame_type, error.reason_phrase)
        if self._state in END_STATES or self._close_pending:
            return
        self._close_at = now + self._idle_timeout()
        self._ack_eliciting_sent_since_receipt = False
        self._note_received(space, number, is_eliciting=is_eliciting, now=now)

    def _note_received(
        self, space: QuicPacketSpace, number: int, *, is_eliciting: bool, now: float
    ) -> None:
        """Remember a packet: it is to be acknowledged, and to be heard no second time."""
        if number > space.largest_received_packet:
            space.largest_received_packet, space.largest_received_time = number, now
        space.received_packets.add(number)
        space.ack_queue.add(number)
        if len(space.ack_queue) > MAX_ACK_RANGES:
            space.ack_queue.shift()
        if is_eliciting and space.ack_at is None:
            space.ack_at = now + self._ack_delay


def _is_short(data: bytes) -> bool:
    return bool(data) and data[0] & (PACKET_LONG_HEADER | PACKET_FIXED_BIT) == PACKET_FIXED_BIT
