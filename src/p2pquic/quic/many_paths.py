"""The paths of one connection: opened, proved and given up by whoever owns it.

    open_path    an address that signaling or a punch told of     --.
    (a packet)   authentic, from where we have no path            --+--> Path, Path, Path ...
    close_path   given up here, or retired by the other end       <-'

What stock QUIC decides by itself about paths (a server follows its client, a client ignores new
server addresses and jumps to any that answers) is switched off. Which path is selected is not
decided here either.
"""

from __future__ import annotations

from aioquic import tls
from aioquic.buffer import Buffer
from aioquic.quic.connection import QuicReceiveContext

from p2pquic.core.deadlines import earliest
from p2pquic.core.path import PathAddress
from p2pquic.quic import events
from p2pquic.quic.paths import Path
from p2pquic.quic.shown_path import ShownPathConnection

MAX_PATHS = 8  # as many as there are connection ids (active_connection_id_limit)
TIMER_SLACK = 1e-6  # seconds a timer fires late: sums of floats round, and a loss timer would loop
DATAGRAM_LIFETIME = 0.4  # seconds a datagram may wait for a window; older audio is stale


class ManyPathsConnection(ShownPathConnection):
    """One end of a connection over many paths, each named by its `PathAddress`."""

    def is_validated(self, path: PathAddress) -> bool:
        """Whether the path is open at both ends, its remote address proved, and nothing doubted."""
        each = self._paths.get(path)
        return each is not None and each.is_validated and not (each.is_doubted or each.retired)

    def rtt(self, path: PathAddress) -> float | None:
        """Smoothed round-trip time of an open path in seconds; None if never measured."""
        return self._paths[path].recovery.rtt if path in self._paths else None

    def connect(self, addr: PathAddress, now: float) -> None:
        """Begin the handshake (client) on the first path."""
        super().connect(addr, now)
        path = self._first_path(addr)
        path.is_validated = True
        self._show(path)

    def open_path(
        self,
        addr: PathAddress,
        *,
        proven_rtt: float | None,
        was_reached: bool = False,
        now: float,
    ) -> bool:
        """Open a path to an address that is known; `proven_rtt` if a punch proved the path too.

        `was_reached`: the other end has shown before that it is there. So nothing limits what is
        sent to it, though the path has yet to show that it lives: who moves may send at once to
        an address of the other end that is validated (RFC 9000 section 9.2), or was seen recently
        (section 9.3).

        Returns:
            False when every connection id is in use: nothing was opened.
        """
        path = self._paths.get(addr)
        if path is None:
            if len(self._paths) >= MAX_PATHS or not self._peer_cid_available:
                return False
            path = self._new_path(addr)
            path.cid = self._peer_cid_available.pop(0)
            path.vouch()
            path.is_validated = path.is_doubted = was_reached
            self._adopt(path)
        if proven_rtt is not None:
            path.is_validated, path.is_doubted = True, False
            path.recovery.measure(proven_rtt, now)
            path.recovery.answers.proved(now - proven_rtt, now)
        return True

    def close_path(self, addr: PathAddress, now: float) -> None:
        """Give a path up: its connection id is retired, what was in flight on it is lost.

        The selected path stays selected, as the last way out, until another one is selected.
        """
        path = self._paths[addr]
        if path is self._selected:
            return
        del self._paths[addr]
        if path.host_sequence is not None and not path.retired:
            self._orphaned.add(path.host_sequence)
        if self._shown is path:
            self._show(self._selected)
        self._recovery.remove(path.recovery, now)
        if path.cid is not None:
            self._retire_peer_cid(path.cid)

    def abandon_flight(self, addr: PathAddress, now: float) -> None:
        """Count what is in flight on an open path as lost: stream data is sent again, elsewhere."""
        self._paths[addr].recovery.abandon(now)

    # ---- QuicConnection's entry points -------------------------------------------------------

    def receive_datagram(self, data: bytes, addr: PathAddress, now: float) -> None:
        known = self._paths.get(addr)
        if known is None:
            self._receive_from_elsewhere(data, addr, now)
        else:
            if known is not self._shown:
                self._show(known)
            self._read(known, data, now)
        if self._shown is not self._selected:
            self._show(self._selected)

    def get_timer(self) -> float | None:
        if self._selected is None:  # nothing authentic yet: stock code would look for its keys
            return self._close_at
        if not self._handshake_confirmed or not self._selected.is_validated or self._close_event:
            return super().get_timer()
        self._loss_at = self._loss.get_loss_detection_time(amplification_limited=False)
        ack_at = self._spaces[tls.Epoch.ONE_RTT].ack_at
        return earliest((self._close_at, ack_at, self._loss_at, self._pacing_at))

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, PathAddress]]:
        ready: list[tuple[bytes, PathAddress]] = []
        if self._selected is None:
            return ready
        others = [
            path
            for path in self._paths.values()
            if path is not self._selected
            and (path.wants_to_speak(now) or self._speaks_besides(path))
        ]
        paced: list[float] = []
        for path in [self._selected, *(others if self._handshake_confirmed else [])]:
            if self._ensure_cid(path):
                path.drop_stale(now, DATAGRAM_LIFETIME)
                path.recovery.drop_stale_flight(now)
                if path is not self._shown:
                    self._show(path)
                ready += self._packets_to_send(path, now)
                if self._pacing_at is not None:
                    paced.append(self._pacing_at)
            path.ack_at = None
        self._pacing_at = min(paced, default=None)
        if self._shown is not self._selected:
            self._show(self._selected)
        return ready

    def _packets_to_send(self, path: Path, now: float) -> list[tuple[bytes, PathAddress]]:  # noqa: ARG002
        """The packets that the shown path has to send now."""
        return super().datagrams_to_send(now)

    def _read(self, path: Path, data: bytes, now: float) -> None:
        """A datagram came by the shown path."""
        super().receive_datagram(data, path.addr, now)

    def _receive_from_elsewhere(self, data: bytes, addr: PathAddress, now: float) -> Path:
        """A packet came from where we have no path; gives the one it may become."""
        path = self._first_path(addr) if self._selected is None else self._new_path(addr)
        self._show(path)
        super().receive_datagram(data, addr, now)
        return path

    # ---- overridden internals ----------------------------------------------------------------

    def _payload_received(
        self, context: QuicReceiveContext, plain: bytes, crypto_frame_required: bool = False
    ) -> tuple[bool, bool]:
        path = context.network_path
        assert isinstance(path, Path)
        self.heard_at = context.time
        if context.epoch == tls.Epoch.ONE_RTT and (
            path.host_cid is None or path.host_cid.cid != context.host_cid
        ):
            self._come_by(path, context.host_cid)
        self._welcome(path)
        ack_eliciting, _ = super()._payload_received(context, plain, crypto_frame_required)
        return ack_eliciting, True  # "only probing": stock then decides nothing about paths

    def _handle_retire_connection_id_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        numbers_before = {own.sequence_number for own in self._host_cids}
        super()._handle_retire_connection_id_frame(context, frame_type, buf)
        retired = numbers_before - {own.sequence_number for own in self._host_cids}
        self._orphaned -= retired
        for path in self._paths.values():
            path.retired = path.retired or path.host_sequence in retired
        self._close_retired(context.time)
        if self._selected is not None and self._selected.host_sequence in retired:
            self._tell(events.PathRetired(self._selected.addr))

    # ---- for whoever builds on this ----------------------------------------------------------

    def _on_adopted(self, path: Path) -> None:
        """A path was opened, or goes on from another address."""

    def _on_heard(self, path: Path) -> None:
        """An authenticated packet came on a path that is ours."""

    def _speaks_besides(self, path: Path) -> bool:  # noqa: ARG002
        """Whether a path beside the selected one has more to say than it knows itself."""
        return False

    # ---- our own parts -----------------------------------------------------------------------

    def _adopt(self, path: Path) -> None:
        self._paths[path.addr] = path
        self._recovery.add(path.recovery)
        self._on_adopted(path)

    def _welcome(self, path: Path) -> None:
        """An authenticated packet came on this path: make it ours if it is new."""
        if path.addr in self._paths:
            self._on_heard(path)
        elif self._selected is None:
            self._paths[path.addr] = path
            self._selected = path
        elif (
            path.host_sequence is not None  # else it comes by a path that we gave up
            and self._path_by_host_sequence(path.host_sequence) is None
            and self._make_room()
        ):
            self._adopt(path)
            path.challenge_due = True
            self._tell(events.PathOpened(path.addr))
            self._on_heard(path)

    def _make_room(self) -> bool:
        """Have a place for one more path, at the cost of the oldest that proved nothing."""
        if len(self._paths) < MAX_PATHS:
            return True
        for path in self._paths.values():
            if path is not self._selected and not self.is_validated(path.addr):
                self.close_path(path.addr, self.heard_at)
                self._tell(events.PathRetired(path.addr))
                return True
        return False

    def _come_by(self, path: Path, cid: bytes) -> None:
        """The other end speaks on a path with this connection id of ours from now on."""
        own = next(each for each in self._host_cids if each.cid == cid)
        if own.sequence_number in self._orphaned:
            return
        before = self._path_by_host_sequence(own.sequence_number)
        if before is not None and path.addr in self._paths:
            before.host_cid = None  # its NAT moved it to where a punch had opened this one
        path.retired, path.host_cid = False, own

    def _close_retired(self, now: float) -> None:
        """Close the paths that the other end gave up, unless they are still the way out."""
        for path in list(self._paths.values()):
            if path.retired and path is not self._selected:
                self.close_path(path.addr, now)
                self._tell(events.PathRetired(path.addr))
