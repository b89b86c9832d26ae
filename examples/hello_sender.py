"""Say hello to the first one to come. `hello_receiver.py` is the other end."""

import asyncio
import sys

import p2pquic


async def main(server: str, pin: str | None = None) -> None:
    async with p2pquic.join("hello", intermediate=server, pin=pin) as room:
        connection = await room.accept()
        stream = connection.open_stream()
        await stream.write(b"hello, wherever you are")
        stream.end()
        await stream.wait_delivered()


asyncio.run(main(*sys.argv[1:]))  # HOST:PORT of the server, and its pin
