"""What a peer keeps from one run for the next: it reads the trace and writes down whom it met.

It hears of nobody who has not proved to hold a key.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from p2pquic.core.errors import UsageError
from p2pquic.core.trace import Connected, Failed, PeerRecognised, Record, ServerTrusted
from p2pquic.peer.known_peers import KnownPeers
from p2pquic.peer.known_servers import KnownServers


class Memory:
    """Of one peer; `names` has each server's HOST:PORT as the person typed it, by its address."""

    def __init__(
        self,
        names: Mapping[str, str],
        servers: KnownServers | None,
        peers: KnownPeers | None = None,
    ) -> None:
        """Where to write; None for nowhere."""
        self._names = names
        self._servers = servers
        self._peers = peers

    def notice(self, record: Record) -> Record | None:
        """Take one record in; gives another one if a person should hear more about it.

        A full disk is told, and does not end the call.

        Raises:
            OtherKeyError: the server is not the one that another process met.
        """
        try:
            if isinstance(record, ServerTrusted) and self._servers is not None:
                self._servers.trust(self._names[record.address], record.fingerprint)
            elif isinstance(record, Connected) and self._peers is not None:
                now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                return PeerRecognised(record.remote, self._peers.meet(record.remote, now) or "")
        except UsageError as error:
            return Failed(f"{error} Nothing is remembered of this.")
        return None
