"""Which key each server had when it was first met (trust on first use, as of ssh's known_hosts).

The first contact is a leap of faith: whoever answers is believed, if it holds the key that it
shows. From then on the same address must have the same key. A server goes by the address that the
person typed, not by what that resolves to: it is the name that is trusted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from p2pquic.core.errors import P2PQuicError
from p2pquic.quic.identity import parse_fingerprint
from p2pquic.trust.known_file import KnownFile

LINE = re.compile(r"(?P<name>\S+:\d+)\s+(?P<value>sha256:[0-9a-fA-F]{64})")


class Pin(NamedTuple):
    """The hashes of keys (32 bytes) of which a server has to hold one, and what to do if not."""

    key_hashes: tuple[bytes, ...]
    advice: str


class OtherKeyError(P2PQuicError):
    """A server showed two processes different keys at its first contact with both."""


class KnownServers:
    """The file `known_servers` in the user's data folder."""

    def __init__(self, directory: Path) -> None:
        self._known = KnownFile(directory / "known_servers", LINE, "HOST:PORT sha256:HEX")

    def choose_pin(self, server: str, told: Sequence[str]) -> Pin | None:
        """The keys that a person told ("sha256:..."), or the one that `server` had so far, if any.

        Raises:
            UsageError: see `pin`, or what was told is no fingerprint.
        """
        if not told:
            return self.pin(server)
        advice = "Correct --pin if whoever runs the server confirms the other key."
        return Pin(tuple(map(parse_fingerprint, told)), advice)

    def pin(self, server: str) -> Pin | None:
        """The key that `server`, as HOST:PORT, had so far; None if it was never met.

        Raises:
            UsageError: the file cannot be read, or is damaged.
        """
        line = self._known.read().get(server.lower())
        if line is None:
            return None
        return Pin(
            (parse_fingerprint(line.value),),
            f"The old key is in line {line.number} of {self._known.file}: if whoever runs the "
            "server confirms the new one, remove that line, or give the new key with --pin.",
        )

    def trust(self, server: str, fingerprint: str) -> None:
        """Remember the key that an unknown server proved to hold.

        Raises:
            OtherKeyError: another process has met it meanwhile, with another key.
            UsageError: the file cannot be written, or see `pin`.
        """
        with self._known.changing() as known:
            line = known.get(server.lower())
            if line is None:
                self._known.write(server, fingerprint, None)
            elif parse_fingerprint(line.value) != parse_fingerprint(fingerprint):
                raise OtherKeyError(
                    f"The server at {server} was refused: it shows the key {fingerprint}, and "
                    f"showed {line.value} to another process just now (line {line.number} of "
                    f"{self._known.file}). Ask whoever runs it which is right, and give that "
                    "with --pin."
                )
