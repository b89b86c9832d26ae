"""The congestion window of a path that carries audio, and a file now and then."""

from __future__ import annotations

from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.tls import Epoch

from p2pquic.quic.congestion import LEAST_WINDOW, AudioCongestionControl


def packet_sent(at: float, size: int = 1200) -> QuicSentPacket:
    packet = QuicSentPacket(
        epoch=Epoch.ONE_RTT,
        in_flight=True,
        is_ack_eliciting=True,
        is_crypto_packet=False,
        packet_number=0,
        packet_type=QuicPacketType.ONE_RTT,
    )
    packet.sent_time, packet.sent_bytes = at, size
    return packet


def one_round(control: AudioCongestionControl, packets: int, now: float, rtt: float) -> None:
    """Send packets at once and have them acknowledged."""
    sent = [packet_sent(now) for _ in range(packets)]
    for packet in sent:
        control.on_packet_sent(packet=packet)
    control.on_rtt_measurement(now=now + rtt, rtt=rtt)
    for packet in sent:
        control.on_packet_acked(now=now + rtt, packet=packet)


def test_a_window_that_is_not_used_does_not_grow() -> None:
    control = AudioCongestionControl(1200)
    for number in range(1000):
        one_round(control, 3, now=1.0 + number, rtt=0.04)
    assert control.congestion_window == LEAST_WINDOW * 1200
    assert control.bytes_in_flight == 0


def test_a_window_that_is_half_full_doubles_in_a_round() -> None:
    control = AudioCongestionControl(1200)
    one_round(control, 15, now=1.0, rtt=0.04)
    assert control.congestion_window == (LEAST_WINDOW + 15) * 1200


def test_slow_start_pauses_while_answers_come_late_and_goes_on_after() -> None:
    control = AudioCongestionControl(1200)
    one_round(control, 15, now=1.0, rtt=0.04)
    window = control.congestion_window
    one_round(control, 20, now=2.0, rtt=0.08)
    assert control.congestion_window == window
    one_round(control, 20, now=3.0, rtt=0.05)
    assert control.congestion_window == window + 20 * 1200
