"""A stock connection that is shown one of many paths at a time.

aioquic believes in one path. We let it: before it reads or writes a packet it is shown the one
path that packet belongs to, with that path's connection id, recovery state and waiting datagrams
in the places where it looks for its own.

                      receive_datagram(data, path)      datagrams_to_send()
                                |                          | once for each path
                                v                          v with something to say
    Path, Path, Path ... --- _show(path) ---> QuicConnection (stock, sees one path)

Each path has a connection id at either end, so that a packet tells which path it came by whatever
address it came from (RFC 9000 section 9.5). Which paths there are is the business of `many_paths`.
"""

from __future__ import annotations

import logging
import ssl
from typing import Literal, cast

from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    QuicConnection,
    QuicConnectionError,
    QuicReceiveContext,
)
from aioquic.quic.packet import QuicErrorCode
from aioquic.quic.recovery import QuicPacketRecovery

from p2pquic.core.path import PathAddress
from p2pquic.quic import events
from p2pquic.quic.compat import hash_epochs_by_identity, require_aioquic
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.paths import Path
from p2pquic.quic.pinned_tls import PinnedContext
from p2pquic.quic.recovery import MultipathRecovery, PathRecovery

require_aioquic()
hash_epochs_by_identity()
logging.getLogger("quic").addHandler(logging.NullHandler())  # what matters is traced, by us

MAX_DATAGRAM_FRAME_SIZE = 65535  # bytes; RFC 9221 suggests "any that fits a packet"


class ShownPathConnection(QuicConnection):
    """A stock connection, and the paths it is shown one of, each named by its `PathAddress`.

    A server is given the connection id that the client's first packet was sent to.
    """

    def __init__(
        self, config: ConnectionConfig, original_destination_connection_id: bytes | None = None
    ) -> None:
        is_client = original_destination_connection_id is None
        configuration = QuicConfiguration(
            alpn_protocols=[config.alpn],
            is_client=is_client,
            idle_timeout=config.idle_timeout,
            max_datagram_frame_size=MAX_DATAGRAM_FRAME_SIZE,
            max_data=config.streams.unread_in_all,
            max_stream_data=config.streams.unread,
            verify_mode=ssl.CERT_NONE,  # no authorities: PinnedContext judges the key
            certificate=config.identity.certificate,
            private_key=config.identity.private_key,
        )
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_destination_connection_id,
        )
        self.heard_at = 0.0  # when the last packet of the other end came, whatever path
        self._accepts = config.accepts
        self._paths: dict[PathAddress, Path] = {}
        self._selected: Path | None = None
        self._shown: Path | None = None
        self._orphaned: set[int] = set()  # ids of ours on paths that we gave up, and they not yet
        first = PathRecovery(
            max_datagram_size=configuration.max_datagram_size,
            send_probe=self._send_probe,
            peer_completed_address_validation=not is_client,
        )
        self._recovery = MultipathRecovery(first)
        self._loss = cast(QuicPacketRecovery, self._recovery)

    @property
    def quic_role(self) -> Literal["client", "server"]:
        """Which end of the handshake this is; nothing else depends on it but ties."""
        return "client" if self._is_client else "server"

    @property
    def is_confirmed(self) -> bool:
        """Whether both ends are authenticated and paths may change (RFC 9000 section 9)."""
        return self._handshake_confirmed

    @property
    def selected(self) -> PathAddress | None:
        """The path on which both ends speak; None before the first packet."""
        return self._selected.addr if self._selected else None

    @property
    def paths(self) -> list[PathAddress]:
        """Every open path."""
        return list(self._paths)

    @property
    def spare_connection_ids(self) -> int:
        """How many more paths can be opened right now."""
        return len(self._peer_cid_available)

    def owns(self, connection_id: bytes) -> bool:
        """Whether packets to this connection id are ours."""
        ours = [own.cid for own in self._host_cids]
        return connection_id in ours or connection_id == self._original_destination_connection_id

    # ---- overridden internals ----------------------------------------------------------------

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        self.tls = PinnedContext.adopt(self.tls, self._accepts)

    def _find_network_path(self, addr: PathAddress) -> Path:
        assert self._shown is not None
        assert self._shown.addr == addr
        return self._shown

    def _handle_new_connection_id_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        self._show(self._selected)  # whose id stock replaces if it must be retired
        try:
            super()._handle_new_connection_id_frame(context, frame_type, buf)
        except IndexError:  # stock looks for a fresh id without asking whether there is one
            raise QuicConnectionError(
                QuicErrorCode.PROTOCOL_VIOLATION, frame_type, "no connection id is left to use"
            ) from None
        self._show(cast(Path, context.network_path))
        for path in self._paths.values():
            if (
                path is not self._selected
                and path.cid is not None
                and path.cid.sequence_number < self._peer_retire_prior_to
            ):
                self._retire_peer_cid(path.cid)
                path.cid = None

    # ---- for whoever builds on this ----------------------------------------------------------

    def _tell(self, event: events.ConnectionEvent) -> None:
        self._events.append(event)  # type: ignore[arg-type]  # among the stock ones, in order

    def _show(self, path: Path | None) -> None:
        """Let the stock code see `path` as the connection's one and only path."""
        if self._shown is not None and self._shown.cid is not None:
            self._shown.cid = self._peer_cid  # stock may have replaced it
        if path is None or path is self._shown:
            return
        self._shown = path
        self._network_paths = [path]
        self._recovery.shown = path.recovery
        self._datagrams_pending = path.outbox  # type: ignore[assignment]  # bytes, each of them
        if path.cid is not None:
            self._peer_cid = path.cid

    def _first_path(self, addr: PathAddress) -> Path:
        """The path of the handshake, with the connection id that the handshake settles."""
        path = Path(addr, self._recovery.shown)
        path.cid = self._peer_cid
        if self._is_client:
            self._paths[addr] = path
            self._selected = path
        return path

    def _new_path(self, addr: PathAddress) -> Path:
        return Path(
            addr,
            PathRecovery(
                max_datagram_size=self._configuration.max_datagram_size,
                send_probe=self._send_probe,
            ),
        )

    def _ensure_cid(self, path: Path) -> bool:
        if path.cid is None and self._peer_cid_available:
            path.cid = self._peer_cid_available.pop(0)
            if path is self._shown:
                self._peer_cid = path.cid
        return path.cid is not None

    def _path_by_host_sequence(self, sequence: int | None) -> Path | None:
        return next(
            (
                path
                for path in self._paths.values()
                if sequence is not None and path.host_sequence == sequence
            ),
            None,
        )
