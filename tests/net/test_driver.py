"""The driver: events in, actions out, one timer; with real sockets on loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from p2pquic.core.actions import Action, Finish, Log, PlayMedia, SendDatagram, StartMedia, StopMedia
from p2pquic.core.addresses import LocalAddress, LocalSocket
from p2pquic.core.events import (
    DatagramReceived,
    DeadlinePassed,
    Event,
    HangUpRequested,
    MediaPacketReady,
    Resumed,
    SocketsChanged,
)
from p2pquic.core.trace import AddressChanged, Closed, Dropped, Entry, Failed, Record
from p2pquic.net import clock
from p2pquic.net.driver import FAREWELL_LIMIT, Driver

LOOPBACK = LocalAddress("127.0.0.1", "lo")
SECOND_LOOPBACK = LocalAddress("127.0.0.2", "lo")


class Script:
    """A session that answers events as a function says, and remembers them."""

    def __init__(self, answer: Callable[[Event], list[Action]]) -> None:
        self.deadline: float | None = None
        self.events: list[Event] = []
        self._answer = answer

    def handle(self, event: Event, now: float) -> list[Action]:
        del now
        self.events.append(event)
        return self._answer(event)

    @property
    def sockets(self) -> tuple[LocalSocket, ...]:
        changes = [event for event in self.events if isinstance(event, SocketsChanged)]
        return changes[-1].sockets


class Recorder:
    """Collects trace records and media actions."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.orders: list[str] = []

    def write(self, entry: Entry) -> None:
        self.records.append(entry.record)

    def start(self) -> None:
        self.orders.append("start")

    def play(self, remote: str, rtp: bytes) -> None:
        self.orders.append(f"play {rtp.decode()} of {remote}")

    def stop(self, remote: str) -> None:
        self.orders.append(f"stop {remote}")


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(test())


def nothing(_: Event) -> list[Action]:
    return []


def test_a_datagram_goes_from_socket_to_session_to_socket() -> None:
    async def test() -> None:
        def answer(event: Event) -> list[Action]:
            match event:
                case SocketsChanged((a, b)):
                    return [SendDatagram(a, b.address, b"ping")]
                case DatagramReceived(local, remote, b"ping"):
                    return [SendDatagram(local, remote, b"pong")]
                case DatagramReceived(data=b"pong"):
                    return [Finish("answered")]
            return []

        driver = Driver(Recorder().write)
        driver.run(Script(answer))
        driver.follow((LOOPBACK, SECOND_LOOPBACK))
        assert (await driver.wait_until_finished()).reason == "answered"
        driver.close()

    in_loop(test)


def test_actions_are_performed_in_order_before_feed_returns() -> None:
    async def test() -> None:
        recorder = Recorder()
        orders: list[Action] = [
            StartMedia(),
            Log(Failed("between")),
            PlayMedia("bob", b"1"),
            PlayMedia("bob", b"2"),
            StopMedia("bob"),
        ]
        driver = Driver(recorder.write)
        driver.run(Script(lambda _: orders), recorder)
        driver.feed(MediaPacketReady(b"0"))
        assert recorder.orders == ["start", "play 1 of bob", "play 2 of bob", "stop bob"]
        assert recorder.records == [Failed("between")]
        driver.close()

    in_loop(test)


def test_an_event_raised_by_an_action_waits_for_the_actions_before_it() -> None:
    async def test() -> None:
        class Echo(Recorder):
            def start(self) -> None:
                driver.feed(MediaPacketReady(b"at once"))
                super().start()

        def answer(event: Event) -> list[Action]:
            if isinstance(event, HangUpRequested):
                return [StartMedia(), StopMedia("bob")]
            return [PlayMedia("bob", b"echo")]

        recorder = Echo()
        driver = Driver(recorder.write)
        driver.run(Script(answer), recorder)
        driver.feed(HangUpRequested("test"))
        assert recorder.orders == ["start", "stop bob", "play echo of bob"]
        driver.close()

    in_loop(test)


def test_what_happens_before_the_session_is_there_is_not_forgotten() -> None:
    async def test() -> None:
        session = Script(nothing)
        driver = Driver(Recorder().write)
        driver.follow((LOOPBACK,))
        driver.run(session)
        assert [socket.host for socket in session.sockets] == ["127.0.0.1"]
        driver.close()

    in_loop(test)


