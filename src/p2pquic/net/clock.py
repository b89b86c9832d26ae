"""The clock of a session: seconds that go on while the machine sleeps, and never jump otherwise.

    lid      open =========| closed           |========= open
    monotonic    1 . . . 2                     2 . . . 3        asyncio's timers, the trace
    session      1 . . . 2                   602 . . . 603      `now`, deadlines

NATs, servers and the other end forget a machine that sleeps, and count its silence. By a clock that
stood still it would believe for minutes in what is long gone. Linux has such a clock
(CLOCK_BOOTTIME). Elsewhere the monotonic clock serves, and no sleep is seen.
"""

from __future__ import annotations

import sys
import time

LEAST_SLEEP = 0.1  # seconds; below that a call hears nothing of it, and clocks may be read unevenly


def now() -> float:
    """Seconds on the clock of sessions."""
    if sys.platform != "linux":
        return time.monotonic()
    else:  # noqa: RET505  # or mypy, which knows the system, finds what follows unreachable
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class SleepWatch:
    """Notices that the machine slept, at the first look after it."""

    def __init__(self) -> None:
        self._seen = _time_asleep()  # since the machine started, as far as we know

    def look(self) -> float:
        """The seconds slept since the last look; 0 if it was none to speak of."""
        total = _time_asleep()
        asleep = total - self._seen
        if asleep < LEAST_SLEEP:
            return 0.0
        self._seen = total
        return asleep


def _time_asleep() -> float:
    """The seconds by which the monotonic clock lags behind; never too many.

    It is read last: who is kept waiting between the two sees too few, and the rest the next time.
    """
    including_sleep = now()
    return including_sleep - time.monotonic()
