"""What a program asks of one of its calls, and what it is told, beside audio and the trace.

    program -- Request --> call          program <-- News -- call

A stream is named by its QUIC number (RFC 9000 section 2.1); the program opens one by writing on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Carry this unreliably, at once."""

    data: bytes


@dataclass(frozen=True, slots=True)
class WriteStream:
    """Carry this on a stream, after all that was written before; `ended` with the last of it."""

    stream_id: int
    data: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class AcknowledgeRead:
    """So many bytes of a stream were taken: the other end may send as many again."""

    stream_id: int
    size: int


@dataclass(frozen=True, slots=True)
class DropStream:
    """A stream is wanted no longer, in neither direction."""

    stream_id: int
    error_code: int


@dataclass(frozen=True, slots=True)
class PinPath:
    """Take the path of this id while it lives; "" for the usual rule."""

    path: str


@dataclass(frozen=True, slots=True)
class ProbePath:
    """Measure the path of this id: the trace has the answer (`PathProbed`)."""

    path: str


@dataclass(frozen=True, slots=True)
class EndCall:
    """The call is wanted no longer."""

    reason: str


Request = SendDatagram | WriteStream | AcknowledgeRead | DropStream | PinPath | ProbePath | EndCall


@dataclass(frozen=True, slots=True)
class DatagramCame:
    """A datagram of the other end; each comes once, in any order."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StreamDataCame:
    """The next bytes of a stream; `ended` with the last."""

    stream_id: int
    data: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class StreamFilled:
    """Write no more on a stream until `StreamDrained`."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamDrained:
    """Most of what was written on a stream was delivered: go on."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamDelivered:
    """The other end has all that was written on a stream, and its end."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamBroke:
    """The other end will not finish what we `read`, or takes no more of what we `write`."""

    stream_id: int
    half: Literal["read", "write"]


StreamNews = StreamDataCame | StreamFilled | StreamDrained | StreamDelivered | StreamBroke
News = DatagramCame | StreamNews
