"""One asyncio loop owns everything: it feeds one session and performs what the session orders.

    datagram, addresses, media, timer, signal
        ->  session.handle(event, now)  ->  actions, in order
        ->  one timer for session.deadline

The driver decides nothing and waits for nothing: an event is handled in the call that reports it,
and its packets have left when that call returns.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, assert_never

from p2pquic.core.actions import (
    Action,
    Finish,
    Log,
    PlayMedia,
    SendDatagram,
    StartMedia,
    StopMedia,
    TellApplication,
)
from p2pquic.core.addresses import LocalAddress
from p2pquic.core.application import News
from p2pquic.core.events import (
    DatagramReceived,
    DeadlinePassed,
    Event,
    HangUpRequested,
    Resumed,
    SocketsChanged,
)
from p2pquic.core.machine import Machine
from p2pquic.core.trace import AddressChanged, Closed, Entry, Record
from p2pquic.net import clock
from p2pquic.net.udp import UdpSockets

FAREWELL_LIMIT = 0.5  # seconds a session may take to say goodbye; the rest is for closing files
MOST_AT_ONCE = 16  # deadlines, before the sockets are read again: a room has 15 calls

WriteEntry = Callable[[Entry], None]
TakeNews = Callable[[str, News], None]


class MediaSink(Protocol):
    """Performs the media actions of a session."""

    def start(self) -> None:
        """Open the source."""
        ...

    def play(self, remote: str, rtp: bytes) -> None:
        """Give one RTP packet to the playout of `remote`."""
        ...

    def stop(self, remote: str) -> None:
        """End the playout of `remote`."""
        ...


class Driver:
    """Runs one session in the running asyncio loop, until it finishes."""

    def __init__(self, write: WriteEntry, take_news: TakeNews | None = None) -> None:
        self._write = write
        self._take_news = take_news
        self._media: MediaSink | None = None
        self._loop = asyncio.get_running_loop()
        self._session: Machine | None = None
        self._waiting: deque[Event] = deque()
        self._handling = False
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: float | None = None  # the deadline, on the session's clock
        self._sleep = clock.SleepWatch()
        self._finished: asyncio.Future[Finish] = self._loop.create_future()
        self._addresses: tuple[LocalAddress, ...] = ()
        self.sockets = UdpSockets(self._on_datagram, self.record, on_read=self._arm)

    def run(self, session: Machine, media: MediaSink | None = None) -> None:
        """Start feeding `session`: first what was reported before it was there."""
        self._session = session
        self._media = media
        self._feed_waiting()
        self._arm()

    def feed(self, event: Event) -> None:
        """Hand one event to the session and perform what it orders, before returning.

        An event that happens while another is performed waits its turn; after the end none does.
        """
        if self._finished.done():
            return
        self._waiting.append(event)
        if not self._handling:
            self._feed_waiting()
            self._arm()

    def follow(self, addresses: tuple[LocalAddress, ...]) -> None:
        """These are the usable addresses now: have their sockets and tell the session."""
        before, self._addresses = self._addresses, addresses
        added = [str(address) for address in addresses if address not in before]
        removed = [str(address) for address in before if address not in addresses]
        if added or removed or not addresses:  # a change of preference alone is the session's
            self.record(AddressChanged(added, removed))
        self.feed(SocketsChanged(self.sockets.follow(addresses)))
        self._catch_up()

    def record(self, record: Record, age: float = 0.0) -> None:
        """Write a record of what happened now, or `age` seconds ago, to the trace.

        An error of who takes it is logged and ends the run.
        """
        try:
            self._write(Entry(time.monotonic() - age, record))
        except Exception as error:
            message = "what happens could not be told, which ends the run"
            self._loop.call_exception_handler({"message": message, "exception": error})
            self.fail(error)

    def hang_up(self, reason: str) -> None:
        """Ask the session to end, and end without it if it does not."""
        self.feed(HangUpRequested(reason))
        self._loop.call_later(FAREWELL_LIMIT, self._end_without_farewell, reason)

    def fail(self, error: BaseException) -> None:
        """End the run: `wait_until_finished` raises `error`."""
        if not self._finished.done():
            self._finished.set_exception(error)

    def on_finished(self, tell: Callable[[str], None]) -> None:
        """Call `tell(reason)` when the session has come to its end, or to grief."""

        def done(finished: asyncio.Future[Finish]) -> None:
            error = finished.exception()
            tell(str(error) if error is not None else finished.result().reason)

        self._finished.add_done_callback(done)

    async def wait_until_finished(self) -> Finish:
        """The session's own end, or the error that ended it."""
        return await asyncio.shield(self._finished)

    async def wait_until_over(self) -> None:
        """The end, whatever it is."""
        await asyncio.wait([self._finished])

    def close(self) -> None:
        """Feed nothing any more and close the sockets."""
        self._session = None
        self._disarm()
        self.sockets.close()

    def _feed_waiting(self) -> None:
        self._handling = True
        try:
            while self._waiting and self._session is not None and not self._finished.done():
                if asleep := self._sleep.look():
                    self._handle(self._session, Resumed(asleep))
                    continue  # that may have been the end
                self._handle(self._session, self._waiting.popleft())
        except Exception as error:  # a bug: whoever waits for the end hears of it
            self.fail(error)
        finally:
            self._handling = False

    def _catch_up(self) -> None:
        """Do what is due by now before anything is read.

        The calls of a room follow a move one after another, so that each is heard of before the
        next is looked at; what the others answer to the first can wait that long.
        """
        now = clock.now()
        for _ in range(MOST_AT_ONCE):
            deadline = None if self._session is None else self._session.deadline
            if deadline is None or deadline > now or self._finished.done():
                return
            self.feed(DeadlinePassed())

    def _handle(self, session: Machine, event: Event) -> None:
        for action in session.handle(event, clock.now()):
            self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case SendDatagram(local, remote, data):
                self.sockets.send(local, remote, data)
            case PlayMedia(remote, rtp):
                self._media_sink.play(remote, rtp)
            case TellApplication(remote, news):
                if self._take_news is not None:
                    self._take_news(remote, news)
            case Log(record, happened_at):
                self.record(record, 0.0 if happened_at is None else clock.now() - happened_at)
            case StartMedia():
                self._media_sink.start()
            case StopMedia(remote):
                self._media_sink.stop(remote)
            case Finish():
                self._finish(action)
            case _:
                assert_never(action)

    @property
    def _media_sink(self) -> MediaSink:
        if self._media is None:
            raise RuntimeError("a session without media ordered some")
        return self._media

    def _arm(self) -> None:
        """One timer, for the session's deadline; asyncio's clock stands still in sleep."""
        deadline = None if self._session is None else self._session.deadline
        if self._timer is not None and self._armed_for == deadline:
            return
        self._disarm()
        if deadline is not None and not self._finished.done():
            self._armed_for = deadline
            self._timer = self._loop.call_later(deadline - clock.now(), self._on_deadline)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_deadline(self) -> None:
        self._timer = None
        self.feed(DeadlinePassed())

    def _on_datagram(self, *fields: Any) -> None:
        """Feed it; the timer is set when all that came with it is fed."""
        self._waiting.append(DatagramReceived(*fields))
        self._feed_waiting()

    def _finish(self, finish: Finish) -> None:
        if not self._finished.done():
            self._finished.set_result(finish)

    def _end_without_farewell(self, reason: str) -> None:
        if not self._finished.done():
            self.record(Closed(reason))
            self._finish(Finish(reason))
