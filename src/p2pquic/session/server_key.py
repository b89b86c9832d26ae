"""The key that a peer's server has to hold, by whichever connection: a pin it was given.

Without a pin the first key that the server proves to hold is taken on trust, and is the pin then.
"""

from __future__ import annotations

from collections.abc import Collection

from p2pquic.core.addresses import ServerAddress
from p2pquic.quic.identity import fingerprint


class ServerKey:
    """Keys are SHA-256 hashes of the SPKI, 32 bytes; `advice` is for who meets another key."""

    def __init__(self, pins: Collection[bytes], advice: str = "") -> None:
        self._pins = frozenset(pins)
        self._advice = advice
        self._newly_trusted: bytes | None = None

    def accepts(self, shown: bytes) -> bool:
        """Whether a server that shows this key may go on to prove that it holds it."""
        return not self._pins or shown in self._pins

    def on_proved(self, key_hash: bytes) -> None:
        """The handshake has shown that the server holds this key."""
        if not self._pins:
            self._newly_trusted = key_hash
        self._pins = frozenset((key_hash,))

    def take_newly_trusted(self) -> bytes | None:
        """The key that was taken on trust since the last call, if one was."""
        key_hash, self._newly_trusted = self._newly_trusted, None
        return key_hash

    def explain_refusal(self, server: ServerAddress, shown: bytes) -> str:
        """Why a server that shows this key is refused, for a person."""
        assert self._pins, "without a pin every key will do"
        expected = " or ".join(sorted(map(fingerprint, self._pins)))
        return (
            f"The intermediate server at {server} was refused: it shows the key "
            f"{fingerprint(shown)} instead of {expected}. Either somebody else "
            f"answers in its place, or it was given a new key. {self._advice}"
        ).rstrip()
