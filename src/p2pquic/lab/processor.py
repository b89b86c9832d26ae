"""What a program of the lab had of the machine, from the kernel's own account."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

NANOSECONDS = 1e9  # in a second; the unit of the kernel's account


@dataclass(frozen=True, slots=True)
class Processor:
    """What a program had of the machine while the call was settled: shares of that time.

    It was `running` on a core, or `waiting` for one that others had; its main thread, without the
    GStreamer it started. Where programs wait, a run measures the machine as much as the protocol.
    """

    running: float
    waiting: float


def processor_times(process: Popen[str]) -> Processor:
    """Seconds of the machine that a program had so far, not shares."""
    running, waiting, _ = Path(f"/proc/{process.pid}/schedstat").read_text().split()
    return Processor(int(running) / NANOSECONDS, int(waiting) / NANOSECONDS)


def shares(
    before: dict[str, Processor], after: dict[str, Processor], seconds: float
) -> dict[str, Processor]:
    """What each program that still lives had between two looks, of that many seconds."""
    return {
        name: Processor(
            running=round((after[name].running - times.running) / seconds, 3),
            waiting=round((after[name].waiting - times.waiting) / seconds, 3),
        )
        for name, times in before.items()
        if name in after
    }
