"""What a person thinks of the interfaces: pure order over their names.

    --prefer eth0,wlan*   0  eth0         as named
                          1  wlan0, ...
                          2  the others   in the kernel's order
    --avoid rmnet0        3  rmnet0       in reserve: only while nothing else lives

Names are shell-style patterns. One that no interface has is waited for: it may come later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from p2pquic.core.addresses import LocalSocket
from p2pquic.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class InterfacePreference:
    """Patterns of names: those to prefer, the best first, and those to avoid, which wins."""

    prefer: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()

    @classmethod
    def parse(cls, prefer: str | None, avoid: str | None) -> InterfacePreference:
        """Read two lists of patterns with commas between, as the command line takes them.

        Raises:
            UsageError: a name is empty, or stands in both.
        """
        preference = cls(_names("--prefer", prefer), _names("--avoid", avoid))
        for name in preference.prefer:
            if name in preference.avoid:
                raise UsageError(f"--prefer and --avoid both name {name}: give it to one of them.")
        return preference

    def avoids(self, interface: str) -> bool:
        """Whether this interface is for when nothing else lives."""
        return any(fnmatchcase(interface, pattern) for pattern in self.avoid)

    def order(self, interface: str) -> int:
        """The place of an interface, 0 for the best; equal where the person does not care."""
        if self.avoids(interface):
            return len(self.prefer) + 1
        matches = (fnmatchcase(interface, pattern) for pattern in self.prefer)
        return next((place for place, matched in enumerate(matches) if matched), len(self.prefer))

    def sort(self, sockets: Iterable[LocalSocket]) -> tuple[LocalSocket, ...]:
        """The best first; equals stay as they were, which is the kernel's preference."""
        return tuple(sorted(sockets, key=lambda socket: self.order(socket.interface)))


INDIFFERENT = InterfacePreference()


def _names(option: str, text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(
            f"{option} {text!r} has an empty name in it. "
            f"Write interfaces with commas between, as in {option} eth0,wlan0 or {option} 'wlan*'."
        )
    return names
