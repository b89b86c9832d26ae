"""Lines of text, to everybody in the room.

    python examples/chat.py --intermediate HOST:PORT --room NAME --name Ada

Type a line; the end of the input (Ctrl-D) leaves. With each of the others there is a connection,
and on it one stream each way: in order, and from where it was after a change of network.

    stream    a name, and then what is said, each a line of UTF-8
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import chain

import p2pquic
from p2pquic import events

FAREWELL = 2.0  # seconds: who leaves at once takes along what is still under way
LONGEST_LINE = 4000  # bytes; who sends a longer one is not listened to


class Chat:
    """What is typed goes to all; what comes is printed."""

    def __init__(self, room: p2pquic.Room, name: str) -> None:
        self._room = room
        self._name = name
        self._streams: list[p2pquic.Stream] = []  # one to each of the others

    async def take_part(self) -> None:
        """Until there is nothing more to say, or nobody to carry it."""
        tasks = [asyncio.create_task(self._meet()), asyncio.create_task(self._type())]
        _, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.wait(tasks)

    async def _meet(self) -> None:
        """Talk with everybody who comes; the group ends these talks with us."""
        async with asyncio.TaskGroup() as talks:
            with suppress(p2pquic.ConnectionLostError):
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
        connection.close("goodbye")
        show(f"* {name} has left")

    async def _type(self) -> None:
        async for line in typed_lines():
            for stream in list(self._streams):
                await say(stream, line)
        with suppress(TimeoutError, p2pquic.ConnectionLostError):
            async with asyncio.timeout(FAREWELL):
                for stream in list(self._streams):
                    stream.end()
                    await stream.wait_delivered()


async def say(stream: p2pquic.Stream, line: str) -> None:
    with suppress(p2pquic.ConnectionLostError):  # who has gone hears no more
        await stream.write(line.encode() + b"\n")


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
        for line in chain(sys.stdin, [""]):
            loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        yield line.rstrip("\n")


def show(line: str) -> None:
    """What others send must not move the cursor, nor paint the screen."""
    print("".join(each if each.isprintable() else "?" for each in line), flush=True)


def tell(entry: events.Entry) -> None:
    """What a person has to know of the rest."""
    match entry.record:
        case events.ServerTrusted(address, fingerprint):
            show(f"* the server at {address} has the key {fingerprint}, taken on trust")
        case events.Failed(message):
            show(f"* {message}")


async def chat(arguments: argparse.Namespace) -> None:
    room = p2pquic.join(
        arguments.room, intermediate=arguments.intermediate, pin=arguments.pin, on_event=tell
    )
    async with room:
        show(f"* you are {arguments.name} ({room.peer_id[:8]}), in room {arguments.room!r}")
        await Chat(room, arguments.name).take_part()
    await room.wait_closed()  # raises what was wrong, if the room ended for that


def main() -> int:
    parser = argparse.ArgumentParser(description="Lines of text, to everybody in the room.")
    parser.add_argument("--intermediate", required=True, metavar="HOST:PORT")
    parser.add_argument("--room", required=True, help="who knows its name can take part")
    parser.add_argument("--pin", metavar="sha256:...", help="the server's key, as it says")
    parser.add_argument("--name", default="somebody", help="how the others see you")
    try:
        asyncio.run(chat(parser.parse_args()))
    except p2pquic.P2PQuicError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
