"""What happens to a room and its connections: the records of the trace, by their names.

    async for event in connection.events(events.PathSelected, events.Interruption): ...

They are the lines of the trace file, typed; docs/trace.md describes each.
"""

from __future__ import annotations

from p2pquic.core.trace import (
    AddressChanged,
    Closed,
    Connected,
    Entry,
    Failed,
    Hedging,
    Interruption,
    Listening,
    MemberIgnored,
    MemberJoined,
    MemberLeft,
    Observed,
    PathAbandoned,
    PathProbed,
    PathSelected,
    PathStatistics,
    PathValidated,
    PeerRecognised,
    PlayoutReport,
    Record,
    Registered,
    ResilienceChanged,
    ServerTrusted,
    Suspected,
)

__all__ = [
    "AddressChanged",
    "Closed",
    "Connected",
    "Entry",
    "Failed",
    "Hedging",
    "Interruption",
    "Listening",
    "MemberIgnored",
    "MemberJoined",
    "MemberLeft",
    "Observed",
    "PathAbandoned",
    "PathProbed",
    "PathSelected",
    "PathStatistics",
    "PathValidated",
    "PeerRecognised",
    "PlayoutReport",
    "Record",
    "Registered",
    "ResilienceChanged",
    "ServerTrusted",
    "Suspected",
]
