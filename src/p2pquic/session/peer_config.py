"""What a person asks of a peer at its start."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from p2pquic.core.addresses import ServerAddress
from p2pquic.core.events import Resilience
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.preference import INDIFFERENT, InterfacePreference
from p2pquic.session.pair_config import RelayUse

MOST_SERVERS = 3  # the relay of each takes one of the 8 paths of a call for good


@dataclass(frozen=True, slots=True)
class Server:
    """An intermediate server that we were told of.

    `pins` are the SHA-256 hashes of the public keys (SPKI) that it may have, 32 bytes each; with
    none the key that it proves to hold is taken on trust, and reported (`ServerTrusted`).
    `pin_advice` tells a person what to do if it shows another.
    """

    address: ServerAddress
    pins: Collection[bytes] = ()
    pin_advice: str = ""


@dataclass(frozen=True)
class PeerConfig:
    """What a person asks of a peer.

    `servers` are 1 to MOST_SERVERS; all members of a room should be told the same. `give_up` is
    how many seconds a call may hear nothing before it ends, `buffer` how long what it hears may
    wait for its turn. `only` are the peer ids to have calls with; empty for everybody.
    """

    servers: tuple[Server, ...]
    role: Literal["sender", "receiver", "both"]
    room: str
    resilience: Resilience = "hedged"
    relay: RelayUse = "auto"
    give_up: float = 60.0
    buffer: DelayBounds = field(default_factory=DelayBounds)
    only: frozenset[str] = frozenset()
    interfaces: InterfacePreference = INDIFFERENT
