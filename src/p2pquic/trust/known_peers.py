"""Which peers this user's lasting identity has met, and when last.

A peer is its key, and has proved it by the time it is remembered. There is nothing to trust here,
and nothing is refused: it only tells an old acquaintance from somebody new.
"""

from __future__ import annotations

import re
from pathlib import Path

from p2pquic.trust.known_file import KnownFile

LINE = re.compile(r"(?P<name>[0-9a-f]{32})\s+(?P<value>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")
MOST_PEERS = 1000  # 53 bytes each; peers with a new identity for every run would fill any disk


class KnownPeers:
    """The file `known_peers` in the user's data folder: a peer id and a time (UTC) on each line."""

    def __init__(self, directory: Path) -> None:
        self._known = KnownFile(directory / "known_peers", LINE, "PEER_ID YYYY-MM-DDTHH:MM:SSZ")

    def meet(self, peer: str, now: str) -> str | None:
        """Remember that `peer` was met at `now`; when it was met before that, if ever.

        The peer that was not met for longest makes room for a new one.

        Raises:
            UsageError: the file cannot be read or written, or is damaged.
        """
        with self._known.changing() as known:
            before = line = known.get(peer)
            if line is None and len(known) >= MOST_PEERS:
                line = min(known.values(), key=lambda each: each.value)
            self._known.write(peer, now, line)
        return None if before is None else before.value
