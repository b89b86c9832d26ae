"""When the next of several things is due."""

from __future__ import annotations

from collections.abc import Iterable


def earliest(times: Iterable[float | None]) -> float | None:
    """The first of some deadlines (seconds, one clock), those left out that are not set."""
    return min([time for time in times if time is not None], default=None)
