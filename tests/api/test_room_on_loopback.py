"""The library as a program uses it: a server and peers in one loop, real sockets on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

import p2pquic
from p2pquic import events

PATIENCE = 20.0  # seconds for all of a test; the machine may be busy
ROOM = "attic"


def bounded(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test's coroutine, for no longer than PATIENCE."""

    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        async def within() -> None:
            async with asyncio.timeout(PATIENCE):
                await test(*arguments, **named)

        asyncio.run(within())

    return run


async def write_for_ever(stream: p2pquic.Stream) -> None:
    while True:
        await stream.write(bytes(1000))
        await asyncio.sleep(0.01)


class Meeting:
    """A server, and rooms at it."""

    def __init__(self, server: p2pquic.Server) -> None:
        self.server = server

    def join(self, **choices: Any) -> p2pquic.Room:
        return p2pquic.join(
            ROOM, intermediate=self.server.address, pin=self.server.fingerprint, **choices
        )

    @asynccontextmanager
    async def pair(
        self, **choices: Any
    ) -> AsyncIterator[tuple[p2pquic.Connection, p2pquic.Connection]]:
        """Both ends of a connection."""
        async with self.join(**choices) as alice, self.join(**choices) as bob:
            yield await alice.connect(bob.peer_id), await bob.accept()


@asynccontextmanager
async def meeting() -> AsyncIterator[Meeting]:
    async with p2pquic.serve("127.0.0.1:0") as server:
        yield Meeting(server)


@bounded
async def test_two_peers_meet_and_know_each_other() -> None:
    async with meeting() as place, place.join() as alice, place.join() as bob:
        to_bob, to_alice = await alice.connect(bob.peer_id), await bob.accept()
        assert (to_bob.peer, to_alice.peer) == (bob.peer_id, alice.peer_id)
        assert alice.members == [bob.peer_id]
        assert bob.connections == [to_alice]


@bounded
async def test_datagrams_come_once_each() -> None:
    async with meeting() as place, place.pair() as (alice, bob):
        sent = [b"%d" % number for number in range(100)]
        for datagram in sent:
            alice.send(datagram)
            await asyncio.sleep(0)
        assert sorted([await bob.receive() for _ in sent]) == sorted(sent)
        assert bob.statistics.datagrams_received == len(sent)


@bounded
async def test_a_datagram_that_fits_no_packet_is_refused_before_it_is_sent() -> None:
    async with meeting() as place, place.pair() as (alice, bob):
        with pytest.raises(ValueError, match="1150 bytes at most, not 1151"):
            alice.send(bytes(1151))
        alice.send(bytes(1150))
        assert await bob.receive() == bytes(1150)


@bounded
async def test_a_stream_carries_a_file_and_its_answer() -> None:
    file = bytes(range(256)) * 12_000  # 3 MB: more than may be unread, and than may be under way
    async with meeting() as place, place.pair() as (alice, bob):

        async def answer() -> None:
            stream = await bob.accept_stream()
            size = sum([len(piece) async for piece in stream])
            await stream.write(b"%d bytes" % size)
            stream.end()

        answering = asyncio.create_task(answer())
        stream = alice.open_stream()
        await stream.write(file)
        stream.end()
        assert await stream.read() == b"%d bytes" % len(file)
        assert await stream.read() == b""
        await answering
        with pytest.raises(ValueError, match="was ended"):
            await stream.write(b"more")


@bounded
async def test_who_drops_a_stream_ends_it_for_both() -> None:
    async with meeting() as place, place.pair() as (alice, bob):
        stream = alice.open_stream()
        await stream.write(b"to be continued")
        theirs = await bob.accept_stream()
        theirs.drop()
        with pytest.raises(p2pquic.ConnectionLostError, match="dropped"):
            await theirs.read()
        with pytest.raises(p2pquic.ConnectionLostError, match="other end dropped"):
            await write_for_ever(stream)


@bounded
async def test_what_was_delivered_is_read_though_the_writer_left() -> None:
    async with meeting() as place, place.join() as alice:
        async with place.join() as bob:
            to_alice = await bob.connect(alice.peer_id)
            stream = to_alice.open_stream()
            await stream.write(b"1234567890" * 100)
            stream.end()
            await stream.wait_delivered()
        accepted = await (await alice.accept()).accept_stream()
        assert await accepted.read_exactly(10) == b"1234567890"
        with pytest.raises(p2pquic.ConnectionLostError, match="after 990 of 991 bytes"):
            await accepted.read_exactly(991)


