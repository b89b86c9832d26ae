"""Signs of life on each path: challenges, pings, and acknowledgements by the path that needs them.

    what came by a path beside the selected one   is acknowledged on that path, too
    what leaves beside the selected one           carries an acknowledgement, always
    an acknowledgement on the selected one        rides on the next packet that leaves

Stock QUIC acknowledges wherever it happens to send next. Then an end that tries another path could
not see whether it is answered by that one; and the path in doubt would carry the only answer.
"""

from __future__ import annotations

from typing import Any, cast

from aioquic import tls
from aioquic.buffer import Buffer
from aioquic.quic.connection import QuicNetworkPath, QuicReceiveContext
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace

from p2pquic.core.deadlines import earliest
from p2pquic.core.liveness import Answers
from p2pquic.core.path import PathAddress
from p2pquic.quic import events
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.paths import Path
from p2pquic.quic.remapped_paths import RemappedPathsConnection


class PathLifeConnection(RemappedPathsConnection):
    """One end of a connection that knows of each of its paths whether it answers."""

    def __init__(
        self, config: ConnectionConfig, original_destination_connection_id: bytes | None = None
    ) -> None:
        super().__init__(config, original_destination_connection_id)
        self.heard_elsewhere_at = 0.0  # when they last spoke beside the selected path (audio, or a
        # ping in its place): what one does in doubt
        self._now = 0.0  # when the packet being written leaves

    def answers(self, path: PathAddress) -> Answers:
        """What came back by an open path."""
        return self._paths[path].recovery.answers

    def is_limited(self, addr: PathAddress) -> bool:
        """Whether an open path leads to an address that was never proved (RFC 9000 section 8)."""
        return not self._paths[addr].is_validated

    def challenge(self, addr: PathAddress) -> None:
        """Send a PATH_CHALLENGE, padded to 1200 bytes, with the next packet on an open path."""
        self._paths[addr].challenge_due = True

    def probe(self, addr: PathAddress) -> None:
        """Challenge an open path, and tell of the answer."""
        path = self._paths[addr]
        path.challenge_due = path.is_probed = True

    def ping(self, addr: PathAddress) -> None:
        """Send a small packet on an open path that asks for an acknowledgement."""
        self._paths[addr].ping_due = True

    def doubt(self, addr: PathAddress) -> None:
        """Have an open path show again that it lives, by answering a challenge.

        Its address stays validated: what is sent there meanwhile is limited no more than before.
        """
        path = self._paths[addr]
        path.is_doubted = path.challenge_due = True

    def get_timer(self) -> float | None:
        timer = super().get_timer()
        for path in self._paths.values():
            if path.ack_at is not None and path is not self._selected:
                timer = earliest((timer, path.ack_at))
        return timer

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, PathAddress]]:
        if not self._close_pending:
            return super().datagrams_to_send(now)
        return self._before_goodbye(now) + super().datagrams_to_send(now)

    # ---- overridden internals ----------------------------------------------------------------

    def _payload_received(
        self, context: QuicReceiveContext, plain: bytes, crypto_frame_required: bool = False
    ) -> tuple[bool, bool]:
        path = context.network_path
        assert isinstance(path, Path)
        path.recovery.answers.heard(context.time)
        received = super()._payload_received(context, plain, crypto_frame_required)
        eliciting, _ = received
        if eliciting and path is not self._selected and path.cid and path.ack_at is None:
            path.ack_at = context.time + self._ack_delay
        return received

    def _handle_ping_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        super()._handle_ping_frame(context, frame_type, buf)
        self._note_elsewhere(context)

    def _handle_datagram_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        super()._handle_datagram_frame(context, frame_type, buf)
        self._note_elsewhere(context)

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
                if path.is_probed:
                    path.is_probed = False
                    self._tell(events.PathProbed(path.addr, rtt))
                if path.is_doubted or not path.is_validated:
                    path.is_validated, path.is_doubted = True, False
                    self._tell(events.PathValidated(path.addr, rtt))

    def _on_path_challenge_delivery(
        self, delivery: QuicDeliveryState, network_path: QuicNetworkPath
    ) -> None:
        path = cast(Path, network_path)
        if delivery != QuicDeliveryState.ACKED and path.addr in self._paths:
            path.challenge_due = path.is_doubted or path.is_probed or not path.is_validated

    def _write_application(self, builder: QuicPacketBuilder, network_path: Any, now: float) -> None:
        self._now = now
        space = self._spaces[tls.Epoch.ONE_RTT]
        due = space.ack_at
        if self._owes_acknowledgement(space, network_path, now):
            space.ack_at = now  # it rides on the packet that leaves anyway
        try:
            super()._write_application(builder, network_path, now)
        finally:
            if network_path is not self._selected or space.ack_at is not None:
                space.ack_at = due  # still owed: it rode beside, or no packet could leave

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        super()._write_connection_limits(builder, space)
        path = self._shown
        assert path is not None
        if path.challenge_due:
            self._write_path_challenge_frame(builder, path)
            path.note_challenge(self._now)
        if path.ping_due:
            self._write_ping_frame(builder)
            path.ping_due = False

    # ---- our own parts -----------------------------------------------------------------------

    def _before_goodbye(self, now: float) -> list[tuple[bytes, PathAddress]]:
        """What came is acknowledged before we say goodbye: or they would not know that it did."""
        space = self._spaces.get(tls.Epoch.ONE_RTT)
        if not self._handshake_confirmed or space is None or space.ack_at is None:
            return []
        self._close_pending, space.ack_at = False, 0.0  # long due: pacing holds up no such packet
        try:
            return super().datagrams_to_send(now)
        finally:
            self._close_pending = True

    def _owes_acknowledgement(self, space: QuicPacketSpace, path: Path, now: float) -> bool:
        """Whether the packet being built should carry one."""
        if path is self._selected:
            return space.ack_at is not None and path.has_something_to_say
        return len(space.ack_queue) > 0 and path.wants_to_speak(now)

    def _note_elsewhere(self, context: QuicReceiveContext) -> None:
        if context.network_path is not self._selected:
            self.heard_elsewhere_at = context.time
