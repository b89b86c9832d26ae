"""Follows the address changes of macOS without delay.

    routing socket (PF_ROUTE)  ->  "something changed"  ->  a look, as poll.py does it

Here as on Linux a notification is only a reason to look, so nothing of a message is read but its
kind. Should the kernel announce less than it promises, the monitor looks from time to time as well.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Sequence

from p2pquic.net.monitor import OnChange
from p2pquic.net.monitor.poll import PollingMonitor

# net/route.h of macOS; on each system PF_ROUTE has the number of AF_ROUTE
AF_ROUTE = 17
RTM_VERSION = 5
RTM_ADD, RTM_DELETE, RTM_CHANGE = 1, 2, 3
RTM_NEWADDR, RTM_DELADDR = 12, 13
RTM_IFINFO, RTM_IFINFO2 = 14, 18
CHANGES = {RTM_ADD, RTM_DELETE, RTM_CHANGE, RTM_NEWADDR, RTM_DELADDR, RTM_IFINFO, RTM_IFINFO2}

_HEADER = struct.Struct("=HBB")  # length, version, type: how every message begins
RECEIVE_SIZE = 2048  # bytes; a message has a few hundred, and the rest of it is not read
SAFETY_INTERVAL = 1.0  # seconds; what nobody announced is noticed by then


class MacMonitor:
    """An AddressMonitor on the routing socket."""

    def __init__(self, destinations: Sequence[str], on_change: OnChange) -> None:
        self._polling = PollingMonitor(destinations, on_change, interval=SAFETY_INTERVAL)
        self._changes: socket.socket | None = None

    def start(self) -> None:
        self._changes = open_changes_socket()  # before the first look, so that nothing is missed
        asyncio.get_running_loop().add_reader(self._changes, self._on_readable)
        self._polling.start()

    def close(self) -> None:
        self._polling.close()
        if self._changes is not None:
            asyncio.get_running_loop().remove_reader(self._changes)
            self._changes.close()
            self._changes = None

    def _on_readable(self) -> None:
        if self._changes is not None and read_changes(self._changes):
            self._polling.hurry()


def open_changes_socket() -> socket.socket:
    """A non-blocking socket that becomes readable when a link, address or route changes."""
    changes = socket.socket(AF_ROUTE, socket.SOCK_RAW, socket.AF_UNSPEC)
    changes.setblocking(False)
    return changes


def read_changes(changes: socket.socket) -> bool:
    """Read all messages that wait; whether one is a reason to look.

    A lost message (ENOBUFS) may have been anything, so it is one.

    Raises:
        OSError: the socket is broken.
    """
    is_reason = False
    while True:
        try:
            message = changes.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return is_reason
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            is_reason = True
            continue
        is_reason = is_reason or announces_change(message)


def announces_change(message: bytes) -> bool:
    """Whether a message of the routing socket says that a link, address or route changed."""
    if len(message) < _HEADER.size:
        return False
    _, version, kind = _HEADER.unpack_from(message)
    return version == RTM_VERSION and kind in CHANGES
