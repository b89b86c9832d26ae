"""What a session orders: the outside world performs these, in order."""

from __future__ import annotations

from dataclasses import dataclass

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.application import News
from p2pquic.core.trace import Record


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send one UDP datagram from our socket `local` to `remote`."""

    local: LocalSocket
    remote: SocketAddress
    data: bytes


@dataclass(frozen=True, slots=True)
class StartMedia:
    """Somebody listens: start the source."""


@dataclass(frozen=True, slots=True)
class PlayMedia:
    """Give an RTP packet of `remote`'s audio to its playout; each comes once, a stale one never."""

    remote: str
    rtp: bytes


@dataclass(frozen=True, slots=True)
class StopMedia:
    """`remote` is gone: its playout ends."""

    remote: str


@dataclass(frozen=True, slots=True)
class TellApplication:
    """Give the application news of its call with `remote`."""

    remote: str
    news: News


@dataclass(frozen=True, slots=True)
class Log:
    """Write this record to the trace: of something that happens now, or did at `happened_at`."""

    record: Record
    happened_at: float | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """The session is over; everything it had to say was ordered before."""

    reason: str
    failed: bool = False


Action = SendDatagram | StartMedia | PlayMedia | StopMedia | TellApplication | Log | Finish
