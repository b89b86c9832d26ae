"""Which of our sockets are used at this moment: those to avoid only while nothing else lives.

    wlan0   ======x . . . . . . x======================    lives, is doubted or gone, lives again
    rmnet0        ================================x        in use, and `CALM` longer

A socket in reserve is to calls and to the link with the server as if it were not there: nothing is
sent by it, not even a punch, and nobody is told of it. When it is needed it is like an interface
that has just come up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from p2pquic.core.addresses import LocalSocket
from p2pquic.core.preference import InterfacePreference

CALM = 2.0  # seconds for which nothing needs it: a Wi-Fi that stutters should not call it up, with
# a fresh punching of every pair, each time; each second it stays costs what the call does not use


class Reserve:
    """All our sockets, in the person's order, and those of them in use."""

    def __init__(self, preference: InterfacePreference, families: Collection[int]) -> None:
        self.sockets: tuple[LocalSocket, ...] = ()
        self.has_choice = False  # there is something to avoid, and something to use instead
        self._preference = preference
        self._families = families  # of servers: who can reach none holds up nothing
        self._is_called_up = False
        self._calm_since: float | None = None

    @property
    def in_use(self) -> tuple[LocalSocket, ...]:
        """The sockets there are for now, preferred first."""
        if self._is_called_up or not self.has_choice:
            return self.sockets
        return tuple(each for each in self.sockets if not self.avoids(each))

    @property
    def deadline(self) -> float | None:
        """When to `judge` again if nothing happens before."""
        return None if self._calm_since is None else self._calm_since + CALM

    def set_sockets(self, sockets: Sequence[LocalSocket]) -> None:
        """These are all our open sockets now, in the kernel's order."""
        self.sockets = self._preference.sort(sockets)
        avoided = {self.avoids(each) for each in self.sockets if each.family in self._families}
        self.has_choice = False in avoided and any(map(self.avoids, self.sockets))
        if not self.has_choice:
            self._is_called_up = any(map(self.avoids, self.sockets))
            self._calm_since = None

    def judge(self, *, is_needed: bool, now: float) -> bool:
        """Call the reserve up at once, stand it down after a while; whether `in_use` changed."""
        if is_needed:
            self._calm_since = None
            was_called_up, self._is_called_up = self._is_called_up, True
            return not was_called_up
        if not self._is_called_up:
            return False
        if self._calm_since is None:
            self._calm_since = now
        if now < self._calm_since + CALM:
            return False
        self._calm_since, self._is_called_up = None, False
        return True

    def avoids(self, socket: LocalSocket) -> bool:
        """Whether the socket is for when nothing else lives."""
        return self._preference.avoids(socket.interface)
