"""How much may be in flight on one path, and how fast it leaves: for audio, with a file beside it.

    audio    its source sends what it sends: a least window, bursts that pass whole
    a file   CUBIC finds the rate of the path; the line before its slowest link stays short

Nothing here knows which packet is which.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from aioquic.quic.congestion.base import register_congestion_control
from aioquic.quic.congestion.cubic import CubicCongestionControl
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.recovery import QuicPacketPacer

BURST = 10  # full datagrams sent without pacing after a pause: the initial window (RFC 9002 section
# 7.7), and enough for all that is sent again after a move
AUDIO_DATAGRAM = 300  # bytes: a frame at 64 kbit/s with all headers. Stock code paces packets as if
# each were full: on a long way every 20 ms one, and new frames would queue behind old copies
LEAST_WINDOW = 20  # datagrams: two seconds of audio. Its source sends what it sends; a smaller
# window would only make it late (on a path of 600 ms with some loss any goes down to 2)
LATE = 0.030  # seconds an answer takes longer than the fastest: a ride of 20 ms, some jitter, and
# beyond that a queue


class BurstPacer(QuicPacketPacer):
    """Paces what lasts, and lets a short burst pass whole; a packet is one of audio."""

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        super().update_rate(congestion_window=congestion_window, smoothed_rtt=smoothed_rtt)
        if self.packet_time is not None:
            self.bucket_max = max(self.bucket_max, BURST * self.packet_time)
            self.packet_time *= AUDIO_DATAGRAM / self._max_datagram_size


class AudioCongestionControl(CubicCongestionControl):
    """CUBIC (RFC 9438) whose window is never less than what audio needs.

    Nor does it grow while it is not used (RFC 9002 section 7.8). Minutes of audio would open it
    for a burst of a megabyte when a file begins. Slow start pauses while answers come late: stock
    code notices a queue ten answers later, when it is full and audio is lost in it.
    """

    def __init__(self, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self._half_full_at = -math.inf  # when a packet left last that filled half of it
        self._least_rtt = math.inf
        self._is_late = False  # the last answer

    def on_packet_sent(self, *, packet: QuicSentPacket) -> None:
        super().on_packet_sent(packet=packet)
        if 2 * self.bytes_in_flight >= self.congestion_window:
            self._half_full_at = packet.sent_time or 0.0

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        pauses = self._is_late and (self.ssthresh is None or self.congestion_window < self.ssthresh)
        if self._half_full_at >= (packet.sent_time or 0.0) and not pauses:
            super().on_packet_acked(now=now, packet=packet)
        else:
            self.on_packets_expired(packets=[packet])
            self.last_ack = packet.sent_time or 0.0

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        super().on_rtt_measurement(now=now, rtt=rtt)
        self._least_rtt = min(self._least_rtt, rtt)
        self._is_late = rtt > self._least_rtt + LATE

    def reset(self) -> None:
        super().reset()
        self._keep_least()

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        super().on_packets_lost(now=now, packets=packets)
        self._keep_least()

    def on_persistent_congestion(self) -> None:
        super().on_persistent_congestion()
        self._keep_least()

    def _keep_least(self) -> None:
        least = LEAST_WINDOW * self._max_datagram_size
        self.congestion_window = max(self.congestion_window, least)
        if self.ssthresh is not None:
            self.ssthresh = max(self.ssthresh, least)


CONGESTION_CONTROL = "p2pquic-audio"
register_congestion_control(CONGESTION_CONTROL, AudioCongestionControl)