@bounded
async def test_what_cannot_be_delivered_is_not_waited_for() -> None:
    async with meeting() as place, place.pair() as (alice, bob):
        stream = alice.open_stream()
        stream.end()
        alice.close("enough")
        with pytest.raises(p2pquic.ConnectionLostError, match="enough"):
            await stream.wait_delivered()
        await bob.wait_closed()


@bounded
async def test_streams_are_accepted_as_they_come() -> None:
    async with meeting() as place, place.pair() as (alice, bob):
        first, second = alice.open_stream(), alice.open_stream()
        for stream, name in ((second, b"second"), (first, b"first")):
            await stream.write(name)
            stream.end()
            accepted = await bob.accept_stream()
            assert b"".join([piece async for piece in accepted]) == name


@bounded
async def test_who_stops_waiting_takes_nothing_along() -> None:
    async with meeting() as place, place.pair() as (alice, bob):
        waiting = asyncio.create_task(bob.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        alice.send(b"for the next")
        assert await bob.receive() == b"for the next"


@bounded
async def test_a_path_can_be_pinned_probed_and_let_go() -> None:
    async with meeting() as place, place.pair() as (alice, _bob):
        followed = alice.events(events.PathSelected)
        while alice.path is None or alice.path.kind != "direct":
            await anext(followed)
        relay = next(path for path in alice.paths if path.kind == "relay")
        assert 0 < await alice.probe(relay) < 1.0
        alice.pin(relay)
        while (await anext(followed)).path != relay.name:
            pass
        assert alice.path is not None
        assert (alice.path.id, alice.path.is_pinned) == (relay.id, True)
        alice.pin(None)
        while not (await anext(followed)).path.startswith("direct"):
            pass


@bounded
async def test_a_path_that_is_not_there_is_not_reached() -> None:
    async with meeting() as place, place.pair() as (alice, _bob):
        nowhere = p2pquic.Path(
            "relay/nowhere", "relay", "", "", None, False, False, False, "relay/nowhere"
        )
        with pytest.raises(p2pquic.NotReachedError, match="did not answer within"):
            await alice.probe(nowhere, timeout=0.1)


@bounded
async def test_the_end_of_a_connection_is_told_to_everything_that_waits() -> None:
    async with meeting() as place, place.pair() as (alice, bob):
        stream = bob.open_stream()
        waiting = [
            asyncio.create_task(each)
            for each in (bob.receive(), bob.accept_stream(), stream.read())
        ]
        followed = bob.events(events.Closed)
        await asyncio.sleep(0)
        alice.close("enough")
        assert await bob.wait_closed() == "enough"
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, p2pquic.ConnectionLostError)
            assert "enough" in str(outcome)
        assert [event.reason async for event in followed] == ["enough"]
        with pytest.raises(p2pquic.ConnectionLostError, match="enough"):
            bob.send(b"too late")
        assert bob.paths == []


@bounded
async def test_who_leaves_the_room_ends_its_connections() -> None:
    async with meeting() as place, place.join() as alice:
        async with place.join() as bob:
            connection = await alice.connect(bob.peer_id)
        assert await connection.wait_closed() == "left"
        assert alice.connections == []


@bounded
async def test_a_room_that_was_left_says_so() -> None:
    async with meeting() as place:
        room = place.join()
        async with room:
            await room.leave("had enough")
            with pytest.raises(p2pquic.ConnectionLostError, match="had enough"):
                await room.accept()
            with pytest.raises(p2pquic.ConnectionLostError, match="had enough"):
                await room.connect("0" * 32, timeout=1)
            with pytest.raises(StopAsyncIteration):
                await anext(room.events())
            assert await room.wait_closed() == "had enough"
            room.send_audio(b"nobody hears it")
        with pytest.raises(RuntimeError, match="joined once"):
            await room.start()


@bounded
async def test_an_error_in_a_callback_of_the_program_ends_its_room_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def stumble(entry: events.Entry) -> None:
        if isinstance(entry.record, events.MemberJoined):
            raise ZeroDivisionError("of the program")

    async with meeting() as place, place.join(on_event=stumble) as room:
        async with place.join():
            with pytest.raises(ZeroDivisionError, match="of the program"):
                await room.wait_closed()
        with pytest.raises(p2pquic.ConnectionLostError, match="of the program"):
            await room.accept()
    assert "ZeroDivisionError" in caplog.text


