"""What one end of a connection is and wants."""

from __future__ import annotations

from dataclasses import dataclass

from p2pquic.quic.frames import AddressDiscovery
from p2pquic.quic.identity import Identity
from p2pquic.quic.pinned_tls import AcceptsKey

IDLE_TIMEOUT = 90.0  # seconds: half as long again as the usual time after which a call is given up


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
