"""What one end of a connection is and wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from p2pquic.quic.frames import AddressDiscovery
from p2pquic.quic.identity import Identity
from p2pquic.quic.pinned_tls import AcceptsKey

IDLE_TIMEOUT = 90.0  # seconds: half as long again as the usual time after which a call is given up


class StreamLimits(NamedTuple):
    """How many bytes may wait: to be read, on one stream and on all; to be delivered, on one.

    The other end can make us keep as much as is unread. Who does not read what we have `unsent` is
    gone or hostile, and the connection ends.
    """

    unread: int = 1 << 20
    unread_in_all: int = 1 << 20
    unsent: int = 1 << 18


FOR_MESSAGES = StreamLimits()
FOR_BULK = StreamLimits(unread_in_all=1 << 22, unsent=1 << 21)
"""On one stream a round trip of 80 ms lets 100 Mbit/s pass; other streams do not wait for it."""


@dataclass(frozen=True)
class ConnectionConfig:
    """`accepts` judges the other end's key (SHA-256 of its SPKI).

    `discovery` says what this end does of QUIC Address Discovery; None for nothing. `idle_timeout`
    is in seconds (RFC 9000 section 10.1).
    """

    identity: Identity
    accepts: AcceptsKey
    alpn: str
    discovery: AddressDiscovery | None = None
    idle_timeout: float = IDLE_TIMEOUT
    streams: StreamLimits = FOR_MESSAGES
