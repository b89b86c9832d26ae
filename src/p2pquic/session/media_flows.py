"""The audio of one call: frames that leave, frames that arrive.

Outgoing   remembers what may have to be sent again, and describes the flow once on a stream.
Incoming   turns RTP's 16-bit numbers into frame numbers and lets every frame pass once.

Both are bookkeeping for `pair_session`, which decides when frames go and on which path.
"""

from __future__ import annotations

import math

from p2pquic.core.errors import ProtocolError
from p2pquic.core.frames import AUDIO_FLOW, Frame, RecentFrames
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.playout import Arrival, ArrivalLog
from p2pquic.core.trace import Record
from p2pquic.wire.rtp import (
    FlowDescription,
    SequenceExtender,
    decode_flow_description,
    decode_rtp_header,
    encode_flow_description,
)

LONGEST_DESCRIPTION = 64  # bytes; an honest one has 22 at most
MOST_EARLY_PACKETS = 50  # one second of audio that overtook the description of its flow


class OutgoingFlow:
    """The frames of one call on their way out."""

    def __init__(self) -> None:
        self.recent = RecentFrames()
        self.is_described = False

    def add(self, seq: int, rtp: bytes, due: float) -> Frame:
        """Remember a new frame."""
        frame = Frame(seq, rtp, due)
        self.recent.add(frame)
        return frame

    def describe(self, frame: Frame) -> bytes:
        """The content of the stream that tells how RTP numbers and frame numbers go together."""
        self.is_described = True
        header = decode_rtp_header(frame.payload)
        return encode_flow_description(
            FlowDescription(AUDIO_FLOW, header.ssrc, header.sequence, frame.seq)
        )


class IncomingFlow:
    """The frames of one remote as they come in."""

    def __init__(self, remote: str, bounds: DelayBounds) -> None:
        self._log = ArrivalLog(remote, bounds)
        self._description = b""
        self._ssrc: int | None = None
        self._extender: SequenceExtender | None = None
        self._early: list[tuple[bytes, str]] = []

    @property
    def has_begun(self) -> bool:
        """Whether the other end has described its audio."""
        return self._extender is not None

    @property
    def deadline(self) -> float | None:
        """When to `poll` for what was heard."""
        return self._log.deadline

    def describe(self, data: bytes, *, ended: bool) -> list[tuple[bytes, str]]:
        """Bytes of the stream that describes the flow; gives the packets that waited for it.

        Raises:
            ProtocolError: this is no description.
        """
        if self._extender is not None:
            raise ProtocolError("the flow is described already")
        if len(self._description) + len(data) > LONGEST_DESCRIPTION:
            raise ProtocolError(f"a flow description of more than {LONGEST_DESCRIPTION} bytes")
        self._description += data
        if not ended:
            return []
        description = decode_flow_description(self._description)
        self._ssrc = description.ssrc
        self._extender = SequenceExtender(description.rtp_sequence, description.frame)
        early, self._early = self._early, []
        return early

    def arrive(self, rtp: bytes, path: str, now: float) -> tuple[int, Arrival] | None:
        """An RTP packet came by `path`: its frame number, and whether it is new.

        None while the flow is not described yet; the packet then waits for `describe`.

        Raises:
            ProtocolError: this is not audio of the described flow.
        """
        if self._extender is None:
            if len(self._early) < MOST_EARLY_PACKETS:
                self._early.append((rtp, path))
            return None
        header = decode_rtp_header(rtp)
        if header.ssrc != self._ssrc:
            raise ProtocolError("RTP of another source than the flow's")
        seq = self._extender.extend(header.sequence)
        return seq, self._log.on_frame(seq, now)

    def poll(self, now: float) -> list[Record]:
        """Interruptions that are settled by now, and what an ear noticed."""
        return self._log.poll(now)

    def finish(self) -> list[Record]:
        """The rest of them, at the end of the call."""
        return self._log.poll(math.inf)
