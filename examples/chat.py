"""Lines of text, to everybody in the room.

    python examples/chat.py --intermediate HOST:PORT --room NAME --name Ada

Type a line; the end of the input (Ctrl-D) leaves. To each of the others there is a connection of its
own, and on it one stream each way: in order, and again from where it was after a change of network.

    stream    a name and then what is said, each a line of UTF-8
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from collections.abc import AsyncIterator

import p2pquic

LONGEST_LINE = 4000  # bytes; who sends a longer one is not listened to


class Chat:
    """What is typed goes to all; what comes is printed."""

    def __init__(self, room: p2pquic.Room, name: str) -> None:
        self._room = room
        self._name = name
        self._streams: list[p2pquic.Stream] = []  # one to each of the others

    async def take_part(self) -> None:
        """Until there is nothing more to say."""
        meeting = asyncio.create_task(self._meet())
        try:
            async for line in typed_lines():
                for stream in self._streams:
                    await say(stream, line)
            await self._finish()
        finally:
            meeting.cancel()

    async def _meet(self) -> None:
        """Talk with everybody who comes. A TaskGroup ends all of them with us."""
        async with asyncio.TaskGroup() as talks:
            while True:
                talks.create_task(self._talk(await self._room.accept()))

    async def _talk(self, connection: p2pquic.Connection) -> None:
        """With one of them, until one of us leaves."""
        stream, name = connection.open_stream(), connection.peer[:8]
        self._streams.append(stream)
        try:
            await stream.write(self._name.encode() + b"\n")
            lines = read_lines(await connection.accept_stream())
            name = f"{await anext(lines)} ({name})"
            show(f"* {name} is here")
            async for line in lines:
                show(f"{name}: {line}")
        except (p2pquic.ConnectionLostError, StopAsyncIteration):
            pass
        finally:
            self._streams.remove(stream)
            show(f"* {name} has left")

    async def _finish(self) -> None:
        """Who leaves takes along what is still under way: so say that no more comes, and wait."""
        for stream in self._streams:
            stream.end()
        waits = [asyncio.create_task(each.wait_closed()) for each in self._room.connections]
        if waits:
            await asyncio.wait(waits, timeout=1.0)


async def say(stream: p2pquic.Stream, line: str) -> None:
    try:
        await stream.write(line.encode() + b"\n")
    except p2pquic.ConnectionLostError:
        pass  # who has gone hears no more


async def read_lines(stream: p2pquic.Stream) -> AsyncIterator[str]:
    """A stream is bytes: where one line ends and the next begins is ours to say."""
    rest = b""
    async for piece in stream:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
        if len(rest) > LONGEST_LINE:
            stream.drop()
            return


async def typed_lines() -> AsyncIterator[str]:
    """Standard input, read by a thread: only there may a program wait for a person.

    The library is of the loop alone, so the thread touches nothing of it.
    """
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str]()

    def read() -> None:
        for line in [*sys.stdin, ""]:
            loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        yield line.rstrip("\n")


def show(line: str) -> None:
    """What others send must not move the cursor, nor paint the screen."""
    print("".join(each if each.isprintable() else "?" for each in line), flush=True)


async def chat(arguments: argparse.Namespace) -> None:
    room = p2pquic.join(
        arguments.room, intermediate=arguments.intermediate, pin=arguments.pin, on_event=tell
    )
    async with room:
        show(f"* you are {arguments.name} ({room.peer_id[:8]}), in room {arguments.room!r}")
        await Chat(room, arguments.name).take_part()
