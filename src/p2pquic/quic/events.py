"""What a connection tells its owner; the whole vocabulary between quic and session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.path import PathAddress


@dataclass(frozen=True, slots=True)
class HandshakeConfirmed:
    """Both ends have proved their keys; media may flow. `key_hash` is the other end's, 32 bytes."""

    key_hash: bytes


@dataclass(frozen=True, slots=True)
class PathOpened:
    """The other end was heard, authenticated, on a path that we did not know."""

    path: PathAddress


@dataclass(frozen=True, slots=True)
class PathValidated:
    """A path that was unproved answered a challenge after `rtt` seconds."""

    path: PathAddress
    rtt: float


@dataclass(frozen=True, slots=True)
class PathProbed:
    """A path answered a challenge that its owner had asked for, after `rtt` seconds."""

    path: PathAddress
    rtt: float


@dataclass(frozen=True, slots=True)
class PathMoved:
    """The other end's NAT gave the path another remote address; the path goes on as `new`."""

    old: PathAddress
    new: PathAddress


@dataclass(frozen=True, slots=True)
class PathRetired:
    """The other end gave the path up; it is closed here too, unless it is the selected one."""

    path: PathAddress


@dataclass(frozen=True, slots=True)
class PathFollowed:
    """The other end chose: `path` is selected from now on, at both ends, where `before` was.

    They are the same when the other end only says that it is somewhere else on it (another leg).
    It `insists` where it prefers the interface it leaves by.
    """

    path: PathAddress
    before: PathAddress
    insists: bool = False


@dataclass(frozen=True, slots=True)
class AddressObserved:
    """The other end hears us on `path` from `address`."""

    path: PathAddress
    address: SocketAddress


@dataclass(frozen=True, slots=True)
class DatagramArrived:
    """An unreliable datagram came by `path`; a repeat may come by another."""

    path: PathAddress
    data: bytes


@dataclass(frozen=True, slots=True)
class DatagramAcknowledged:
    """The copy of `tag` that went by `path` arrived."""

    path: PathAddress
    tag: Any


@dataclass(frozen=True, slots=True)
class DatagramLost:
    """The copy of `tag` that went by `path` is believed lost."""

    path: PathAddress
    tag: Any


@dataclass(frozen=True, slots=True)
class StreamData:
    """The next bytes of a stream; `ended` with its last. They are to be acknowledged by `read`."""

    stream_id: int
    data: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class StreamBroken:
    """The other end will not finish what it began to write (RESET_STREAM)."""

    stream_id: int
    error_code: int


@dataclass(frozen=True, slots=True)
class StreamRefused:
    """The other end reads no more of a stream (STOP_SENDING); our half of it is reset."""

    stream_id: int
    error_code: int


@dataclass(frozen=True, slots=True)
class Terminated:
    """The connection is over. `error_code` 0 is a goodbye."""

    error_code: int
    reason: str


ConnectionEvent = (
    HandshakeConfirmed
    | PathOpened
    | PathValidated
    | PathProbed
    | PathMoved
    | PathRetired
    | PathFollowed
    | AddressObserved
    | DatagramArrived
    | DatagramAcknowledged
    | DatagramLost
    | StreamData
    | StreamBroken
    | StreamRefused
    | Terminated
)
