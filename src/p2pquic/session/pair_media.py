"""The audio of one call on its connection: what is sent, what is heard.

frame --> OutgoingFlow --> RTP on a path          (which path: PairSending says)
RTP   --> IncomingFlow --> the player, once each  (and the trace, every copy)
"""

from __future__ import annotations

from p2pquic.core.actions import Action, Log, PlayMedia, StopMedia
from p2pquic.core.frames import Frame
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.playout import Arrival
from p2pquic.core.trace import (
    Copy,
    FrameReceived,
    FrameRepeated,
    FrameSent,
    FrameUnsent,
    Record,
)
from p2pquic.quic.connection import MultipathConnection
from p2pquic.session.media_flows import IncomingFlow, OutgoingFlow


class PairMedia:
    """The audio of one call; what it orders goes into `actions`, which it shares."""

    def __init__(
        self, remote: str, *, plays: bool, bounds: DelayBounds, actions: list[Action]
    ) -> None:
        self._remote = remote
        self._plays = plays
        self._actions = actions
        self._outgoing = OutgoingFlow()
        self.recent = self._outgoing.recent  # young enough to be sent again
        self._incoming = IncomingFlow(remote, bounds)

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

    def prepare(self, connection: MultipathConnection, frame: Frame) -> bytes:
        """The RTP packet; before the first one a stream describes the flow."""
        if not self._outgoing.is_described:
            stream = connection.get_next_available_stream_id(is_unidirectional=True)
            description = self._outgoing.describe(frame)
            connection.send_stream_data(stream, description, end_stream=True)
        return frame.payload

    def note_sent(self, frame: Frame, path: str, copy: Copy) -> None:
        """A copy left on the path of that name."""
        self._log(FrameSent(frame.seq, path, self._remote, copy))

    # ---- incoming ----------------------------------------------------------------------------

    def on_description(self, data: bytes, *, ended: bool, now: float) -> None:
        """Bytes of the stream that describes the flow.

        Raises:
            ProtocolError: they describe none, or the audio that came before is not of it.
        """
        for rtp, path in self._incoming.describe(data, ended=ended):
            self.arrive(rtp, path, now)

    def arrive(self, packet: bytes, path: str, now: float) -> None:
        """An RTP packet came by the path of that name.

        Raises:
            ProtocolError: this is not audio of the described flow.
        """
        frame = self._incoming.arrive(packet, path, now)
        if frame is None:
            return
        seq, arrival = frame
        if arrival is Arrival.REPEAT:
            self._log(FrameRepeated(seq, path, self._remote))
            return
        self._log(FrameReceived(seq, path, self._remote))
        if self._plays and arrival is Arrival.FIRST:
            self._actions.append(PlayMedia(self._remote, packet))

    def finish(self) -> None:
        """The call is over."""
        for record in self._incoming.finish():
            self._log(record)
        self._actions.append(StopMedia(self._remote))

    def _log(self, record: Record) -> None:
        self._actions.append(Log(record))
