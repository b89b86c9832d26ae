"""A server and two peers in one program: they meet, talk, and look at how they are connected.

    python examples/two_peers.py

Nothing leaves this machine. Elsewhere each of the three is a program of its own: the server where
everybody can reach it, the peers behind whatever routers they have.
"""

from __future__ import annotations

import asyncio

import p2pquic
from p2pquic import events


async def main() -> None:
    async with (
        p2pquic.serve("127.0.0.1:0") as server,
        enter(server) as alice,
        enter(server) as bob,
    ):
        to_bob = await alice.connect(bob.peer_id)  # somebody we know
        to_alice = await bob.accept()  # whoever comes
        print(f"alice is connected with {to_bob.peer}, bob with {to_alice.peer}")

        await exchange_datagrams(to_bob, to_alice)
        await exchange_a_stream(to_bob, to_alice)
        await wait_for_a_direct_path(to_bob)
        await show_paths(to_bob)


def enter(server: p2pquic.Server) -> p2pquic.Room:
    return p2pquic.join("lobby", intermediate=server.address, pin=server.fingerprint)


async def exchange_datagrams(to_bob: p2pquic.Connection, to_alice: p2pquic.Connection) -> None:
    """At once, in any order, and perhaps never: what is worth nothing when it is late."""
    for number in range(5):
        to_bob.send(f"datagram {number}".encode())
    for _ in range(5):
        print("bob received", (await to_alice.receive()).decode())


async def exchange_a_stream(to_bob: p2pquic.Connection, to_alice: p2pquic.Connection) -> None:
    """In order, all of it, and both ways."""
    question = to_bob.open_stream()
    await question.write(b"How long is a megabyte?" + bytes(1_000_000))
    question.end()

    asked = await to_alice.accept_stream()
    size = sum([len(piece) async for piece in asked])
    await asked.write(f"{size} bytes, with the question".encode())
    asked.end()

    print("bob answered:", b"".join([piece async for piece in question]).decode())


async def wait_for_a_direct_path(connection: p2pquic.Connection) -> None:
    """Every connection begins through the server; events say what becomes of it."""
    selected = connection.events(events.PathSelected)  # follow first, then look: nothing is missed
    while connection.path is not None and connection.path.kind != "direct":
        event = await anext(selected)
        print(f"now by {event.path}: {event.reason}")


async def show_paths(connection: p2pquic.Connection) -> None:
    """Every way that is open, how long a packet takes there and back, and what came of it all."""
    for path in connection.paths:
        milliseconds = 1000 * await connection.probe(path)
        used = "in use" if path.is_selected else "stands by"
        print(f"{path.name:30} to {path.remote_address:22} {milliseconds:5.1f} ms, {used}")
    statistics = connection.statistics
    print(f"{statistics.datagrams_sent} datagrams sent, {statistics.loss:.0%} of the copies lost")


if __name__ == "__main__":
    asyncio.run(main())
