"""All that one call sends in datagrams, whatever it is, and what came of it.

    audio frames          --> PairMedia ------+
    the application's own --> PairDatagrams --+--> PairFlows --> copies on paths

A frame, of audio or not, may leave in several copies and is done when any of them arrives.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from p2pquic.core.errors import ProtocolError
from p2pquic.core.frames import Frame, FrameId, RecentFrames
from p2pquic.core.path import PathAddress
from p2pquic.core.trace import Copy
from p2pquic.quic.connection import MultipathConnection
from p2pquic.wire.rtp import RoqDatagram, decode_roq_datagram, encode_roq_datagram


class SentCopy(NamedTuple):
    """Which copy of which frame a datagram carries; `number` counts from 1."""

    frame: FrameId
    number: int


class Flow(Protocol):
    """One kind of frames, outgoing and incoming."""

    recent: RecentFrames

    def prepare(self, connection: MultipathConnection, frame: Frame) -> bytes:
        """What follows the flow id; the connection may have to be told something before."""
        ...

    def note_sent(self, frame: Frame, path: str, copy: Copy) -> None:
        """A copy left on the path of that name."""
        ...

    def arrive(self, packet: bytes, path: str, now: float) -> None:
        """What follows the flow id came by the path of that name.

        Raises:
            ProtocolError: it is not of this flow.
        """
        ...


class PairFlows:
    """The flows of one call, by their ids."""

    def __init__(self, flows: dict[int, Flow]) -> None:
        self._flows = flows

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
        flow = self._flows[frame.flow]
        data = encode_roq_datagram(RoqDatagram(frame.flow, flow.prepare(connection, frame)))
        number = flow.recent.note_sent(frame.seq, now)
        connection.send_datagram(data, SentCopy(frame.id, number), path, now)
        flow.note_sent(frame, name, "first" if number == 1 else copy)

    def arrive(self, data: bytes, path: str, now: float) -> None:
        """A datagram came by the path called `path`.

        Raises:
            ProtocolError: it is of no flow, or not as its flow should be.
        """
        datagram = decode_roq_datagram(data)
        flow = self._flows.get(datagram.flow)
        if flow is None:
            raise ProtocolError(f"unknown flow {datagram.flow}")
        flow.arrive(datagram.packet, path, now)

    def acknowledge(self, frame: FrameId) -> None:
        """A copy arrived at the other end."""
        self._flows[frame.flow].recent.acknowledge(frame.seq)

    def lost(self, copy: SentCopy, round_trip: float, now: float) -> float | None:
        """A copy got lost; when the frame should leave again, if ever."""
        recent = self._flows[copy.frame.flow].recent
        return recent.lost(copy.frame.seq, copy.number, round_trip, now)

    def outstanding(self, frame: FrameId) -> Frame | None:
        """The frame, unless it was acknowledged or is too old to matter."""
        return self._flows[frame.flow].recent.outstanding(frame.seq)

    def unacknowledged(self, back: float) -> list[Frame]:
        """What is worth sending again by a path that is back since `back`, newest first."""
        recent = [flow.recent for flow in self._flows.values()]
        frames = [frame for each in recent for frame in each.unacknowledged(back)]
        return sorted(frames, key=_due, reverse=True)


def _due(frame: Frame) -> float:
    return frame.due
