"""Print what the first one to come has to say. `hello_sender.py` is the other end."""

import asyncio
import sys

import p2pquic


async def main(server: str, pin: str | None = None) -> None:
    async with p2pquic.join("hello", intermediate=server, pin=pin) as room:
        connection = await room.accept()
        stream = await connection.accept_stream()
        async for piece in stream:
            print(piece.decode())


asyncio.run(main(*sys.argv[1:]))  # HOST:PORT of the server, and its pin
