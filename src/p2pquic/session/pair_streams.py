"""The application's streams in one call: what it writes, what it has read, how much may wait.

    write --> connection --> delivered    beyond MOST_QUEUED it is asked to wait (StreamFilled), and
                                          below half of that to go on (StreamDrained); told when
                                          its end has arrived (StreamDelivered)
    read  --> connection                  grants the other end as much again

Bidirectional streams are the application's; the others describe flows of audio.
"""

from __future__ import annotations

from p2pquic.core.actions import Action, TellApplication
from p2pquic.core.application import (
    News,
    StreamBroke,
    StreamDataCame,
    StreamDelivered,
    StreamDrained,
    StreamFilled,
)
from p2pquic.quic import events
from p2pquic.quic.connection import MultipathConnection

MOST_QUEUED = 1 << 20  # bytes written and not delivered, on one stream: as much as may be unread


class PairStreams:
    """The streams of one call; what happens to them is ordered in `actions`."""

    def __init__(self, remote: str, actions: list[Action]) -> None:
        self._remote = remote
        self._actions = actions
        self._full: set[int] = set()
        self._ended: set[int] = set()  # and not delivered yet

    def write(
        self, connection: MultipathConnection, stream_id: int, data: bytes, *, ended: bool
    ) -> None:
        """The application goes on writing; what the other end refused to take is dropped."""
        if not connection.takes_more(stream_id):
            return
        connection.send_stream_data(stream_id, data, end_stream=ended)
        if ended:
            self._ended.add(stream_id)
        if connection.unsent(stream_id) > MOST_QUEUED:
            self._full.add(stream_id)
            self._tell(StreamFilled(stream_id))

    def drop(self, connection: MultipathConnection, stream_id: int, error_code: int) -> None:
        """The application wants no more of a stream, in either direction."""
        self._forget(stream_id)
        connection.drop_stream(stream_id, error_code)

    def react(self, event: events.StreamData | events.StreamBroken | events.StreamRefused) -> None:
        """The connection has news of a stream of the application."""
        match event:
            case events.StreamData(stream_id, data, ended):
                self._tell(StreamDataCame(stream_id, data, ended))
            case events.StreamBroken(stream_id):
                self._tell(StreamBroke(stream_id, "read"))
            case events.StreamRefused(stream_id):
                self._forget(stream_id)
                self._tell(StreamBroke(stream_id, "write"))

    def look(self, connection: MultipathConnection) -> None:
        """Something may have been delivered: who waits may go on."""
        for stream_id in [
            each for each in self._full if connection.unsent(each) <= MOST_QUEUED // 2
        ]:
            self._full.remove(stream_id)
            self._tell(StreamDrained(stream_id))
        for stream_id in [each for each in self._ended if connection.is_delivered(each)]:
            self._ended.remove(stream_id)
            self._tell(StreamDelivered(stream_id))

    def _forget(self, stream_id: int) -> None:
        self._full.discard(stream_id)
        self._ended.discard(stream_id)

    def _tell(self, news: News) -> None:
        self._actions.append(TellApplication(self._remote, news))
