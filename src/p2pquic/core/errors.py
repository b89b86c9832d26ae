"""Errors that a person can act on.

Each says whose fault it is. The text of the exception is the sentence the user sees: what
happened, why, and what to do about it.
"""

from __future__ import annotations


class P2PQuicError(Exception):
    """Base of every error this package raises on purpose."""


class UsageError(P2PQuicError):
    """The person who called us gave something that cannot work."""


class InvalidAddressError(UsageError):
    """A text that should have been HOST:PORT is not."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} is not an address. Write HOST:PORT, as in server.example:12345, "
            "203.0.113.10:12345 or [2001:db8::1]:12345."
        )


class MissingRequirementError(P2PQuicError):
    """This machine lacks something: a program, a plugin, a right, a device."""


class ProtocolError(P2PQuicError):
    """Bytes from the network are not what the protocol allows; the packet is dropped."""
