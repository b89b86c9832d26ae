"""The audio of one call on its connection: what is sent on which path, what is heard.

frame --> OutgoingFlow --> DATAGRAM on a path          (which path: pair_session says)
DATAGRAM --> IncomingFlow --> the player, once each    (and the trace, every copy)
"""

from __future__ import annotations

from typing import NamedTuple

from p2pquic.core.actions import Action, Log, PlayMedia, StopMedia
from p2pquic.core.drops import DropLimit
from p2pquic.core.errors import ProtocolError
from p2pquic.core.frames import Frame
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.path import PathAddress
from p2pquic.core.playout import Arrival
from p2pquic.core.trace import (
    Copy,
    Dropped,
    FrameReceived,
    FrameRepeated,
    FrameSent,
    FrameUnsent,
    Record,
)
from p2pquic.quic.connection import MultipathConnection
from p2pquic.session.media_flows import IncomingFlow, OutgoingFlow


class SentCopy(NamedTuple):
    """Which copy of which frame a datagram carries; `number` counts from 1."""

    seq: int
    number: int


class PairMedia:
    """The audio of one call; what it orders goes into `actions`, which it shares."""

    def __init__(
        self, remote: str, *, plays: bool, bounds: DelayBounds, actions: list[Action]
    ) -> None:
        self._remote = remote
        self._plays = plays
        self._actions = actions
        self._outgoing = OutgoingFlow()
        self._incoming = IncomingFlow(remote, bounds)
        self._drops = DropLimit()

    @property
    def hears(self) -> bool:
        """Whether the other end's audio has begun."""
        return self._incoming.has_begun

    @property
    def deadline(self) -> float | None:
        """When to call `tick`."""
        return self._incoming.deadline

    def tick(self, now: float) -> None:
        """The deadline has come."""
        for record in self._incoming.poll(now):
            self._log(record)

    # ---- outgoing ----------------------------------------------------------------------------

    def add(self, seq: int, rtp: bytes, now: float) -> Frame:
        """Our source produced a frame."""
        return self._outgoing.add(seq, rtp, now)

    def note_unsent(self, frame: Frame) -> None:
        """It was due, and there is no way out."""
        self._log(FrameUnsent(frame.seq, self._remote))

    def acknowledge(self, seq: int) -> None:
        """A copy arrived at the other end."""
        self._outgoing.acknowledge(seq)

    def lost(self, copy: SentCopy, round_trip: float, now: float) -> float | None:
        """A copy got lost; when the frame should leave again, if ever."""
        return self._outgoing.lost(copy.seq, copy.number, round_trip, now)

    def outstanding(self, seq: int) -> Frame | None:
        """The frame of that number, unless it was acknowledged."""
        return self._outgoing.outstanding(seq)

    def unacknowledged(self, back: float) -> list[Frame]:
        """What is worth sending again by a path that is back since `back`, newest first."""
        return self._outgoing.unacknowledged(back)

    def send(
        self,
        connection: MultipathConnection,
        frame: Frame,
        path: PathAddress,
        name: str,
        copy: Copy,
        now: float,
    ) -> None:
        """Queue a frame on a path called `name`; a frame that never left before is a first copy."""
        if not self._outgoing.is_described:
            stream = connection.get_next_available_stream_id(is_unidirectional=True)
            description = self._outgoing.describe(frame)
            connection.send_stream_data(stream, description, end_stream=True)
        sent = SentCopy(frame.seq, self._outgoing.note_sent(frame.seq, now))
        connection.send_datagram(self._outgoing.datagram(frame), sent, path, now)
        self._log(FrameSent(frame.seq, name, self._remote, "first" if sent.number == 1 else copy))

    # ---- incoming ----------------------------------------------------------------------------

    def on_description(self, data: bytes, *, ended: bool, now: float) -> None:
        """Bytes of the stream that describes the flow."""
        try:
            early = self._incoming.describe(data, ended=ended)
        except ProtocolError as error:
            self._drop(error, now)
            return
        for datagram, path in early:
            self.on_datagram(datagram, path, now)

    def on_datagram(self, data: bytes, path: str, now: float) -> None:
        """A datagram came by the path called `path`."""
        try:
            frame = self._incoming.arrive(data, path, now)
        except ProtocolError as error:
            self._drop(error, now)
            return
        if frame is None:
            return
        seq, rtp, arrival = frame
        if arrival is Arrival.REPEAT:
            self._log(FrameRepeated(seq, path, self._remote))
            return
        self._log(FrameReceived(seq, path, self._remote))
        if self._plays and arrival is Arrival.FIRST:
            self._actions.append(PlayMedia(self._remote, rtp))

    def finish(self) -> None:
        """The call is over."""
        for record in self._incoming.finish():
            self._log(record)
        self._actions.append(StopMedia(self._remote))

    def _drop(self, error: ProtocolError, now: float) -> None:
        if self._drops.allows(now):
            self._log(Dropped(str(error), self._remote))

    def _log(self, record: Record) -> None:
        self._actions.append(Log(record))
