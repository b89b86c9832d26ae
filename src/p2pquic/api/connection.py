"""A connection with one other peer, which survives every change of address at either end.

send / receive              datagrams: at once, unreliable, each once
open_stream / accept_stream reliable, in order
paths, pin, probe           how it gets there; without a word from you, the best way there is
events                      what happens to it, as it happens
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from p2pquic.api.errors import ConnectionLostError, NotReachedError
from p2pquic.api.event_queues import EventQueue, EventQueues, R
from p2pquic.api.streams import Stream
from p2pquic.api.waiting import Change
from p2pquic.core.application import (
    AcknowledgeRead,
    DatagramCame,
    EndCall,
    News,
    PinPath,
    ProbePath,
    Request,
    SendDatagram,
    StreamDataCame,
    WriteStream,
)
from p2pquic.core.call_state import Path, Statistics
from p2pquic.core.trace import Closed, PathProbed, Record
from p2pquic.session.pair_session import PairSession
from p2pquic.wire.datagram import LARGEST_DATAGRAM

WAITING_DATAGRAMS = 1000  # that nobody has received; then the oldest goes, as on any network
PROBE_TIME = 1.0  # seconds that the answer to a probe may take


class Connection:
    """One connection; `peer` is the other end's id, which it has proved."""

    def __init__(self, peer: str, call: PairSession, ask: Callable[[str, Request], None]) -> None:
        self.peer = peer
        self._call = call
        self._ask_room = ask
        self._events = EventQueues()
        self._datagrams: deque[bytes] = deque(maxlen=WAITING_DATAGRAMS)
        self._streams: dict[int, Stream] = {}
        self._unaccepted: deque[Stream] = deque()
        self._changed = Change()
        self._next_stream = 0 if call.config.is_client else 1  # RFC 9000 section 2.1
        self._their_next_stream = 1 - self._next_stream
        self._skipped: set[int] = set()  # of theirs below that: packets overtake each other
        self._probes: dict[str, list[asyncio.Future[float]]] = {}
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        state = f"over: {self._over.result()}" if self._over.done() else "open"
        return f"<Connection with {self.peer}, {state}>"

    # ---- datagrams ---------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send a datagram of at most 1150 bytes, at once.

        For 400 ms it is sent again where it got lost, or a path died under it; after that no more.
        It may overtake another.

        Raises:
            ConnectionLostError: the connection is over.
            ValueError: it is longer.
        """
        if len(data) > LARGEST_DATAGRAM:
            raise ValueError(f"a datagram has {LARGEST_DATAGRAM} bytes at most, not {len(data)}")
        self._check()
        self._ask(SendDatagram(bytes(data)))

    async def receive(self) -> bytes:
        """The next datagram that came.

        Raises:
            ConnectionLostError: the connection is over, and no datagram is left.
        """
        await self._changed.wait_for(lambda: self._datagrams, self._check)
        return self._datagrams.popleft()

    # ---- streams -----------------------------------------------------------------------------

    def open_stream(self) -> Stream:
        """A new stream; the other end hears of it with the first byte, or the end, of it.

        Raises:
            ConnectionLostError: the connection is over.
        """
        self._check()
        stream = self._begin_stream(self._next_stream)
        self._ask(WriteStream(stream.id, b"", ended=False))  # stock code opens them in order only
        self._next_stream += 4
        return stream

    async def accept_stream(self) -> Stream:
        """The next stream that the other end opened.

        Raises:
            ConnectionLostError: the connection is over, and no stream is left.
        """
        await self._changed.wait_for(lambda: self._unaccepted, self._check)
        return self._unaccepted.popleft()

    # ---- paths -------------------------------------------------------------------------------

    @property
    def paths(self) -> list[Path]:
        """Every way that is open now; one of them is selected. None when the connection is over."""
        return [] if self._over.done() else self._call.paths()

    @property
    def path(self) -> Path | None:
        """The way that is selected; None when the connection is over."""
        return next((path for path in self.paths if path.is_selected), None)

    @property
    def statistics(self) -> Statistics:
        """What came of it so far."""
        return self._call.statistics()

    def pin(self, path: Path | None) -> None:
        """Take this way while it lives, though another be better; None for the best one again.

        When it dies the connection goes on by another, and returns to it when it answers again.
        Where both ends pin, the one with the lower peer id prevails.

        Raises:
            ConnectionLostError: the connection is over.
        """
        self._check()
        self._ask(PinPath("" if path is None else path.id))

    async def probe(self, path: Path, timeout: float = PROBE_TIME) -> float:
        """Measure the round trip of an open path, in seconds, without using it for anything.

        Raises:
            NotReachedError: nothing came back within `timeout` seconds, or the path is gone.
            ConnectionLostError: the connection is over.
        """
        self._check()
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._probes.setdefault(path.id, []).append(answer)
        self._ask(ProbePath(path.id))
        try:
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            raise NotReachedError(
                f"The path {path.name} did not answer within {timeout:g} s."
            ) from None
        finally:
            waiting = self._probes.get(path.id, [])
            if answer in waiting:
                waiting.remove(answer)

    # ---- the rest ----------------------------------------------------------------------------

    def events(self, *kinds: type[R]) -> EventQueue[R]:
        """What happens to this connection from now on, of these kinds or of all (`events`).

        It ends with the connection; `Closed` is the last.
        """
        return self._events.follow(*kinds)

    def close(self, reason: str = "closed") -> None:
        """End the connection; the other end is told why. What is not delivered yet is lost."""
        if not self._over.done():
            self._ask(EndCall(reason))

    async def wait_closed(self) -> str:
        """Why it ended, once it has."""
        return await asyncio.shield(self._over)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._over.done()

    # ---- what the room tells -----------------------------------------------------------------

    def _take_news(self, news: News) -> None:
        if isinstance(news, DatagramCame):
            self._datagrams.append(news.data)
        elif (stream := self._stream(news.stream_id)) is not None:
            stream._take(news)
        elif isinstance(news, StreamDataCame):  # what nobody wants must not count as unread
            self._ask(AcknowledgeRead(news.stream_id, len(news.data)))
        self._changed.tell()

    def _take_record(self, record: Record) -> None:
        if isinstance(record, PathProbed):
            for answer in self._probes.pop(record.id, []):
                if not answer.done():
                    answer.set_result(record.rtt_ms / 1000)
        self._events.put(record)
        if isinstance(record, Closed):
            self._end(record.reason)

    def _end(self, reason: str) -> None:
        if self._over.done():
            return
        self._over.set_result(reason)
        lost = ConnectionLostError(f"The connection is over: {reason}.")
        for stream in self._streams.values():
            stream._break(str(lost))
        for answer in [each for waiting in self._probes.values() for each in waiting]:
            if not answer.done():
                answer.set_exception(lost)
        self._events.close()
        self._changed.tell()

    # ---- our own parts -----------------------------------------------------------------------

    def _ask(self, request: Request) -> None:
        self._ask_room(self.peer, request)

    def _check(self) -> None:
        if self._over.done():
            raise ConnectionLostError(f"The connection is over: {self._over.result()}.")

    def _stream(self, stream_id: int) -> Stream | None:
        """The stream of that number; one that the other end opens is there with its first data."""
        if stream_id in self._streams:
            return self._streams[stream_id]
        is_theirs = (stream_id - self._next_stream) % 2 == 1
        is_new = stream_id >= self._their_next_stream or stream_id in self._skipped
        if not (is_theirs and is_new):
            return None
        self._skipped.update(range(self._their_next_stream, stream_id, 4))
        self._skipped.discard(stream_id)
        self._their_next_stream = max(self._their_next_stream, stream_id + 4)
        stream = self._begin_stream(stream_id)
        self._unaccepted.append(stream)
        return stream

    def _begin_stream(self, stream_id: int) -> Stream:
        self._streams = {each.id: each for each in self._streams.values() if not each._is_done}
        stream = self._streams[stream_id] = Stream(stream_id, self._ask)
        return stream
