"""The application's datagrams in one call: numbered, hedged like audio, each handed over once.

They come in any order; one that is lost and can no longer be in time is not sent again.
"""

from __future__ import annotations

from p2pquic.core.actions import Action, TellApplication
from p2pquic.core.application import DatagramCame
from p2pquic.core.frames import DATAGRAM_FLOW, Frame, RecentFrames, SequenceWindow
from p2pquic.core.trace import Copy
from p2pquic.quic.connection import MultipathConnection
from p2pquic.wire.datagram import decode_datagram, encode_datagram

REMEMBERED = 4096  # datagrams: a repeat may come half a second late, and 4,000 a second are many


class PairDatagrams:
    """A flow of the application's own; what arrives is ordered in `actions`."""

    def __init__(self, remote: str, actions: list[Action]) -> None:
        self.recent = RecentFrames()
        self.sent = 0  # datagrams
        self.received = 0
        self._remote = remote
        self._actions = actions
        self._seen = SequenceWindow(REMEMBERED)

    def add(self, data: bytes, now: float) -> Frame:
        """The application has something to send."""
        frame = Frame(self.sent, data, now, DATAGRAM_FLOW)
        self.sent += 1
        self.recent.add(frame)
        return frame

    def prepare(self, connection: MultipathConnection, frame: Frame) -> bytes:  # noqa: ARG002
        """What follows the flow id."""
        return encode_datagram(frame.seq, frame.payload)

    def note_sent(self, frame: Frame, path: str, copy: Copy) -> None:
        """Nobody counts them one by one."""

    def arrive(self, packet: bytes, path: str, now: float) -> None:  # noqa: ARG002
        """One came.

        Raises:
            ProtocolError: it is cut short.
        """
        sequence, data = decode_datagram(packet)
        if self._seen.accept(sequence):
            self.received += 1
            self._actions.append(TellApplication(self._remote, DatagramCame(data)))
