"""How long a path takes there and back, of one in use and of one that is asked now and then."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.tls import Epoch

from p2pquic.quic.recovery import REST, PathRecovery


def asked(times: Sequence[tuple[float, float]]) -> PathRecovery:
    """A path on which a packet left at each of these times, and was answered so much later."""
    recovery = PathRecovery(max_datagram_size=1200, send_probe=lambda: None)
    for number, (sent, rtt) in enumerate(times):
        packet = QuicSentPacket(
            epoch=Epoch.ONE_RTT,
            in_flight=True,
            is_ack_eliciting=True,
            is_crypto_packet=False,
            packet_number=number,
            packet_type=QuicPacketType.ONE_RTT,
            sent_time=sent,
            sent_bytes=1200,
        )
        recovery.on_packet_sent(packet=packet, space=recovery.sent)
        recovery.measure(rtt, sent + rtt)
    return recovery


@pytest.mark.parametrize(
    ("times", "rtt"),
    [
        ([(0.0, 0.051)], 0.051),
        ([(0.0, 0.100), (5.0, 0.044)], 0.044),
        ([(0.0, 0.044), (5.0, 0.100)], 0.100),
        ([(0.0, 0.044), (5.0, 0.100), (5.0 + 2 * REST, 0.046)], 0.046),
        ([(0.0, 0.040), (0.02, 0.048)], 0.041),
        ([(0.0, 0.040), (0.5 * REST, 0.048)], 0.041),
        ([(0.0, 0.100), (5.0, 0.040), (5.02, 0.048)], 0.041),
    ],
    ids=[
        "the first answer counts",
        "that programs were starting is forgotten after a rest",
        "a path that became slower is known to be",
        "and one late answer is mended by the next",
        "of many each counts an eighth, as in RFC 9002",
        "a short silence is no rest",
        "only the first after a rest stands alone",
    ],
)
def test_a_path_at_rest_is_measured_anew(times: Sequence[tuple[float, float]], rtt: float) -> None:
    assert asked(times).rtt == pytest.approx(rtt)


def test_the_deviation_is_smoothed_all_the_same() -> None:
    """Else every question on a path that stands by would be asked again later than needed."""
    steady = asked([(5.0 * number, 0.040) for number in range(20)])
    assert steady.get_probe_timeout() < 0.040 + steady.max_ack_delay + 0.005
