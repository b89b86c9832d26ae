"""What a program that uses the library may have to catch, beside P2PQuicError itself."""

from __future__ import annotations

from p2pquic.core.errors import P2PQuicError


class ConnectionLostError(P2PQuicError):
    """The connection, the stream or the room is over; the text says why."""


class NotReachedError(P2PQuicError):
    """Nobody answered in the time given; the text says what was heard last."""
