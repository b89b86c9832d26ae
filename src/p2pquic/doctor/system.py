"""This machine without its network and sound: Python, aioquic, the clock, the lab."""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from p2pquic.core.errors import MissingRequirementError
from p2pquic.doctor.finding import Finding

OLDEST_PYTHON = (3, 11)  # as in pyproject.toml; an installer may be told to ignore that
SLEEP = 0.001  # seconds
SLEEPS = 100
SLEEPING_LIMIT = 1.0  # seconds for all sleeps; a machine that needs longer has shown enough
COARSEST_CLOCK = 0.001  # seconds; a gap is told in milliseconds
USUAL_LATENESS = 0.001  # seconds in the median; an idle machine has 0.1 ms
WORST_LATENESS = 0.010  # seconds, half a frame: later, and ourselves would be heard as jitter
LAB_LIMIT = 3.0  # seconds; Python's start and a namespace take 0.3


def check_python() -> list[Finding]:
    """Python's version, and whether the aioquic that is installed is the one we extend."""
    python = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return [
            Finding(
                "problem",
                f"Python is {python}.",
                f"Install Python {'.'.join(map(str, OLDEST_PYTHON))} or newer.",
            )
        ]
    try:
        from p2pquic.quic.compat import AIOQUIC_VERSION, installed_version, require_aioquic

        require_aioquic()
    except ImportError as error:
        return [Finding("problem", f"{error}.", "Install p2pquic again: pip install p2pquic.")]
    except MissingRequirementError as error:
        return [Finding("problem", str(error))]
    found = installed_version()
    if found != AIOQUIC_VERSION:
        return [
            Finding(
                "note",
                f"Python {python}; aioquic is {found}, and only {AIOQUIC_VERSION} was ever tested.",
                f"Install that one: pip install aioquic=={AIOQUIC_VERSION}.",
            )
        ]
    return [Finding("ok", f"Python {python}, aioquic {found}.")]


def check_clock() -> list[Finding]:
    """The clock of traces and pacing, and how late this machine wakes who sleeps."""
    return [judge_clock(time.get_clock_info("monotonic").resolution, measure_lateness())]


def measure_lateness() -> list[float]:
    """By how many seconds each of up to SLEEPS short sleeps was too long."""
    late: list[float] = []
    start = now = time.monotonic()
    while len(late) < SLEEPS and now - start < SLEEPING_LIMIT:
        time.sleep(SLEEP)
        before, now = now, time.monotonic()
        late.append(now - before - SLEEP)
    return late


def judge_clock(resolution: float, late: Sequence[float]) -> Finding:
    """Whether clock and timers are good enough; `resolution` and `late` in seconds."""
    usual, worst = statistics.median(late), max(late)
    steps = f"of {resolution * 1000:.3g} ms" if resolution > 1e-6 else "below 0.001 ms"
    what = (
        f"Clock: steps {steps}; timers are {usual * 1000:.1f} ms late in the "
        f"median of {len(late)}, {worst * 1000:.1f} ms at worst."
    )
    if resolution > COARSEST_CLOCK:
        return Finding(
            "note",
            what,
            "Gaps cannot be measured better than that. On Windows use Python 3.13 or newer; "
            "elsewhere another system.",
        )
    if usual > USUAL_LATENESS or worst > WORST_LATENESS:
        return Finding("note", what, "End what keeps the processor busy, or calls may stutter.")
    return Finding("ok", what)


def check_lab() -> list[Finding]:
    """Whether `p2pquic lab` has real kernels here; a call does not need them."""
    without = "Calls do not need it; `p2pquic lab` uses the simulator instead."
    if sys.platform == "linux":
        return _try_lab(without)
    else:  # noqa: RET505 (mypy understands only this form of a platform check)
        return [Finding("note", "The lab of real kernels needs Linux.", without)]


def _try_lab(without: str) -> list[Finding]:
    try:
        trial = subprocess.run(
            [sys.executable, "-P", "-m", "p2pquic.lab.requirements"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=LAB_LIMIT,
        )
    except subprocess.TimeoutExpired:
        what = f"The lab of real kernels could not be tried within {LAB_LIMIT:.0f} s."
        return [Finding("note", what, without)]
    if trial.returncode == 0:
        return [Finding("ok", "Lab: network namespaces, TUN devices and nftables can be used.")]
    reason = (trial.stderr.splitlines() or ["it gave no reason."])[-1]
    return [Finding("note", f"No lab of real kernels: {reason}", without)]
