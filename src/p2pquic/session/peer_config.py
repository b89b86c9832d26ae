"""What a person asks of a peer at its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from p2pquic.core.addresses import ServerAddress
from p2pquic.core.events import Resilience
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.preference import INDIFFERENT, InterfacePreference
from p2pquic.session.pair_config import RelayUse


@dataclass(frozen=True)
class PeerConfig:
    """What a person asks of a peer.

    `pin` is the SHA-256 of the server's public key (SPKI), 32 bytes; with None the key that the
    server proves to hold is taken on trust, and reported (`ServerTrusted`). `pin_advice` tells a
    person what to do if the server shows another. `give_up` is how many seconds a call may hear
    nothing before it ends, `buffer` how long what it hears may wait for its turn. `only` are the
    peer ids to have calls with; empty for everybody.
    """

    intermediate: ServerAddress
    pin: bytes | None
    role: Literal["sender", "receiver", "both"]
    room: str
    resilience: Resilience = "hedged"
    relay: RelayUse = "auto"
    give_up: float = 60.0
    buffer: DelayBounds = field(default_factory=DelayBounds)
    pin_advice: str = ""
    only: frozenset[str] = frozenset()
    interfaces: InterfacePreference = INDIFFERENT
