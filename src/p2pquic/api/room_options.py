"""What a room is joined with, and what is refused before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from p2pquic.core.errors import UsageError
from p2pquic.core.events import Resilience
from p2pquic.core.trace import Entry
from p2pquic.net.driver import MediaSink
from p2pquic.quic.identity import Identity
from p2pquic.session.pair_config import RelayUse
from p2pquic.session.peer_config import PeerConfig
from p2pquic.trust.known_servers import KnownServers, Pin
from p2pquic.wire.signaling import LONGEST_ROOM_NAME, Role

OnEvent = Callable[[Entry], None]


@dataclass(frozen=True)
class RoomOptions:
    """What `join` was asked for; `wishes` lack the servers, which are looked up when it is entered.

    `pins` are the keys that each server may have, by its name.
    """

    wishes: PeerConfig
    pins: Mapping[str, Pin | None]
    known_servers: KnownServers
    identity: Identity
    audio: MediaSink
    timeout: float
    on_event: OnEvent


class NoAudio:
    """Where nobody speaks or listens."""

    def start(self) -> None:
        """Open the source."""

    def play(self, remote: str, rtp: bytes) -> None:
        """Give one RTP packet to the playout of `remote`."""

    def stop(self, remote: str) -> None:
        """End the playout of `remote`."""


def check_words(room: str, role: Role, resilience: Resilience, relay: RelayUse) -> None:
    """Refuse what no type checker saw.

    Raises:
        UsageError: says what would do.
    """
    if not 1 <= len(room) <= LONGEST_ROOM_NAME:
        raise UsageError(
            f"The name of a room has 1 to {LONGEST_ROOM_NAME} characters, not {len(room)}."
        )
    for word, kind in ((role, Role), (resilience, Resilience), (relay, RelayUse)):
        if word not in get_args(kind):
            raise UsageError(f"{word!r} is none of {', '.join(get_args(kind))}.")
