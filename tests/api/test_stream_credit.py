"""What is read of a stream is told to the connection: in portions, and to the last byte."""

from __future__ import annotations

import asyncio

import pytest

from p2pquic.api.streams import SAID_AT_ONCE, Stream
from p2pquic.core.application import AcknowledgeRead, Request, StreamDataCame


def told(asked: list[Request]) -> list[int]:
    return [each.size for each in asked if isinstance(each, AcknowledgeRead)]


@pytest.fixture
def asked() -> list[Request]:
    return []


@pytest.fixture
def stream(asked: list[Request]) -> Stream:
    return Stream(1, asked.append)


def read(stream: Stream) -> None:
    asyncio.run(stream.read())


def read_packets(stream: Stream, count: int) -> None:
    for _ in range(count):
        stream._take(StreamDataCame(1, bytes(1000), False))
        read(stream)


def test_it_is_told_in_portions(stream: Stream, asked: list[Request]) -> None:
    read_packets(stream, 100)
    assert len(told(asked)) == 100_000 // (SAID_AT_ONCE + 1000 - SAID_AT_ONCE % 1000)
    assert sum(told(asked)) > 100_000 - SAID_AT_ONCE


def test_at_the_end_all_of_it_was_told(stream: Stream, asked: list[Request]) -> None:
    read_packets(stream, 5)
    stream._take(StreamDataCame(1, bytes(10), True))
    assert not told(asked)
    read(stream)
    assert told(asked) == [5010]


def test_an_end_that_comes_alone_tells_the_rest(stream: Stream, asked: list[Request]) -> None:
    read_packets(stream, 5)
    stream._take(StreamDataCame(1, b"", True))
    assert told(asked) == [5000]


def test_a_stream_that_is_dropped_or_breaks_keeps_no_credit(
    stream: Stream, asked: list[Request]
) -> None:
    read_packets(stream, 5)
    stream._take(StreamDataCame(1, bytes(700), False))
    stream.drop()
    assert told(asked) == [5700]
    other = Stream(5, asked.append)
    read_packets(other, 3)
    other._break("the other end dropped the stream", "read")
    assert told(asked) == [5700, 3000]
