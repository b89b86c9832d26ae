"""Loss recovery with one state per path.

QUIC has one packet number space; paths of 15 and of 300 ms share it. Seen as one sequence the
slow path always looks lost and the fast one always looks congested. So each path keeps its own
round-trip time, congestion window, pacer and order of packets:

    QuicConnection --"self._loss"--> MultipathRecovery --shown--> PathRecovery (wlan0, direct)
                                                            '---> PathRecovery (relay) ...

What belongs to the packet being built or to the path being asked about goes to the path that is
`shown`; what concerns all of them (an ACK frame, the timer) goes to each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import (
    K_PACKET_THRESHOLD,
    K_TIME_THRESHOLD,
    QuicPacketPacer,
    QuicPacketRecovery,
    QuicPacketSpace,
)

from p2pquic.core.deadlines import earliest
from p2pquic.core.liveness import Answers
from p2pquic.quic.congestion import CONGESTION_CONTROL, BurstPacer

STALE_FLIGHT = 0.5  # seconds beyond a round trip after which what was never acknowledged no longer
# counts as in flight: a silent path would fill its window and shut out the frame it wakes up for
INITIAL_RTT = 0.1  # seconds, until a path has answered; aioquic's default
SMOOTHING = 1 / 8  # weight of a new round-trip time (RFC 9002 section 5.3), where they come often
REST = 0.5  # seconds in which nothing left: what comes back then tells more than all before it


class PathRecovery(QuicPacketRecovery):
    """Round-trip time, congestion, losses and signs of life of one path."""

    def __init__(
        self,
        *,
        max_datagram_size: int,
        send_probe: Callable[[], None],
        peer_completed_address_validation: bool = True,
    ) -> None:
        super().__init__(
            congestion_control_algorithm=CONGESTION_CONTROL,
            initial_rtt=INITIAL_RTT,
            max_datagram_size=max_datagram_size,
            peer_completed_address_validation=peer_completed_address_validation,
            send_probe=send_probe,
        )
        self._pacer = BurstPacer(max_datagram_size=max_datagram_size)
        self.sent = QuicPacketSpace(is_application_data=True)
        self.spaces = [self.sent]
        self.answers = Answers()
        self._order: dict[int, int] = {}  # packet number -> how many this path sent before it
        self._sent_count = 0
        self._newest_acknowledged = -1  # in this path's order
        self._is_rested = False  # it was at rest until the last packet left

    @property
    def rtt(self) -> float | None:
        """Smoothed round-trip time in seconds; None before the first answer."""
        return self._rtt_smoothed if self._rtt_initialized else None

    @property
    def least_rtt(self) -> float | None:
        """The shortest round-trip time so far in seconds; None before the first answer."""
        return self._rtt_min if self._rtt_initialized else None

    def measure(self, rtt: float, now: float) -> None:
        """Take a round-trip time from outside the ACK clock: a path response, a punch.

        A path that stands by is measured every some seconds: smoothed, one late answer would make
        it look slow for minutes.
        """
        if not self._rtt_initialized:
            self._rtt_first_sample_time = now
            self._rtt_initialized = True
            self._rtt_smoothed = rtt
            self._rtt_variance = rtt / 2
        else:
            self._rtt_variance += (abs(self._rtt_smoothed - rtt) - self._rtt_variance) / 4
            weight = 1 if self._is_rested else SMOOTHING
            self._rtt_smoothed += (rtt - self._rtt_smoothed) * weight
        self._rtt_latest = rtt
        self._rtt_min = min(self._rtt_min, rtt)
        self._pacer.update_rate(
            congestion_window=self._cc.congestion_window, smoothed_rtt=self._rtt_smoothed
        )

    def _on_packets_lost(
        self,
        *,
        congestion_event: bool = True,
        now: float,
        packets: Iterable[QuicSentPacket],
        persistent_congestion: bool = False,
        space: QuicPacketSpace,
    ) -> None:
        """What left before the first answer met a NAT that was not open yet, and no congestion."""
        lost = list(packets)
        was_open = self._rtt_initialized and any(
            (packet.sent_time or 0.0) > self._rtt_first_sample_time for packet in lost
        )
        super()._on_packets_lost(
            congestion_event=congestion_event and was_open,
            now=now,
            packets=lost,
            persistent_congestion=persistent_congestion,
            space=space,
        )

    def let_go(self, packet: QuicSentPacket) -> None:
        """Count a packet as in flight no longer; whether it arrives is still of interest."""
        if packet.in_flight:
            packet.in_flight = False
            self._cc.on_packets_expired(packets=[packet])

    def abandon(self, now: float) -> None:
        """Declare everything in flight lost, without blaming congestion: the path is gone."""
        self._on_packets_lost(
            congestion_event=False,
            now=now,
            packets=list(self.sent.sent_packets.values()),
            space=self.sent,
        )
        self.sent.loss_time = None

    def on_packet_sent(self, *, packet: QuicSentPacket, space: QuicPacketSpace) -> None:
        if space.is_application_data:
            if not (packet.is_ack_eliciting or packet.in_flight):
                return  # nobody acknowledges a bare acknowledgement, so it would stay for ever
            space = self.sent
            self._order[packet.packet_number] = self._sent_count
            self._sent_count += 1
            sent_time = packet.sent_time or 0.0
            self._is_rested = sent_time > self.answers.sent_at + REST
            self.answers.sent(sent_time)
        super().on_packet_sent(packet=packet, space=space)

    def on_ack_received(
        self, *, ack_rangeset: RangeSet, ack_delay: float, now: float, space: QuicPacketSpace
    ) -> None:
        if space.is_application_data:
            space = self.sent
            self._note_newest(ack_rangeset, now)
        super().on_ack_received(
            ack_rangeset=ack_rangeset, ack_delay=ack_delay, now=now, space=space
        )
        if space is self.sent:
            self._order = {number: self._order[number] for number in space.sent_packets}

    def get_loss_detection_time(self, *, amplification_limited: bool) -> float | None:
        """RFC 9002 section 6.2.1; once the handshake is over only this path's packets count."""
        if not self.handshake_confirmed:
            return super().get_loss_detection_time(amplification_limited=amplification_limited)
        if self.sent.loss_time is not None:
            return self.sent.loss_time
        if amplification_limited or not self.sent.ack_eliciting_in_flight:
            return None
        timeout = self.get_probe_timeout() * 2.0**self._pto_count
        return self._time_of_last_sent_ack_eliciting_packet + timeout

    def _note_newest(self, acknowledged: RangeSet, now: float) -> None:
        """Find the newest packet of this path among the acknowledged, and what it says of life."""
        next_sent: float | None = None
        for number, packet in reversed(self.sent.sent_packets.items()):
            if self._order[number] <= self._newest_acknowledged:
                return
            if number in acknowledged:
                self._newest_acknowledged = self._order[number]
                self.answers.answered(packet.sent_time or 0.0, next_sent, now)
                return
            next_sent = packet.sent_time

    def drop_stale_flight(self, now: float) -> None:
        """Believe lost what nobody acknowledged for long; that is silence, not congestion."""
        horizon = now - STALE_FLIGHT - (self.rtt or INITIAL_RTT)
        stale = []
        for packet in self.sent.sent_packets.values():
            if (packet.sent_time or 0.0) >= horizon:
                break
            stale.append(packet)
        if stale:
            self._on_packets_lost(congestion_event=False, now=now, packets=stale, space=self.sent)

    def _detect_loss(self, *, now: float, space: QuicPacketSpace) -> None:
        """RFC 9002 section 6.1 over this path's own order of packets."""
        if space is not self.sent:
            super()._detect_loss(now=now, space=space)
            return
        delay = K_TIME_THRESHOLD * (
            max(self._rtt_latest, self._rtt_smoothed) if self._rtt_initialized else INITIAL_RTT
        )
        lost: list[QuicSentPacket] = []
        space.loss_time = None
        for number, packet in space.sent_packets.items():
            behind = self._newest_acknowledged - self._order[number]
            if behind <= 0:
                break
            sent_time = packet.sent_time or 0.0
            if behind >= K_PACKET_THRESHOLD or sent_time + delay <= now:
                lost.append(packet)
            elif space.loss_time is None:
                space.loss_time = sent_time + delay
        if lost:
            self._on_packets_lost(now=now, packets=lost, space=space)