def test_the_session_is_woken_at_its_deadline() -> None:
    async def test() -> None:
        def answer(event: Event) -> list[Action]:
            if isinstance(event, DeadlinePassed):
                assert session.deadline is not None
                assert clock.now() >= session.deadline
                session.deadline = None
                return [Finish("woken")]
            session.deadline = clock.now() + 0.01
            return []

        session = Script(answer)
        driver = Driver(Recorder().write)
        driver.run(session)
        driver.feed(MediaPacketReady(b""))
        assert (await driver.wait_until_finished()).reason == "woken"
        driver.close()

    in_loop(test)


def test_a_deadline_that_moved_does_not_wake() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        session = Script(nothing)
        driver = Driver(Recorder().write)
        session.deadline = clock.now() + 0.01
        driver.run(session)
        session.deadline = None
        driver.feed(MediaPacketReady(b""))
        later = loop.create_future()
        loop.call_later(0.02, later.set_result, None)
        await later
        assert session.events == [MediaPacketReady(b"")]
        driver.close()

    in_loop(test)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock that counts sleep")
def test_a_machine_that_slept_says_so_first_and_its_clock_has_gone_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the kernel shows after a sleep of ten minutes: one clock ran, the other stood still."""

    async def test() -> None:
        times: list[float] = []

        def answer(event: Event) -> list[Action]:
            del event
            times.append(clock.now())
            return []

        read = time.clock_gettime
        session = Script(answer)
        driver = Driver(Recorder().write)
        driver.run(session)
        driver.feed(MediaPacketReady(b"before"))
        monkeypatch.setattr(time, "clock_gettime", lambda which: read(which) + 600.0)
        driver.feed(MediaPacketReady(b"after"))
        driver.feed(MediaPacketReady(b"later"))
        before, resumed, after, later = session.events
        assert isinstance(resumed, Resumed)
        assert resumed.asleep == pytest.approx(600.0, abs=0.1)
        assert [before, after, later] == [
            MediaPacketReady(each) for each in (b"before", b"after", b"later")
        ]
        assert times[1] - times[0] == pytest.approx(600.0, abs=0.1)
        driver.close()

    in_loop(test)


def test_following_keeps_the_socket_of_an_address_that_stays() -> None:
    async def test() -> None:
        session, recorder = Script(nothing), Recorder()
        driver = Driver(recorder.write)
        driver.run(session)
        driver.follow((LOOPBACK,))
        first = session.sockets
        driver.follow((SECOND_LOOPBACK, LOOPBACK))
        assert session.sockets[1:] == first
        driver.follow((LOOPBACK, SECOND_LOOPBACK))
        driver.follow((LOOPBACK,))
        assert session.sockets == first
        assert recorder.records == [
            AddressChanged(["127.0.0.1%lo"], []),
            AddressChanged(["127.0.0.2%lo"], []),
            AddressChanged([], ["127.0.0.2%lo"]),
        ]
        driver.close()

    in_loop(test)


def test_an_address_that_cannot_be_bound_is_left_out_and_traced() -> None:
    async def test() -> None:
        session, recorder = Script(nothing), Recorder()
        driver = Driver(recorder.write)
        driver.run(session)
        driver.follow((LocalAddress("203.0.113.77", "lo"), LOOPBACK))
        assert [socket.host for socket in session.sockets] == ["127.0.0.1"]
        assert Dropped in map(type, recorder.records)
        driver.close()

    in_loop(test)


def test_a_bug_in_the_session_ends_the_run_with_that_error() -> None:
    async def test() -> None:
        def answer(_: Event) -> list[Action]:
            raise LookupError("a bug")

        session = Script(answer)
        session.deadline = 0.0
        driver = Driver(Recorder().write)
        driver.run(session)
        with pytest.raises(LookupError, match="a bug"):
            await driver.wait_until_finished()
        driver.close()

    in_loop(test)


@pytest.mark.slow
def test_a_session_that_ignores_hanging_up_is_ended_all_the_same() -> None:
    async def test() -> None:
        session, recorder = Script(nothing), Recorder()
        driver = Driver(recorder.write)
        driver.run(session)
        driver.hang_up("enough")
        async with asyncio.timeout(FAREWELL_LIMIT + 0.5):
            assert await driver.wait_until_finished() == Finish("enough")
        assert session.events == [HangUpRequested("enough")]
        assert recorder.records == [Closed("enough")]
        driver.close()

    in_loop(test)
