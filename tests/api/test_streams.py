"""A stream between a program and its connection: what it asks, and how it takes what it is told."""

from __future__ import annotations

import asyncio

import pytest

from p2pquic import ConnectionLostError, Stream
from p2pquic.core.application import (
    AcknowledgeRead,
    DropStream,
    Request,
    StreamBroke,
    StreamDataCame,
    StreamDelivered,
    StreamDrained,
    StreamFilled,
    WriteStream,
)


def a_stream() -> tuple[Stream, list[Request]]:
    asked: list[Request] = []
    return Stream(0, asked.append), asked


def test_what_a_dropped_stream_held_and_still_gets_does_not_count_as_unread() -> None:
    stream, asked = a_stream()
    stream._take(StreamDataCame(0, b"held", ended=False))
    stream.drop()
    stream._take(StreamDataCame(0, b"under way", ended=True))
    assert [type(each) for each in asked] == [DropStream, AcknowledgeRead, AcknowledgeRead]
    assert [each.size for each in asked if isinstance(each, AcknowledgeRead)] == [4, 9]
    with pytest.raises(ConnectionLostError, match="This end dropped"):
        asyncio.run(stream.read())


def test_a_writer_waits_while_the_stream_is_full() -> None:
    async def run() -> None:
        stream, asked = a_stream()
        stream._take(StreamFilled(0))
        writing = asyncio.create_task(stream.write(b"more"))
        await asyncio.sleep(0)
        assert not asked
        stream._take(StreamDrained(0))
        await writing
        assert asked == [WriteStream(0, b"more", ended=False)]

    asyncio.run(run())


def test_it_is_done_when_nothing_more_can_be_told_of_it() -> None:
    stream, _ = a_stream()
    stream.end()
    stream._take(StreamDataCame(0, b"", ended=True))
    assert (stream.is_over, stream._is_done) == (True, False)
    stream._take(StreamDelivered(0))
    assert (stream.is_over, stream._is_done) == (True, True)
    asyncio.run(stream.wait_delivered())


def test_what_came_before_a_break_is_read() -> None:
    stream, _ = a_stream()
    stream._take(StreamDataCame(0, b"the beginning", ended=False))
    stream._take(StreamBroke(0, "read"))
    assert asyncio.run(stream.read()) == b"the beginning"
    with pytest.raises(ConnectionLostError, match="other end dropped"):
        asyncio.run(stream.read())
