"""What one call carries: audio, and an application's datagrams and streams.

    audio frames     --> PairMedia ------+--> PairFlows --> PairSending: on which path, how often
    datagrams        --> PairDatagrams --+
    streams          --> PairStreams ------> the connection

It puts things in and takes them out; which way they go is not its business.
"""

from __future__ import annotations

from p2pquic.core import application
from p2pquic.core.actions import Action
from p2pquic.core.call_state import Statistics
from p2pquic.core.errors import ProtocolError
from p2pquic.core.frames import AUDIO_FLOW, DATAGRAM_FLOW
from p2pquic.core.path import PathAddress
from p2pquic.quic import events
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.streams import carries_bulk
from p2pquic.session.pair_config import PairConfig
from p2pquic.session.pair_datagrams import PairDatagrams
from p2pquic.session.pair_flows import PairFlows
from p2pquic.session.pair_media import PairMedia
from p2pquic.session.pair_streams import PairStreams
from p2pquic.session.pair_trace import PairTrace

OfStreams = application.WriteStream | application.AcknowledgeRead | application.DropStream
StreamEvent = events.StreamData | events.StreamBroken | events.StreamRefused


class PairContent:
    """All of it, of one call; what arrives is ordered in `actions`."""

    def __init__(self, config: PairConfig, trace: PairTrace, actions: list[Action]) -> None:
        remote = config.other.peer
        self.media = PairMedia(remote, plays=config.receives, bounds=config.buffer, actions=actions)
        self.datagrams = PairDatagrams(remote, actions)
        self.flows = PairFlows({AUDIO_FLOW: self.media, DATAGRAM_FLOW: self.datagrams})
        self.streams = PairStreams(remote, actions)
        self._trace = trace

    def statistics(self, rtt: float | None) -> Statistics:
        """What came of it so far; the round-trip time of the selected path is given."""
        return Statistics(
            rtt=rtt,
            delivered=self._trace.delivered,
            lost=self._trace.lost,
            datagrams_sent=self.datagrams.sent,
            datagrams_received=self.datagrams.received,
        )

    def on_request(self, request: OfStreams, connection: MultipathConnection) -> None:
        """The application does something with a stream."""
        match request:
            case application.WriteStream(stream_id, data, ended):
                self.streams.write(connection, stream_id, data, ended=ended)
            case application.AcknowledgeRead(stream_id, size):
                connection.read(stream_id, size)
            case application.DropStream(stream_id, error_code):
                self.streams.drop(connection, stream_id, error_code)

    def on_datagram(self, datagram: bytes, path: PathAddress, now: float) -> None:
        """A datagram came by a path."""
        try:
            self.flows.arrive(datagram, self._trace.name(path), now)
        except ProtocolError as error:
            self._trace.dropped(error, now)

    def on_stream(self, event: StreamEvent, connection: MultipathConnection, now: float) -> None:
        """The connection has news of a stream, the application's or one that describes audio."""
        if carries_bulk(event.stream_id):
            self.streams.react(event)
        elif isinstance(event, events.StreamData):
            connection.read(event.stream_id, len(event.data))
            try:
                self.media.on_description(event.data, ended=event.ended, now=now)
            except ProtocolError as error:
                self._trace.dropped(error, now)
