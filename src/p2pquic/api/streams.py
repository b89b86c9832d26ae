"""A stream of a connection: bytes in order, each once, whatever way they took.

    write() ... end()  -->          waits while a megabyte is under way
    read() until b""   <--          what nobody reads is not sent either

A stream outlives every change of path; it ends with its connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal, assert_never

from p2pquic.api.errors import ConnectionLostError
from p2pquic.api.waiting import Change
from p2pquic.core.application import (
    AcknowledgeRead,
    DropStream,
    Request,
    StreamBroke,
    StreamDataCame,
    StreamDelivered,
    StreamDrained,
    StreamFilled,
    StreamNews,
    WriteStream,
)

PIECE = 64 * 1024  # bytes handed over at once: small enough not to hold up a frame of audio
SAID_AT_ONCE = 16 * 1024  # bytes read until the connection hears of it: a dozen packets, and a
# small part of the megabyte that may be unread, also on a hundred streams
DROPPED = 1  # the one application error code of a stream that is not wanted


class Stream:
    """Both directions of one stream. `id` is its QUIC number (RFC 9000 section 2.1)."""

    def __init__(self, stream_id: int, ask: Callable[[Request], None]) -> None:
        self.id = stream_id
        self._ask = ask
        self._buffer = bytearray()
        self._read = 0  # bytes that the connection has not heard of yet
        self._at_end = False  # all that the other end writes is in the buffer
        self._has_ended = False  # all that we write was written
        self._is_dropped = False  # by us
        self._read_fault: str | None = None
        self._write_fault: str | None = None
        self._readable = Change()
        self._is_delivered = False  # all that we wrote, and its end
        self._settled = asyncio.Event()  # delivered, or never to be
        self._writable = asyncio.Event()
        self._writable.set()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes after all that were written before; returns when they are under way.

        Raises:
            ConnectionLostError: the connection ended, or the other end drops the stream.
            ValueError: the stream was ended before.
        """
        view = memoryview(data)
        while len(view):
            await self._writable.wait()
            self._check_writing()
            self._ask(WriteStream(self.id, bytes(view[:PIECE]), ended=False))
            view = view[PIECE:]

    def end(self) -> None:
        """Say that no more is to come; the other end reads b"" after the last byte."""
        if not self._has_ended and self._write_fault is None:
            self._has_ended = True
            self._ask(WriteStream(self.id, b"", ended=True))

    async def wait_delivered(self) -> None:
        """After `end`: wait until all of it is at the other end, whether it was read or not.

        Who closes the connection or leaves the room before takes along what is still under way.

        Raises:
            ConnectionLostError: the connection ended, or the other end drops the stream, before.
        """
        await self._settled.wait()
        if not self._is_delivered:
            raise ConnectionLostError(self._write_fault or "the stream broke")

    async def read(self, most: int = PIECE) -> bytes:
        """The next bytes, at least one and at most `most`; b"" at the end of the stream.

        Raises:
            ConnectionLostError: the connection ended, or the other end drops the stream, before
                the end came.
        """
        await self._readable.wait_for(lambda: self._buffer or self._at_end, self._check_reading)
        data = bytes(self._buffer[:most])
        del self._buffer[: len(data)]
        self._read += len(data)
        is_last = not self._buffer and (self._at_end or self._read_fault is not None)
        if is_last or self._read >= SAID_AT_ONCE:
            self._say_read()
        return data

    async def read_exactly(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            ConnectionLostError: the stream ended before, or broke; what had come of them is lost.
        """
        data = bytearray()
        while len(data) < size:
            piece = await self.read(min(size - len(data), PIECE))
            if not piece:
                raise ConnectionLostError(f"The stream ended after {len(data)} of {size} bytes.")
            data += piece
        return bytes(data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """All that is still to come, in pieces."""
        while data := await self.read():
            yield data

    def drop(self) -> None:
        """Neither read nor write any longer; the other end is told, and what is under way lost."""
        self._ask(DropStream(self.id, DROPPED))
        self._read += len(self._buffer)
        self._buffer.clear()
        self._say_read()  # else it counts as unread for ever
        self._at_end, self._is_dropped = False, True
        self._break("This end dropped the stream.")

    @property
    def is_over(self) -> bool:
        """Whether it has ended in both directions, or broke."""
        return (self._at_end or self._read_fault is not None) and (
            self._has_ended or self._write_fault is not None
        )

    # ---- what the connection tells -----------------------------------------------------------

    def _take(self, news: StreamNews) -> None:
        match news:
            case StreamDataCame(_, data) if self._is_dropped:
                self._ask(AcknowledgeRead(self.id, len(data)))
            case StreamDataCame(_, data, ended):
                self._buffer += data
                self._at_end = self._at_end or ended
                if self._at_end and not self._buffer:
                    self._say_read()
                self._readable.tell()
            case StreamFilled():
                self._writable.clear()
            case StreamDrained():
                self._writable.set()
            case StreamDelivered():
                self._is_delivered = True
                self._settled.set()
            case StreamBroke(_, half):
                self._break("The other end dropped the stream.", half)
            case _:
                assert_never(news)

    def _break(self, fault: str, half: Literal["read", "write", "both"] = "both") -> None:
        if half != "write" and not self._at_end:
            self._read_fault = self._read_fault or fault
            self._say_read()
            self._readable.tell()
        if half != "read":
            self._write_fault = self._write_fault or fault
            self._writable.set()
            self._settled.set()

    @property
    def _is_done(self) -> bool:
        """Whether nothing more can be told of it."""
        return self.is_over and self._settled.is_set()

    def _say_read(self) -> None:
        """Let the other end send as much again as was read."""
        if self._read:
            self._ask(AcknowledgeRead(self.id, self._read))
            self._read = 0

    def _check_reading(self) -> None:
        if self._read_fault is not None:
            raise ConnectionLostError(self._read_fault)

    def _check_writing(self) -> None:
        if self._write_fault is not None:
            raise ConnectionLostError(self._write_fault)
        if self._has_ended:
            raise ValueError("the stream was ended; nothing can be written on it any more")
