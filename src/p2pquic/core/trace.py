"""The trace: every decision and every frame as one typed record, written as one line of JSON.

Tests, lab reports and the user's screen read these same records. A line is
`{"t": seconds of the monotonic clock, "event": name, ...fields}`. Names and fields that exist
stay; new ones may be added, and a reader ignores what it does not know.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

import msgspec

from p2pquic.core.errors import ProtocolError
from p2pquic.core.events import Resilience

PathKind = Literal["direct", "relay"]
Copy = Literal["first", "duplicate", "resend"]


@dataclass(frozen=True)
class Record:
    """One thing that happened; `event` is its name in the file."""

    event: ClassVar[str]


@dataclass(frozen=True)
class Listening(Record):
    """The server is ready; `fingerprint` is what a peer's --pin takes."""

    event = "listening"
    address: str
    fingerprint: str


@dataclass(frozen=True)
class ServerTrusted(Record):
    """The server at `address` proved to hold a key that nobody had told us: taken on trust."""

    event = "server_trusted"
    address: str
    fingerprint: str


@dataclass(frozen=True)
class Registered(Record):
    """The server at `server` accepted us into a room and saw us at `observed`."""

    event = "registered"
    peer: str
    room: str
    observed: str
    server: str = ""


@dataclass(frozen=True)
class Connected(Record):
    """The end-to-end connection to `remote` is authenticated. Once per call."""

    event = "connected"
    remote: str
    kind: PathKind
    quic_role: Literal["client", "server"]
    connection_id: str


@dataclass(frozen=True)
class PeerRecognised(Record):
    """`remote` was met in an earlier call, last at `last_met` (ISO 8601, UTC); empty if never.

    It follows `connected`, so the peer has proved its key.
    """

    event = "peer_recognised"
    remote: str
    last_met: str


@dataclass(frozen=True)
class FrameSent(Record):
    """A copy of audio frame `seq` left on a path."""

    event = "frame_sent"
    seq: int
    path: str
    remote: str
    copy: Copy


@dataclass(frozen=True)
class FrameUnsent(Record):
    """Audio frame `seq` was due while there was no path to send it on."""

    event = "frame_unsent"
    seq: int
    remote: str


@dataclass(frozen=True)
class FrameReceived(Record):
    """Audio frame `seq` of `remote` arrived for the first time."""

    event = "frame_received"
    seq: int
    path: str
    remote: str


@dataclass(frozen=True)
class FrameRepeated(Record):
    """Another copy of a frame we already had; dropped."""

    event = "frame_repeated"
    seq: int
    path: str
    remote: str


@dataclass(frozen=True)
class AddressChanged(Record):
    """The kernel says which of our addresses became usable or went away."""

    event = "address_changed"
    added: list[str]
    removed: list[str]


@dataclass(frozen=True)
class WokeUp(Record):
    """The machine slept for `asleep` seconds (suspended); on Linux only."""

    event = "resumed"
    asleep: float


@dataclass(frozen=True)
class Suspected(Record):
    """The active path to `remote` may be dead."""

    event = "suspected"
    remote: str
    path: str
    reason: str


@dataclass(frozen=True)
class Hedging(Record):
    """Frames to `remote` are duplicated on `paths` (on) or no longer (off)."""

    event = "hedging"
    remote: str
    paths: list[str]
    on: bool


@dataclass(frozen=True)
class PathSelected(Record):
    """The next frame to `remote` takes this path."""

    event = "path_selected"
    path: str
    kind: PathKind
    local: str
    remote_address: str
    reason: str
    remote: str


@dataclass(frozen=True)
class PathValidated(Record):
    """A path answered a challenge after `rtt_ms`."""

    event = "path_validated"
    path: str
    kind: PathKind
    remote: str
    rtt_ms: float


@dataclass(frozen=True)
class PathProbed(Record):
    """A path that a program asked about, by this `id`, answered after `rtt_ms`."""

    event = "path_probed"
    path: str
    id: str
    kind: PathKind
    remote: str
    rtt_ms: float


@dataclass(frozen=True)
class PathAbandoned(Record):
    """A path is given up and its connection id retired."""

    event = "path_abandoned"
    path: str
    remote: str
    reason: str


