"""Peer-to-peer QUIC that carries live audio, and what else you have, through a change of address.

    async with p2pquic.join("lobby", intermediate="203.0.113.10:12345") as room:
        connection = await room.accept()
        connection.send(b"a datagram")

`join` and `serve` are the two doors; everything else comes through them. A name is loaded when it
is first used: what only reads `__version__` loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from p2pquic import events as events
    from p2pquic.api.connection import Connection as Connection
    from p2pquic.api.errors import ConnectionLostError as ConnectionLostError
    from p2pquic.api.errors import NotReachedError as NotReachedError
    from p2pquic.api.room import Room as Room
    from p2pquic.api.room import join as join
    from p2pquic.api.server import Server as Server
    from p2pquic.api.server import serve as serve
    from p2pquic.api.streams import Stream as Stream
    from p2pquic.core.call_state import Path as Path
    from p2pquic.core.call_state import Statistics as Statistics
    from p2pquic.core.errors import P2PQuicError as P2PQuicError
    from p2pquic.core.errors import UsageError as UsageError
    from p2pquic.net.driver import MediaSink as Audio
    from p2pquic.quic.identity import Identity as Identity

_HOMES = {
    "Audio": "net.driver:MediaSink",
    "Connection": "api.connection:Connection",
    "ConnectionLostError": "api.errors:ConnectionLostError",
    "Identity": "quic.identity:Identity",
    "NotReachedError": "api.errors:NotReachedError",
    "P2PQuicError": "core.errors:P2PQuicError",
    "Path": "core.call_state:Path",
    "Room": "api.room:Room",
    "Server": "api.server:Server",
    "Statistics": "core.call_state:Statistics",
    "Stream": "api.streams:Stream",
    "UsageError": "core.errors:UsageError",
    "events": "events:",
    "join": "api.room:join",
    "serve": "api.server:serve",
}
"""Where each public name lives, as `module:name`."""

__all__ = [  # they are there when asked for
    "Audio",
    "Connection",
    "ConnectionLostError",
    "Identity",
    "NotReachedError",
    "P2PQuicError",
    "Path",
    "Room",
    "Server",
    "Statistics",
    "Stream",
    "UsageError",
    "events",
    "join",
    "serve",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    home = import_module(f"{__name__}.{module}")
    return getattr(home, attribute) if attribute else home


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
