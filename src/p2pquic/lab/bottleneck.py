"""One way of a link that has a rate: who comes while it is busy waits in line, or finds no room.

    packets --> | | | | |  --> one after the other, size / rate each
                 `-- at most `queue` seconds of waiting; beyond, the newest is dropped (drop-tail)

Pure: time is passed in, and it is asked in the order in which packets reach it.
"""

from __future__ import annotations

import math

BITS = 8  # in a byte


class Bottleneck:
    """A link of `rate` bits per second with a line of at most `queue` seconds before it."""

    def __init__(self, rate: float, queue: float) -> None:
        self._rate = rate
        self._queue = queue
        self._free_at = -math.inf  # when all that was taken so far is through

    def passes_at(self, size: int, now: float) -> float | None:
        """When the last bit of a packet of `size` bytes is through; None if it is dropped."""
        begins = max(now, self._free_at)
        if begins - now > self._queue:
            return None
        self._free_at = begins + size * BITS / self._rate
        return self._free_at
