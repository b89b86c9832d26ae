"""Watch a connection while you walk: from Wi-Fi to cellular, through a tunnel, back home.

    python examples/roam.py --intermediate HOST:PORT --room NAME              on both machines
    python examples/roam.py --intermediate HOST:PORT --room NAME --hold 'relay*'

Each end sends a datagram fifty times a second, as a talk would. Every few seconds you see every
path there is, with its round trip; in between what the network does, what the connection makes of
it, and for how long nothing was heard. `--hold` pins the first path whose name matches.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from fnmatch import fnmatchcase

import p2pquic
from p2pquic import events

CADENCE = 0.020  # seconds between two datagrams
GAP = 0.060  # seconds without a new one: two are missing, an ear would notice


async def roam(arguments: argparse.Namespace) -> None:
    room = p2pquic.join(
        arguments.room,
        intermediate=arguments.intermediate,
        pin=arguments.pin,
        resilience=arguments.resilience,
        on_event=tell,
    )
    async with room:
        say(f"waiting for somebody else in room {arguments.room!r}")
        while True:
            connection = await room.accept()
            try:
                async with asyncio.TaskGroup() as watching:
                    watching.create_task(speak(connection))
                    watching.create_task(listen(connection))
                    watching.create_task(look(connection, arguments.every))
                    watching.create_task(hold(connection, arguments.hold))
            except* p2pquic.ConnectionLostError:
                say(f"it is over ({await connection.wait_closed()}): waiting for another")


async def speak(connection: p2pquic.Connection) -> None:
    number = 0
    while True:
        connection.send(number.to_bytes(8))
        number += 1
        await asyncio.sleep(CADENCE)


async def listen(connection: p2pquic.Connection) -> None:
    """Say for how long nothing was heard. What comes late, and was overtaken, is nothing new."""
    newest, heard = -1, time.monotonic()
    while True:
        number = int.from_bytes(await connection.receive())
        if number <= newest:
            continue
        now, missing = time.monotonic(), number - newest - 1
        if newest >= 0 and now - heard > GAP:
            say(f"HEARD NOTHING for {1000 * (now - heard):.0f} ms, {missing} datagrams overtaken")
        newest, heard = number, now


async def look(connection: p2pquic.Connection, every: float) -> None:
    """All paths, from time to time; probed at once, so that a dead one holds up no other."""
    while True:
        await asyncio.sleep(every)
        paths = connection.paths
        trips = await asyncio.gather(*[probe(connection, path) for path in paths])
        for path, trip in zip(paths, trips, strict=True):
            mark = "*" if path.is_selected else " "
            pinned = ", pinned" if path.is_pinned else ""
            say(f" {mark} {path.name:34} to {path.remote_address:24} {trip}{pinned}")
        say(f"   {connection.statistics.loss:.1%} of the copies were lost so far")


async def probe(connection: p2pquic.Connection, path: p2pquic.Path) -> str:
    try:
        return f"{1000 * await connection.probe(path):6.1f} ms"
    except p2pquic.NotReachedError:
        return "no answer"


async def hold(connection: p2pquic.Connection, pattern: str | None) -> None:
    """Pin what matches as soon as it is there: the connection returns to it whenever it lives."""
    news = connection.events(events.PathValidated, events.PathSelected)
    while pattern is not None and not connection.is_over:
        for path in connection.paths:
            if fnmatchcase(path.name, pattern):
                connection.pin(path)
                say(f"pinned {path.name}")
                return
        await anext(news, None)


def tell(entry: events.Entry) -> None:
    match entry.record:
        case events.ServerTrusted(address, fingerprint):
            say(f"the server at {address} has the key {fingerprint}, taken on trust")
        case events.Connected(remote, kind):
            say(f"connected with {remote}, {kind}")
        case events.AddressChanged(added, removed):
            changes = [f"+{each}" for each in added] + [f"-{each}" for each in removed]
            say("ADDRESSES " + (" ".join(changes) or "none is left"))
        case events.Observed(local, address):
            say(f"the server sees {local} as {address}")
        case events.Suspected(_, path, reason):
            say(f"in doubt: {path}, {reason}")
        case events.Hedging(paths=paths, on=True):
            say(f"copies by {', '.join(paths)}")
        case events.PathValidated(path, _, _, milliseconds):
            say(f"answers: {path}, after {milliseconds:.0f} ms")
        case events.PathSelected(path, reason=reason):
            say(f"NOW BY {path}: {reason}")
        case events.PathAbandoned(path, _, reason):
            say(f"gone: {path}, {reason}")
        case events.WokeUp(seconds):
            say(f"this machine slept for {seconds:.0f} s")
        case events.Failed(message):
            say(message)


def say(text: str) -> None:
    now = time.time()
    print(f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now * 1000 % 1000):03}  {text}")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description="Watch a connection while the network changes.")
    parser.add_argument("--intermediate", required=True, metavar="HOST:PORT")
    parser.add_argument("--room", required=True, help="who knows its name can take part")
    parser.add_argument("--pin", metavar="sha256:...", help="the server's key, as it says")
    parser.add_argument("--hold", metavar="PATTERN", help="pin a path, as in 'relay*' or '*wlan0*'")
    parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="between looks")
    parser.add_argument("--resilience", choices=["lean", "hedged", "hot"], default="hedged")
    try:
        asyncio.run(roam(parser.parse_args()))
    except p2pquic.P2PQuicError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
