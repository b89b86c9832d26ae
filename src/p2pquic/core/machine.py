"""The one shape every session has, so that one driver and one simulator run them all."""

from __future__ import annotations

from typing import Protocol

from p2pquic.core.actions import Action
from p2pquic.core.events import Event


class Machine(Protocol):
    """A session without a clock, a socket or dice.

    `handle` takes a fact and the time it was seen (seconds, see `events`) and returns what to do
    about it. When `deadline` comes, hand it `DeadlinePassed`; None means nothing is due.
    """

    @property
    def deadline(self) -> float | None:
        """When to call again with `DeadlinePassed`, in the clock of `now`; None for never."""
        ...

    def handle(self, event: Event, now: float) -> list[Action]:
        """React to one event."""
        ...