@bounded
async def test_audio_goes_to_who_listens() -> None:
    class Ear:
        def __init__(self) -> None:
            self.heard: list[bytes] = []
            self.started = False

        def start(self) -> None:
            self.started = True

        def play(self, remote: str, rtp: bytes) -> None:  # noqa: ARG002
            self.heard.append(rtp)

        def stop(self, remote: str) -> None: ...

    mouth, ear = Ear(), Ear()
    async with (
        meeting() as place,
        place.join(role="sender", audio=mouth) as speaker,
        place.join(role="receiver", audio=ear) as listener,
    ):
        await speaker.connect(listener.peer_id)
        packets = [b"\x80\x60" + bytes([0, n]) + bytes(8) + b"opus" for n in range(5)]
        for packet in packets:
            speaker.send_audio(packet)
            await asyncio.sleep(0.02)
        while len(ear.heard) < len(packets):
            await asyncio.sleep(0.01)
        assert ear.heard == packets
        assert (mouth.started, ear.started) == (True, False)


@bounded
async def test_the_manner_can_be_changed_while_connected() -> None:
    async with meeting() as place, place.join() as room:
        followed = room.events(events.ResilienceChanged)
        room.resilience = "hot"
        assert (await anext(followed)).resilience == "hot"


@bounded
async def test_a_server_that_is_not_there_is_a_sentence_in_time() -> None:
    async with meeting() as place:
        address = place.server.address
    with pytest.raises(p2pquic.NotReachedError, match=address):
        async with p2pquic.join(ROOM, intermediate=address, pin="sha256:" + "ab" * 32, timeout=1):
            pytest.fail("nobody can be there")


@bounded
async def test_a_server_with_another_key_is_refused() -> None:
    async with meeting() as place:
        room = p2pquic.join(ROOM, intermediate=place.server.address, pin="sha256:" + "ab" * 32)
        with pytest.raises(p2pquic.P2PQuicError, match="other key"):
            async with room:
                pytest.fail("it is not the server we know")


@bounded
async def test_a_key_is_trusted_at_first_and_remembered(tmp_path: Path) -> None:
    async with meeting() as place:
        for _ in range(2):
            async with p2pquic.join(ROOM, intermediate=place.server.address, folder=tmp_path):
                assert place.server.fingerprint in (tmp_path / "known_servers").read_text()
        address = place.server.address
    async with p2pquic.serve(address):
        with pytest.raises(p2pquic.P2PQuicError, match="known_servers"):
            async with p2pquic.join(ROOM, intermediate=address, folder=tmp_path):
                pytest.fail("it is another server")


@bounded
async def test_a_folder_that_cannot_be_written_is_told_and_ends_nothing() -> None:
    said: list[str] = []

    def listen(entry: events.Entry) -> None:
        if isinstance(entry.record, events.Failed):
            said.append(entry.record.message)

    async with meeting() as place:
        room = p2pquic.join(
            ROOM,
            intermediate=place.server.address,
            folder=Path("/proc/p2pquic"),  # where nobody can write
            on_event=listen,
        )
        async with room:
            assert "Cannot" in said[0]


def test_what_cannot_work_is_said_before_anything_is_done() -> None:
    with pytest.raises(p2pquic.P2PQuicError, match="sha256"):
        p2pquic.join(ROOM, intermediate="127.0.0.1:1", pin="nonsense")
    with pytest.raises(p2pquic.UsageError, match="1 to 64 characters, not 65"):
        p2pquic.join("x" * 65, intermediate="127.0.0.1:1")
    for choice in ("role", "resilience", "relay"):
        with pytest.raises(p2pquic.UsageError, match="'dancer' is none of"):
            p2pquic.join(ROOM, intermediate="127.0.0.1:1", **{choice: "dancer"})  # type: ignore[arg-type]
    with pytest.raises(p2pquic.P2PQuicError, match="belong together"):
        p2pquic.serve("127.0.0.1:0", key=Path("alone.key"))


@bounded
async def test_a_room_is_of_no_use_before_it_is_entered() -> None:
    async with meeting() as place:
        room = place.join()
        for waiting in (room.accept(), room.connect("0" * 32), room.wait_closed()):
            with pytest.raises(RuntimeError, match="was not entered"):
                await waiting
        await room.leave()


def test_every_record_of_the_trace_is_an_event() -> None:
    records = {record.__name__ for record in events.Record.__subclasses__()}
    assert records <= set(events.__all__)
    assert sorted(events.__all__) == events.__all__


def test_every_public_name_is_there() -> None:
    for name in p2pquic.__all__:
        assert getattr(p2pquic, name).__doc__, f"{name} says what it is"
    assert set(p2pquic.__all__) <= set(dir(p2pquic))
    with pytest.raises(AttributeError, match="no attribute 'teleport'"):
        _ = p2pquic.teleport
