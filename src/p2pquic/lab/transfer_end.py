"""One end of a file transfer, as a program for the lab: `python -m p2pquic.lab.transfer_end`.

It uses the library as any program would. What it sends is made up from a seed; what it receives
is only summed up, so that no disk is measured. It prints a line of JSON for each thing that
matters to the lab, with the time of CLOCK_MONOTONIC:

    {"what": "connected", ...}  {"what": "began", ...}  {"what": "ended", ..., "sha256": "..."}
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from hashlib import sha256
from pathlib import Path
from random import Random

import p2pquic
from p2pquic.core.trace import to_line


def _say(what: str, **more: object) -> None:
    print(json.dumps({"what": what, "time": time.monotonic(), **more}), flush=True)


async def _send(connection: p2pquic.Connection, size: int, seed: int) -> None:
    content = Random(seed).randbytes(size)
    stream = connection.open_stream()
    await stream.write(content)
    stream.end()
    _say("ended", sha256=sha256(content).hexdigest())
    await stream.read()  # b"": the other end has it all


async def _receive(connection: p2pquic.Connection) -> None:
    stream = await connection.accept_stream()
    digest = sha256()
    _say("began")
    async for piece in stream:
        digest.update(piece)
    _say("ended", sha256=digest.hexdigest())
    stream.end()
    await connection.wait_closed()


async def _main(options: argparse.Namespace) -> None:
    with options.trace.open("w", buffering=1) as trace:
        async with p2pquic.join(
            "lab",
            intermediate=options.intermediate,
            pin=options.pin,
            relay=options.relay,
            folder=options.trace.parent,
            on_event=lambda entry: print(to_line(entry), file=trace),
        ) as room:
            connection = await room.accept()
            _say("connected")
            if options.size:
                await asyncio.to_thread(sys.stdin.readline)  # the lab says when
                await _send(connection, options.size, options.seed)
            else:
                await _receive(connection)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--intermediate", required=True)
    parser.add_argument("--pin", required=True)
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--relay", default="auto")
    parser.add_argument("--size", type=int, default=0, help="to send; 0 receives")
    parser.add_argument("--seed", type=int, default=0)
    asyncio.run(_main(parser.parse_args()))
