"""The key that a peer's server has to hold, by whichever connection: the pin it was given.

Without a pin the first key that the server proves to hold is taken on trust, and is the pin then.
"""

from __future__ import annotations

from p2pquic.core.addresses import ServerAddress
from p2pquic.quic.identity import fingerprint


class ServerKey:
    """Keys are SHA-256 hashes of the SPKI, 32 bytes; `advice` is for who meets another key."""

    def __init__(self, pin: bytes | None, advice: str = "") -> None:
        self._pin = pin
        self._advice = advice
        self._newly_trusted: bytes | None = None

    def accepts(self, shown: bytes) -> bool:
        """Whether a server that shows this key may go on to prove that it holds it."""
        return self._pin is None or shown == self._pin

    def on_proved(self, key_hash: bytes) -> None:
        """The handshake has shown that the server holds this key."""
        if self._pin is None:
            self._pin = self._newly_trusted = key_hash

    def take_newly_trusted(self) -> bytes | None:
        """The key that was taken on trust since the last call, if one was."""
        key_hash, self._newly_trusted = self._newly_trusted, None
        return key_hash

    def explain_refusal(self, server: ServerAddress, shown: bytes) -> str:
        """Why a server that shows this key is refused, for a person."""
        assert self._pin is not None, "without a pin every key will do"
        return (
            f"The intermediate server at {server} was refused: it shows the key "
            f"{fingerprint(shown)} instead of {fingerprint(self._pin)}. Either somebody else "
            f"answers in its place, or it was given a new key. {self._advice}"
        ).rstrip()
