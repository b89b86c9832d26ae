"""A builder of one packet with a short header (RFC 9000 section 17.3.1).

    | flags 1 | connection id 8 | packet number 2 | frames ... | AEAD tag 16 |

Stock code's builder can coalesce packets, pad them to 1200 bytes and cancel them, and every packet
of a call pays for that. This one has the same face, for the same writers of frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aioquic import tls
from aioquic.buffer import Buffer
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import (
    NON_ACK_ELICITING_FRAME_TYPES,
    NON_IN_FLIGHT_FRAME_TYPES,
    PACKET_FIXED_BIT,
    QuicPacketType,
)
from aioquic.quic.packet_builder import (
    PACKET_NUMBER_SEND_SIZE,
    QuicDeliveryHandler,
    QuicPacketBuilder,
    QuicPacketBuilderStop,
    QuicSentPacket,
)


class OnePacket(QuicPacketBuilder):
    """One packet of at most `largest` bytes; congestion and pacing allow all of them.

    Only frames that need no padding belong in it: their first one has two bytes at least, as header
    protection wants (RFC 9001 section 5.4.2).
    """

    def __init__(
        self, *, cid: bytes, number: int, crypto: CryptoPair, spin_bit: bool, largest: int
    ) -> None:  # stock code's own would prepare for all that is left out here
        self.quic_logger_frames = None
        self._crypto = crypto
        self._flags = (
            PACKET_FIXED_BIT | spin_bit << 5 | crypto.key_phase << 2 | PACKET_NUMBER_SEND_SIZE - 1
        )
        self._cid = cid
        self._packet_number = number
        overhead = 1 + len(cid) + PACKET_NUMBER_SEND_SIZE + crypto.aead_tag_size
        self._frames = Buffer(largest - overhead)
        self._packet = QuicSentPacket(
            epoch=tls.Epoch.ONE_RTT,
            in_flight=False,
            is_ack_eliciting=False,
            is_crypto_packet=False,
            packet_number=number,
            packet_type=QuicPacketType.ONE_RTT,
        )

    @property
    def packet_is_empty(self) -> bool:
        """Whether it has no frame yet."""
        return not self._frames.tell()

    @property
    def remaining_buffer_space(self) -> int:
        """Bytes that more frames may have."""
        return self._frames.capacity - self._frames.tell()

    @property
    def remaining_flight_space(self) -> int:
        """The same: congestion was asked before."""
        return self.remaining_buffer_space

    def start_frame(
        self,
        frame_type: int,
        capacity: int = 1,
        handler: QuicDeliveryHandler | None = None,
        handler_args: Sequence[Any] = (),
    ) -> Buffer:
        """Begin a frame.

        Raises:
            QuicPacketBuilderStop: less than `capacity` bytes are left.
        """
        assert self._packet is not None
        if self.remaining_buffer_space < capacity:
            raise QuicPacketBuilderStop
        self._frames.push_uint_var(frame_type)
        if frame_type not in NON_ACK_ELICITING_FRAME_TYPES:
            self._packet.is_ack_eliciting = True
        if frame_type not in NON_IN_FLIGHT_FRAME_TYPES:
            self._packet.in_flight = True
        if handler is not None:
            self._packet.delivery_handlers.append((handler, handler_args))
        return self._frames

    def flush(self) -> tuple[list[bytes], list[QuicSentPacket]]:
        """The packet, encrypted, and what is to be remembered of it; nothing without a frame."""
        assert self._packet is not None
        if self.packet_is_empty:
            return [], []
        number = self._packet_number.to_bytes(8, "big")[-PACKET_NUMBER_SEND_SIZE:]
        header = bytes((self._flags,)) + self._cid + number
        data = self._crypto.encrypt_packet(header, self._frames.data, self._packet_number)
        self._packet.sent_bytes = len(data)
        self._packet_number += 1
        return [data], [self._packet]
