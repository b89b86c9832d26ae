"""What one call is: who, in which roles, and how careful."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from p2pquic.core.addresses import ServerAddress
from p2pquic.core.events import Resilience
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.preference import INDIFFERENT, InterfacePreference
from p2pquic.wire.signaling import Member

RelayUse = Literal["auto", "only", "never"]
"""Whether calls may, must or must not go through the intermediate server."""


@dataclass(frozen=True)
class PairConfig:
    """The two sides of a call and what the person wants.

    `give_up`: seconds without a sign of life after which the call ends. `buffer`: how long what
    we hear may wait for its turn.
    """

    me: str
    other: Member
    servers: tuple[ServerAddress, ...]
    sends: bool
    receives: bool
    resilience: Resilience
    relay: RelayUse
    give_up: float
    buffer: DelayBounds = field(default_factory=DelayBounds)
    interfaces: InterfacePreference = INDIFFERENT

    @property
    def is_client(self) -> bool:
        """The lower peer id is the QUIC client."""
        return self.me < self.other.peer
