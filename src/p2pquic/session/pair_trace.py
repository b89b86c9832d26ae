"""What one call writes into the trace about its paths, in words people know them by."""

from __future__ import annotations

from collections.abc import Sequence

from p2pquic.core.actions import Action, Log
from p2pquic.core.drops import DropLimit
from p2pquic.core.errors import ProtocolError
from p2pquic.core.path import DirectPath, PathAddress
from p2pquic.core.trace import (
    Closed,
    Connected,
    Dropped,
    Hedging,
    PathAbandoned,
    PathProbed,
    PathSelected,
    PathStatistics,
    PathValidated,
    Record,
    Suspected,
)
from p2pquic.quic.connection import MultipathConnection
from p2pquic.session.relay_routes import RelayRoutes


class PairTrace:
    """The records of one call; they go into `actions`, which it shares."""

    def __init__(self, remote: str, relays: RelayRoutes, actions: list[Action]) -> None:
        self._remote = remote
        self._relays = relays
        self._actions = actions
        self.delivered = 0  # copies of frames, since the call began
        self.lost = 0
        self._told = 0, 0  # of them, in the statistics of the second before
        self._hedges = False
        self._drops = DropLimit()

    def name(self, path: PathAddress) -> str:
        """A path by the interface it leaves from, and where it leads unless to the one relay."""
        if isinstance(path, DirectPath):
            return str(path)
        leg = self._relays.of(path).local
        name = f"relay/{leg.interface if leg else 'nowhere'}"
        return name if len(self._relays) == 1 else f"{name}/{path.server}"

    def connected(self, connection: MultipathConnection, path: PathAddress) -> None:
        """Both ends are authenticated."""
        connection_id = connection.original_destination_connection_id.hex()
        self._log(Connected(self._remote, path.kind, connection.quic_role, connection_id))

    def selected(self, path: PathAddress, reason: str) -> None:
        """The next packet takes this path."""
        if isinstance(path, DirectPath):
            local, remote = str(path.local), str(path.remote)
        else:
            leg, server = self._relays.of(path).local, path.server
            local = str(leg or "")
            remote = str(server if leg is None else server.seen_from(leg))
        record = PathSelected(self.name(path), path.kind, local, remote, reason, self._remote)
        self._log(record)

    def validated(self, path: PathAddress, rtt: float) -> None:
        """A path answered after `rtt` seconds."""
        self._log(PathValidated(self.name(path), path.kind, self._remote, round(rtt * 1000, 3)))

    def probed(self, path: PathAddress, rtt: float) -> None:
        """A path that was asked answered after `rtt` seconds."""
        rtt_ms = round(rtt * 1000, 3)
        self._log(PathProbed(self.name(path), str(path), path.kind, self._remote, rtt_ms))

    def abandoned(self, path: PathAddress, reason: str) -> None:
        """A path is given up."""
        self._log(PathAbandoned(self.name(path), self._remote, reason))

    def suspected(self, path: PathAddress, reason: str) -> None:
        """The selected path may be dead."""
        self._log(Suspected(self._remote, self.name(path), reason))

    def hedging(self, paths: Sequence[PathAddress]) -> None:
        """Frames are duplicated on these paths; none: no longer. Written when that changes."""
        names = [self.name(path) for path in paths]
        if bool(names) != self._hedges:
            self._hedges = bool(names)
            self._log(Hedging(self._remote, names, on=self._hedges))

    def count(self, *, lost: bool) -> None:
        """A copy of a frame arrived at the other end, or got lost."""
        self.lost += lost
        self.delivered += not lost

    def statistics(self, path: PathAddress, rtt: float | None) -> None:
        """What the active path measured since the last time."""
        delivered, lost = self.delivered - self._told[0], self.lost - self._told[1]
        self._told = self.delivered, self.lost
        loss = lost / max(1, lost + delivered)
        milliseconds = round((rtt or 0.0) * 1000, 3)
        self._log(PathStatistics(self._remote, self.name(path), milliseconds, round(loss, 4)))

    def dropped(self, error: ProtocolError, now: float) -> None:
        """The other end, or somebody in its name, sent what is not allowed."""
        if self._drops.allows(now):
            self._log(Dropped(str(error), self._remote))

    def closed(self, reason: str) -> None:
        """The call is over."""
        self._log(Closed(reason, self._remote))

    def _log(self, record: Record) -> None:
        self._actions.append(Log(record))