@dataclass(frozen=True)
class PathStatistics(Record):
    """Once a second per connection: what the active path measures."""

    event = "path_statistics"
    remote: str
    path: str
    rtt_ms: float
    loss: float


@dataclass(frozen=True)
class Observed(Record):
    """The server sees our socket `local` as `address` (its server-reflexive address)."""

    event = "observed"
    local: str
    address: str


@dataclass(frozen=True)
class Interruption(Record):
    """No new frame of `remote` for `gap_ms` (receiver; gaps over 60 ms).

    `lost` frames never came, `late` ones came after their turn, `resent` ones came as re-sends.
    Of it an ear noticed `heard_ms`; `concealed` frames were not there at their turn.
    """

    event = "interruption"
    remote: str
    gap_ms: float
    lost: int
    late: int
    resent: int
    concealed: int = 0
    heard_ms: float = 0.0


@dataclass(frozen=True)
class PlayoutReport(Record):
    """What an ear noticed of `remote` since the call began (receiver), behind its jitter buffer.

    An interruption is more than two concealed frames in a row; all of them together last
    `heard_ms`. `buffer_ms` is the buffer's delay now. Written after every interruption, and once a
    second while something changes.
    """

    event = "playout"
    remote: str
    concealed: int
    interruptions: int
    heard_ms: float
    longest_ms: float
    buffer_ms: int


@dataclass(frozen=True)
class ResilienceChanged(Record):
    """Frames are duplicated in this manner from now on."""

    event = "resilience"
    resilience: Resilience


@dataclass(frozen=True)
class MemberJoined(Record):
    """Another peer is in the room."""

    event = "member_joined"
    peer: str
    role: str


@dataclass(frozen=True)
class MemberLeft(Record):
    """Another peer left the room."""

    event = "member_left"
    peer: str


@dataclass(frozen=True)
class MemberIgnored(Record):
    """Another peer is in the room with whom we want no call (`--only`); it learns nothing of us."""

    event = "member_ignored"
    peer: str
    role: str


@dataclass(frozen=True)
class Unanswered(Record):
    """`remote` is in the room and has not answered our call for `waited` seconds; we go on waiting.

    It may have calls with others alone (`--only`), or no way leads there.
    """

    event = "unanswered"
    remote: str
    waited: float


@dataclass(frozen=True)
class Dropped(Record):
    """A packet or message was refused; `fault` is the reason."""

    event = "dropped"
    fault: str
    source: str


@dataclass(frozen=True)
class ReserveChanged(Record):
    """`interfaces` to be avoided are used, since nothing else is known to live; or no longer."""

    event = "reserve"
    interfaces: list[str]
    used: bool


@dataclass(frozen=True)
class Failed(Record):
    """Something a person should read."""

    event = "error"
    message: str


@dataclass(frozen=True)
class Closed(Record):
    """This process, or the connection to `remote`, came to an end."""

    event = "closed"
    reason: str
    remote: str = ""


_RECORDS: dict[str, type[Record]] = {cls.event: cls for cls in Record.__subclasses__()}


@dataclass(frozen=True)
class Entry:
    """A record and when it happened (seconds of the writer's monotonic clock)."""

    t: float
    record: Record


def to_line(entry: Entry) -> str:
    """One line of JSON without its line end."""
    record = entry.record
    fields = {"t": round(entry.t, 6), "event": record.event, **vars(record)}
    return msgspec.json.encode(fields).decode()


def from_line(line: str) -> Entry | None:
    """Read one line; None for an event this version does not know.

    Raises:
        ProtocolError: the line is not a trace record.
    """
    try:
        fields = msgspec.json.decode(line)
        cls = _RECORDS.get(fields["event"])
        if cls is None:
            return None
        names = {field.name for field in dataclasses.fields(cls)}
        return Entry(float(fields["t"]), cls(**{k: v for k, v in fields.items() if k in names}))
    except (msgspec.DecodeError, ValueError, TypeError, KeyError) as error:
        raise ProtocolError(f"not a trace record: {line[:80]!r} ({error})") from None
