"""What can happen to a session: facts in the past tense.

A session's whole input is `handle(event, now)`; `now` is seconds of one clock that never goes back,
and goes on while the machine sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.application import Request

Resilience = Literal["lean", "hedged", "hot"]
"""Whether frames are duplicated: never, while a path is in doubt, or always on two paths."""


@dataclass(frozen=True, slots=True)
class SocketsChanged:
    """These are now all our open sockets, one per usable local address, preferred first.

    An address is usable when the kernel says so: not tentative, and with a route to the
    intermediate server through its interface. A socket missing from the list is closed.
    """

    sockets: tuple[LocalSocket, ...]


@dataclass(frozen=True, slots=True)
class DatagramReceived:
    """A UDP datagram arrived at our socket `local` from `remote`."""

    local: LocalSocket
    remote: SocketAddress
    data: bytes


@dataclass(frozen=True, slots=True)
class MediaPacketReady:
    """The source produced the next RTP packet (one audio frame)."""

    rtp: bytes


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The session's `deadline` has come."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The machine slept for `asleep` seconds and is awake again; `now` counts them.

    What came meanwhile is lost, NATs may have forgotten us, and the other end may have given up.
    """

    asleep: float


@dataclass(frozen=True, slots=True)
class ResilienceChosen:
    """The person wants this manner from now on."""

    resilience: Resilience


@dataclass(frozen=True, slots=True)
class Requested:
    """The application asks something of its call with `remote`."""

    remote: str
    request: Request


@dataclass(frozen=True, slots=True)
class HangUpRequested:
    """The person, or a signal, ends it: say goodbye and finish."""

    reason: str


Event = (
    SocketsChanged
    | DatagramReceived
    | MediaPacketReady
    | DeadlinePassed
    | Resumed
    | ResilienceChosen
    | Requested
    | HangUpRequested
)