class MultipathRecovery:
    """What a stock connection takes for its one loss recovery.

    Below `remove`, this is QuicPacketRecovery's interface as far as QuicConnection uses it.
    """

    def __init__(self, first: PathRecovery) -> None:
        self.shown = first
        self._paths = [first]
        self._spaces: list[QuicPacketSpace] = []

    def add(self, path: PathRecovery) -> None:
        """Count a path in; it inherits what the connection has learned."""
        known = self._paths[0]
        path.handshake_confirmed = known.handshake_confirmed
        path.peer_completed_address_validation = known.peer_completed_address_validation
        path.max_ack_delay = known.max_ack_delay
        self._paths.append(path)

    def remove(self, path: PathRecovery, now: float) -> None:
        """Leave a path out: what was in flight on it is lost."""
        self._paths.remove(path)
        path.abandon(now)

    @property
    def spaces(self) -> list[QuicPacketSpace]:
        """The spaces in which packets are received and acknowledged; all paths share them."""
        return self._spaces

    @spaces.setter
    def spaces(self, spaces: list[QuicPacketSpace]) -> None:
        self._spaces = spaces
        handshake = [space for space in spaces if not space.is_application_data]
        self.shown.spaces = [*handshake, self.shown.sent]  # it stays on the path it began on

    @property
    def bytes_in_flight(self) -> int:
        """On the shown path."""
        return self.shown.bytes_in_flight

    @property
    def congestion_window(self) -> int:
        """Of the shown path, bytes."""
        return self.shown.congestion_window

    @property
    def _pacer(self) -> QuicPacketPacer:
        return self.shown._pacer

    @property
    def handshake_confirmed(self) -> bool:
        """RFC 9001 section 4.1.2."""
        return self.shown.handshake_confirmed

    @handshake_confirmed.setter
    def handshake_confirmed(self, value: bool) -> None:
        for path in self._paths:
            path.handshake_confirmed = value

    @property
    def peer_completed_address_validation(self) -> bool:
        """RFC 9002 section 6.2.2.1."""
        return self.shown.peer_completed_address_validation

    @peer_completed_address_validation.setter
    def peer_completed_address_validation(self, value: bool) -> None:
        for path in self._paths:
            path.peer_completed_address_validation = value

    @property
    def max_ack_delay(self) -> float:
        """The other end's, seconds."""
        return self.shown.max_ack_delay

    @max_ack_delay.setter
    def max_ack_delay(self, value: float) -> None:
        for path in self._paths:
            path.max_ack_delay = value

    def discard_space(self, space: QuicPacketSpace) -> None:
        """Forget what was sent in a space whose keys are gone."""
        for path in self._paths:
            for own in list(path.spaces):
                if own is space or (own is path.sent and space.is_application_data):
                    path.discard_space(own)
        space.ack_at = None

    def get_loss_detection_time(self, *, amplification_limited: bool) -> float | None:
        """When the first path wants to look for losses."""
        return earliest(
            [
                path.get_loss_detection_time(
                    amplification_limited=amplification_limited and path is self.shown
                )
                for path in self._paths
                if path.sent.sent_packets or not path.handshake_confirmed
            ]
        )

    def get_probe_timeout(self, *, include_max_ack_delay: bool = True) -> float:
        """Of the shown path, seconds."""
        return self.shown.get_probe_timeout(include_max_ack_delay=include_max_ack_delay)

    def on_ack_received(
        self, *, ack_rangeset: RangeSet, ack_delay: float, now: float, space: QuicPacketSpace
    ) -> None:
        """Tell each path which of its packets arrived."""
        for path in self._paths:
            if path.sent.sent_packets if space.is_application_data else space in path.spaces:
                path.on_ack_received(
                    ack_rangeset=ack_rangeset, ack_delay=ack_delay, now=now, space=space
                )

    def on_loss_detection_timeout(self, *, now: float) -> None:
        """Let the paths whose time has come look for losses."""
        for path in self._paths:
            time = path.get_loss_detection_time(amplification_limited=False)
            if time is not None and time <= now:
                path.on_loss_detection_timeout(now=now)

    def on_packet_sent(self, *, packet: QuicSentPacket, space: QuicPacketSpace) -> None:
        """Count a packet on the shown path."""
        self.shown.on_packet_sent(packet=packet, space=space)

    def reschedule_data(self, *, now: float, speed_up_handshake: bool = False) -> None:
        """Send again what the shown path may have lost."""
        self.shown.reschedule_data(now=now, speed_up_handshake=speed_up_handshake)
