"""Reads a UDP socket in the way the running asyncio loop has.

    selector loop (Linux, macOS)    says that something is there        ->  read until nothing is
    proactor loop (Windows)         has to be asked for one datagram    ->  read until nothing is

Windows has a selector loop as well, but that one cannot talk to a program, and sound is one.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

MAX_DATAGRAM = 2048  # bytes; ours stay below 1280, and no Ethernet path carries more than 1500
PAUSE_AFTER_ERROR = 0.01  # seconds; an interface that is going away may fail at every call

OnReadable = Callable[[tuple[bytes, Any] | None], None]
"""Gets the datagram and source that were read to find out that there is something, if so."""
OnFault = Callable[[OSError], None]

must_ask = sys.platform == "win32"


def start_reading(
    udp: socket.socket, on_readable: OnReadable, on_fault: OnFault
) -> Callable[[], object]:
    """Call `on_readable` whenever there is something; the returned function ends that.

    It has to be called before the socket is closed.
    """
    loop = asyncio.get_running_loop()
    if must_ask:
        asking = loop.create_task(_ask(udp, on_readable, on_fault))
        asking.add_done_callback(_raise_in_the_loop)
        return asking.cancel
    loop.add_reader(udp, on_readable, None)
    return lambda: loop.remove_reader(udp)


async def _ask(udp: socket.socket, on_readable: OnReadable, on_fault: OnFault) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            data, source = await loop.sock_recvfrom(udp, MAX_DATAGRAM)
        except OSError as error:
            on_fault(error)
            await asyncio.sleep(PAUSE_AFTER_ERROR)
            continue
        # Windows may answer so that nobody listens where an earlier packet went.
        on_readable(None if source is None else (data, source))


def _raise_in_the_loop(asking: asyncio.Task[None]) -> None:
    """A fault of ours must not wait until somebody looks at the task, which nobody does."""
    if not asking.cancelled():
        asking.result()
