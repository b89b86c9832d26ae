"""How many faults of others are worth a line in the trace: a flood of them must not fill a disk."""

from __future__ import annotations

DROPS_TRACED = 10  # per second


class DropLimit:
    """Lets the first few drops of each second be traced."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0

    def allows(self, now: float) -> bool:
        """Whether one more may be traced at `now` (seconds)."""
        if int(now) != self._second:
            self._second, self._count = int(now), 0
        self._count += 1
        return self._count <= DROPS_TRACED
