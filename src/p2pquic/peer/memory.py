"""Whom a peer met, from one run to the next: it reads the trace and writes them down.

It hears of nobody who has not proved to hold a key.
"""

from __future__ import annotations

import datetime

from p2pquic.core.errors import UsageError
from p2pquic.events import Connected, Failed, PeerRecognised, Record
from p2pquic.trust.known_peers import KnownPeers


class Memory:
    """Of one peer; without a file it remembers nobody."""

    def __init__(self, peers: KnownPeers | None) -> None:
        self._peers = peers

    def notice(self, record: Record) -> Record | None:
        """Take one record in; gives another one if a person should hear more about it.

        A full disk is told, and does not end the call.
        """
        if not isinstance(record, Connected) or self._peers is None:
            return None
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            return PeerRecognised(record.remote, self._peers.meet(record.remote, now) or "")
        except UsageError as error:
            return Failed(f"{error} Nothing is remembered of this.")
