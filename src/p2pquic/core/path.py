"""A path: the way a packet takes to the other end. Choosing another one is all a move is.

    DirectPath   our socket -> the other end's address
    RelayPath    any leg of a relay session -> the intermediate server -> the other end

A relay path is one path however its legs move beneath it. Paths are plain values: the QUIC
engine takes them as opaque addresses, the policy compares them, the trace names them.
"""

from __future__ import annotations

from typing import NamedTuple

from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.trace import PathKind


class DirectPath(NamedTuple):
    """From one of our sockets straight to an address."""

    local: LocalSocket
    remote: SocketAddress

    @property
    def kind(self) -> PathKind:
        """`direct`."""
        return "direct"

    def __str__(self) -> str:
        return f"direct/{self.local.interface}/{self.remote}"


class RelayPath(NamedTuple):
    """Through a session at an intermediate server, by whichever leg is selected."""

    session: bytes
    server: ServerAddress

    @property
    def kind(self) -> PathKind:
        """`relay`."""
        return "relay"

    def __str__(self) -> str:
        return f"relay/{self.server}"


PathAddress = DirectPath | RelayPath
